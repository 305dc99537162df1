//! Why executions fail, told by the service as it really was: each cause is brought about on real Tekton, and the
//! answer is compared with it.

mod nothing;
mod refusals;
mod support;
mod tasks;
mod waits;
mod words;
