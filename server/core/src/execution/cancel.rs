//! How a run is made to stop.

use serde::{Deserialize, Serialize};

/// How a run is made to stop. Ordered by strength: a greater mode leaves less running.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// Tasks that run may end, no others begin, then the finally tasks run.
    StopAndFinally,
    /// Tasks that run are stopped, then the finally tasks run.
    RunFinally,
    /// Everything is stopped, and nothing runs after it.
    #[default]
    Immediate,
}

impl CancelMode {
    /// Every mode, the weakest first.
    pub const ALL: [Self; 3] = [Self::StopAndFinally, Self::RunFinally, Self::Immediate];

    /// The mode as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopAndFinally => "stop_and_finally",
            Self::RunFinally => "run_finally",
            Self::Immediate => "immediate",
        }
    }

    /// The mode that `text` stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_read_as_it_is_written() {
        for mode in CancelMode::ALL {
            assert_eq!(CancelMode::parse(mode.as_str()), Some(mode));
            assert_eq!(serde_json::json!(mode), mode.as_str());
        }
        assert_eq!(CancelMode::parse("gently"), None);
    }

    #[test]
    fn a_stronger_mode_is_greater() {
        assert!(CancelMode::ALL.is_sorted());
        assert_eq!(CancelMode::ALL.last(), Some(&CancelMode::Immediate));
    }
}
