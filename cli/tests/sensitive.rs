//! Sensitive values are shown by no command, and are in no file of a server that `wfe dev` runs.

#![expect(clippy::unwrap_used, reason = "helpers of a test, which may panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// Marked on the command line.
const MARKED: &str = "swordfish-and-more-77aa";
/// Found by the name of its parameter.
const BY_PATTERN: &str = "correct-horse-battery-6b1f";
/// Sent with an id that was used with another value.
const OTHER: &str = "another-value-of-it-90cd";

/// A development server; killed when dropped.
struct Dev {
    child: Child,
    address: String,
}

impl Dev {
    fn start(directory: &Path) -> Self {
        let any = "127.0.0.1:0";
        let log = fs::File::create(directory.join("dev.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wfe"))
            .args(["dev", "--output", "json", "--grpc-addr", any, "--health-addr", any])
            .args(["--metrics-addr", any, "--dir"])
            .arg(directory.join("data"))
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { child, address: told["grpcAddress"].as_str().unwrap().to_owned() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wfe"))
            .args(arguments)
            .args(["--server", &self.address])
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assert_nowhere(place: &str, bytes: &[u8]) {
    for secret in [MARKED, BY_PATTERN, OTHER] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is in {place}: {}", String::from_utf8_lossy(bytes));
    }
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_command_shows_a_sensitive_value_and_no_file_holds_one() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    let code = format!("CODE={MARKED}");
    let password = format!("DB_PASSWORD={BY_PATTERN}");
    let other = format!("DB_PASSWORD={OTHER}");
    let mut shown = 0;
    for (bundle, exit) in [("succeeds", 0), ("step-exits-1", 1), ("denied", 1)] {
        let bundle_of = format!("simulated.example/wfe/{bundle}:v1");
        let start = |password: &str, more: &[&str]| {
            let mut arguments = vec!["start", "--bundle", &bundle_of, "--request-id", bundle];
            let target = format!("pod/{bundle}");
            arguments.extend(["--target", &target, "-p", &code, "-p", password]);
            arguments.extend(["--sensitive", "CODE"]);
            arguments.extend(more);
            dev.run(&arguments)
        };
        let first = start(&password, &["--wait"]);
        let text = String::from_utf8_lossy(&first.stdout).into_owned();
        assert_eq!(first.status.code() == Some(0), exit == 0, "{text}");
        let again = start(&password, &["--output", "json"]);
        let told: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(told["outcome"], "START_OUTCOME_REPEATED", "{told}");
        let refused = start(&other, &[]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && error.contains("REQUEST_ID_REUSED"), "{error}");
        let id = told["execution"]["id"].as_str().unwrap();
        let mut outputs = vec![first, again, refused];
        let target = format!("pod/{bundle}");
        for arguments in [
            &["get", id][..],
            &["list"],
            &["watch", id],
            &["events", id],
            &["target", &target],
            &["cancel", id, "--reason", "a test"],
        ] {
            outputs.push(dev.run(arguments));
            outputs.push(dev.run(&[arguments, &["--output", "json"]].concat()));
        }
        for output in outputs {
            assert_nowhere("standard output", &output.stdout);
            assert_nowhere("standard error", &output.stderr);
            let text = String::from_utf8_lossy(&output.stdout);
            shown += text.matches("sensitive:hmac-sha256:").count();
        }
    }
    assert!(shown > 20, "the digests are shown: {shown}");
    drop(dev);
    let files = files(directory.path());
    assert!(files.iter().any(|path| path.ends_with("data/wfe.parameter-key")), "{files:?}");
    for path in &files {
        assert_nowhere(&path.display().to_string(), &fs::read(path).unwrap());
    }
}
