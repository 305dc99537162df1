//! Workflows of steps that are given in the request, as Tekton really runs them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, FailureReason, State, start_request};
use wfe_server::clock::{Clock as _, SystemClock};
use wfe_tests::{ControlPlane, Namespace};

use crate::calls::*;

/// The time between the end of what a step waits for and the creation of its TaskRun.
const STEP_CREATED_WITHIN: f64 = 5.0;
/// Ten steps of a diamond, from the call to the end.
const TEN_STEPS_WITHIN: Duration = Duration::from_mins(5);

fn mk_step(name: &str, image: &str, depends_on: &[&str]) -> v1::InlineStep {
    v1::InlineStep {
        name: name.to_owned(),
        image: format!("registry.example/tools/{image}:v1"),
        script: "true".to_owned(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..v1::InlineStep::default()
    }
}

fn mk_inline(steps: Vec<v1::InlineStep>, id: &str) -> v1::StartRequest {
    v1::StartRequest {
        workflow: Some(start_request::Workflow::Inline(v1::InlineWorkflow {
            steps,
            max_parallel: 5,
        })),
        ..mk_start("", id, &format!("default/pod/{id}"))
    }
}

/// When a TaskRun was created, started and ended, in seconds.
struct Times {
    created: f64,
    started: f64,
    ended: f64,
}

fn seconds(object: &DynamicObject, field: &str) -> Result<f64> {
    let text = object.data["status"][field].as_str().with_context(|| format!("no {field}"))?;
    Ok(text.parse::<jiff::Timestamp>()?.as_duration().as_secs_f64())
}

/// The TaskRuns of a namespace by the names of their steps.
async fn task_times(namespace: &Namespace) -> Result<BTreeMap<String, Times>> {
    let tasks = namespace.tasks().list(&ListParams::default()).await?;
    let times = tasks.into_iter().map(|task| {
        let created = task.creation_timestamp().context("no creation")?.0;
        let times = Times {
            created: created.as_duration().as_secs_f64(),
            started: seconds(&task, "startTime")?,
            ended: seconds(&task, "completionTime")?,
        };
        Ok((task.labels()["tekton.dev/pipelineTask"].clone(), times))
    });
    times.collect()
}

#[tokio::test]
async fn a_diamond_of_ten_steps_runs_in_order_and_five_at_once() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |namespace, server| {
        let middle: Vec<String> = (1..=8).map(|n| format!("middle-{n}")).collect();
        let middle: Vec<&str> = middle.iter().map(String::as_str).collect();
        let mut steps = vec![mk_step("first", "kubectl", &[])];
        steps.extend(middle.iter().map(|name| mk_step(name, "takes-2s", &["first"])));
        steps.push(mk_step("last", "kubectl", &middle));
        let mut client = server.client().await?;
        let began = Instant::now();
        let started = start(&mut client, mk_inline(steps, "diamond")).await?;
        let ended = follow(&mut client, &started.id, started.revision).await?;
        let took = began.elapsed();
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}");
        assert!(took < TEN_STEPS_WITHIN, "{took:?}");
        let progress = ended.progress.context("progress")?;
        assert_eq!((progress.total, progress.succeeded), (10, 10));

        let times = task_times(namespace).await?;
        assert_eq!(times.len(), 10);
        for name in &middle {
            ensure!(times[*name].created >= times["first"].ended, "{name} before first");
            ensure!(times["last"].created >= times[*name].ended, "last before {name}");
        }
        let running = |at: f64| {
            times.values().filter(|times| times.started <= at && at < times.ended).count()
        };
        let most = times.values().map(|times| running(times.started)).max();
        assert_eq!(most, Some(5), "at once");

        // What a step waits for is what the run says, lanes included.
        let run = namespace.runs().list(&ListParams::default()).await?.items.remove(0);
        let tasks = run.data["spec"]["pipelineSpec"]["tasks"].as_array().context("tasks")?;
        let mut slowest: f64 = 0.0;
        for task in tasks {
            let after = task["runAfter"].as_array().into_iter().flatten();
            let waited_for = after.filter_map(|name| name.as_str()).map(|name| times[name].ended);
            let ready = waited_for.fold(f64::MIN, f64::max);
            if ready > f64::MIN {
                slowest =
                    slowest.max(times[task["name"].as_str().context("name")?].created - ready);
            }
        }
        println!("ten steps took {took:?}; the slowest step was created after {slowest} s");
        assert!(slowest < STEP_CREATED_WITHIN, "{slowest}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_what_depends_on_it_does_not_run() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |namespace, server| {
        let steps = vec![
            mk_step("look", "kubectl", &[]),
            mk_step("repair", "step-exits-1", &["look"]),
            mk_step("check", "kubectl", &["repair"]),
        ];
        let mut client = server.client().await?;
        let started = start(&mut client, mk_inline(steps, "fails")).await?;
        let ended = follow(&mut client, &started.id, started.revision).await?;
        assert_eq!(ended.state(), State::Failed);
        let failure = ended.failure.context("a failure")?;
        assert_eq!(failure.reason(), FailureReason::TaskFailed);
        assert_eq!((failure.task.as_str(), failure.exit_code), ("repair", Some(1)));
        assert!(failure.was_execution_failure);
        assert!(failure.summary.contains("repair"), "{}", failure.summary);
        let ran: Vec<String> = task_times(namespace).await?.into_keys().collect();
        assert_eq!(ran, ["look", "repair"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn everything_that_is_wrong_with_the_steps_is_in_one_answer_and_nothing_is_stored()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |_, server| {
        let steps = vec![
            mk_step("a", "kubectl", &["b"]),
            mk_step("b", "kubectl", &["a"]),
            mk_step("b", "kubectl", &[]),
            mk_step("c", "kubectl", &["nowhere"]),
            mk_step("Not_A_Name", "kubectl", &[]),
        ];
        let mut client = server.client().await?;
        let refused = client.start(mk_inline(steps, "wrong")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = refused.get_error_details();
        let violations = &details.bad_request().context("a BadRequest")?.field_violations;
        let named: Vec<(&str, bool)> = violations
            .iter()
            .map(|wrong| (wrong.field.as_str(), wrong.description.contains("a -> b -> a")))
            .collect();
        assert_eq!(
            named,
            [
                ("inline.steps[0].depends_on[0]", true),
                ("inline.steps[2].name", false),
                ("inline.steps[3].depends_on[0]", false),
                ("inline.steps[4].name", false),
            ]
        );
        let listed = client.list(v1::ListRequest::default()).await?.into_inner();
        assert!(listed.executions.is_empty());
        Ok(())
    })
    .await
}

/// What a kubelet makes of the variables of a container.
fn expanded(variables: &[EnvVar]) -> HashMap<String, String> {
    let mut known: HashMap<String, String> = HashMap::new();
    for EnvVar { name, value, .. } in variables {
        let mut rest = value.as_deref().unwrap_or_default();
        let mut made = String::new();
        while let Some(at) = rest.find('$') {
            made.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let reference = after
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(')'))
                .and_then(|(name, further)| Some((known.get(name)?, further)));
            rest = if let Some((value, further)) = reference {
                made.push_str(value);
                further
            } else {
                made.push('$');
                after.strip_prefix('$').unwrap_or(after)
            };
        }
        made.push_str(rest);
        known.insert(name.clone(), made);
    }
    known
}

fn step_of(pod: &Pod) -> Result<&Container> {
    let spec = pod.spec.as_ref().context("a spec")?;
    spec.containers.iter().find(|one| one.name == "step-main").context("the container step-main")
}

#[tokio::test]
async fn parameters_reach_a_step_with_exactly_their_values() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |namespace, server| {
        let values = [
            ("PLAIN", "3"),
            ("EMPTY", ""),
            ("DOLLARS", "$ $$ $$$ $(PLAIN) $$(PLAIN) ${PLAIN} `id` $(id)"),
            (
                "TEKTON",
                "$(params.PLAIN) $$(params.PLAIN) $(params[\"PLAIN\"]) $(context.taskRun.name)",
            ),
            ("WORKSPACE", "$(workspaces.secret-token.path) $(context.pipelineRun.name)$"),
            ("LINES", "one\n\ttwo \"three\" 'four' \\ <&> \u{1f980}"),
            ("NAMED", "the step's own wins"),
            ("with-a.dot", "no variable"),
        ];
        let step = v1::InlineStep {
            command: vec!["echo".to_owned(), "$(params.PLAIN)$(params[\"with-a.dot\"])".to_owned()],
            script: String::new(),
            env: [("NAMED", "mine"), ("BUILT", "$(PLAIN)-$(params.PLAIN)-$$(PLAIN)")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..mk_step("only", "kubectl", &[])
        };
        let request = v1::StartRequest {
            parameters: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..mk_inline(vec![step], "values")
        };
        let mut client = server.client().await?;
        let started = start(&mut client, request).await?;
        let ended = follow(&mut client, &started.id, started.revision).await?;
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}");

        let pod = namespace.pods().list(&ListParams::default()).await?.items.remove(0);
        let container = step_of(&pod)?;
        let mut seen = expanded(container.env.as_deref().unwrap_or_default());
        assert_eq!(seen.remove("NAMED").as_deref(), Some("mine"));
        assert_eq!(seen.remove("BUILT").as_deref(), Some("3-3-$(PLAIN)"));
        assert_eq!(seen.remove("TARGET_RESOURCE").as_deref(), Some("default/pod/values"));
        assert_eq!(seen.remove("with-a.dot"), None);
        for (name, value) in &values[..6] {
            assert_eq!(seen.get(*name).map(String::as_str), Some(*value), "{name}");
        }
        let arguments = container.args.as_deref().unwrap_or_default();
        assert!(arguments.contains(&"3no variable".to_owned()), "{arguments:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_step_fits_into_a_restricted_namespace_and_has_its_workspaces_and_times() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |namespace, server| {
        let namespaces =
            Api::<k8s_openapi::api::core::v1::Namespace>::all(namespace.client().clone());
        let enforce = json!({ "metadata": { "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
        } } });
        namespaces
            .patch(namespace.name(), &PatchParams::default(), &Patch::Merge(&enforce))
            .await?;
        let step = v1::InlineStep {
            script: "cat $(workspaces.secret-token.path)/password".to_owned(),
            timeout: Some(prost_types::Duration { seconds: 7200, nanos: 0 }),
            retries: 2,
            ..mk_step("only", "kubectl", &[])
        };
        let deadline = SystemClock.now() + Duration::from_mins(90);
        let request = v1::StartRequest {
            secrets: vec!["token".to_owned()],
            config_maps: vec!["settings".to_owned()],
            deadline: Some(prost_types::Timestamp { seconds: deadline.as_second(), nanos: 0 }),
            ..mk_inline(vec![step], "restricted")
        };
        let mut client = server.client().await?;
        let started = start(&mut client, request).await?;
        let ended = follow(&mut client, &started.id, started.revision).await?;
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}");

        let task = namespace.tasks().list(&ListParams::default()).await?.items.remove(0);
        assert_eq!(task.data["spec"]["retries"], 2);
        let timeout = task.data["spec"]["timeout"].as_str().context("a time-out")?;
        assert!(timeout.starts_with("1h29m"), "{timeout}");
        let pod = namespace.pods().list(&ListParams::default()).await?.items.remove(0);
        let mounts = step_of(&pod)?.volume_mounts.as_deref().unwrap_or_default();
        for path in ["/workspace/secret-token", "/workspace/configmap-settings"] {
            let mount = mounts.iter().find(|mount| mount.mount_path == path);
            assert_eq!(mount.and_then(|mount| mount.read_only), Some(true), "{path}: {mounts:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn steps_are_validated_without_being_run() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let steps = vec![mk_step("a", "kubectl", &[]), mk_step("b", "kubectl", &["a"])];
        let request = v1::StartRequest { validate_only: true, ..mk_inline(steps, "only") };
        let answer = client.start(request).await?.into_inner();
        assert_eq!(answer.outcome(), v1::StartOutcome::Validated);
        let Some(v1::execution::Workflow::Inline(inline)) =
            answer.execution.and_then(|execution| execution.workflow)
        else {
            anyhow::bail!("no steps in the answer");
        };
        assert_eq!(inline.steps.len(), 2);
        assert!(namespace.runs().list(&ListParams::default()).await?.items.is_empty());
        Ok(())
    })
    .await
}
