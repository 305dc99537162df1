//! The manifests in `deploy` on a real API server: accepted, admitted, and with rights that are enough and not too many.

mod bridge;
mod manifests;
mod people;
mod permissions;
mod samples;
mod server;
