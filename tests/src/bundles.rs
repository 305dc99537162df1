//! Bundles with a known fate, pushed on demand. Pushing the same one twice changes nothing.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

pub use wfe_control_plane::bundle::{
    Fate, PIPELINE, Pushed, RATIONED, Task, Workflow, push, reference,
};
pub use wfe_control_plane::logs::{HOSTILE_STEP, LAST_LINE, SILENT_STEP};

const TAG: &str = "v1";

/// One task that succeeds.
///
/// # Errors
///
/// When the registry does not take it, as for all that follow.
pub async fn succeeds(registry: &str) -> Result<Pushed> {
    one_task(registry, "succeeds", Task::new("only")).await
}

/// The tasks `a`, `b` and `c`, each after the one before.
pub async fn three_tasks_in_order(registry: &str) -> Result<Pushed> {
    let tasks = [Task::new("a"), Task::new("b").run_after("a"), Task::new("c").run_after("b")];
    push(registry, "three-tasks-in-order", TAG, &Workflow::new(tasks)).await
}

/// One task whose step exits 1.
pub async fn step_exits_1(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::Fail { exit_code: 1 });
    one_task(registry, "step-exits-1", task).await
}

/// One task whose step is killed for its memory.
pub async fn oom_killed(registry: &str) -> Result<Pushed> {
    one_task(registry, "oom-killed", Task::new("only").fate(Fate::OutOfMemory)).await
}

/// One task whose container never starts.
pub async fn image_cannot_be_pulled(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::ImageMissing).after(Duration::from_millis(1));
    one_task(registry, "image-cannot-be-pulled", task).await
}

/// One task whose image is tried to be pulled for ever.
pub async fn image_never_comes(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::ImagePulling).after(Duration::from_millis(1));
    one_task(registry, "image-never-comes", task).await
}

/// One task for which no node has room.
pub async fn no_node_has_room(registry: &str) -> Result<Pushed> {
    one_task(registry, "no-node-has-room", Task::new("only").fate(Fate::NoNodeHasRoom)).await
}

/// One task that runs until it is stopped.
pub async fn never_ends(registry: &str) -> Result<Pushed> {
    one_task(registry, "never-ends", Task::new("only").fate(Fate::Hang)).await
}

/// The workflow of this name in the table of what can become of a run; `None` of a bundle that does not exist.
#[must_use]
pub fn of_row(name: &str) -> Option<Workflow> {
    let brief = |name: &str| Task::new(name).after(Duration::from_millis(1));
    let long = |name: &str| Task::new(name).after(Duration::from_secs(3));
    let one = |fate| Workflow::new([Task::new("main").fate(fate)]);
    let failing = |name: &str| Task::new(name).fate(Fate::Fail { exit_code: 1 });
    let hanging = |name: &str| Task::new(name).fate(Fate::Hang);
    let matrix = |name: &str, combinations: u32| {
        let places: Vec<String> = (0..combinations).map(|n| format!("place-{n}")).collect();
        let params = json!([{ "name": "PLACE", "value": places }]);
        brief(name).with(json!({ "matrix": { "params": params } }))
    };
    let in_order = |b: Task, c: Task| [brief("a"), b.run_after("a"), c.run_after("b")];
    Some(match name {
        "succeeds" => one(Fate::Succeed),
        "three-tasks-in-order" => Workflow::new(in_order(Task::new("b"), Task::new("c"))),
        "step-exits-1" => one(Fate::Fail { exit_code: 1 }),
        "oom-killed" => one(Fate::OutOfMemory),
        "image-cannot-be-pulled" => one(Fate::ImageMissing),
        "second-image-missing" => {
            Workflow::new([brief("a"), Task::new("b").run_after("a").fate(Fate::ImageMissing)])
        }
        "evicted" => one(Fate::Evicted),
        "container-config" => one(Fate::ConfigError),
        "needs-a-parameter" => {
            one(Fate::Succeed).declare(json!({ "name": "NEEDED", "type": "string" }))
        }
        "wants-a-list" => {
            let list = json!({ "name": "GIVEN", "type": "array", "default": [] });
            one(Fate::Succeed).declare(list)
        }
        "finally-runs" => {
            Workflow::new([brief("a"), brief("b").run_after("a")]).finally(brief("report"))
        }
        "finally-after-failure" => {
            Workflow::new([failing("a"), brief("b").run_after("a")]).finally(brief("report"))
        }
        "finally-fails" => Workflow::new([brief("a")]).finally(failing("report")),
        "retry-succeeds" => {
            Workflow::new([Task::new("a").fate(Fate::FailFirst).with(json!({ "retries": 2 }))])
        }
        "retries-exhausted" => Workflow::new([failing("a").with(json!({ "retries": 2 }))]),
        "failure-ignored" => Workflow::new([
            failing("a").with(json!({ "onError": "continue" })),
            brief("b").run_after("a"),
        ]),
        "when-skipped" => {
            let never = json!([{ "input": "yes", "operator": "in", "values": ["no"] }]);
            Workflow::new([
                brief("a"),
                brief("b").run_after("a").with(json!({ "when": never })),
                brief("c").run_after("b"),
            ])
        }
        "matrix" => Workflow::new([matrix("a", 3), brief("b").run_after("a")]),
        "matrix-fails" => {
            let fails = matrix("a", 1).fate(Fate::Fail { exit_code: 1 });
            Workflow::new([fails, brief("b").run_after("a")])
        }
        "matrix-never-ends" => {
            let second = matrix("b", 2).run_after("a");
            Workflow::new([matrix("a", 2).fate(Fate::Hang), second])
        }
        "task-timeout" => {
            let late = Task::new("a").fate(Fate::Hang).with(json!({ "timeout": "2s" }));
            Workflow::new([late, brief("b").run_after("a")])
        }
        "never-ends" => one(Fate::Hang),
        "second-never-ends" => {
            Workflow::new([brief("a"), Task::new("b").run_after("a").fate(Fate::Hang)])
        }
        "image-never-comes" => one(Fate::ImagePulling),
        "no-node-has-room" => one(Fate::NoNodeHasRoom),
        "quota-has-no-room" => one(Fate::NoQuota),
        "never-ends-and-finally" => {
            Workflow::new([hanging("a"), brief("b").run_after("a")]).finally(brief("report"))
        }
        "never-ends-and-finally-fails" => Workflow::new([hanging("a")]).finally(failing("report")),
        "waits-and-finally" => {
            let waits = Task::new("a").fate(Fate::ImagePulling);
            Workflow::new([waits]).finally(brief("report"))
        }
        "takes-a-while-and-finally" => {
            Workflow::new([long("a"), brief("b").run_after("a")]).finally(brief("report"))
        }
        "fails-late-and-finally" => {
            let fails = failing("a").after(Duration::from_secs(3));
            Workflow::new([fails, brief("b").run_after("a")]).finally(brief("report"))
        }
        "finally-takes-a-while" => Workflow::new([brief("a")]).finally(long("report")),
        "finally-never-ends" => Workflow::new([hanging("a")]).finally(hanging("report")),
        "never-ends-with-retries" => Workflow::new([hanging("a").with(json!({ "retries": 2 }))]),
        "takes-a-while" => Workflow::new([long("a"), brief("b").run_after("a")]),
        "second-takes-a-while" => Workflow::new(in_order(long("b"), brief("c"))),
        "third-takes-a-while" => Workflow::new(in_order(brief("b"), long("c"))),
        _ => return None,
    })
}

/// The reference of a bundle that nobody ever pushed.
#[must_use]
pub fn missing(registry: &str) -> String {
    reference(registry, "missing", TAG)
}

/// One task whose step exits 1, under a name that chooses what it writes; see [`wfe_control_plane::logs`].
pub async fn fails_with_log_of(registry: &str, step: &str) -> Result<Pushed> {
    let task = Task::new("only").step_named(step).fate(Fate::Fail { exit_code: 1 });
    one_task(registry, &format!("fails-{step}"), task).await
}

/// One task whose pod waits for its volumes for ever.
pub async fn volume_never_comes(registry: &str) -> Result<Pushed> {
    one_task(registry, "volume-never-comes", Task::new("only").fate(Fate::NoVolume)).await
}

async fn one_task(registry: &str, name: &str, task: Task) -> Result<Pushed> {
    push(registry, name, TAG, &Workflow::new([task])).await
}
