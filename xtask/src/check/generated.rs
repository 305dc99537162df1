//! Whether what is generated from other files, and committed, is what they give now.
//!
//! Code from the contract is not among it: the build makes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::run_tool;
use crate::{cargo, generate};

pub(super) async fn check() -> Result<()> {
    let mut metadata = cargo::command();
    metadata.args(["metadata", "--locked", "--format-version", "1"]).stdout(Stdio::null());
    run_tool(&mut metadata).await.context("Cargo.lock is not current: run cargo build")?;
    let new = tempfile::Builder::new().prefix("wfe-crds-").tempdir()?;
    generate::write_manifests(new.path()).await?;
    let manifests = generate::manifests();
    let outdated = differences(&files(&manifests)?, &files(new.path())?);
    if !outdated.is_empty() {
        bail!(
            "{} is not what the Rust types give: {}; run cargo xtask gen and commit what it changes",
            manifests.display(),
            outdated.join(", ")
        );
    }
    Ok(())
}

type Files = BTreeMap<OsString, Vec<u8>>;

fn files(directory: &Path) -> Result<Files> {
    let mut found = Files::new();
    if !directory.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let text = fs::read(entry.path()).with_context(|| entry.path().display().to_string())?;
        found.insert(entry.file_name(), text);
    }
    Ok(found)
}

/// What a person does about each file that is not as it should be.
fn differences(committed: &Files, generated: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in generated {
        match committed.get(name) {
            None => found.push(format!("{} is missing", name.display())),
            Some(old) if old != text => found.push(format!("{} is outdated", name.display())),
            Some(_) => {}
        }
    }
    // The generator does not delete: it may be given any directory.
    let surplus = committed.keys().filter(|name| !generated.contains_key(*name));
    found.extend(surplus.map(|name| format!("{} is not generated: delete it", name.display())));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<const N: usize>(files: [(&str, &str); N]) -> Files {
        files.map(|(name, text)| (name.into(), text.into())).into()
    }

    #[test]
    fn what_is_as_generated_has_no_differences() {
        let both = files([("a.yaml", "a"), ("b.yaml", "b")]);
        assert!(differences(&both, &both).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_named_with_its_file() {
        let committed = files([("old.yaml", "a"), ("same.yaml", "a"), ("changed.yaml", "a")]);
        let generated = files([("changed.yaml", "b"), ("same.yaml", "a"), ("new.yaml", "a")]);
        assert_eq!(
            differences(&committed, &generated),
            [
                "changed.yaml is outdated",
                "new.yaml is missing",
                "old.yaml is not generated: delete it"
            ]
        );
    }
}
