//! The main job on the embedded default, as a person first sees it.

use std::process::{Command, Stdio};

#[test]
fn the_demo_ends_well_and_shows_an_execution_going_through_its_states() {
    let output = Command::new(env!("CARGO_BIN_EXE_wfe"))
        .args(["demo", "--fast"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let mut rest = text.as_str();
    for shown in [
        "STARTING",
        "RUNNING",
        // How many of the moments between are seen depends on how busy the machine is.
        "3 of 3 tasks done",
        "SUCCEEDED", // it runs
        "FAILED",
        "exited with code 1", // it fails
        "WAITING: execution",
        "a person must look at the target",
        "BLOCK (enforced) since",
        "cleared: execution",
        "next: execution",
        "SUCCEEDED", // after a person cleared the block
        "its cooldown ends at",
        "s left)",
        "SUCCEEDED", // after the cooldown
        "TARGET_LOCKED",
        "WAITING",
        "SUCCEEDED", // one per target
        "CANCELLING",
        "CANCELLED", // it is stopped
    ] {
        let found = rest.find(shown).unwrap_or_else(|| panic!("no {shown} in {rest}"));
        rest = &rest[found + shown.len()..];
    }
}
