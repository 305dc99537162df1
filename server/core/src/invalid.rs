//! How bad input is reported: which field, and what would be right.

use std::fmt;

/// Why a value was refused, as a sentence that says what is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A value that breaks `rule`.
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }

    /// Names the field that held the value.
    pub fn at(self, field: impl Into<String>) -> Violation {
        Violation { field: field.into(), description: self.0 }
    }
}

/// A field that holds a wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, in the names of the contract.
    pub field: String,
    /// What is wrong and what is right.
    pub description: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// At least one field of a request is wrong. All of them are named at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Violations(pub Vec<Violation>);

fn list(violations: &[Violation]) -> String {
    let parts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    parts.join("; ")
}

impl Violations {
    /// Refuses one field.
    pub fn one(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self(vec![Invalid::new(rule).at(field)])
    }

    /// `Ok(value)` when nothing was wrong.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Takes the value out of `parsed`, or notes that `field` is wrong.
    pub fn take<T>(&mut self, field: impl Into<String>, parsed: Result<T, Invalid>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.0.push(invalid.at(field));
                None
            }
        }
    }
}
