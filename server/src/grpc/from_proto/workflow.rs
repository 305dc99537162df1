//! What is to be run: a bundle, or steps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use wfe_core::{
    invalid::{Invalid, Violation, Violations},
    workflow::{BundleWorkflow, Given, InlineWorkflow, StepDraft, Workflow},
};
use wfe_proto::v1::{self, start_request};

/// The workflow of a Start.
pub(super) fn workflow(
    wrong: &mut Violations,
    message: Option<start_request::Workflow>,
) -> Option<Workflow> {
    match message {
        Some(start_request::Workflow::Bundle(message)) => {
            let v1::BundleWorkflow { reference, digest, pipeline } = message;
            let bundle = BundleWorkflow::new(&reference, &digest, &pipeline);
            below(wrong, "bundle", bundle).map(Workflow::Bundle)
        }
        Some(start_request::Workflow::Inline(message)) => {
            let v1::InlineWorkflow { steps, max_parallel } = message;
            let steps = steps.into_iter().map(step).collect();
            below(wrong, "inline", InlineWorkflow::new(steps, max_parallel)).map(Workflow::Inline)
        }
        None => {
            let rule = "is required: give a bundle or inline steps";
            wrong.take("workflow", Err(Invalid::new(rule)))
        }
    }
}

/// Checks what the steps refer to, when there are steps.
pub(super) fn check_use(
    wrong: &mut Violations,
    workflow: Option<&Workflow>,
    parameters: &BTreeMap<String, String>,
    declared: Option<&BTreeSet<String>>,
    (secrets, config_maps): (&[String], &[String]),
) {
    let Some(inline) = workflow.and_then(Workflow::inline) else { return };
    let reaches = |name: &String| declared.is_none_or(|declared| declared.contains(name));
    let parameters = parameters.iter().filter(|(name, _)| reaches(name));
    let parameters = parameters.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let secrets = secrets.iter().map(|name| format!("secret-{name}"));
    let workspaces = secrets.chain(config_maps.iter().map(|name| format!("configmap-{name}")));
    let workspaces = workspaces.collect();
    let given = Given { parameters: &parameters, workspaces: &workspaces };
    let found = inline.check_use(given).0.into_iter().map(|violation| match violation {
        Violation { field, description } if field.starts_with("steps[") => {
            Violation { field: format!("inline.{field}"), description }
        }
        of_request => of_request,
    });
    wrong.0.extend(found);
}

fn step(message: v1::InlineStep) -> StepDraft {
    let v1::InlineStep { name, image, command, script, env, depends_on, timeout, retries } =
        message;
    StepDraft {
        name,
        image,
        command,
        script,
        env: env.into_iter().collect(),
        depends_on,
        timeout: timeout.map(|timeout| {
            // Far beyond what is allowed, it only has to stay so.
            let far = if timeout.seconds < 0 { SignedDuration::MIN } else { SignedDuration::MAX };
            let nanos = SignedDuration::from_nanos(i64::from(timeout.nanos));
            SignedDuration::from_secs(timeout.seconds).checked_add(nanos).unwrap_or(far)
        }),
        retries,
    }
}

/// Takes what was checked, with the fields of a message below `field`.
fn below<T>(wrong: &mut Violations, field: &str, checked: Result<T, Violations>) -> Option<T> {
    match checked {
        Ok(value) => Some(value),
        Err(Violations(violations)) => {
            wrong.0.extend(violations.into_iter().map(|mut violation| {
                violation.field = format!("{field}.{}", violation.field);
                violation
            }));
            None
        }
    }
}
