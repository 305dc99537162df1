//! The pipeline of steps that were given in the request: one task for each step, in an order that keeps the
//! wished number at once.
//!
//! A parameter reaches a step as an environment variable with exactly its value. That takes care, because
//! two readers look for `$(…)` on its way: Tekton puts in what it knows, several times over, and the
//! kubelet puts in earlier variables and takes `$$` for `$`. So a value without a dollar sign is put in by
//! Tekton, from the run's parameters; in a value with one, each dollar sign is a reference to a variable
//! that holds it. Neither reader then finds anything of its own.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{Capabilities, SeccompProfile, SecurityContext};
use wfe_core::workflow::{Action, InlineStep, InlineWorkflow, is_variable_name};
use wfe_crds::tekton::{
    EmbeddedPipeline, EmbeddedTask, Named, Param, Step, TaskSpec, Workspace, WorkspaceDeclaration,
    WorkspaceUse,
};

use super::go_duration;
use crate::tekton::STEP;

/// Holds a dollar sign for those who must not see one.
const DOLLAR: &str = "WFE_DOLLAR";

/// The pipeline of `inline` with these parameters and workspaces of the run, which may take `timeout`.
pub(super) fn pipeline(
    inline: &InlineWorkflow,
    params: &[Param],
    workspaces: &[Workspace],
    timeout: Option<Duration>,
) -> EmbeddedPipeline {
    let tasks = inline.steps().iter().zip(inline.run_after()).map(|(step, after)| EmbeddedTask {
        name: step.name.clone(),
        run_after: after.into_iter().map(ToOwned::to_owned).collect(),
        retries: Some(step.retries).filter(|retries| *retries > 0),
        // Tekton refuses a task that may take longer than its run.
        timeout: step.timeout().map(|own| go_duration(timeout.map_or(own, |run| own.min(run)))),
        workspaces: workspaces
            .iter()
            .map(|Workspace { name, .. }| WorkspaceUse {
                name: name.clone(),
                workspace: name.clone(),
            })
            .collect(),
        task_spec: TaskSpec {
            workspaces: workspaces
                .iter()
                .map(|Workspace { name, .. }| WorkspaceDeclaration {
                    name: name.clone(),
                    read_only: true,
                })
                .collect(),
            steps: vec![container(step, params)],
        },
    });
    EmbeddedPipeline {
        params: params.iter().map(|param| Named { name: param.name.clone() }).collect(),
        workspaces: workspaces.iter().map(|all| Named { name: all.name.clone() }).collect(),
        tasks: tasks.collect(),
    }
}

fn container(step: &InlineStep, params: &[Param]) -> Step {
    let (command, script) = match &step.action {
        Action::Command(command) => (command.clone(), None),
        Action::Script(script) => (Vec::new(), Some(script.clone())),
    };
    Step {
        name: STEP.to_owned(),
        image: step.image.clone(),
        command,
        script,
        env: variables(&step.env, params),
        security_context: Some(restricted()),
    }
}

/// The parameters, then the step's own: those win, and may refer to the others.
fn variables(own: &BTreeMap<String, String>, params: &[Param]) -> Vec<Param> {
    let given = |param: &&Param| is_variable_name(&param.name) && !own.contains_key(&param.name);
    let mut variables: Vec<Param> = params.iter().filter(given).map(variable).collect();
    if variables.iter().any(|variable| variable.value.contains(DOLLAR)) {
        variables.insert(0, Param::new(DOLLAR, "$"));
    }
    variables.extend(own.iter().map(|(name, value)| Param::new(name, value)));
    variables
}

fn variable(param: &Param) -> Param {
    let Param { name, value } = param;
    if value.contains('$') {
        return Param::new(name, value.replace('$', &format!("$({DOLLAR})")));
    }
    Param::new(name, format!("$(params.{name})"))
}

/// What the Pod Security Standard "restricted" asks of a container.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}
