//! The service on a real control plane: its process, real Tekton, real clients.

mod calls;
mod cancel;
mod cancel_modes;
mod child_pipelines;
mod clients;
mod crash;
mod lifecycle;
mod locking;
mod outage;
mod outside;
mod record;
mod sensitive;
mod steps;
