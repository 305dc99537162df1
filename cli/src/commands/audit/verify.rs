//! `wfe audit verify`: tells whether an export is what the service wrote.

use std::{io, path::Path};

use crate::{
    args::{Global, Output, VerifyArgs},
    audit::{input, words},
    context::Context,
    error::Error,
    exit::Exit,
    json::{self, JsonError},
};

pub(super) fn run(
    context: &mut Context,
    global: &Global,
    args: &VerifyArgs,
) -> Result<Exit, Error> {
    let known = input::known(&args.trust)?;
    let interrupt = context.interrupt.clone();
    let (report, _) = if args.export == Path::new("-") {
        let stdin = std::mem::replace(&mut context.input, Box::new(io::empty()));
        input::verify(Path::new("standard input"), stdin, &known, &interrupt, |_| {})?
    } else {
        let file = input::open(&args.export)?;
        input::verify(&args.export, file, &known, &interrupt, |_| {})?
    };
    match global.output {
        Output::Json => {
            let message = "Report";
            let document =
                words::document(&report).map_err(|source| JsonError::Encode { message, source })?;
            context.say(&json::lines(&document))?;
        }
        Output::Text => context.say(&words::lines(&report).join("\n"))?,
    }
    Ok(super::exit(report.verdict()))
}
