//! How long source files may be. Tests do not count: neither a test module at the end of a file, nor
//! a file that is only compiled for tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// A file past this many lines wants to be split.
const WARNING: usize = 400;

/// A file past this many lines must be split.
const LIMIT: usize = 500;

pub(super) fn check() -> Result<()> {
    let root = cargo::workspace();
    let files = sources(&root)?;
    let tests: BTreeSet<PathBuf> =
        files.iter().flat_map(|file| test_modules(&file.path, &file.text)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| in_module(path, test));
    let mut over = 0;
    for Source { path, text } in files.iter().filter(|file| !is_test(&file.path)) {
        let lines = lines_without_tests(text);
        let shown = path.strip_prefix(&root).unwrap_or(path).display();
        if lines > LIMIT {
            over += 1;
            println!("{shown}: {lines} lines without tests, at most {LIMIT} are allowed");
        } else if lines > WARNING {
            println!("warning: {shown}: {lines} lines without tests, it wants to be split");
        }
    }
    if over > 0 {
        bail!("{over} too long");
    }
    Ok(())
}

struct Source {
    path: PathBuf,
    text: String,
}

/// Every Rust file of the packages' `src`; what lies beside it is tests, benches and build scripts.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("read {}", directory.display()))?
            .collect::<Result<Vec<_>, _>>()?;
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_str().is_none_or(|name| name.starts_with('.'));
            if hidden || path == root.join("target") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.components().any(|part| part.as_os_str() == "src")
            {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("read {}", path.display()))?;
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The modules that `text` declares for tests only, as paths without `.rs`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let beside = path.parent().unwrap_or(path);
    let directory = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main") | None => beside.to_owned(),
        Some(stem) => beside.join(stem),
    };
    let mut modules = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]"
            && let Some(name) = lines.next().and_then(declared_module)
        {
            modules.push(directory.join(name));
        }
    }
    modules
}

/// `name` of `mod name;`, whatever its visibility.
fn declared_module(line: &str) -> Option<&str> {
    let (visibility, rest) = line.trim().split_once("mod ")?;
    let name = rest.strip_suffix(';')?;
    (visibility.is_empty() || visibility.starts_with("pub")).then_some(name)
}

/// Whether the file belongs to the module, or to one below it.
fn in_module(path: &Path, module: &Path) -> bool {
    path.with_extension("") == *module || path.starts_with(module)
}

/// Lines up to the test module at the end.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens = |line: &str| line.starts_with("mod ") && line.ends_with('{');
    let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && opens(pair[1]);
    lines.windows(2).position(begins).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_a_test_module_begins() {
        assert_eq!(lines_without_tests("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(lines_without_tests("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
        assert_eq!(lines_without_tests("#[cfg(test)]\nfn helper() {}\nfn a() {}\n"), 3);
    }

    #[test]
    fn a_module_for_tests_is_found_with_all_below_it() {
        let text = "mod one;\n#[cfg(test)]\nmod two;\n#[cfg(test)]\npub(crate) mod three;\n";
        let modules = test_modules(Path::new("/w/src/store.rs"), text);
        assert_eq!(modules, [Path::new("/w/src/store/two"), Path::new("/w/src/store/three")]);
        let modules = test_modules(Path::new("/w/src/lib.rs"), "#[cfg(test)]\nmod testing;\n");
        assert_eq!(modules, [Path::new("/w/src/testing")]);
        for (path, expected) in [
            ("/w/src/store/two.rs", true),
            ("/w/src/store/two/deep.rs", true),
            ("/w/src/store/two_more.rs", false),
        ] {
            let found = in_module(Path::new(path), Path::new("/w/src/store/two"));
            assert_eq!(found, expected, "{path}");
        }
    }
}
