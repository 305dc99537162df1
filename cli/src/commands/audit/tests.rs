use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use wfe_audit::{
    key::{PublicKey, SigningKey},
    testing::{Ends, Logbook, mk_execution_id, mk_key},
};

use crate::{Exit, testing::shell::Shell};

/// A directory with what an auditor has.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn with(log: &Logbook) -> Desk {
        let desk = Desk { dir: TempDir::new().unwrap() };
        desk.put("key.pub", log.public().to_pem());
        desk.put("export", log.export());
        let outside = log.checkpoints().iter().map(|it| serde_json::to_string(it).unwrap() + "\n");
        desk.put("outside", outside.collect::<String>());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces the export by what becomes of it.
    fn alter(&self, alter: impl FnOnce(String) -> String) -> &Desk {
        let before = self.read("export");
        let altered = alter(before.clone());
        assert_ne!(before, altered, "nothing was altered");
        self.put("export", altered);
        self
    }

    fn alter_lines(&self, alter: impl FnOnce(&mut Vec<String>)) -> &Desk {
        self.alter(|text| {
            let mut lines = text.lines().map(str::to_owned).collect();
            alter(&mut lines);
            lines.join("\n") + "\n"
        })
    }

    /// Runs `wfe audit` with words in which `@` is the directory; what it wrote comes without it.
    async fn audit(&self, words: &str) -> (Exit, String) {
        let dir = format!("{}/", self.dir.path().display());
        let shell = Shell::at("http://127.0.0.1:1");
        let exit = shell.run(&format!("audit {}", words.replace('@', &dir))).await;
        (exit, format!("{}{}", shell.stdout(), shell.stderr()).replace(&dir, "@"))
    }

    async fn verify(&self) -> (Exit, String) {
        self.audit("verify @export --key @key.pub --checkpoints @outside").await
    }

    /// What is found, line by line.
    async fn findings(&self) -> Vec<String> {
        let (exit, text) = self.verify().await;
        assert_eq!(exit, Exit::Failed, "{text}");
        let found = text.lines().filter_map(|line| line.strip_prefix("  "));
        found.map(str::to_owned).collect()
    }
}

/// Index of the line of an entry.
fn index_of(lines: &[String], sequence: u64) -> usize {
    let begins = format!("\"entry\":{{\"sequence\":{sequence},");
    lines.iter().position(|line| line.contains(&begins)).unwrap()
}

#[tokio::test]
async fn a_new_key_is_for_its_owner_and_is_never_written_over() {
    let desk = Desk::with(&Logbook::begin(7));
    let (exit, text) = desk.audit("keygen @audit.pem").await;
    assert_eq!(exit, Exit::Ok, "{text}");
    let mode = |name| fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("audit.pem"), 0o600);
    let private = SigningKey::from_pem(&desk.read("audit.pem")).unwrap();
    let public = PublicKey::from_pem(&desk.read("audit.pem.pub")).unwrap();
    assert_eq!(private.public(), public);
    assert!(text.starts_with(&format!("key {}\n", public.id())), "{text}");

    let before = desk.read("audit.pem");
    let (exit, text) = desk.audit("keygen @audit.pem").await;
    assert_eq!(exit, Exit::Usage);
    assert_eq!(text, "error: @audit.pem.pub is there already, and is not written over\n");
    fs::remove_file(desk.path("audit.pem.pub")).unwrap();
    let (exit, text) = desk.audit("keygen @audit.pem").await;
    assert_eq!(exit, Exit::Usage);
    assert_eq!(text, "error: @audit.pem is there already, and is not written over\n");
    assert_eq!(desk.read("audit.pem"), before);
    assert!(!desk.path("audit.pem.pub").exists(), "no public key without its private key");
}

#[tokio::test]
async fn what_the_service_wrote_is_sound() {
    let log = Logbook::small();
    let desk = Desk::with(&log);
    let (exit, text) = desk.verify().await;
    assert_eq!(exit, Exit::Ok);
    assert_eq!(
        text,
        format!(
            "sound: the export is what the service wrote\n\
             log          {}\n\
             exported at  2026-11-21T10:00:14Z\n\
             entries      14 from the beginning of the log, the last is 14; 5 streams\n\
             checkpoints  3 in the export, 3 from outside; 7 signatures fit\n\
             vouched for  all up to entry 14\n\
             keys         {}\n",
            log.id(),
            log.public().id()
        )
    );
}

#[tokio::test]
async fn an_export_is_read_from_a_pipe_too() {
    let log = Logbook::small();
    let desk = Desk::with(&log);
    let shell = Shell::at("http://127.0.0.1:1");
    let mut context = shell.context();
    context.input = Box::new(std::io::Cursor::new(log.export()));
    let key = desk.path("key.pub");
    let words = format!("audit verify - --key {}", key.display());
    assert_eq!(shell.run_in(&mut context, &words).await, Exit::Ok, "{}", shell.stderr());
}

#[tokio::test]
async fn programs_get_the_findings_as_a_document() {
    let desk = Desk::with(&Logbook::small());
    desk.alter(|text| text.replace("3 of 3 pods", "2 of 3 pods"));
    let (exit, text) = desk.audit("verify @export --key @key.pub -o json").await;
    assert_eq!(exit, Exit::Failed);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["verdict"], "damaged");
    assert_eq!((&document["entries"], &document["last"]), (&json!(14), &json!(14)));
    assert_eq!(
        document["findings"],
        json!([{
            "kind": "changed", "line": 12, "sequence": 10,
            "message": "line 12: entry 10 was changed, or the hash of the entry before it: its text does \
                        not fit its hash",
        }])
    );
}

#[tokio::test]
async fn a_changed_byte_is_named() {
    let desk = Desk::with(&Logbook::small());
    desk.alter(|text| text.replace("OPS-4711", "OPS-4712"));
    assert_eq!(
        desk.findings().await,
        [
            "line 12: entry 10 was changed, or the hash of the entry before it: its text does not fit \
             its hash"
        ]
    );
}

#[tokio::test]
async fn an_entry_dropped_in_the_middle_is_named_with_the_execution_that_lacks_it() {
    let desk = Desk::with(&Logbook::small());
    desk.alter_lines(|lines| drop(lines.remove(index_of(lines, 6))));
    assert_eq!(
        desk.findings().await,
        [
            "before line 8: entry 6 is missing; the entry behind the gap cannot be checked against the \
             one before",
            "before line 8: revision 2 is missing in executions/0198c0de-7a3c-7bb0-9c11-000000000002",
            "line 18: the end line says that the number of entries is 14; it is 13",
        ]
    );
}

#[tokio::test]
async fn a_whole_execution_that_was_dropped_is_named_by_the_entries_that_are_missing() {
    let desk = Desk::with(&Logbook::small());
    let id = mk_execution_id(2).to_string();
    desk.alter_lines(|lines| lines.retain(|line| !line.contains(&id)));
    assert_eq!(
        desk.findings().await,
        [
            "before line 8: entries 5 to 10 are missing; the entry behind the gap cannot be checked \
             against the one before",
            "line 13: the end line says that the number of entries is 14; it is 8",
        ]
    );
}

#[tokio::test]
async fn entries_in_another_order_are_named() {
    let desk = Desk::with(&Logbook::small());
    desk.alter_lines(|lines| {
        let index = index_of(lines, 6);
        lines.swap(index, index + 1);
    });
    assert_eq!(desk.findings().await, ["line 8: entry 7 was moved: it stands behind entry 5"]);
}

#[tokio::test]
async fn a_repeated_entry_is_named() {
    let desk = Desk::with(&Logbook::small());
    desk.alter_lines(|lines| {
        let line = lines[index_of(lines, 6)].clone();
        lines.insert(10, line);
    });
    assert_eq!(
        desk.findings().await,
        [
            "line 11: entry 6 is there already",
            "line 20: the end line says that the number of entries is 14; it is 15",
        ]
    );
}

#[tokio::test]
async fn a_chain_that_was_made_anew_is_told_between_two_checkpoints() {
    let mut log = Logbook::small();
    let desk = Desk::with(&log);
    log.rewrite(7, |text| text.replace("exit 1", "exit 0"));
    desk.put("export", log.export());
    assert_eq!(
        desk.findings().await,
        [
            "@outside, number 2: the checkpoint signs another hash of entry 10 than the export has: what \
             follows entry 4, up to entry 10, was rewritten (4 signatures in a row differ, up to entry 14)"
        ]
    );
    let (exit, text) = desk.audit("verify @export --key @key.pub").await;
    assert_eq!(exit, Exit::Failed);
    assert!(text.contains("line 13: the checkpoint signs another hash of entry 10"), "{text}");
}

#[tokio::test]
async fn a_forged_checkpoint_is_named() {
    let log = Logbook::small();
    let desk = Desk::with(&log);
    let signature = &log.checkpoints()[1].signature;
    desk.alter(|text| text.replace(signature, &mk_key(9).sign("anything")));
    let key = log.public().id();
    assert_eq!(
        desk.findings().await,
        [format!(
            "line 13: the checkpoint of entry 10 is forged or damaged: key {key} did not sign it"
        )]
    );
}

#[tokio::test]
async fn a_key_that_nothing_vouches_for_is_named() {
    let mut log = Logbook::small();
    let desk = Desk::with(&log);
    log.replace_key(mk_key(9));
    desk.put("export", log.export());
    let key = mk_key(9).public().id();
    assert_eq!(
        desk.findings().await,
        [format!(
            "line 19: the end line of entry 14 is signed with key {key}, which nothing vouches for"
        )]
    );
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_end_line_and_by_an_outside_checkpoint() {
    let desk = Desk::with(&Logbook::small());
    desk.alter_lines(|lines| lines.truncate(index_of(lines, 12)));
    assert_eq!(
        desk.findings().await,
        [
            "line 15: the signed end line is missing: the export was cut behind entry 11, or later"
                .to_owned(),
            "@outside, number 3: the checkpoint signs entry 14, but the export ends with entry 11: its \
             tail was cut"
                .to_owned(),
        ]
    );
    // An export that was made of a log whose end was cut is as it should be, but for what was kept outside.
    let mut cut = Logbook::begin(7);
    cut.execution(1, Ends::Well);
    desk.put("export", cut.export());
    let (exit, text) = desk.audit("verify @export --key @key.pub").await;
    assert_eq!(exit, Exit::Ok, "{text}");
    assert_eq!(
        desk.findings().await,
        [
            "@outside, number 3: the checkpoint signs entry 14, but the export ends with entry 4: its \
             tail was cut"
        ]
    );
}

#[tokio::test]
async fn another_log_is_told_from_the_one_that_was_asked_for() {
    let desk = Desk::with(&Logbook::small());
    let other = "08".repeat(32);
    let (exit, text) = desk.audit(&format!("verify @export --key @key.pub --log {other}")).await;
    assert_eq!(exit, Exit::Failed);
    assert!(
        text.contains(&format!("the log that was asked for is of another log, {other}")),
        "{text}"
    );
}

#[tokio::test]
async fn text_behind_the_end_is_named() {
    let desk = Desk::with(&Logbook::small());
    desk.alter(|text| text + "approved by the auditor\n");
    assert_eq!(desk.findings().await, ["line 20: 24 bytes stand behind the end line"]);
}

#[tokio::test]
async fn what_is_no_export_says_where_it_stops_making_sense() {
    let desk = Desk::with(&Logbook::small());
    let length = desk.read("export").len() - 10;
    desk.alter(|text| text[..length].to_owned());
    let (exit, text) = desk.verify().await;
    assert_eq!(exit, Exit::Usage);
    assert_eq!(
        text,
        format!(
            "error: @export: not an export: line 19, byte {length}: it stops in the middle of a line\n"
        )
    );
    let (exit, text) = desk.audit("verify @export --key @key.pub -o json").await;
    assert_eq!(exit, Exit::Usage);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["error"]["line"], 19);
    assert_eq!(document["error"]["byte"], length);
    desk.put("export", "Dear auditor,\n");
    let (exit, text) = desk.verify().await;
    assert_eq!(exit, Exit::Usage);
    assert!(text.starts_with("error: @export: not an export: line 1, byte 0:"), "{text}");
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_named() {
    let desk = Desk::with(&Logbook::small());
    desk.put("bad", "nothing");
    for (words, expected) in [
        ("verify @none --key @key.pub", "error: cannot read @none: No such file"),
        ("verify @export --key @bad", "error: @bad holds no key to verify with: not a PEM file"),
        (
            "verify @export --key @key.pub --checkpoints @bad",
            "error: @bad holds something else than checkpoints:",
        ),
    ] {
        let (exit, text) = desk.audit(words).await;
        assert_eq!(exit, Exit::Usage, "{words}");
        assert!(text.starts_with(expected), "{text}");
    }
}

/// A log with something for each table.
fn eventful() -> Logbook {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.execution(2, Ends::Badly);
    log.checkpoint();
    log.refused(2, "PREVIOUS_EXECUTION_FAILED");
    log.clearance(2, "=HYPERLINK(\"http://evil.example\") | rolled back", Some("OPS-4711"));
    log.denied("Start", "the right create is missing");
    log.execution(3, Ends::Cancelled);
    log.withdrawn(9, "not needed any more");
    log.execution(4, Ends::NotYet);
    log.checkpoint();
    log
}

const PERIOD: &str = "--from 2026-11-21 --to 2026-11-21T10:00:20Z";

#[tokio::test]
async fn the_evidence_of_a_period_is_in_files_that_people_can_read() {
    let desk = Desk::with(&eventful());
    let words = format!(
        "evidence @export --key @key.pub --checkpoints @outside {PERIOD} --dir @pack --samples 2 --seed s"
    );
    let (exit, text) = desk.audit(&words).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.ends_with("evidence     @pack: 4 executions, 2 samples\n"), "{text}");

    let (one, two) = (mk_execution_id(1), mk_execution_id(2));
    let population = desk.read("pack/population.csv");
    let row = |id: &str| population.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert_eq!(
        row(&one.to_string()),
        format!(
            "{one},request-1,shop/deployment/api-1,,registry.example/workflows/restart:v1,workflow,\
             sha256:{},system:serviceaccount:kubernaut-system:wfe-bridge,maria,token,\
             2026-11-21T10:00:00Z,2026-11-21T10:00:02Z,2026-11-21T10:00:03Z,succeeded,,rr-1,1",
            "ab".repeat(32)
        )
    );
    assert!(row(&two.to_string()).ends_with(",failed,TaskFailed,rr-2,5"), "{population}");
    assert_eq!(population.lines().count(), 5);

    let clearances = desk.read("pack/clearances.csv");
    let cell = "cleared,\"'=HYPERLINK(\"\"http://evil.example\"\") | rolled back\",OPS-4711";
    assert!(clearances.contains(cell), "{clearances}");
    assert!(desk.read("pack/refusals.csv").contains("PREVIOUS_EXECUTION_FAILED,lock,"));
    assert!(desk.read("pack/denials.csv").contains(",3,Start,PERMISSION_DENIED,create,"));
    let cancels = desk.read("pack/cancels.csv");
    assert_eq!(cancels.lines().count(), 3, "{cancels}");
    assert!(cancels.contains("stopped,started by mistake"), "{cancels}");
    assert!(cancels.contains("request withdrawn,not needed any more"), "{cancels}");

    let verification = desk.read("pack/verification.txt");
    let sha256 = hex::encode(Sha256::digest(fs::read(desk.path("export")).unwrap()));
    for part in [
        format!("SHA-256       {sha256}\n").as_str(),
        "sound: the export is what the service wrote\n",
        "20 entries in the export\n  = 0 before the period + 20 in it + 0 after it + 0 not read\n",
        "4 entries in the period that accept an execution\n4 rows in population.csv\n",
        "1 rows of denials stand for 3 calls\n",
    ] {
        assert!(verification.contains(part), "{part:?} is not in {verification}");
    }
}

#[tokio::test]
async fn the_files_of_the_evidence_fit_their_sums_and_are_the_same_each_time() {
    let desk = Desk::with(&eventful());
    for dir in ["one", "two"] {
        let words = format!("evidence @export --key @key.pub {PERIOD} --dir @{dir} --samples 2");
        assert_eq!(desk.audit(&words).await.0, Exit::Ok);
    }
    let sums = desk.read("one/SHA256SUMS");
    assert_eq!(sums, desk.read("two/SHA256SUMS"));
    let mut named: Vec<&str> = Vec::new();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(desk.path(&format!("one/{name}"))).unwrap();
        assert_eq!(hex::encode(Sha256::digest(bytes)), sum, "{name}");
        named.push(name);
    }
    assert_eq!(named.len(), 2 + 5 + 4, "{named:?}");
}

#[tokio::test]
async fn a_sample_has_its_whole_history_and_is_chosen_by_the_seed_alone() {
    let desk = Desk::with(&eventful());
    let mut chosen = Vec::new();
    for seed in ["a", "b", "c", "d", "e", "f"] {
        let words = format!(
            "evidence @export --key @key.pub {PERIOD} --dir @{seed} --samples 1 --seed {seed}"
        );
        assert_eq!(desk.audit(&words).await.0, Exit::Ok);
        let by_hand = (1..=4)
            .map(mk_execution_id)
            .min_by_key(|id| hex::encode(Sha256::digest(format!("{seed}\n{id}"))));
        let id = by_hand.unwrap();
        let page = desk.read(&format!("{seed}/samples/{id}.md"));
        assert!(page.starts_with(&format!("# Execution {id}\n")), "{page}");
        let raw = desk.read(&format!("{seed}/samples/{id}.ndjson"));
        let export = desk.read("export");
        let about = format!("\"about\":{{\"execution\":\"{id}\"");
        let expected: Vec<&str> = export.lines().filter(|line| line.contains(&about)).collect();
        assert_eq!(raw.lines().collect::<Vec<_>>(), expected);
        chosen.push(id);
    }
    assert!(chosen.iter().any(|id| *id != chosen[0]), "the seed makes no difference");

    let words = format!("evidence @export --key @key.pub {PERIOD} --dir @all");
    assert_eq!(desk.audit(&words).await.0, Exit::Ok);
    let page = desk.read(&format!("all/samples/{}.md", mk_execution_id(2)));
    for part in [
        "| digest | sha256:abab",
        "failed: running → failed | TaskFailed, exit code 1: Step run of task restart exited with 1.",
        "clear_block: cleared | =HYPERLINK(\"http://evil.example\") \\| rolled back; ticket OPS-4711 |",
        "\"REPLICAS\": \"3\"",
        "on behalf of maria, from 10.0.0.7",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
}

#[tokio::test]
async fn a_period_holds_what_was_accepted_in_it_with_the_ends_that_came_later() {
    let desk = Desk::with(&eventful());
    let from_to = "--from 2026-11-21T10:00:04Z --to 2026-11-21T10:00:05Z";
    let words = format!("evidence @export --key @key.pub {from_to} --dir @pack");
    assert_eq!(desk.audit(&words).await.0, Exit::Ok);
    let population = desk.read("pack/population.csv");
    let rows: Vec<&str> = population.lines().skip(1).collect();
    assert_eq!(rows.len(), 1, "{population}");
    assert!(rows[0].starts_with(&mk_execution_id(2).to_string()), "{population}");
    assert!(rows[0].contains(",failed,TaskFailed,"), "{population}");
    let verification = desk.read("pack/verification.txt");
    let counts = "= 4 before the period + 1 in it + 15 after it + 0 not read";
    assert!(verification.contains(counts), "{verification}");
    assert_eq!(desk.read("pack/clearances.csv").lines().count(), 1);
}

#[tokio::test]
async fn evidence_from_an_export_that_is_not_sound_says_so_first() {
    let desk = Desk::with(&eventful());
    desk.alter(|text| text.replace("OPS-4711", "OPS-4712"));
    let words = format!("evidence @export --key @key.pub {PERIOD} --dir @pack");
    let (exit, text) = desk.audit(&words).await;
    assert_eq!(exit, Exit::Failed, "{text}");
    assert!(desk.read("pack/README.md").contains("is NOT sound"));
    assert!(desk.read("pack/verification.txt").contains("NOT sound: 1 finding\n"));
}

#[tokio::test]
async fn evidence_says_what_it_cannot_show() {
    let log = eventful();
    let desk = Desk::with(&log);
    desk.put("export", log.export_after(2));
    let words = "evidence @export --key @key.pub --from 2026-11-21 --to 2026-11-22 --dir @pack";
    assert_eq!(desk.audit(words).await.0, Exit::Ok);
    let readme = desk.read("pack/README.md");
    for part in [
        "The export begins after entry 2 of the log; its first entry is of 2026-11-21T10:00:02Z. **What",
        "The export was made 2026-11-21T10:00:20Z, before the period was over.",
        "No checkpoints from outside were given.",
    ] {
        assert!(readme.contains(part), "{part:?} is not in {readme}");
    }
}

#[tokio::test]
async fn evidence_is_never_written_over_and_a_period_has_a_length() {
    let desk = Desk::with(&eventful());
    fs::create_dir(desk.path("pack")).unwrap();
    let words = format!("evidence @export --key @key.pub {PERIOD} --dir @pack");
    assert_eq!(desk.audit(&words).await.0, Exit::Ok, "an empty directory is taken");
    let (exit, text) = desk.audit(&words).await;
    assert_eq!(exit, Exit::Usage);
    assert_eq!(text, "error: @pack is there already, and is not written over\n");
    let words = "evidence @export --key @key.pub --from 2026-11-21 --to 2026-11-21 --dir @other";
    let (exit, text) = desk.audit(words).await;
    assert_eq!((exit, text.as_str()), (Exit::Usage, "error: --from must be before --to\n"));
    desk.put("export", "nothing\n");
    let words = format!("evidence @export --key @key.pub {PERIOD} --dir @other");
    assert_eq!(desk.audit(&words).await.0, Exit::Usage);
    assert!(!desk.path("other").exists(), "nothing is left behind");
}
