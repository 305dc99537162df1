//! x
pub mod review;
