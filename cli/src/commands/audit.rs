//! `wfe audit`: exports, keys, verification and evidence. But for the export it reads and writes files,
//! and asks no server.

mod evidence;
mod export;
mod keygen;
mod verify;

use wfe_audit::verify::Verdict;

use crate::{
    args::{AuditCommand, Global},
    context::Context,
    error::Error,
    exit::Exit,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    command: AuditCommand,
) -> Result<Exit, Error> {
    match command {
        AuditCommand::Export(args) => export::run(context, global, &args).await,
        AuditCommand::Keygen(args) => keygen::run(context, global, &args),
        AuditCommand::Verify(args) => verify::run(context, global, &args),
        AuditCommand::Evidence(args) => evidence::run(context, global, &args),
    }
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Sound => Exit::Ok,
        Verdict::Damaged => Exit::Failed,
    }
}

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod tests;
