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
fn an_address_that_is_not_loopback_needs_a_word() {
    let error = load(&["--grpc-address", "0.0.0.0:50051"]).unwrap_err();
    assert!(error.contains("allow_unauthenticated"), "{error}");
    assert!(load(&["--grpc-address", "0.0.0.0:50051", "--allow-unauthenticated"]).is_ok());
    assert!(load(&["--grpc-address", "[::1]:50051"]).is_ok());
}

#[test]
fn the_printed_settings_can_be_read_again() {
    let printed = serde_yaml_ng::to_string(&Config::default()).unwrap();
    assert_eq!(load_file(&printed, &[]).unwrap(), Config::default());
}
