use std::fs;

use clap::{CommandFactory as _, Parser as _};
use wfe_runtime::log::LogFormat;

use super::*;

fn load(flags: &[&str]) -> Result<Config, String> {
    let args = Args::try_parse_from(["wfe-bridge"].iter().chain(flags))
        .map_err(|error| error.to_string())?;
    Config::load(&args).map_err(|error| error.to_string())
}

#[test]
fn the_flags_are_consistent() {
    Args::command().debug_assert();
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(load(&[]).unwrap(), Config::default());
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "server: http://from-file:1\nwhen_locked: reject\nlog: {format: json}\n";
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let config =
        load(&["--config", path, "--server", "http://from-flag:2", "--log", "debug"]).unwrap();
    assert_eq!(config.server.to_string(), "http://from-flag:2");
    assert_eq!(config.when_locked, WhenLocked::Reject);
    assert_eq!(config.log, Log { filter: "debug".to_owned(), format: LogFormat::Json });
    assert_eq!(config.delete_timeout, Config::default().delete_timeout);
}

#[test]
fn an_unknown_key_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "serve: x\n").unwrap();
    let error = load(&["--config", file.path().to_str().unwrap()]).unwrap_err();
    assert!(error.contains("serve"), "{error}");
}

#[test]
fn a_server_is_a_plain_host_and_port() {
    let https = ["--server", "https://wfe:1", "--server-ca", "ca.crt"];
    assert_eq!(load(&https).unwrap().server.to_string(), "https://wfe:1");
    for right in ["http://127.0.0.1:50051", "http://wfe.kubernaut-system:50051", "http://[::1]:9"] {
        assert_eq!(load(&["--server", right]).unwrap().server.to_string(), right);
    }
    for wrong in ["", "host:1", "https://host", "http://host", "http://host:1/path", "ftp://h:1"] {
        let error = load(&["--server", wrong]).unwrap_err();
        assert!(error.contains("--server"), "{error}");
    }
}

#[test]
fn settings_about_the_server_that_do_not_go_together_are_refused() {
    #[rustfmt::skip]
    let table: [(&[&str], &str); 6] = [
        (&["--server", "https://wfe:1"], "server_ca"),
        (&["--server", "http://wfe:1", "--server-token-file", "t"], "https"),
        (&["--server", "http://127.0.0.1:1", "--server-ca", "ca"], "https"),
        (&["--server", "http://127.0.0.1:1", "--server-certificate", "c", "--server-key", "k"], "https"),
        (&["--server-certificate", "c"], "server_key"),
        (&["--server-key", "k"], "server_certificate"),
    ];
    for (flags, named) in table {
        let error = load(flags).unwrap_err();
        assert!(error.contains(named), "{flags:?}: {error}");
    }
    load(&["--server", "http://127.0.0.1:1", "--server-token-file", "t"]).unwrap();
}

#[test]
fn what_is_printed_can_be_read() {
    let config = Config { namespace: Some("n".to_owned()), ..Config::default() };
    let text = serde_yaml_ng::to_string(&config).unwrap();
    assert_eq!(serde_yaml_ng::from_str::<Config>(&text).unwrap(), config);
}

#[test]
fn a_webhook_has_its_material_in_one_place() {
    let address = ["--webhook-address", "127.0.0.1:9443"];
    let secret = ["--webhook-secret", "n/s", "--webhook-names", "a.example,127.0.0.1"];
    let configuration = ["--webhook-configuration", "wfe-bridge"];
    let files = ["--webhook-certificate", "c", "--webhook-key", "k", "--seal-key-file", "s"];
    let webhook = |flags: &[&[&str]]| load(&flags.concat()).map(|config| config.webhook().unwrap());
    assert_eq!(webhook(&[]).unwrap(), None);
    let in_secret = webhook(&[&address, &secret, &configuration, &["--cancellers", "x,y:z"]]);
    let in_secret = in_secret.unwrap().unwrap();
    assert_eq!(in_secret.cancellers, ["x".to_owned(), "y:z".to_owned()].into());
    let Material::Secret { names, configuration: kept, .. } = in_secret.material else { panic!() };
    assert_eq!(
        (names, kept.as_deref()),
        (vec!["a.example".into(), "127.0.0.1".into()], Some("wfe-bridge"))
    );
    let in_files = webhook(&[&address, &files]).unwrap().unwrap();
    assert!(matches!(in_files.material, Material::Files { .. }));
    for (wrong, named) in [
        (vec![&address[..]], "webhook_secret"),
        (vec![&address, &secret[..2]], "webhook_names"),
        (vec![&address, &secret, &files[..2]], "either webhook_secret"),
        (vec![&address, &files[..4]], "seal_key_file"),
        (vec![&address, &files, &configuration], "caBundle"),
        (vec![&secret], "webhook_address"),
        (vec![&["--cancellers", "x"]], "cancellers"),
        (vec![&address, &["--webhook-secret", "s"]], "namespace/name"),
    ] {
        let error = webhook(&wrong).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
