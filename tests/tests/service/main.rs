//! The service on a real control plane: its process, real Tekton, real clients.

mod calls;
mod cancel;
mod cancel_modes;
mod clients;
mod crash;
mod lifecycle;
mod locking;
mod outage;
mod record;
mod sensitive;
