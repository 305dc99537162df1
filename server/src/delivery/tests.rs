//! Delivery to a receiver that behaves as the real one, and fails as it does: in the end everything has
//! arrived once, in order, and its own check of the chain passes.

mod faults;
mod limits;
mod support;
