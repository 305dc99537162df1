//! Where the demo runs its commands: a directory, an environment, and what is printed of each command.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use wfe_control_plane::env as variables;
use wfe_control_plane::wait::eventually;

use crate::lend::environment;

/// The namespace of all that the demo makes.
pub(crate) const NAMESPACE: &str = "wfe-demo";

/// Longer than any command or condition of the demo takes.
const LIMIT: Duration = Duration::from_mins(1);

/// Characters of a line of output.
const WIDTH: usize = 100;

/// A directory with an environment.
pub(crate) struct Stage {
    home: TempDir,
    environment: Vec<(OsString, OsString)>,
    /// Of the service, once it serves.
    server: OnceLock<String>,
}

impl Stage {
    /// A new directory with a kubeconfig of its own, so that no command has to name the namespace.
    pub(crate) fn set(dir: &Path) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("wfe-demo-").tempdir()?;
        let kubeconfig = home.path().join("kubeconfig");
        let mut environment = environment(dir)?;
        for (name, value) in &mut environment {
            if name == "PATH" {
                let programs = env::current_exe()?;
                let programs = programs.parent().context("the directory of the build")?;
                let all = [programs.to_owned()].into_iter().chain(env::split_paths(value));
                *value = env::join_paths(all)?;
            } else if name == variables::KUBECONFIG {
                let of_control_plane =
                    std::mem::replace(value, kubeconfig.clone().into_os_string());
                fs::copy(of_control_plane, &kubeconfig)?;
            }
        }
        environment.push(("KUBECACHEDIR".into(), home.path().join("cache").into_os_string()));
        Ok(Self { home, environment, server: OnceLock::new() })
    }

    /// Tells the commands that follow where the service is.
    pub(crate) fn reach(&self, server: &str) {
        say!("$ export WFE_SERVER={server}");
        self.server.get_or_init(|| server.to_owned());
    }

    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Result<&str> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.to_str()).with_context(|| format!("no {name}"))
    }

    /// The directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Leaves the directory there.
    pub(crate) fn keep(self) -> PathBuf {
        self.home.keep()
    }

    /// A command on this stage.
    pub(crate) fn command(&self, line: &[&str]) -> Result<Command> {
        let (program, arguments) = line.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.home()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.server.get().map(|server| ("WFE_SERVER", server)));
        Ok(command)
    }

    /// Prints a command and what it answers, which is returned.
    pub(crate) async fn run(&self, line: &[&str]) -> Result<String> {
        say!("$ {}", as_typed(line));
        let output = self.output(line).await?;
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        for answer in [&said, &told] {
            if !answer.trim().is_empty() {
                say!("{}", answer.trim_end());
            }
        }
        if !output.status.success() {
            bail!("`{}` ended with {}", line.join(" "), output.status);
        }
        Ok(said)
    }

    /// Prints a command and, line by line as they come, what it answers, until a line is `enough`.
    pub(crate) async fn follow(
        &self,
        line: &[&str],
        mut enough: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        say!("$ {}", as_typed(line));
        let mut command = self.command(line)?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let followed = timeout(LIMIT, async {
            while let Some(answer) = lines.next_line().await? {
                say!("{answer}");
                if enough(&answer) {
                    return Ok(());
                }
            }
            bail!("`{}` ended too early", line.join(" "))
        });
        let followed = followed.await;
        child.kill().await?;
        followed.with_context(|| format!("`{}` did not come to its end", line.join(" ")))?
    }

    /// What a command answers; nothing is printed.
    pub(crate) async fn silently(&self, line: &[&str]) -> Result<String> {
        let output = self.output(line).await?;
        if !output.status.success() {
            bail!("`{}`: {}", line.join(" "), text(&output.stderr).trim_end());
        }
        Ok(text(&output.stdout))
    }

    /// The JSON that a command answers; nothing is printed.
    pub(crate) async fn look(&self, line: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.silently(line).await?)?)
    }

    /// A WorkflowExecution; nothing is printed.
    pub(crate) async fn object(&self, name: &str) -> Result<Value> {
        self.look(&["kubectl", "get", "wfe", name, "--output", "json"]).await
    }

    /// Waits until a WorkflowExecution is as it should be; nothing is printed.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(LIMIT, &format!("{name} {what}"), || async {
            let object = self.object(name).await.map_err(|error| error.to_string())?;
            if is_so(&object) { Ok(object) } else { Err(object["status"].to_string()) }
        })
        .await
    }

    /// Waits until a pod that is selected runs; nothing is printed.
    pub(crate) async fn until_pod_runs(&self, selector: &str) -> Result<()> {
        eventually(LIMIT, &format!("a pod runs ({selector})"), || async {
            let phases = self.pod_phases(selector).await.map_err(|error| error.to_string())?;
            if phases.contains(&"Running".to_owned()) { Ok(()) } else { Err(phases.join(", ")) }
        })
        .await
    }

    /// The phases of the pods that are selected; nothing is printed.
    pub(crate) async fn pod_phases(&self, selector: &str) -> Result<Vec<String>> {
        let pods = self.look(&["kubectl", "get", "pods", selector, "--output", "json"]).await?;
        let phases = pods["items"].as_array().into_iter().flatten();
        let phases = phases.map(|pod| pod["status"]["phase"].as_str().unwrap_or_default());
        Ok(phases.map(str::to_owned).collect())
    }

    async fn output(&self, line: &[&str]) -> Result<Output> {
        let output = self.command(line)?.stdin(Stdio::null()).output();
        match timeout(LIMIT, output).await {
            Ok(output) => output.with_context(|| line.join(" ")),
            Err(_) => bail!("`{}` took more than {} seconds", line.join(" "), LIMIT.as_secs()),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command as a shell takes it, in lines that are not too long.
pub(crate) fn as_typed(line: &[&str]) -> String {
    let mut typed = String::new();
    let mut length = 0;
    for word in line {
        let word = quoted(word);
        let (gap, start) = match length {
            0 => ("", 0),
            _ if length + 1 + word.chars().count() > WIDTH => (" \\\n    ", 4),
            _ => (" ", length + 1),
        };
        length = start + word.chars().count();
        typed.push_str(gap);
        typed.push_str(&word);
    }
    typed
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let line = ["kubectl", "get", "wfe/a", "-o", "jsonpath={.status.x}", "it's"];
        assert_eq!(as_typed(&line), r"kubectl get wfe/a -o 'jsonpath={.status.x}' 'it'\''s'");
    }

    #[test]
    fn a_long_command_goes_on_in_the_next_line() {
        let word = "w".repeat(60);
        let typed = as_typed(&["one", &word, &word, "two"]);
        assert_eq!(typed, format!("one {word} \\\n    {word} two"));
    }
}
