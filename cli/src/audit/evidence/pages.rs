//! The pages of the evidence: what it is, and what the verification found.

use std::fmt::Write as _;

use wfe_audit::verify::{Report, Verdict};
use wfe_core::execution::StateCode;

use super::{
    Period,
    collect::{Collected, Counts},
    tables::Table,
};
use crate::audit::{input::Fingerprint, words};

/// All that the pages tell about.
pub(crate) struct Told<'a> {
    /// Name of the export's file.
    pub(crate) export: String,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) period: Period,
    pub(crate) report: &'a Report,
    pub(crate) collected: &'a Collected,
    pub(crate) tables: &'a [Table],
    pub(crate) seed: &'a str,
    pub(crate) samples: usize,
}

/// `README.md`.
pub(crate) fn readme(told: &Told<'_>) -> String {
    let Told { export, period: Period { from, to }, report, collected, seed, samples, .. } = told;
    let sha256 = &told.fingerprint.sha256;
    let (population, log) = (collected.population.len(), report.log);
    let verdict = match report.verdict() {
        Verdict::Sound => {
            "The export that it was made from was verified and is sound: see `verification.txt`."
        }
        Verdict::Damaged => {
            "**The export that it was made from is NOT sound.** What is wrong, and where, is in \
             `verification.txt`. Read everything else here with that in mind."
        }
    };
    let limits = format!("- {}\n", limits(told).join("\n- "));
    format!(
        "\
# Evidence of remediation runs, {from} to {to}

Made by `wfe audit evidence` from the audit log `{log}` of the execution service, for the period from
{from} until before {to}. {verdict}

The execution service runs remediation workflows on Kubernetes targets. It puts every decision on record
in the transaction that takes it. The records are chained by hash, and the chain is signed.

## Files

| file | what it holds |
|---|---|
| `verification.txt` | what the verifier found, the SHA-256 of the export, and counts that add up |
| `population.csv` | every execution that was accepted in the period: {population} |
| `samples/` | {samples} of them with their whole histories: `.md` to read, `.ndjson` as in the export |
| `clearances.csv` | attempts to open a block after a failure: who, why, with which ticket, what came of it |
| `refusals.csv` | Starts that were refused because of the state of their targets |
| `denials.csv` | callers who were not let in, or may not do what they asked for |
| `cancels.csv` | requests to stop, what they did, and requests that were withdrawn |
| `SHA256SUMS` | the SHA-256 of each of these files |

`who` is the identity that called; `on_behalf_of` is for whom it acted, when it is trusted to say so.
`method` is how the identity was established. Times are in UTC: `accepted` and the end of what failed or was
cancelled by the clock of the service, `started` and the end of what succeeded as Kubernetes tells them.
`outcome` is the state at the end of the export. A cell that a spreadsheet would take for a formula has an
apostrophe in front.

## How to check it

1. `sha256sum -c SHA256SUMS` shows that the files are those that were made together. They are not signed
   themselves; the export is.
2. `sha256sum {export}` must give `{sha256}`.
3. `wfe audit verify {export} --key PUBLIC_KEY --checkpoints FILE`, with a public key and checkpoints that
   were not handed over together with the export. It is not necessary to trust this program: the format is
   documented, and the checks are SHA-256 and Ed25519.
4. `wfe audit evidence` with the same export, period, number of samples and seed gives the same files.
5. Compare the number of executions with a source of its own, for example the PipelineRuns in the API
   server's audit log.

## How the samples were chosen

The {samples} executions of the population with the smallest SHA-256 of the seed, a line end and their id. The
seed is `{seed}`. An auditor should choose it, after the export was handed over.

## What it may support

An aid for a conversation with the auditor, who decides what is evidence of what. The criteria are named
by their subjects; read them in their own words before relying on this list.

| subject | what is here | what is not here |
|---|---|---|
| SOC 2 CC8.1, changes | a population of runs; who asked for each, for whom, when, on which target, with which workflow and digest, and its result | approvals: the service records none. The test and approval of the workflows themselves. Digests of workflows that were referenced by tag alone |
| SOC 2 CC7.3 to CC7.5, incidents | failures with their reasons; blocks, and who cleared them with which reason and ticket | what people did elsewhere; whether a reason is a good one |
| SOC 2 CC6.1 to CC6.3, access | calls that were denied; who called, and how the identity was established | the roles themselves and their reviews: export the RBAC of the cluster |
| NIST 800-53 AU-2, AU-3, AU-12 | what is recorded, with time, source, outcome and identity | events of other systems |
| NIST 800-53 AU-9, AU-10 | changes of the record can be noticed; who did what is tied to an authenticated identity | protection of the key and of the checkpoints outside; proof of the person behind an identity |

## Limits

{limits}"
    )
}

/// What the evidence cannot show, as far as that depends on the export.
fn limits(told: &Told<'_>) -> Vec<String> {
    let Told { period: Period { from, to }, report, collected: Collected { counts, .. }, .. } =
        told;
    let mut limits = vec![
        "It tells what the service recorded. What happened without the service is not in it."
            .to_owned(),
    ];
    if report.after > 0 {
        let first = counts.first.map(|at| at.to_string()).unwrap_or_default();
        let part = match counts.first {
            Some(at) if at <= *from => "That is before the period.",
            Some(_) | None => "**What was accepted in the period before that is missing here.**",
        };
        limits.push(format!(
            "The export begins after entry {} of the log; its first entry is of {first}. {part}",
            report.after
        ));
    }
    if report.exported_at < *to {
        limits.push(format!(
            "The export was made {}, before the period was over.",
            report.exported_at
        ));
    }
    if report.outside_checkpoints == 0 {
        limits.push(
            "No checkpoints from outside were given. That nothing was cut off the end of the log before the \
             export was made rests on the service alone."
                .to_owned(),
        );
    }
    if counts.unread > 0 {
        limits.push(format!(
            "{} entries could not be read by this version of the program, and are in no table.",
            counts.unread
        ));
    }
    limits
}

/// `verification.txt`.
pub(crate) fn verification(told: &Told<'_>) -> String {
    let Told { export, fingerprint, period, report, collected, tables, seed, samples } = told;
    let Fingerprint { sha256, bytes } = fingerprint;
    let mut text = format!(
        "export        {export}\nSHA-256       {sha256}\nlength        {bytes} bytes\n\
         period        from {} until before {}\nsamples       {samples}, seed {seed:?}\n\n\
         Verification\n============\n\n{}\n\nCounts\n======\n\n",
        period.from,
        period.to,
        words::lines(report).join("\n"),
    );
    for line in counts(report, collected, tables) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Counts, each of which is a sum of others.
fn counts(report: &Report, collected: &Collected, tables: &[Table]) -> Vec<String> {
    let Counts { before, inside, after, unread, kinds, acceptances, first: _ } = &collected.counts;
    let mut lines = vec![
        format!("{} entries in the export", report.entries),
        format!(
            "  = {before} before the period + {inside} in it + {after} after it + {unread} not read"
        ),
        format!("{inside} entries in the period, by what they record"),
    ];
    lines.extend(kinds.iter().map(|(kind, count)| format!("  {count:>8} {kind}")));
    lines.push(format!("  {:>8} in all", kinds.values().sum::<u64>()));
    lines.push(format!("{acceptances} entries in the period that accept an execution"));
    for table in tables {
        lines.push(format!("{} rows in {}", table.len(), table.name));
    }
    lines.push("executions of the population by outcome".to_owned());
    let of = |code: &StateCode| collected.population.iter().filter(|it| it.state == *code).count();
    for code in &StateCode::ALL {
        lines.push(format!("  {:>8} {}", of(code), code.as_str()));
    }
    lines.push(format!("  {:>8} in all", StateCode::ALL.iter().map(of).sum::<usize>()));
    for (name, deeds) in [("refusals", &collected.refusals), ("denials", &collected.denials)] {
        let times: u64 = deeds.iter().map(|deed| deed.times).sum();
        lines.push(format!("{} rows of {name} stand for {times} calls", deeds.len()));
    }
    lines
}
