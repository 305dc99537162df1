//! Files of steps: read, and every mistake told with its line and column. What the steps mean is checked by
//! the service; where in the file the field is that it names is found here.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use wfe_proto::v1::{InlineStep, InlineWorkflow};

use crate::context::Context;

mod place;

/// More than any definition that the service takes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file of steps.
#[derive(Debug)]
pub(crate) struct Steps {
    /// How the file is called.
    name: String,
    /// What it holds.
    text: String,
    /// The steps in it.
    workflow: InlineWorkflow,
}

/// Steps that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StepsError {
    /// The file cannot be read.
    #[error("cannot read the steps in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in it are no steps.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The file, as it was given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

/// What a file holds.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "Steps of a workflow, for wfe start --steps"))]
#[serde(deny_unknown_fields)]
struct Document {
    /// The steps. Each runs as soon as all that it depends on have succeeded.
    #[cfg_attr(test, schemars(length(min = 1, max = 100)))]
    steps: Vec<Step>,
    /// How many run at once; 5 when absent.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 0, max = 100)))]
    max_parallel: i32,
}

/// One step, in a container of its own.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(extend("oneOf" = [{ "required": ["command"] }, { "required": ["script"] }]))
)]
#[serde(deny_unknown_fields)]
struct Step {
    /// A DNS label, unique in the file.
    #[cfg_attr(test, schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")))]
    name: Word,
    /// The container image, as an OCI reference. It runs as another user than root.
    #[cfg_attr(test, schemars(length(min = 1, max = 512)))]
    image: Word,
    /// The command and its arguments. Either this or script.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(min = 1, max = 256)))]
    command: Vec<Text>,
    /// A script, run by its shebang line, or by sh. Either this or command.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(min = 1)))]
    script: Word,
    /// Environment variables. Parameters of the start are there as well.
    #[serde(default)]
    env: BTreeMap<String, Text>,
    /// Names of the steps that must have succeeded before.
    #[serde(default)]
    depends_on: Vec<Word>,
    /// How long one attempt may take, such as 90s, 2m or 1h 30m.
    timeout: Option<Span>,
    /// How many times the step is tried again after a failure.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 0, max = 10)))]
    retries: i32,
}

/// A text, and nothing else: a number without quotes is a mistake.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct Word(String);

/// A text, also of a value without quotes, which is taken as it is written.
#[derive(Debug)]
struct Text(String);

/// A time with its unit.
#[derive(Debug)]
struct Span(Duration);

#[cfg(test)]
impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^ *[0-9]+ *[a-z]+( *[0-9]+ *[a-z]+)* *$" })
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text; write \"\" for an empty one")
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Text, D::Error> {
                String::deserialize(inner).map(Text)
            }
        }

        deserializer.deserialize_option(Written)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as 90s or 2m")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Str(text), &self);
                humantime::parse_duration(text).map(Span).map_err(wrong)
            }
        }

        deserializer.deserialize_str(Written)
    }
}

impl Steps {
    /// Reads a file; `-` is what is piped into the command.
    pub(crate) fn read(context: &mut Context, path: &Path) -> Result<Self, StepsError> {
        let mut text = String::new();
        let (name, read) = if path.as_os_str() == "-" {
            let mut input = std::mem::replace(&mut context.input, Box::new(io::empty()));
            ("standard input".to_owned(), limited(&mut input, &mut text))
        } else {
            let read = File::open(path).and_then(|mut file| limited(&mut file, &mut text));
            (path.display().to_string(), read)
        };
        read.map_err(|source| StepsError::File { path: PathBuf::from(&name), source })?;
        Self::of_text(&name, &text)
    }

    /// Reads what is in a file of this name.
    pub(crate) fn of_text(name: &str, text: &str) -> Result<Self, StepsError> {
        let workflow = parse(text).map_err(|wrong| wrong.in_file(name))?;
        Ok(Self { name: name.to_owned(), text: text.to_owned(), workflow })
    }

    /// The steps, as they are sent.
    pub(crate) fn workflow(&self) -> &InlineWorkflow {
        &self.workflow
    }

    /// Where in the file the field of a request is, as people and editors read it.
    pub(crate) fn place_of(&self, field: &str) -> Option<String> {
        let (line, column) = place::of(&self.text, field.strip_prefix("inline.")?)?;
        Some(format!("{}:{line}:{column}", self.name))
    }
}

fn limited(input: &mut dyn Read, text: &mut String) -> io::Result<()> {
    let read = input.take(MAX_BYTES + 1).read_to_string(text)?;
    if read as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok(())
}

/// Something wrong at a place of a text.
#[derive(Debug)]
struct Wrong {
    line: usize,
    column: usize,
    message: String,
}

impl Wrong {
    fn in_file(self, file: &str) -> StepsError {
        let Self { line, column, message } = self;
        StepsError::Syntax { file: file.to_owned(), line, column, message }
    }
}

impl From<serde_yaml_ng::Error> for Wrong {
    fn from(error: serde_yaml_ng::Error) -> Self {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        // The place stands in front of it already.
        let place = format!(" at line {line} column {column}");
        Self { line, column, message: error.to_string().replacen(&place, "", 1) }
    }
}

fn parse(text: &str) -> Result<InlineWorkflow, Wrong> {
    // The untyped form refuses a name that is there twice.
    let _: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)?;
    let Document { steps, max_parallel } = serde_yaml_ng::from_str(text)?;
    let steps = steps.into_iter().map(message).collect();
    Ok(InlineWorkflow { steps, max_parallel })
}

fn message(step: Step) -> InlineStep {
    let Step { name, image, command, script, env, depends_on, timeout, retries } = step;
    InlineStep {
        name: name.0,
        image: image.0,
        command: command.into_iter().map(|Text(text)| text).collect(),
        script: script.0,
        env: env.into_iter().map(|(name, Text(value))| (name, value)).collect(),
        depends_on: depends_on.into_iter().map(|Word(name)| name).collect(),
        // What is too long for a message is too long for the service.
        timeout: timeout.map(|Span(timeout)| {
            timeout.try_into().unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
        }),
        retries,
    }
}

#[cfg(test)]
mod tests;
