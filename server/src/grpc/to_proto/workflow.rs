//! What is run, out.

use wfe_core::workflow::{Action, InlineStep, InlineWorkflow, Workflow};
use wfe_proto::v1;

/// The workflow of an execution.
pub(super) fn workflow(workflow: &Workflow) -> v1::execution::Workflow {
    match workflow {
        Workflow::Bundle(bundle) => v1::execution::Workflow::Bundle(v1::BundleWorkflow {
            reference: bundle.reference().to_owned(),
            digest: bundle.digest().unwrap_or_default().to_owned(),
            pipeline: bundle.pipeline().to_owned(),
        }),
        Workflow::Inline(inline) => v1::execution::Workflow::Inline(steps(inline)),
    }
}

fn steps(inline: &InlineWorkflow) -> v1::InlineWorkflow {
    v1::InlineWorkflow {
        steps: inline.steps().iter().map(step).collect(),
        max_parallel: inline.max_parallel().try_into().unwrap_or(i32::MAX),
    }
}

fn step(of: &InlineStep) -> v1::InlineStep {
    let InlineStep { name, image, action, env, depends_on, timeout_ms: _, retries } = of;
    let (command, script) = match action {
        Action::Command(command) => (command.clone(), String::new()),
        Action::Script(script) => (Vec::new(), script.clone()),
    };
    v1::InlineStep {
        name: name.clone(),
        image: image.clone(),
        command,
        script,
        env: env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        depends_on: depends_on.clone(),
        timeout: of.timeout().and_then(|timeout| timeout.try_into().ok()),
        retries: (*retries).try_into().unwrap_or(i32::MAX),
    }
}

/// Leaves out of a list what the steps do: a page of definitions would be too large a message.
pub(super) fn shorten(execution: &mut v1::Execution) {
    let Some(v1::execution::Workflow::Inline(inline)) = &mut execution.workflow else { return };
    for step in &mut inline.steps {
        step.command.clear();
        step.script.clear();
        step.env.clear();
    }
}
