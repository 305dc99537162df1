//! What a verification found, as text for people and as a document for programs.

use serde_json::{Value, json};
use wfe_audit::verify::{Finding, Report, Verdict};

use crate::render::plain;

/// The report, line by line.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![headline(report)];
    let findings =
        report.findings.iter().map(|finding| format!("  {}", plain(&finding.to_string())));
    lines.extend(findings);
    if report.more_findings > 0 {
        lines.push(format!("  and {} findings more", report.more_findings));
    }
    lines.extend(facts(report).into_iter().map(|(name, value)| format!("{name:<13}{value}")));
    lines
}

fn headline(report: &Report) -> String {
    match report.verdict() {
        Verdict::Sound => "sound: the export is what the service wrote".to_owned(),
        Verdict::Damaged => {
            let count = report.findings.len() as u64 + report.more_findings;
            let findings = if count == 1 { "finding" } else { "findings" };
            format!("NOT sound: {count} {findings}")
        }
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let Report { log, exported_at, after, last, entries, streams, .. } = report;
    let from = match after {
        0 => "from the beginning of the log".to_owned(),
        after => format!("after entry {after}"),
    };
    let vouched = match (report.vouched, report.verdict()) {
        (Some(sequence), Verdict::Sound) => format!("all up to entry {sequence}"),
        (Some(sequence), Verdict::Damaged) => {
            format!("up to entry {sequence}, but for what is told above")
        }
        (None, Verdict::Sound | Verdict::Damaged) => "nothing".to_owned(),
    };
    let keys: Vec<&str> = report.keys.iter().map(wfe_audit::key::KeyId::as_str).collect();
    let mut facts = vec![
        ("log", log.to_string()),
        ("exported at", exported_at.to_string()),
        ("entries", format!("{entries} {from}, the last is {last}; {streams} streams")),
        (
            "checkpoints",
            format!(
                "{} in the export, {} from outside; {} signatures fit",
                report.checkpoints, report.outside_checkpoints, report.fitting_signatures
            ),
        ),
        ("vouched for", vouched),
        ("keys", plain(&keys.join(", "))),
    ];
    if report.without_entry > 0 {
        let text = format!("{} of entries that are not in the export", report.without_entry);
        facts.push(("not compared", text));
    }
    facts
}

/// The report as a document: its fields, the verdict, and each finding with its sentence.
pub(crate) fn document(report: &Report) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(report)?;
    let findings = report.findings.iter().map(with_sentence).collect::<Result<Vec<_>, _>>()?;
    document["findings"] = findings.into();
    document["verdict"] = serde_json::to_value(report.verdict())?;
    Ok(document)
}

fn with_sentence(finding: &Finding) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(finding)?;
    value["message"] = json!(finding.to_string());
    Ok(value)
}
