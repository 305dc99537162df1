//! The story of the demo: what is done, what is told about it, and what must come out of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wfe_control_plane::env as variables;

use super::stage::{NAMESPACE, Stage};
use super::workflows::{
    API, Bundle, CACHE, CACHE_AGAIN, DATABASE, EXIT_CODE, FIRST, NODE, Object, SECOND, push_all,
};

/// The story on a stage.
pub(crate) struct Story<'a> {
    stage: &'a Stage,
    bundles: Vec<Bundle>,
}

impl<'a> Story<'a> {
    /// What has to be there first.
    pub(crate) async fn open(stage: &'a Stage, dir: &Path) -> Result<Self> {
        let namespace = ["kubectl", "get", "namespace", NAMESPACE, "--ignore-not-found"];
        let left = stage.silently(&namespace).await?;
        ensure!(
            left.is_empty(),
            "the namespace {NAMESPACE} is left of a demo that was killed; `cargo xtask control-plane down --dir {}` first",
            dir.display()
        );
        chapter(
            "Workflows in a registry, and the service",
            "kube-apiserver, etcd, Tekton and the registry are real; only the containers are pretended.",
        );
        let bundles = push_all(stage.variable(variables::REGISTRY)?).await?;
        for Bundle { reference, does } in &bundles {
            say!("pushed {reference}: {does}");
        }
        say!("$ cd {}", stage.home().display());
        say!("$ export KUBECONFIG=$PWD/kubeconfig");
        let namespace = format!("--namespace={NAMESPACE}");
        stage.run(&["kubectl", "config", "set-context", "--current", &namespace]).await?;
        Ok(Self { stage, bundles })
    }

    /// Tells it to the end, or until something is not as it says.
    pub(crate) async fn tell(&self) -> Result<()> {
        self.success().await?;
        self.failure().await?;
        self.block().await?;
        self.cooldown().await?;
        self.one_at_a_time().await?;
        let cancelled = self.deletion().await?;
        self.record(&cancelled).await
    }

    async fn success(&self) -> Result<()> {
        chapter(
            "1. A workflow runs to its end",
            "A WorkflowExecution asks for it. Its status follows the run while it runs.",
        );
        self.write(&API)?;
        self.stage.run(&["cat", &file(&API)]).await?;
        self.apply(&API).await?;
        let mut under_way = false;
        let columns = "custom-columns=PHASE:.status.phase,\
                       DONE:.status.executionStatus.completedTasks,\
                       OF:.status.executionStatus.totalTasks,\
                       TEKTON:.status.executionStatus.message";
        let watch = ["kubectl", "get", "wfe", API.name, "--watch", "--output", columns];
        self.stage
            .follow(&watch, |line| {
                let words: Vec<&str> = line.split_whitespace().take(3).collect();
                under_way |= matches!(words[..], ["Running", "1" | "2", "3"]);
                matches!(words[..], ["Completed" | "Failed", ..])
            })
            .await?;
        ensure!(under_way, "{} was never seen with a part of its tasks done", API.name);
        self.stage.run(&["kubectl", "get", "wfe"]).await?;
        let status = self.status(&API).await?;
        expect(&API, &status, "phase", "Completed")?;
        let progress = &status["executionStatus"];
        let tasks = (progress["completedTasks"].as_u64(), progress["totalTasks"].as_u64());
        ensure!(tasks == (Some(3), Some(3)), "{} ran {tasks:?} tasks, not 3 of 3", API.name);
        Ok(())
    }

    async fn failure(&self) -> Result<()> {
        chapter(
            "2. A workflow fails",
            "The status says what failed, whether anything may have been changed, and what to do.",
        );
        self.write(&DATABASE)?;
        self.apply(&DATABASE).await?;
        let object = object(&DATABASE);
        let wait = ["--for=jsonpath={.status.phase}=Failed", "--timeout=50s"];
        self.stage.run(&["kubectl", "wait", &object, wait[0], wait[1]]).await?;
        let columns = "custom-columns=REASON:.status.failureDetails.reason,\
                       TASK:.status.failureDetails.failedTaskName,\
                       STEP:.status.failureDetails.failedStepName,\
                       CODE:.status.failureDetails.exitCode,\
                       EXECUTED:.status.failureDetails.wasExecutionFailure";
        self.stage.run(&["kubectl", "get", &object, "--output", columns]).await?;
        let summary = "jsonpath={.status.failureDetails.naturalLanguageSummary}";
        self.stage.run(&["kubectl", "get", &object, "--output", summary]).await?;
        let status = self.status(&DATABASE).await?;
        let details = &status["failureDetails"];
        let reason = details["reason"].as_str();
        ensure!(reason == Some("TaskFailed"), "{object} failed with {reason:?}, not TaskFailed");
        let code = details["exitCode"].as_u64();
        ensure!(code == Some(EXIT_CODE.into()), "the exit code is {code:?}, not {EXIT_CODE}");
        let executed = details["wasExecutionFailure"].as_bool();
        ensure!(executed == Some(true), "wasExecutionFailure is {executed:?}");
        let summary = details["naturalLanguageSummary"].as_str().unwrap_or_default();
        ensure!(!summary.is_empty(), "the failure of {object} has no sentence for a person");
        Ok(())
    }

    async fn block(&self) -> Result<()> {
        chapter(
            "3. A failure blocks its target until a person has looked",
            "A step had started, so something may have been changed. The next one waits and says why.",
        );
        let failed = self.status(&DATABASE).await?;
        let failed = failed["executionID"].as_str().context("no executionID")?;
        self.write(&CACHE)?;
        self.apply(&CACHE).await?;
        let why = self.waits(&CACHE, "PreviousExecutionFailed").await?;
        ensure!(
            why.contains(DATABASE.name) || why.contains(failed),
            "{} does not say that it waits because of {}",
            CACHE.name,
            DATABASE.name
        );
        self.stage.run(&["wfe", "target", DATABASE.target]).await?;
        let clear = ["--execution", failed, "--reason", "looked at it: nothing was migrated"];
        self.stage.run(&[&["wfe", "clear-block", DATABASE.target][..], &clear].concat()).await?;
        self.succeeds(&CACHE).await
    }

    async fn cooldown(&self) -> Result<()> {
        chapter(
            "4. A target rests after a success",
            "The same workflow again waits until the cooldown is over, and then starts by itself.",
        );
        self.write(&CACHE_AGAIN)?;
        self.apply(&CACHE_AGAIN).await?;
        self.waits(&CACHE_AGAIN, "RecentlyRemediated").await?;
        let until = self.status(&CACHE_AGAIN).await?["cooldownUntil"].clone();
        ensure!(until.is_string(), "{} does not know how long it waits", CACHE_AGAIN.name);
        self.succeeds(&CACHE_AGAIN).await
    }

    /// Shows that a WorkflowExecution waits at a gate, which must be so; why it says it does.
    async fn waits(&self, waits: &Object, gate: &str) -> Result<String> {
        let blocked = |object: &Value| condition(object, "Blocked")["status"] == "True";
        let seen = self.stage.until(waits.name, "waits", blocked).await?;
        self.stage.run(&["kubectl", "get", &object(waits)]).await?;
        let why = r#"jsonpath={range .status.conditions[?(@.type=="Blocked")]}{.reason}{": "}{.message}{"\n"}{end}"#;
        let why = self.stage.run(&["kubectl", "get", &object(waits), "--output", why]).await?;
        let reason = condition(&seen, "Blocked")["reason"].as_str();
        ensure!(reason == Some(gate), "{} waits for {reason:?}, not {gate}", waits.name);
        Ok(why)
    }

    async fn succeeds(&self, waits: &Object) -> Result<()> {
        let wait = ["--for=condition=Succeeded", "--timeout=50s"];
        self.stage.run(&["kubectl", "wait", &object(waits), wait[0], wait[1]]).await.map(drop)
    }

    async fn one_at_a_time(&self) -> Result<()> {
        chapter(
            "5. One execution per target",
            "A second WorkflowExecution for the same target waits, says for whom, and then runs.",
        );
        for object in [&FIRST, &SECOND] {
            self.write(object)?;
        }
        self.apply(&FIRST).await?;
        let running = |object: &Value| object["status"]["phase"] == "Running";
        self.stage.until(FIRST.name, "runs", running).await?;
        self.apply(&SECOND).await?;
        let blocked = |object: &Value| condition(object, "Blocked")["status"] == "True";
        let second = self.stage.until(SECOND.name, "waits", blocked).await?;
        let (first_object, second_object) = (object(&FIRST), object(&SECOND));
        self.stage.run(&["kubectl", "get", &first_object, &second_object]).await?;
        let why = r#"jsonpath={.status.conditions[?(@.type=="Blocked")].message}{"\n"}"#;
        let why = self.stage.run(&["kubectl", "get", &second_object, "--output", why]).await?;
        let reason = condition(&second, "Blocked")["reason"].as_str();
        ensure!(reason == Some("ResourceBusy"), "{second_object} waits for {reason:?}");
        ensure!(
            why.contains(FIRST.name),
            "{second_object} does not say that it waits for {}",
            FIRST.name
        );
        let wait = ["--for=condition=Succeeded", "--timeout=50s"];
        self.stage
            .run(&["kubectl", "wait", &first_object, &second_object, wait[0], wait[1]])
            .await?;
        let (first, second) = (self.status(&FIRST).await?, self.status(&SECOND).await?);
        // Times in UTC with whole seconds are in order as texts.
        let (end, start) = (first["completionTime"].as_str(), second["startTime"].as_str());
        ensure!(
            end.is_some() && end <= start,
            "{second_object} began at {start:?}, before the end of {first_object} at {end:?}"
        );
        Ok(())
    }

    /// The id of the execution that was cancelled.
    async fn deletion(&self) -> Result<String> {
        chapter(
            "6. Deleting a WorkflowExecution cancels what runs",
            "The workflow never ends. kubectl returns when nothing of it is alive any more.",
        );
        self.write(&NODE)?;
        self.apply(&NODE).await?;
        let running = |object: &Value| object["status"]["phase"] == "Running";
        let seen = self.stage.until(NODE.name, "runs", running).await?;
        let execution = seen["status"]["executionID"].as_str().context("no executionID")?;
        let run = seen["status"]["executionRef"]["name"].as_str().context("no executionRef")?;
        let pods = format!("--selector=tekton.dev/pipelineRun={run}");
        let run_object = format!("pipelinerun/{run}");
        self.stage.run(&["kubectl", "get", &object(&NODE), &run_object]).await?;
        self.stage.until_pod_runs(&pods).await?;
        self.stage.run(&["kubectl", "get", "pods", &pods]).await?;
        self.stage.run(&["kubectl", "delete", &object(&NODE)]).await?;
        self.stage.run(&["kubectl", "get", &run_object, "--ignore-not-found"]).await?;
        for phase in self.stage.pod_phases(&pods).await? {
            ensure!(phase == "Succeeded" || phase == "Failed", "a pod of {run} is {phase}");
        }
        Ok(execution.to_owned())
    }

    async fn record(&self, cancelled: &str) -> Result<()> {
        chapter(
            "7. Everything is on record",
            "The service remembers what it ran, also when the object is gone. Kubernetes events tell the rest.",
        );
        self.stage.run(&["wfe", "list"]).await?;
        self.stage.run(&["wfe", "events", cancelled]).await?;
        let events =
            self.stage.run(&["kubectl", "events", &format!("--for={}", object(&DATABASE))]).await?;
        ensure!(events.contains("Warning"), "no Kubernetes event warns of {}", DATABASE.name);
        let list = self.stage.look(&["wfe", "list", "--output", "json"]).await?;
        let listed = list["executions"].as_array().context("no executions")?;
        let states: Vec<&str> = listed.iter().filter_map(|one| one["state"].as_str()).collect();
        for (state, expected) in [("SUCCEEDED", 5), ("FAILED", 1), ("CANCELLED", 1)] {
            let count = states.iter().filter(|one| one.ends_with(state)).count();
            ensure!(count == expected, "{count} executions are {state}, not {expected}");
        }
        ensure!(states.len() == 7, "{} executions are listed, not 7", states.len());
        Ok(())
    }

    /// Leaves nothing behind, however far the story came.
    pub(crate) async fn close(&self) -> Result<()> {
        chapter("8. Nothing stays", "The namespace goes, with all that is in it.");
        self.stage.run(&["kubectl", "delete", "namespace", NAMESPACE]).await?;
        Ok(())
    }

    fn write(&self, object: &Object) -> Result<()> {
        let manifest = object.manifest(&self.bundles);
        Ok(fs::write(self.stage.home().join(file(object)), manifest)?)
    }

    async fn apply(&self, object: &Object) -> Result<()> {
        self.stage.run(&["kubectl", "apply", "--filename", &file(object)]).await.map(drop)
    }

    async fn status(&self, object: &Object) -> Result<Value> {
        Ok(self.stage.object(object.name).await?["status"].take())
    }
}

fn chapter(title: &str, what: &str) {
    say!("\n{title}\n{what}\n");
}

fn file(object: &Object) -> String {
    format!("{}.yaml", object.name)
}

fn object(object: &Object) -> String {
    format!("wfe/{}", object.name)
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}

fn expect(object: &Object, status: &Value, field: &str, wanted: &str) -> Result<()> {
    let found = status[field].as_str();
    ensure!(found == Some(wanted), "the {field} of {} is {found:?}, not {wanted}", object.name);
    Ok(())
}
