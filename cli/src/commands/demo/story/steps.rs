//! The chapter about workflows of own steps: the examples, as they are in the source.

use std::collections::HashMap;

use wfe_proto::v1::{StartRequest, State, start_request};

use super::{Story, accepted, expect, expect_state};
use crate::{client::request, commands::answered, error::Error, steps::Steps};

/// A file of steps, what it is run on, and its parameters.
struct Example {
    file: &'static str,
    text: &'static str,
    target: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const EXAMPLES: [Example; 3] = [
    Example {
        file: "examples/diamond.yaml",
        text: include_str!("../../../../../examples/diamond.yaml"),
        target: "default/deployment/cart",
        parameters: &[],
    },
    Example {
        file: "examples/retries.yaml",
        text: include_str!("../../../../../examples/retries.yaml"),
        target: "node/worker-2",
        parameters: &[],
    },
    Example {
        file: "examples/script.yaml",
        text: include_str!("../../../../../examples/script.yaml"),
        target: "default/deployment/search",
        parameters: &[("REPLICAS", "5")],
    },
];

impl Story<'_> {
    /// The ids of the executions.
    pub(super) async fn steps(&mut self) -> Result<Vec<String>, Error> {
        self.chapter(
            "7. A workflow of own steps needs no bundle",
            "Steps are containers in a file. Those that need not wait for each other run at once.",
        )?;
        let mut ids = Vec::new();
        for example in &EXAMPLES {
            ids.push(self.run_example(example).await?);
        }
        Ok(ids)
    }

    async fn run_example(&mut self, example: &Example) -> Result<String, Error> {
        let Example { file, text, target, parameters } = example;
        let given = parameters
            .iter()
            .fold(String::new(), |given, (name, value)| format!("{given} -p {name}={value}"));
        self.say(&format!("$ wfe start --steps {file} --target {target}{given}"))?;
        let steps = Steps::of_text(file, text)?;
        let count = steps.workflow().steps.len();
        let message = StartRequest {
            request_id: (self.context.new_request_id)(),
            workflow: Some(start_request::Workflow::Inline(steps.workflow().clone())),
            target: (*target).to_owned(),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<HashMap<_, _>>(),
            correlation_id: "demo".to_owned(),
            ..StartRequest::default()
        };
        let call = self.client.start(request(message, self.call_limit));
        let id = accepted(answered(self.context, call).await?)?.id;
        let execution = self.follow_to_end(&id, 0, |_| {}).await?;
        expect_state(&execution, State::Succeeded)?;
        let progress = execution.progress.unwrap_or_default();
        expect(usize::try_from(progress.succeeded) == Ok(count), || {
            format!("{id} ran {} steps instead of {count}", progress.succeeded)
        })?;
        Ok(id)
    }
}
