//! Arguments of `wfe audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wfe_core::audit::Hash;

use super::values::Moment;

/// Arguments of `wfe audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe audit keygen audit.pem
  wfe audit export export.ndjson
  wfe audit verify export.ndjson --key audit.pem.pub
  wfe audit evidence export.ndjson --key audit.pem.pub --from 2026-10-01 --to 2027-01-01 --dir q4")]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the record.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Export the log of the server; the others need no server
    Export(ExportArgs),
    /// Make a key that signs checkpoints
    Keygen(KeygenArgs),
    /// Tell whether an export is what the service wrote, and what was changed where
    Verify(VerifyArgs),
    /// Put together what an auditor asks for of a period, in files that people can read
    Evidence(EvidenceArgs),
}

/// Arguments of `wfe audit export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe audit export export.ndjson
  wfe audit export later.ndjson --after 120000

Needs the right to audit workflowexecutions in the whole cluster. The file appears when the export
is whole; what was there is replaced. Its end is signed, so that nothing is taken from it unseen.")]
pub struct ExportArgs {
    /// Where the export is written; - is the standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Begin after this entry; 0 is all that the log still holds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub after: i64,
}

/// Arguments of `wfe audit keygen`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe audit keygen audit.pem

Writes the private key, which only its owner may read, and beside it the public key, FILE.pub.
What is there is never written over. Give the public key to those who verify, on a way of its own:
whoever can change an export must not be able to change the key that it is verified with.")]
pub struct KeygenArgs {
    /// Where the private key is written: PKCS#8 in PEM, Ed25519
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What is trusted, and what is known beside an export.
#[derive(Debug, Clone, Args)]
pub struct TrustArgs {
    /// PEM file with a public key of the service; keys that it handed over to, or that handed over to
    /// it, follow from the export. May be repeated
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// File with checkpoints that were kept outside of the database; may be repeated
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// Id of the log that is expected, 64 hex digits; any when absent
    #[arg(long, value_name = "ID")]
    pub log: Option<Hash>,
}

/// Arguments of `wfe audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe audit verify export.ndjson --key audit.pem.pub
  wfe audit verify export.ndjson --key audit.pem.pub --checkpoints checkpoints.ndjson
  wfe audit verify - --key audit.pem.pub -o json

Needs nothing but these files. Ends with 0 when the export is what the service wrote, with 1 when it
is not or when that cannot be shown, and with 2 when it is no export, or not from some place on.
That entries were cut off at the end of the log before the export was made is found by checkpoints
that were kept outside, and by nothing else.")]
pub struct VerifyArgs {
    /// The export; - is the standard input
    #[arg(value_name = "EXPORT")]
    pub export: PathBuf,
    /// What is trusted.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Arguments of `wfe audit evidence`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe audit evidence export.ndjson --key audit.pem.pub --from 2026-10-01 --to 2027-01-01 --dir q4
  wfe audit evidence log --key k.pub --from 2026-10-01 --to 2026-11-01 --dir d --samples 40 --seed 8

With --checkpoints it says more; see `wfe audit verify --help`. An auditor chooses the seed.

Writes tables of all that was accepted, refused, denied, cleared and cancelled in the period, whole
histories of samples, and what the verification of the export found. Ends as `wfe audit verify`
does; the files are written also when the export is not sound, and say so.")]
pub struct EvidenceArgs {
    /// The export
    #[arg(value_name = "EXPORT")]
    pub export: PathBuf,
    /// What is trusted.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// The period begins at this time, RFC 3339 or a day in UTC
    #[arg(long, value_name = "TIME")]
    pub from: Moment,
    /// The period ends before this time
    #[arg(long, value_name = "TIME")]
    pub to: Moment,
    /// Directory of the files; made, and must be empty when it is there
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How many executions are shown with their whole histories; all when there are fewer
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub samples: usize,
    /// What the choice of the samples depends on; an auditor chooses it [default: the period]
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
}
