//! The contract of the platform's Data Storage, as it really behaves and as far as it is used here.
//!
//! [`Event`] is what it stores: one that it would refuse, or take and then never be able to store, cannot
//! be made. [`Batch`] is what is sent at once. [`Client`] sends and reads back, and tells by
//! [`SendOutcome`] what is certain afterwards. Nothing is tried twice in here: who decides what follows
//! is outside. `openapi.yaml` beside this crate describes the same for people and tools.

mod batch;
mod client;
mod data;
mod event;
mod outcome;
mod size;
mod stored;
mod text;
mod values;

pub use batch::{Batch, Limits, Place};
pub use client::{BuildError, Client, FindError, Options};
pub use data::{
    Clearance, Component, ErrorDetails, EventData, EventType, FailureReason, Phase, Workflow,
};
pub use event::{Actor, ActorKind, Event, Facts, TooLarge, Window};
pub use outcome::SendOutcome;
pub use stored::{Found, StoredEvent};
pub use text::{Text, Wrong};
pub use values::{DurationMs, Microsecond, RetentionDays, Second};

/// Ties the events of one incident together.
pub type CorrelationId = Text<1, 255>;
