//! Who may talk to the API server and how: token file, kubeconfig, and the `env` file for shells and tests.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use wfe_control_plane::state::{self, write_private};
use wfe_control_plane::{USERS, env};

/// The token file that the API server reads, in the control plane's directory.
pub(crate) const TOKENS: &str = "tokens.csv";
/// The administrator's kubeconfig.
pub(crate) const KUBECONFIG: &str = "kubeconfig";
/// The exports.
pub(crate) const ENV: &str = "env";
/// Programs that people and tests call.
pub(crate) const BIN: &str = "bin";
/// The home directory of the processes, so that none sees the user's.
pub(crate) const HOME: &str = "home";

const ADMIN: &str = "admin";

/// Tokens of one control plane.
pub(crate) struct Tokens {
    admin: String,
    users: Vec<(&'static str, String)>,
}

impl Tokens {
    /// New tokens for everybody.
    pub(crate) fn generate() -> Self {
        let token = || hex::encode(rand::random::<[u8; 24]>());
        Self { admin: token(), users: USERS.iter().map(|user| (*user, token())).collect() }
    }

    /// No tokens: the users of a cluster that exists already are its owner's business.
    pub(crate) fn none() -> Self {
        Self { admin: String::new(), users: Vec::new() }
    }

    /// Writes the API server's token file.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let mut csv = format!("{},{ADMIN},{ADMIN},\"system:masters\"\n", self.admin);
        for (user, token) in &self.users {
            writeln!(csv, "{token},{user},{user}")?;
        }
        write_private(&dir.join(TOKENS), csv.as_bytes())
    }

    /// Writes the administrator's kubeconfig.
    pub(crate) fn write_kubeconfig(&self, dir: &Path, server: &str) -> Result<()> {
        let name = "control-plane";
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{ "name": name, "cluster": {
                "server": server,
                "certificate-authority": state::certificates(dir).join("apiserver.crt"),
            }}],
            "users": [{ "name": ADMIN, "user": { "token": self.admin } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": ADMIN } }],
        });
        write_private(&dir.join(KUBECONFIG), serde_yaml_ng::to_string(&config)?.as_bytes())
    }
}

/// The variables that hand the control plane in `dir` over; PATH apart, which has to be put in front of another.
pub(crate) fn variables(dir: &Path, registry: &str, tokens: &Tokens) -> Vec<(String, String)> {
    let mut variables = vec![
        (env::KUBECONFIG.to_owned(), dir.join(KUBECONFIG).display().to_string()),
        (env::DIRECTORY.to_owned(), dir.display().to_string()),
        (env::REGISTRY.to_owned(), registry.to_owned()),
    ];
    let tokens = tokens.users.iter().map(|(user, token)| (env::token(user), token.clone()));
    variables.extend(tokens);
    variables
}

/// Writes the file that a shell sources.
pub(crate) fn write_env(dir: &Path, variables: &[(String, String)]) -> Result<()> {
    let mut text =
        format!("export PATH={}:\"$PATH\"\n", quoted(&dir.join(BIN).display().to_string()));
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(value))?;
    }
    write_private(&dir.join(ENV), text.as_bytes())
}

/// Reads the variables back, for a control plane that somebody else started.
pub(crate) fn read_env(dir: &Path) -> Result<Vec<(String, String)>> {
    let path = dir.join(ENV);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    let variables = exports.filter(|(name, _)| *name != "PATH");
    Ok(variables.map(|(name, value)| (name.to_owned(), unquoted(value))).collect())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inner.unwrap_or(text).replace(r"'\''", "'")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_and_we_read_the_same_values_from_the_env_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let value = "it's $HOME \"quoted\" `here` = \\";
        write_env(dir.path(), &[("WFE_VALUE".to_owned(), value.to_owned())])?;
        let read = read_env(dir.path())?;
        assert_eq!(read, [("WFE_VALUE".to_owned(), value.to_owned())]);

        let script = ". \"$0\" && printf %s \"$WFE_VALUE\"";
        let shell = Command::new("sh").args(["-c", script]).arg(dir.path().join(ENV)).output()?;
        assert_eq!(String::from_utf8(shell.stdout)?, value);
        Ok(())
    }

    #[test]
    fn every_user_has_a_token_of_its_own_and_only_the_administrator_a_group() -> Result<()> {
        let dir = tempfile::tempdir()?;
        Tokens::generate().write(dir.path())?;
        let csv = fs::read_to_string(dir.path().join(TOKENS))?;
        let mut tokens: Vec<&str> = csv.lines().filter_map(|line| line.split(',').next()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), USERS.len() + 1);
        let grouped: Vec<&str> = csv.lines().filter(|line| line.split(',').count() > 3).collect();
        assert!(matches!(grouped[..], [line] if line.contains(",admin,")), "{grouped:?}");
        Ok(())
    }
}
