use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn sleeper(dir: &Path, name: &str, layer: Layer) -> Component {
    let program = Program {
        file: PathBuf::from("/bin/sleep"),
        args: vec!["60".to_owned()],
        env: BTreeMap::new(),
        log: dir.join(name),
    };
    Component { name: name.to_owned(), program, layer, process: None }
}

#[tokio::test]
async fn a_stopped_component_starts_again_as_another_process() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let first = launch(dir.path(), sleeper(dir.path(), "a", Layer::Api))?;
    start(dir.path(), "a")?;
    assert_eq!(existing(dir.path())?.component("a")?.process, Some(first), "it ran already");

    stop(dir.path(), "a").await?;
    assert_eq!(existing(dir.path())?.dead().count(), 1);
    start(dir.path(), "a")?;
    let state = existing(dir.path())?;
    assert!(state.component("a")?.is_alive());
    assert_ne!(state.component("a")?.process, Some(first));
    stop_all(dir.path()).await?;
    assert_eq!(existing(dir.path())?.dead().count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_component_that_does_not_exist_is_answered_with_those_that_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    launch(dir.path(), sleeper(dir.path(), "a", Layer::Client))?;
    launch(dir.path(), sleeper(dir.path(), "b", Layer::Client))?;
    let stopped = stop(dir.path(), "c").await;
    stop_all(dir.path()).await?;
    let Err(error) = stopped else { bail!("there is no c") };
    assert_eq!(error.to_string(), "no component is called c; there are a, b");
    Ok(())
}

#[tokio::test]
async fn only_a_running_component_can_be_frozen() -> Result<()> {
    let dir = tempfile::tempdir()?;
    launch(dir.path(), sleeper(dir.path(), "a", Layer::Client))?;
    pause(dir.path(), "a")?;
    resume(dir.path(), "a")?;
    stop_all(dir.path()).await?;
    let Err(error) = pause(dir.path(), "a") else { bail!("it was frozen") };
    assert_eq!(error.to_string(), "a does not run");
    Ok(())
}

#[test]
fn a_change_that_fails_is_not_written() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let changed = State::update(dir.path(), |state| -> Result<()> {
        state.ports.push(1);
        bail!("no")
    });
    assert!(changed.is_err());
    assert_eq!(State::load(dir.path())?, None);
    Ok(())
}

#[test]
fn what_is_private_can_be_read_by_its_owner_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("secret");
    write_private(&path, b"secret")?;
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn what_was_taken_away_comes_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    launch(dir.path(), sleeper(dir.path(), "stopped", Layer::Api))?;
    launch(dir.path(), sleeper(dir.path(), "frozen", Layer::Client))?;
    stop(dir.path(), "stopped").await?;
    pause(dir.path(), "frozen")?;
    restore(dir.path())?;
    let state = existing(dir.path())?;
    assert_eq!(state.dead().count(), 0);
    let frozen = state.component("frozen")?.process.context("a process")?;
    let scheduled = || async {
        let stat = fs::read_to_string(format!("/proc/{}/stat", frozen.pid)).unwrap_or_default();
        if stat.contains(") T ") { Err(stat) } else { Ok(()) }
    };
    crate::wait::eventually(Duration::from_secs(10), "the frozen process", scheduled).await?;
    stop_all(dir.path()).await
}
