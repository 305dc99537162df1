//! The tables of the evidence, as CSV by RFC 4180. A cell that a spreadsheet would take for a formula gets
//! an apostrophe in front.

use wfe_core::audit::About;

use super::collect::{Accepted, Collected, Deed, method, on_behalf_of};
use crate::audit::AuditError;

/// A table: its file, its columns, its rows.
#[derive(Debug)]
pub(crate) struct Table {
    /// Name of its file.
    pub(crate) name: &'static str,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Columns of each table of deeds.
const DEED: [&str; 6] = ["sequence", "at", "who", "on_behalf_of", "method", "address"];

/// The tables of a period.
pub(crate) fn tables(collected: &Collected) -> Vec<Table> {
    vec![
        population(&collected.population),
        deeds(
            "clearances.csv",
            &["target", "cluster", "execution"],
            &["outcome", "reason", "ticket"],
            &collected.clearances,
            |deed| vec![target(&deed.about), cluster(&deed.about), execution(&deed.about)],
        ),
        deeds(
            "refusals.csv",
            &["request", "target", "cluster", "workflow", "times"],
            &["code", "gate", "closed_by", "first", "last"],
            &collected.refusals,
            |deed| {
                let Deed { about, times, .. } = deed;
                let workflow = workflow(about);
                vec![request(about), target(about), cluster(about), workflow, times.to_string()]
            },
        ),
        deeds(
            "denials.csv",
            &["target", "cluster", "execution", "times"],
            &["call", "code", "verb", "detail", "first", "last"],
            &collected.denials,
            |deed| {
                let Deed { about, times, .. } = deed;
                vec![target(about), cluster(about), execution(about), times.to_string()]
            },
        ),
        deeds(
            "cancels.csv",
            &["execution", "request", "target", "cluster", "times"],
            &["effect", "reason"],
            &collected.cancels,
            |deed| {
                let Deed { about, times, .. } = deed;
                let (target, cluster) = (target(about), cluster(about));
                vec![execution(about), request(about), target, cluster, times.to_string()]
            },
        ),
    ]
}

fn population(rows: &[Accepted]) -> Table {
    let header = vec![
        "execution",
        "request",
        "target",
        "cluster",
        "workflow",
        "pipeline",
        "digest",
        "who",
        "on_behalf_of",
        "method",
        "accepted",
        "started",
        "ended",
        "outcome",
        "failure_reason",
        "correlation_id",
        "sequence",
    ];
    let time = |time: Option<jiff::Timestamp>| time.map(|it| it.to_string()).unwrap_or_default();
    let row = |row: &Accepted| {
        let Accepted { sequence, id, about, actor, at, started, ended, state, failure } = row;
        let of_workflow = about.workflow.as_ref();
        let correlation = about.correlation_id.as_ref().map(|id| id.as_str().to_owned());
        vec![
            id.to_string(),
            request(about),
            target(about),
            cluster(about),
            workflow(about),
            of_workflow.map(|it| it.pipeline.clone()).unwrap_or_default(),
            of_workflow.and_then(|it| it.digest.clone()).unwrap_or_default(),
            actor.user.clone(),
            on_behalf_of(actor),
            method(actor).to_owned(),
            at.to_string(),
            time(*started),
            time(*ended),
            state.as_str().to_owned(),
            failure.unwrap_or_default().to_owned(),
            correlation.unwrap_or_default(),
            sequence.to_string(),
        ]
    };
    Table { name: "population.csv", header, rows: rows.iter().map(row).collect() }
}

fn deeds(
    name: &'static str,
    about: &[&'static str],
    own: &[&'static str],
    deeds: &[Deed],
    concerned: impl Fn(&Deed) -> Vec<String>,
) -> Table {
    let row = |deed: &Deed| {
        let Deed { sequence, at, actor, own, .. } = deed;
        let address = actor.address.clone().unwrap_or_default();
        let (user, on_behalf_of) = (actor.user.clone(), on_behalf_of(actor));
        let who = [sequence.to_string(), at.to_string(), user, on_behalf_of];
        let how = [method(actor).to_owned(), address];
        who.into_iter().chain(how).chain(concerned(deed)).chain(own.iter().cloned()).collect()
    };
    let rows = deeds.iter().map(row).collect();
    Table { name, header: [&DEED, about, own].concat(), rows }
}

fn request(about: &About) -> String {
    about.request_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default()
}

fn target(about: &About) -> String {
    about.target.as_ref().map(|target| target.name.clone()).unwrap_or_default()
}

fn cluster(about: &About) -> String {
    about.target.as_ref().map(|target| target.cluster.to_string()).unwrap_or_default()
}

fn workflow(about: &About) -> String {
    about.workflow.as_ref().map(|workflow| workflow.reference.clone()).unwrap_or_default()
}

fn execution(about: &About) -> String {
    about.execution.map(|id| id.to_string()).unwrap_or_default()
}

impl Table {
    /// Rows without the header.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The text of the file.
    pub(crate) fn csv(&self) -> Result<Vec<u8>, AuditError> {
        let wrong = |source| AuditError::Table { name: self.name, source };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header).map_err(wrong)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| harmless(cell))).map_err(wrong)?;
        }
        writer.into_inner().map_err(|error| wrong(error.into_error().into()))
    }
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), expected);
        }
    }
}
