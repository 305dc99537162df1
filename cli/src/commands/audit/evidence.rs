//! `wfe audit evidence`: what an auditor asks for of a period, in a directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    args::{EvidenceArgs, Global, Output},
    audit::{
        AuditError,
        evidence::{
            Period,
            collect::Collected,
            pages::{self, Told},
            samples::{self, Histories, SampleFile},
            tables,
        },
        input, words,
    },
    context::Context,
    error::Error,
    exit::Exit,
    json::{self, JsonError},
};

/// Directory of the samples.
const SAMPLES: &str = "samples";

pub(super) fn run(
    context: &mut Context,
    global: &Global,
    args: &EvidenceArgs,
) -> Result<Exit, Error> {
    let period = Period { from: args.from.0, to: args.to.0 };
    if period.from >= period.to {
        return Err(Error::Usage("--from must be before --to".to_owned()));
    }
    let seed = args.seed.clone().unwrap_or_else(|| format!("{}/{}", period.from, period.to));
    let known = input::known(&args.trust)?;
    refuse_what_is_there(&args.dir)?;

    let mut collected = Collected::of(period);
    let file = input::open(&args.export)?;
    let (report, fingerprint) =
        input::verify(&args.export, file, &known, &context.interrupt, |seen| {
            collected.see(seen.text);
        })?;

    let chosen = samples::choose(&collected.population, &seed, args.samples);
    let count = chosen.len();
    let mut histories = Histories::of(chosen);
    let file = input::open(&args.export)?;
    let (_, again) = input::verify(&args.export, file, &known, &context.interrupt, |seen| {
        histories.see(seen.text, seen.raw);
    })?;
    if again != fingerprint {
        return Err(AuditError::Moving { path: args.export.clone() }.into());
    }

    let tables = tables::tables(&collected);
    let name = args.export.file_name().map(|name| name.to_string_lossy().into_owned());
    let told = Told {
        export: name.unwrap_or_default(),
        fingerprint: &fingerprint,
        period,
        report: &report,
        collected: &collected,
        tables: &tables,
        seed: &seed,
        samples: count,
    };
    let mut files = Files::begin(&args.dir)?;
    files.add("README.md", pages::readme(&told).as_bytes())?;
    files.add("verification.txt", pages::verification(&told).as_bytes())?;
    for table in &tables {
        files.add(table.name, &table.csv()?)?;
    }
    for SampleFile { name, bytes } in histories.into_files() {
        files.add(&format!("{SAMPLES}/{name}"), &bytes)?;
    }
    files.end()?;

    let population = collected.population.len();
    match global.output {
        Output::Json => {
            let message = "Report";
            let verification =
                words::document(&report).map_err(|source| JsonError::Encode { message, source })?;
            let answer = json!({
                "directory": args.dir.display().to_string(),
                "population": population,
                "samples": count,
                "verification": verification,
            });
            context.say(&json::lines(&answer))?;
        }
        Output::Text => {
            context.say(&words::lines(&report).join("\n"))?;
            let executions = format!("{population} executions, {count} samples");
            context.say(&format!("evidence     {}: {executions}", args.dir.display()))?;
        }
    }
    Ok(super::exit(report.verdict()))
}

/// A directory that holds something is left alone.
fn refuse_what_is_there(dir: &Path) -> Result<(), AuditError> {
    let path = dir.to_owned();
    match fs::read_dir(dir).map(|mut there| there.next()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(AuditError::Exists { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(AuditError::Write { path, source }),
    }
}

/// The files of the evidence, with their sums.
struct Files {
    dir: PathBuf,
    sums: String,
}

impl Files {
    fn begin(dir: &Path) -> Result<Self, AuditError> {
        let samples = dir.join(SAMPLES);
        fs::create_dir_all(&samples)
            .map_err(|source| AuditError::Write { path: samples, source })?;
        Ok(Self { dir: dir.to_owned(), sums: String::new() })
    }

    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), AuditError> {
        self.sums = format!("{}{}  {name}\n", self.sums, hex::encode(Sha256::digest(bytes)));
        self.write(name, bytes)
    }

    fn end(self) -> Result<(), AuditError> {
        self.write("SHA256SUMS", self.sums.as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), AuditError> {
        let path = self.dir.join(name);
        fs::write(&path, bytes).map_err(|source| AuditError::Write { path, source })
    }
}
