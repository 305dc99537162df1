//! Settings of the gates.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};
use wfe_core::gates;

/// What is done at each gate. The lock of a target cannot be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// Whether the rest after a success holds anybody.
    pub cooldown: GateMode,
    /// How long that rest lasts, from the end of the run.
    #[serde(with = "humantime_serde")]
    pub cooldown_period: Duration,
    /// Which workflows it holds.
    pub cooldown_scope: CooldownScope,
    /// Whether the rest after failures before execution holds anybody, and whether too many of them need
    /// a person.
    pub backoff: GateMode,
    /// How long that rest lasts after the first failure; it doubles with each further one in a row.
    #[serde(with = "humantime_serde")]
    pub backoff_base: Duration,
    /// The longest that it lasts.
    #[serde(with = "humantime_serde")]
    pub backoff_cap: Duration,
    /// After so many failures in a row a person must look.
    pub backoff_limit: NonZeroU32,
    /// Whether the block after an execution failure holds anybody.
    pub block: GateMode,
}

/// Whether a closed gate holds anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// It does.
    Enforce,
    /// It lets everybody pass, and says that it was closed: somebody else decides.
    Observe,
    /// It is always open.
    Off,
}

/// Which workflows a cooldown holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum CooldownScope {
    /// The one that succeeded.
    SameWorkflow,
    /// Every one.
    AnyWorkflow,
}

impl Default for Gates {
    fn default() -> Self {
        let gates::Policy { cooldown, backoff, block: _ } = gates::Policy::default();
        Self {
            cooldown: GateMode::Enforce,
            cooldown_period: cooldown.period,
            cooldown_scope: CooldownScope::SameWorkflow,
            backoff: GateMode::Enforce,
            backoff_base: backoff.base,
            backoff_cap: backoff.cap,
            backoff_limit: backoff.limit,
            block: GateMode::Enforce,
        }
    }
}

impl Gates {
    /// Those of a development server: a person who tries things does not wait minutes for a cooldown.
    pub fn dev() -> Self {
        Self { cooldown_period: Duration::from_secs(10), ..Self::default() }
    }

    /// The same as decisions take it.
    pub fn policy(&self) -> gates::Policy {
        let Self {
            cooldown,
            cooldown_period,
            cooldown_scope,
            backoff,
            backoff_base,
            backoff_cap,
            backoff_limit,
            block,
        } = *self;
        gates::Policy {
            cooldown: gates::CooldownPolicy {
                mode: cooldown.into(),
                period: cooldown_period,
                scope: match cooldown_scope {
                    CooldownScope::SameWorkflow => gates::CooldownScope::SameWorkflow,
                    CooldownScope::AnyWorkflow => gates::CooldownScope::AnyWorkflow,
                },
            },
            backoff: gates::BackoffPolicy {
                mode: backoff.into(),
                base: backoff_base,
                cap: backoff_cap,
                limit: backoff_limit,
            },
            block: block.into(),
        }
    }

    /// What cannot be said by types.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.backoff_base > self.backoff_cap {
            return Err("gates.backoff_base must not be longer than gates.backoff_cap".to_owned());
        }
        Ok(())
    }
}

impl From<GateMode> for gates::Mode {
    fn from(mode: GateMode) -> Self {
        match mode {
            GateMode::Enforce => Self::Enforce,
            GateMode::Observe => Self::Observe,
            GateMode::Off => Self::Off,
        }
    }
}

/// The flags of the gates, each of which is also a variable of the environment.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub(super) struct GateOverrides {
    /// Whether the rest after a success holds anybody [default: enforce]
    #[arg(long = "gate-cooldown", env = "WFE_GATE_COOLDOWN", value_name = "MODE", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<GateMode>,
    /// How long that rest lasts, from the end of the run [default: 5m]
    #[arg(long, env = "WFE_COOLDOWN_PERIOD", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    cooldown_period: Option<Duration>,
    /// Which workflows it holds [default: the one that succeeded]
    #[arg(long, env = "WFE_COOLDOWN_SCOPE", value_name = "SCOPE", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown_scope: Option<CooldownScope>,
    /// Whether the rest after failures before execution holds anybody [default: enforce]
    #[arg(long = "gate-backoff", env = "WFE_GATE_BACKOFF", value_name = "MODE", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<GateMode>,
    /// How long that rest lasts after the first failure; it doubles with each further one [default: 10s]
    #[arg(long, env = "WFE_BACKOFF_BASE", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    backoff_base: Option<Duration>,
    /// The longest that it lasts [default: 5m]
    #[arg(long, env = "WFE_BACKOFF_CAP", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    backoff_cap: Option<Duration>,
    /// After so many failures in a row a person must look [default: 5]
    #[arg(long, env = "WFE_BACKOFF_LIMIT", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff_limit: Option<NonZeroU32>,
    /// Whether the block after an execution failure holds anybody [default: enforce]
    #[arg(long = "gate-block", env = "WFE_GATE_BLOCK", value_name = "MODE", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<GateMode>,
}

impl GateOverrides {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cooldown,
            cooldown_period,
            cooldown_scope,
            backoff,
            backoff_base,
            backoff_cap,
            backoff_limit,
            block,
        } = self;
        cooldown.is_none()
            && cooldown_period.is_none()
            && cooldown_scope.is_none()
            && backoff.is_none()
            && backoff_base.is_none()
            && backoff_cap.is_none()
            && backoff_limit.is_none()
            && block.is_none()
    }
}
