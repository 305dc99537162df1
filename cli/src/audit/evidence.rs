//! What an auditor asks for of a period, from the entries of an export. Pure: files are read and written
//! by the command.

pub(crate) mod collect;
pub(crate) mod pages;
pub(crate) mod samples;
pub(crate) mod tables;

use jiff::Timestamp;

/// From one time on, until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Where a time lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    Inside,
    After,
}

impl Period {
    pub(crate) fn place(&self, at: Timestamp) -> When {
        if at < self.from {
            When::Before
        } else if at < self.to {
            When::Inside
        } else {
            When::After
        }
    }
}

#[cfg(test)]
mod tests;
