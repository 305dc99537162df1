use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read_run(value: Value) -> Result<Versioned<RunFacts>, Unreadable> {
    run(serde_json::from_value(value).unwrap())
}

fn read_task_run(value: Value) -> Result<Versioned<TaskRunFacts>, Unreadable> {
    task_run(serde_json::from_value(value).unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mk_metadata() -> Value {
    json!({
        "name": "wfe-0123456789abcdef-1",
        "uid": "u1",
        "resourceVersion": "4711",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {
            "kubernaut.ai/execution-id": "0193a2b4-0000-7000-8000-000000000001",
            "kubernaut.ai/target-hash": "0123456789abcdef",
            "tekton.dev/pipelineRunUID": "r1",
            "tekton.dev/pipelineTask": "a",
        },
        "ownerReferences": [
            {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "r", "uid": "r2"},
        ],
    })
}

#[test]
fn a_new_run_has_an_identity_and_nothing_else() {
    let read = read_run(json!({"metadata": mk_metadata(), "spec": {}})).unwrap();
    assert_eq!(read.version, 4711);
    let facts = read.facts;
    assert_eq!(
        (facts.name.as_str(), facts.uid.as_str(), facts.target_hash.as_deref()),
        ("wfe-0123456789abcdef-1", "u1", Some("0123456789abcdef"))
    );
    assert_eq!(
        facts.execution.map(|id| id.to_string()).as_deref(),
        Some("0193a2b4-0000-7000-8000-000000000001")
    );
    assert_eq!(facts.created_at, at("2026-01-02T03:04:05Z"));
    assert_eq!((&facts.condition, &facts.tasks), (&None, &None));
    assert!(facts.is_live());
}

#[test]
fn a_run_tells_its_condition_tasks_children_and_what_it_skipped() {
    let facts = read_run(json!({"metadata": mk_metadata(), "status": {
        "conditions": [
            {"type": "TrustedResourcesVerified", "status": "False", "reason": "X"},
            {"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "m"},
        ],
        "startTime": "2026-01-02T03:04:06Z",
        "pipelineSpec": {"tasks": [{"name": "a"}, {"name": "b"}], "finally": [{"name": "z"}]},
        "childReferences": [{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "r-a", "pipelineTaskName": "a"}],
        "skippedTasks": [{"name": "b", "reason": "None"}],
    }}))
    .unwrap()
    .facts;
    let condition = facts.condition.clone().unwrap();
    assert_eq!(
        (condition.status, condition.reason.as_str(), condition.message.as_str()),
        (Status::Unknown, "Running", "m")
    );
    assert_eq!(facts.tasks.unwrap(), ["a", "b", "z"]);
    assert_eq!(
        (facts.children[0].name.as_str(), facts.children[0].kind.as_str()),
        ("r-a", "TaskRun")
    );
    assert_eq!(facts.skipped, [Skipped { task: "b".to_owned(), reason: "None".to_owned() }]);
    assert_eq!(facts.started_at, Some(at("2026-01-02T03:04:06Z")));
    assert_eq!(facts.completed_at, None);
}

#[test]
fn a_task_run_tells_its_steps_by_name() {
    let facts = read_task_run(json!({"metadata": mk_metadata(), "status": {"steps": [
        {"name": "one", "container": "step-one", "terminated": {
            "exitCode": 3, "reason": "Error",
            "startedAt": "2026-01-02T03:04:06Z", "finishedAt": "2026-01-02T03:04:07Z",
        }},
        {"container": "step-two", "running": {"startedAt": "2026-01-02T03:04:06Z"}},
        {"container": "other", "waiting": {"reason": "PodInitializing"}},
        {"name": "four", "terminated": {"exitCode": 1, "reason": "TaskRunImagePullFailed", "startedAt": null}},
        {"name": "five"},
    ]}}))
    .unwrap()
    .facts;
    let names: Vec<&str> = facts.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "other", "four", "five"]);
    let ran: Vec<bool> = facts.steps.iter().map(StepFacts::ran).collect();
    assert_eq!(ran, [true, true, false, false, false]);
    assert_eq!(
        facts.steps[0].state,
        ContainerState::Terminated {
            exit_code: 3,
            reason: "Error".to_owned(),
            started_at: Some(at("2026-01-02T03:04:06Z")),
            ended_at: Some(at("2026-01-02T03:04:07Z")),
        }
    );
    assert_eq!((facts.run_uid.as_str(), facts.pipeline_task.as_str()), ("r1", "a"));
}

#[test]
fn earlier_attempts_are_counted_and_whether_one_of_them_ran() {
    let started = json!({"steps": [{"name": "s", "terminated": {
        "exitCode": 1, "startedAt": "2026-01-02T03:04:06Z",
    }}]});
    let not_started = json!({"steps": [{"name": "s", "waiting": {"reason": "ImagePullBackOff"}}]});
    for (attempts, ran) in
        [(json!([started, not_started]), true), (json!([not_started, not_started]), false)]
    {
        let status = json!({"retriesStatus": attempts});
        let facts =
            read_task_run(json!({"metadata": mk_metadata(), "status": status})).unwrap().facts;
        assert_eq!((facts.failed_attempts, facts.earlier_attempt_ran), (2, ran));
    }
}

#[test]
fn a_step_that_waited_when_its_task_run_was_given_up_did_not_start() {
    // As Tekton 1.15 leaves it, with the creation of the TaskRun for a start.
    let given_up = |reason: &str, started_at: &str, image: &str| {
        let step = json!({
            "container": "step-main", "name": "main", "imageID": image, "terminated": {
                "exitCode": 1, "reason": reason,
                "message": "Step main terminated as pod p is terminated",
                "startedAt": started_at, "finishedAt": "2026-01-02T03:04:09Z",
            },
        });
        json!({
            "conditions": [{"type": "Succeeded", "status": "False", "reason": reason}],
            "steps": [step],
        })
    };
    let (created, later) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z");
    for (status, ran) in [
        (given_up("TaskRunImagePullFailed", created, ""), false),
        (given_up("TaskRunCancelled", created, ""), false),
        (given_up("TaskRunCancelled", later, ""), true),
        (given_up("TaskRunCancelled", created, "docker.io/library/busybox@sha256:1"), true),
    ] {
        let read = |status: Value| {
            read_task_run(json!({"metadata": mk_metadata(), "status": status})).unwrap().facts
        };
        assert_eq!(read(status.clone()).ran(), ran, "{status}");
        let retried = read(json!({"retriesStatus": [status]}));
        assert_eq!((retried.failed_attempts, retried.earlier_attempt_ran), (1, ran), "{status}");
    }
    // A step that ended by itself at once did start.
    let mut quick = given_up("StepFailed", created, "");
    quick["steps"][0]["terminated"]["reason"] = json!("Error");
    let facts = read_task_run(json!({"metadata": mk_metadata(), "status": quick})).unwrap().facts;
    assert!(facts.ran());
}

#[test]
fn only_a_task_run_that_was_told_to_stop_is_stopped() {
    let late = "TaskRun cancelled as the PipelineRun it belongs to has timed out.";
    for (wish, stopped) in [
        (json!({}), Stopped::No),
        (json!({"status": "TaskRunCancelled"}), Stopped::Asked),
        (json!({"status": "TaskRunCancelled", "statusMessage": "not any more"}), Stopped::Asked),
        (json!({"status": "TaskRunCancelled", "statusMessage": late}), Stopped::RunTimedOut),
        (json!({"status": "TaskRunPending"}), Stopped::No),
    ] {
        let facts = read_task_run(json!({"metadata": mk_metadata(), "spec": wish})).unwrap().facts;
        assert_eq!(facts.stopped, stopped, "{wish}");
    }
}

#[test]
fn a_task_run_without_labels_is_told_by_its_owner() {
    let mut metadata = mk_metadata();
    metadata["labels"] = Value::Null;
    let facts = read_task_run(json!({"metadata": metadata})).unwrap().facts;
    assert_eq!((facts.run_uid.as_str(), facts.pipeline_task.as_str()), ("r2", ""));
    metadata["ownerReferences"] = json!([]);
    assert!(read_task_run(json!({"metadata": metadata})).is_err());
}

#[test]
fn an_object_without_identity_is_refused_with_what_is_missing() {
    for part in ["name", "uid", "creationTimestamp"] {
        let mut metadata = mk_metadata();
        metadata.as_object_mut().unwrap().remove(part);
        assert!(read_run(json!({"metadata": metadata})).is_err(), "{part}");
        assert!(read_task_run(json!({"metadata": metadata})).is_err(), "{part}");
    }
}

#[test]
fn labels_that_are_not_ours_give_no_execution() {
    let mut metadata = mk_metadata();
    metadata["labels"] = json!({"kubernaut.ai/execution-id": "not-an-id"});
    let facts = read_run(json!({"metadata": metadata})).unwrap().facts;
    assert_eq!((facts.execution, facts.target_hash), (None, None));
}

#[test]
fn a_time_that_is_zero_is_none() {
    let status =
        json!({"startTime": "0001-01-01T00:00:00Z", "completionTime": "1970-01-01T00:00:00Z"});
    let facts = read_run(json!({"metadata": mk_metadata(), "status": status})).unwrap().facts;
    assert_eq!((facts.started_at, facts.completed_at), (None, None));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2026-01-02T03:04:05Z")),
    ];
    let keys = prop::sample::select(vec![
        "conditions",
        "type",
        "status",
        "reason",
        "message",
        "startTime",
        "completionTime",
        "childReferences",
        "name",
        "kind",
        "pipelineTaskName",
        "skippedTasks",
        "pipelineSpec",
        "tasks",
        "finally",
        "steps",
        "container",
        "waiting",
        "running",
        "terminated",
        "exitCode",
        "startedAt",
        "finishedAt",
        "retriesStatus",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keys.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_in_spec_and_status_the_object_is_known(spec in any_json(), status in any_json()) {
        let object = json!({"metadata": mk_metadata(), "spec": spec, "status": status});
        prop_assert_eq!(read_run(object.clone()).unwrap().facts.uid, "u1");
        prop_assert_eq!(read_task_run(object).unwrap().facts.uid, "u1");
    }
}
