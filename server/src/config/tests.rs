use std::fs;

use clap::{CommandFactory as _, Parser as _};

use wfe_runtime::log::LogFormat;

use super::*;

fn load(flags: &[&str]) -> Result<Config, String> {
    let args = Args::try_parse_from(["wfe-server"].iter().chain(flags)).unwrap();
    Config::load(&args).map_err(|error| error.to_string())
}

fn load_file(text: &str, flags: &[&str]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    load(&[&["--config", path], flags].concat())
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
    let text = "namespace: from-file\nheartbeat: 3s\nlog: {format: json}\n";
    let config = load_file(text, &["--namespace", "from-flag", "--log", "debug"]).unwrap();
    assert_eq!(config.namespace, "from-flag");
    assert_eq!(config.heartbeat, Duration::from_secs(3));
    assert_eq!(config.log, Log { filter: "debug".to_owned(), format: LogFormat::Json });
    assert_eq!(config.start_timeout, Config::default().start_timeout);
}

#[test]
fn an_unknown_key_is_named() {
    let error = load_file("namspace: x\n", &[]).unwrap_err();
    assert!(error.contains("namspace") && !error.contains('\n'), "{error}");
    let error = load_file("log: {colour: red}\n", &[]).unwrap_err();
    assert!(error.contains("colour"), "{error}");
}

#[test]
fn what_is_no_setting_is_refused_with_its_name() {
    for (text, named) in [
        ("heartbeat: soon\n", "heartbeat"),
        ("grpc_address: here\n", "grpc_address"),
        ("namespace: Not_A_Label\n", "namespace"),
        ("heartbeat: 0s\n", "heartbeat"),
    ] {
        let error = load_file(text, &[]).unwrap_err();
        assert!(error.contains(named) && !error.contains('\n'), "{error}");
    }
    assert!(
        load(&["--config", "does-not-exist.yaml"]).unwrap_err().contains("does-not-exist.yaml")
    );
}

#[test]
fn an_address_that_is_not_loopback_needs_authentication_and_tls() {
    const ALL: [&str; 2] = ["--grpc-address", "0.0.0.0:50051"];
    const KUBERNETES: [&str; 2] = ["--authentication", "kubernetes"];
    const FILES: [&str; 4] = ["--tls-certificate", "tls.crt", "--tls-key", "tls.key"];
    const SECRET: [&str; 4] = ["--tls-secret", "n/s", "--tls-names", "wfe,127.0.0.1"];
    let error = load(&ALL).unwrap_err();
    assert!(error.contains("authentication: kubernetes"), "{error}");
    let error = load(&[&ALL[..], &FILES].concat()).unwrap_err();
    assert!(error.contains("authentication: kubernetes"), "{error}");
    let error = load(&[&ALL[..], &KUBERNETES].concat()).unwrap_err();
    assert!(error.contains("tls_certificate") && error.contains("tls_secret"), "{error}");
    load(&[&ALL[..], &KUBERNETES, &FILES].concat()).unwrap();
    load(&[&ALL[..], &KUBERNETES, &SECRET].concat()).unwrap();
    load(&["--grpc-address", "[::1]:50051"]).unwrap();
    load(&KUBERNETES).unwrap();
}

#[test]
fn settings_about_the_door_that_do_not_go_together_are_refused() {
    #[rustfmt::skip]
    let table: [(&[&str], &str); 9] = [
        (&["--tls-certificate", "c"], "tls_key"),
        (&["--tls-key", "k"], "tls_certificate"),
        (&["--tls-certificate", "c", "--tls-key", "k", "--tls-secret", "n/s"], "exclude"),
        (&["--tls-secret", "n/s"], "tls_names"),
        (&["--tls-secret", "no-namespace", "--tls-names", "wfe"], "namespace/name"),
        (&["--client-ca", "ca", "--authentication", "kubernetes"], "tls_certificate"),
        (&["--client-ca", "ca", "--tls-certificate", "c", "--tls-key", "k"], "authentication"),
        (&["--audience", ""], "audience"),
        (&["--authorization-cache", "10m"], "authorization_cache"),
    ];
    for (flags, named) in table {
        let error = load(flags).unwrap_err();
        assert!(error.contains(named), "{flags:?}: {error}");
    }
}

#[test]
fn lists_are_written_with_commas_in_a_flag() {
    let config = load(&["--trusted-bridges", "system:serviceaccount:a:b,carol"]).unwrap();
    let names: Vec<&str> = config.trusted_bridges.names().collect();
    assert_eq!(names, ["carol", "system:serviceaccount:a:b"]);
    let file = "trusted_bridges: [carol]\ntls_names: [wfe]\n";
    let config = load_file(file, &[]).unwrap();
    assert_eq!(config.trusted_bridges.names().collect::<Vec<_>>(), ["carol"]);
}

#[test]
fn the_printed_settings_can_be_read_again() {
    let printed = serde_yaml_ng::to_string(&Config::default()).unwrap();
    assert_eq!(load_file(&printed, &[]).unwrap(), Config::default());
}
