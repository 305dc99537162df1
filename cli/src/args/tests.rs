use std::{collections::HashMap, time::Duration};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use wfe_proto::v1::{
    DeclaredParameters, StartRequest, WhenBlocked, WhenCooling, WhenLocked, start_request,
};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(shlex::split(line).unwrap())
}

fn request_of(line: &str) -> Result<StartRequest, String> {
    let Command::Start(args) = parse(line).unwrap().command else {
        panic!("not a start: {line}");
    };
    args.to_request(
        HashMap::from([
            ("FROM_FILE".to_owned(), "f".to_owned()),
            ("BOTH".to_owned(), "f".to_owned()),
        ]),
        None,
        "r-1".to_owned(),
        "2026-11-21T10:00:00Z".parse().unwrap(),
    )
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// A command with all below it.
fn all_of(command: &clap::Command) -> Vec<&clap::Command> {
    command.get_subcommands().flat_map(all_of).chain([command]).collect()
}

#[test]
fn every_example_of_the_help_parses() {
    let cli = Cli::command();
    let mut examples = 0;
    for command in all_of(&cli) {
        let help = [command.get_after_help(), command.get_after_long_help()];
        let before = examples;
        for line in help.into_iter().flatten().flat_map(|text| {
            let text = text.to_string();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        }) {
            if let Some(example) = line.strip_prefix("  wfe ") {
                let parsed = parse(&format!("wfe {example}"));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                examples += 1;
            }
        }
        assert!(examples > before, "{} has no example", command.get_name());
    }
}

#[test]
fn no_line_of_the_help_needs_to_be_broken() {
    let cli = Cli::command();
    for command in all_of(&cli) {
        for text in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten()
        {
            for line in text.to_string().lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}

#[test]
fn every_option_is_explained() {
    for command in all_of(&Cli::command()) {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} of {}",
                argument.get_id(),
                command.get_name()
            );
        }
    }
}

#[test]
fn the_help_lists_every_exit_code() {
    let help = Cli::command().render_long_help().to_string();
    for exit in crate::Exit::ALL {
        let line = format!("  {:>3}  {}", exit.code(), exit.meaning());
        assert!(help.contains(&line), "{line}");
    }
}

#[test]
fn the_documentation_has_every_command_and_every_exit_code() {
    let page = include_str!("../../../docs/cli.md");
    for command in Cli::command().get_subcommands() {
        let row = format!("| `wfe {}` |", command.get_name());
        assert!(page.contains(&row), "{row}");
        for below in command.get_subcommands() {
            let row = format!("| `wfe {} {}` |", command.get_name(), below.get_name());
            assert!(page.contains(&row), "{row}");
        }
    }
    for exit in crate::Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn a_start_becomes_the_request_that_it_says() {
    let request = request_of(
        "wfe start --bundle r.example/w:v1 --digest sha256:ab --pipeline fix --target ns/deploy/api \
         --cluster prod -p A=1 -p BOTH=c --declared A,BOTH --service-account runner --secret s1 \
         --secret s2 --config-map c1 --correlation-id rr-1 --deadline 10m --when-locked wait \
         --when-cooling wait --when-blocked wait --sensitive A --sensitive BOTH",
    )
    .unwrap();
    assert_eq!(
        request,
        StartRequest {
            request_id: "r-1".to_owned(),
            workflow: Some(start_request::Workflow::Bundle(wfe_proto::v1::BundleWorkflow {
                reference: "r.example/w:v1".to_owned(),
                digest: "sha256:ab".to_owned(),
                pipeline: "fix".to_owned(),
            })),
            target: "ns/deploy/api".to_owned(),
            cluster_id: "prod".to_owned(),
            parameters: HashMap::from([
                ("A".to_owned(), "1".to_owned()),
                ("BOTH".to_owned(), "c".to_owned()),
                ("FROM_FILE".to_owned(), "f".to_owned()),
            ]),
            declared_parameters: Some(DeclaredParameters {
                names: vec!["A".to_owned(), "BOTH".to_owned()],
            }),
            service_account: "runner".to_owned(),
            secrets: vec!["s1".to_owned(), "s2".to_owned()],
            config_maps: vec!["c1".to_owned()],
            correlation_id: "rr-1".to_owned(),
            deadline: Some(prost_types::Timestamp { seconds: 1_795_255_800, nanos: 0 }),
            when_locked: WhenLocked::Wait.into(),
            when_cooling: WhenCooling::Wait.into(),
            when_blocked: WhenBlocked::Wait.into(),
            sensitive_parameters: vec!["A".to_owned(), "BOTH".to_owned()],
            ..StartRequest::default()
        }
    );
}

#[test]
fn declared_parameters_are_absent_empty_or_named() {
    let base = "wfe start --bundle r.example/w:v1 --target node/n";
    assert_eq!(request_of(base).unwrap().declared_parameters, None);
    assert_eq!(
        request_of(&format!("{base} --declare-none")).unwrap().declared_parameters,
        Some(DeclaredParameters::default())
    );
    let both = parse(&format!("{base} --declare-none --declared A")).unwrap_err();
    assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn a_parameter_given_twice_is_refused() {
    let error =
        request_of("wfe start --bundle r.example/w:v1 --target node/n -p A=1 -p A=2").unwrap_err();
    assert_eq!(error, "the parameter A is given twice");
}

#[test]
fn wrong_command_lines_are_refused() {
    for (line, kind) in [
        ("wfe", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("wfe get", ErrorKind::MissingRequiredArgument),
        ("wfe get e-1 --request-id r-1", ErrorKind::ArgumentConflict),
        ("wfe cancel e-1", ErrorKind::MissingRequiredArgument),
        ("wfe cancel --request-id r-1", ErrorKind::MissingRequiredArgument),
        ("wfe cancel --reason why", ErrorKind::MissingRequiredArgument),
        ("wfe cancel e-1 --request-id r-1 --reason why", ErrorKind::ArgumentConflict),
        ("wfe clear-block node/n", ErrorKind::MissingRequiredArgument),
        ("wfe clear-block --reason 'it is safe now'", ErrorKind::MissingRequiredArgument),
        ("wfe start --bundle b --target node/n --when-cooling attach", ErrorKind::InvalidValue),
        ("wfe start --bundle b --target node/n --when-blocked attach", ErrorKind::InvalidValue),
        ("wfe start --target node/n", ErrorKind::MissingRequiredArgument),
        ("wfe start --bundle b --steps s.yaml --target node/n", ErrorKind::ArgumentConflict),
        ("wfe start --steps s.yaml --pipeline p --target node/n", ErrorKind::ArgumentConflict),
        ("wfe list --cluster prod", ErrorKind::MissingRequiredArgument),
        ("wfe audit", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("wfe audit verify export", ErrorKind::MissingRequiredArgument),
        ("wfe audit verify --key k", ErrorKind::MissingRequiredArgument),
        ("wfe audit verify export --key k --log 12", ErrorKind::ValueValidation),
        ("wfe audit evidence export --key k --dir d", ErrorKind::MissingRequiredArgument),
        ("wfe list --limit 0", ErrorKind::ValueValidation),
        ("wfe list --state done", ErrorKind::InvalidValue),
        ("wfe watch e-1 --after -1", ErrorKind::UnknownArgument),
        ("wfe watch e-1 --after=-1", ErrorKind::ValueValidation),
        ("wfe list --timeout 0s", ErrorKind::ValueValidation),
        ("wfe list --server https://host", ErrorKind::ValueValidation),
        (
            "wfe start --bundle b --target node/n --wait --validate-only",
            ErrorKind::ArgumentConflict,
        ),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
        if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}

#[test]
fn global_options_may_stand_after_the_command() {
    let cli = parse("wfe list --server host:7 -o json --timeout 3s").unwrap();
    assert_eq!(cli.global.server.to_string(), "http://host:7");
    assert_eq!(cli.global.output, Output::Json);
    assert_eq!(cli.global.timeout, Span(Duration::from_secs(3)));
}

#[test]
fn a_watch_needs_one_thing_to_follow() {
    let parsed = |words: &str| Cli::try_parse_from(words.split(' ')).map(|_| ());
    for words in [
        "wfe watch",
        "wfe watch e-1 --all",
        "wfe watch --all --target pod/x",
        "wfe watch e-1 --cluster c",
    ] {
        assert!(parsed(words).is_err(), "{words}");
    }
    for words in ["wfe watch e-1", "wfe watch --all", "wfe watch --target pod/x --cluster c"] {
        assert!(parsed(words).is_ok(), "{words}");
    }
}
