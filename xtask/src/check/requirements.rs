//! Whether the tests that docs/requirements.md names exist.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo;

/// The page.
const PAGE: &str = "docs/requirements.md";

/// How far above a function the attribute that makes it a test may stand.
const ATTRIBUTES: usize = 6;

pub(super) fn check() -> Result<()> {
    let root = cargo::workspace();
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    let named: Vec<Named<'_>> = page.lines().flat_map(named).collect();
    if named.is_empty() {
        bail!("{PAGE} names no test");
    }
    let missing: Vec<&Named<'_>> = named.iter().filter(|test| !exists(&root, test)).collect();
    for test in &missing {
        println!("{PAGE}: there is no test {} in {}", test.name, test.file);
    }
    if !missing.is_empty() {
        bail!("{} of {} tests do not exist", missing.len(), named.len());
    }
    Ok(())
}

/// A test as the page names it: `file.rs::name` between backticks.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    file: &'a str,
    name: &'a str,
}

fn named<'a>(line: &'a str) -> Vec<Named<'a>> {
    let quoted = line.split('`').skip(1).step_by(2);
    let test = |quoted: &'a str| {
        let (file, name) = quoted.split_once("::")?;
        let code = Path::new(file).extension().is_some_and(|extension| extension == "rs");
        code.then_some(Named { file, name })
    };
    quoted.filter_map(test).collect()
}

fn exists(root: &Path, test: &Named<'_>) -> bool {
    let file = root.join(test.file);
    let Ok(code) = fs::read_to_string(&file) else { return false };
    is_test(&code, test.name) || is_property(&file, &code, test.name)
}

/// A function with an attribute of a test above it.
fn is_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(&function));
    at.is_some_and(|at| {
        let above = &lines[at.saturating_sub(ATTRIBUTES)..at];
        above.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test"))
    })
}

/// A property of a suite: a generic function, which the suite in the module above lists.
fn is_property(file: &Path, text: &str, name: &str) -> bool {
    let suite = file.parent().map(|folder| folder.with_extension("rs"));
    let suite = suite.and_then(|suite| fs::read_to_string(suite).ok()).unwrap_or_default();
    text.contains(&format!("fn {name}<")) && suite.contains(&format!(" {name};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_its_file_and_its_name() {
        let line = "- `server/src/a.rs::it_works`, `cargo test`, and `b/c.rs::so_does_this`.";
        let expected = [
            Named { file: "server/src/a.rs", name: "it_works" },
            Named { file: "b/c.rs", name: "so_does_this" },
        ];
        assert_eq!(named(line), expected);
    }

    #[test]
    fn a_function_is_a_test_when_it_says_so() {
        let text = "#[tokio::test]\nasync fn one() {}\n\n#[test]\n#[cfg(unix)]\nfn two() {}\n";
        assert!(is_test(text, "one") && is_test(text, "two"));
        assert!(!is_test(text, "tw") && !is_test("fn three() {}", "three"));
    }

    #[test]
    fn every_test_on_the_page_exists() {
        check().unwrap();
    }

    #[test]
    fn what_does_not_exist_is_found() {
        let root = cargo::workspace();
        let gone = |file, name| !exists(&root, &Named { file, name });
        assert!(gone("xtask/src/check/requirements.rs", "check"));
        assert!(gone("no/such/file.rs", "a_function_is_a_test_when_it_says_so"));
        let here = Named {
            file: "xtask/src/check/requirements.rs",
            name: "a_function_is_a_test_when_it_says_so",
        };
        assert!(exists(&root, &here));
    }
}
