use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use proptest::prelude::*;
use wfe_core::{
    execution::PlannedRun,
    ids::{Epoch, RunName},
    request::{Source, StartRequest, WorkflowIdentity},
    workflow::{BundleWorkflow, InlineWorkflow, StepDraft},
};

use super::*;
use crate::{
    testing::{mk_run_request, mk_sealed, vault},
    vault::Opened,
};

fn mk_run(target: &str) -> RunRequest {
    let run = mk_run_request(target, "registry.example/wfe/restart:v1");
    RunRequest {
        run: PlannedRun::new(&run.request.target, Epoch(3), Timestamp::UNIX_EPOCH),
        execution: "0193a2b4-0000-7000-8000-000000000001".parse().unwrap(),
        request: StartRequest { request_id: "request-1".parse().unwrap(), ..run.request },
        ..run
    }
}

fn check(run: &RunRequest, expect: &Expect) {
    let manifest = pipeline_run(run, "kubernaut-workflows");
    expect.assert_eq(&serde_json::to_string_pretty(&manifest).unwrap());
}

#[expect(clippy::too_many_lines, reason = "the whole object is shown")]
#[test]
fn a_request_with_everything() {
    let mut run = mk_run("shop/Deployment/cart");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let request = &mut run.request;
    request.workflow =
        BundleWorkflow::new("registry.example/wfe/restart:v1", &digest, "restart").unwrap().into();
    request.parameters = BTreeMap::from([
        ("REPLICAS".to_owned(), "3".into()),
        ("MESSAGE".to_owned(), "a \"quoted\" $(text)\n".into()),
        ("STRAY".to_owned(), "not declared".into()),
    ]);
    request.declared = Some(BTreeSet::from(["REPLICAS".to_owned(), "MESSAGE".to_owned()]));
    request.service_account = Some("remediator".to_owned());
    request.secrets = vec!["token".to_owned()];
    request.config_maps = vec!["settings".to_owned()];
    request.correlation_id = Some("incident-7".parse().unwrap());
    request.identity = WorkflowIdentity {
        id: "restart deployment/v1".to_owned(),
        name: "Restart a deployment".to_owned(),
        version: "1.2.0".to_owned(),
    };
    request.source = Some(Source {
        namespace: "kubernaut-system".to_owned(),
        name: "we-1".to_owned(),
        uid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
    });
    request.target.cluster = "east.example".parse().unwrap();
    run.run.name = RunName::new(&request.target, Epoch(3));
    run.timeout = Some(Duration::from_millis(5_400_250));
    check(
        &run,
        &expect![[r#"
            {
              "apiVersion": "tekton.dev/v1",
              "kind": "PipelineRun",
              "metadata": {
                "annotations": {
                  "kubernaut.ai/cluster-id": "east.example",
                  "kubernaut.ai/correlation-id": "incident-7",
                  "kubernaut.ai/epoch": "3",
                  "kubernaut.ai/request-id": "request-1",
                  "kubernaut.ai/source-uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                  "kubernaut.ai/target-resource": "shop/Deployment/cart",
                  "kubernaut.ai/workflow-execution": "we-1",
                  "kubernaut.ai/workflow-id": "restart deployment/v1",
                  "kubernaut.ai/workflow-name": "Restart a deployment",
                  "kubernaut.ai/workflow-version": "1.2.0"
                },
                "labels": {
                  "kubernaut.ai/execution-id": "0193a2b4-0000-7000-8000-000000000001",
                  "kubernaut.ai/source-namespace": "kubernaut-system",
                  "kubernaut.ai/target-hash": "348252a3d7092167",
                  "kubernaut.ai/target-resource": "shop__Deployment__cart",
                  "kubernaut.ai/workflow-execution": "we-1",
                  "kubernaut.ai/workflow-id": "restart-deployment__v1"
                },
                "name": "wfe-348252a3d7092167-3",
                "namespace": "kubernaut-workflows"
              },
              "spec": {
                "pipelineRef": {
                  "resolver": "bundles",
                  "params": [
                    {
                      "name": "bundle",
                      "value": "registry.example/wfe/restart:v1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                    },
                    {
                      "name": "name",
                      "value": "restart"
                    },
                    {
                      "name": "kind",
                      "value": "pipeline"
                    }
                  ]
                },
                "params": [
                  {
                    "name": "MESSAGE",
                    "value": "a \"quoted\" $(text)\n"
                  },
                  {
                    "name": "REPLICAS",
                    "value": "3"
                  },
                  {
                    "name": "TARGET_RESOURCE",
                    "value": "shop/Deployment/cart"
                  }
                ],
                "workspaces": [
                  {
                    "name": "secret-token",
                    "secret": {
                      "secretName": "token"
                    }
                  },
                  {
                    "name": "configmap-settings",
                    "configMap": {
                      "name": "settings"
                    }
                  }
                ],
                "taskRunTemplate": {
                  "serviceAccountName": "remediator",
                  "podTemplate": {
                    "securityContext": {
                      "runAsNonRoot": true,
                      "seccompProfile": {
                        "type": "RuntimeDefault"
                      }
                    }
                  }
                },
                "timeouts": {
                  "pipeline": "1h30m0.25s",
                  "tasks": "1h30m0.25s"
                }
              }
            }"#]],
    );
}

#[test]
fn a_request_with_only_what_is_required() {
    check(
        &mk_run("shop/deployment/cart"),
        &expect![[r#"
        {
          "apiVersion": "tekton.dev/v1",
          "kind": "PipelineRun",
          "metadata": {
            "annotations": {
              "kubernaut.ai/epoch": "3",
              "kubernaut.ai/request-id": "request-1",
              "kubernaut.ai/target-resource": "shop/deployment/cart"
            },
            "labels": {
              "kubernaut.ai/execution-id": "0193a2b4-0000-7000-8000-000000000001",
              "kubernaut.ai/target-hash": "fa19a27fab1b6a9b",
              "kubernaut.ai/target-resource": "shop__deployment__cart"
            },
            "name": "wfe-fa19a27fab1b6a9b-3",
            "namespace": "kubernaut-workflows"
          },
          "spec": {
            "pipelineRef": {
              "resolver": "bundles",
              "params": [
                {
                  "name": "bundle",
                  "value": "registry.example/wfe/restart:v1"
                },
                {
                  "name": "name",
                  "value": "workflow"
                },
                {
                  "name": "kind",
                  "value": "pipeline"
                }
              ]
            },
            "params": [
              {
                "name": "TARGET_RESOURCE",
                "value": "shop/deployment/cart"
              }
            ],
            "taskRunTemplate": {
              "podTemplate": {
                "securityContext": {
                  "runAsNonRoot": true,
                  "seccompProfile": {
                    "type": "RuntimeDefault"
                  }
                }
              }
            }
          }
        }"#]],
    );
}

#[test]
fn a_run_born_cancelled_says_so() {
    let mut run = mk_run("pod/x");
    run.birth = Birth::Cancelled;
    assert_eq!(pipeline_run(&run, "n").spec.status.as_deref(), Some("Cancelled"));
}

#[test]
fn a_timeout_is_written_as_go_writes_it_and_neither_zero_nor_more_than_a_pod_may_have() {
    let cases = [
        (0, "1s"),
        (999, "1s"),
        (1_500, "1.5s"),
        (45_000, "45s"),
        (60_000, "1m0s"),
        (90_010, "1m30.01s"),
        (3_600_000, "1h0m0s"),
        (90_000_000, "25h0m0s"),
        (1_431_655_764_000, "397682h9m24s"),
        (1_431_655_765_000, "397682h9m24s"),
        (u64::MAX, "397682h9m24s"),
    ];
    for (millis, text) in cases {
        let mut run = mk_run("pod/x");
        run.timeout = Some(Duration::from_millis(millis));
        let timeouts = pipeline_run(&run, "n").spec.timeouts.unwrap();
        assert_eq!(timeouts.pipeline.as_deref(), Some(text), "{millis} ms");
        assert_eq!(timeouts.tasks, timeouts.pipeline);
    }
}

#[test]
fn the_target_cannot_be_overridden() {
    let mut run = mk_run("pod/x");
    run.request.parameters.insert(TARGET_PARAMETER.to_owned(), "pod/y".into());
    run.request.declared = Some(BTreeSet::from([TARGET_PARAMETER.to_owned()]));
    let params = pipeline_run(&run, "n").spec.params;
    assert_eq!(params, [Param::new(TARGET_PARAMETER, "pod/x")]);
}

/// What Kubernetes asks of a label value.
fn is_label_value(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || "-_.".contains(c))
}

fn target() -> impl Strategy<Value = String> {
    let plain = "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?";
    let long = Just(["a"; 127].join("."));
    prop_oneof![
        (plain, plain).prop_map(|(space, name)| format!("{space}/Deployment/{name}")),
        "[!-$&-.0-~]{1,253}"
            .prop_filter("a path segment", |name| !matches!(name.as_str(), "." | ".."))
            .prop_map(|name| format!("clusterrole/{name}")),
        long.prop_map(|name| format!("node/{name}")),
    ]
}

proptest! {
    #[test]
    fn labels_are_valid_whatever_is_given(
        target in target(),
        id in ".{0,300}",
        name in ".{0,300}",
        namespace in ".{0,80}",
    ) {
        let mut run = mk_run(&target);
        run.request.identity.id = id;
        run.request.source = Some(Source { namespace, name, uid: String::new() });
        let metadata = pipeline_run(&run, "n").metadata;
        for (key, value) in metadata.labels.unwrap() {
            prop_assert!(is_label_value(&value), "{key}: {value:?}");
        }
        let annotations = metadata.annotations.unwrap();
        prop_assert_eq!(&annotations[annotation::TARGET_RESOURCE], &target);
    }

    #[test]
    fn parameters_reach_the_run_unchanged(
        parameters in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,20}", ".{0,60}", 0..20),
    ) {
        let mut run = mk_run("pod/x");
        run.request.parameters =
            parameters.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
        let written = serde_json::to_value(pipeline_run(&run, "n")).unwrap();
        let mut read: BTreeMap<String, String> = written["spec"]["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|param| serde_json::from_value::<Param>(param.clone()).unwrap())
            .map(|param| (param.name, param.value))
            .collect();
        prop_assert_eq!(read.remove(TARGET_PARAMETER), Some("pod/x".to_owned()));
        let mut expected = parameters;
        expected.remove(TARGET_PARAMETER);
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn a_sensitive_parameter_reaches_a_run_as_it_was_given_and_one_that_never_runs_not_at_all() {
    let mut run = mk_run("pod/x");
    let id = run.request.request_id.clone();
    run.request.parameters.insert("TOKEN".to_owned(), mk_sealed(&id, "TOKEN", "hunter2"));
    run.opened = vault().open_all(&run.request).unwrap();
    let value = |run: &RunRequest| {
        let params = pipeline_run(run, "ns").spec.params;
        params.into_iter().find(|param| param.name == "TOKEN").unwrap().value
    };
    assert_eq!(value(&run), "hunter2");
    run.opened = Opened::default();
    assert_eq!(value(&run), run.request.parameters["TOKEN"].shown());
    // What is not declared reaches nothing.
    run.request.declared = Some(BTreeSet::new());
    run.opened = vault().open_all(&run.request).unwrap();
    assert!(!serde_json::to_string(&pipeline_run(&run, "ns")).unwrap().contains("hunter2"));
}

fn mk_steps() -> InlineWorkflow {
    let step = |name: &str, depends_on: &[&str]| StepDraft {
        name: name.to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        script: "echo $(params.REPLICAS)".to_owned(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..StepDraft::default()
    };
    let last = StepDraft {
        command: vec!["kubectl".to_owned(), "version".to_owned()],
        script: String::new(),
        env: [("REGION".to_owned(), "of the step".to_owned())].into(),
        timeout: Some(jiff::SignedDuration::from_secs(90)),
        retries: 2,
        ..step("third", &[])
    };
    InlineWorkflow::new(vec![step("first", &[]), step("second", &["first"]), last], 1).unwrap()
}

#[expect(clippy::too_many_lines, reason = "the whole pipeline is shown")]
#[test]
fn steps_become_a_pipeline_in_their_run() {
    let mut run = mk_run("pod/x");
    run.request.workflow = mk_steps().into();
    run.request.parameters = BTreeMap::from([
        ("REPLICAS".to_owned(), "3".into()),
        ("PRICE".to_owned(), "5$ $(params.REPLICAS)".into()),
        ("REGION".to_owned(), "of the request".into()),
        ("a.b".to_owned(), "no variable".into()),
    ]);
    run.request.secrets = vec!["token".to_owned()];
    let spec = pipeline_run(&run, "ns").spec;
    assert!(spec.pipeline_ref.is_none());
    let written = serde_json::to_string_pretty(&spec.pipeline_spec).unwrap();
    expect![[r#"
        {
          "params": [
            {
              "name": "PRICE"
            },
            {
              "name": "REGION"
            },
            {
              "name": "REPLICAS"
            },
            {
              "name": "a.b"
            },
            {
              "name": "TARGET_RESOURCE"
            }
          ],
          "workspaces": [
            {
              "name": "secret-token"
            }
          ],
          "tasks": [
            {
              "name": "first",
              "workspaces": [
                {
                  "name": "secret-token",
                  "workspace": "secret-token"
                }
              ],
              "taskSpec": {
                "workspaces": [
                  {
                    "name": "secret-token",
                    "readOnly": true
                  }
                ],
                "steps": [
                  {
                    "name": "main",
                    "image": "registry.example/tools/kubectl:1.34",
                    "script": "echo $(params.REPLICAS)",
                    "env": [
                      {
                        "name": "WFE_DOLLAR",
                        "value": "$"
                      },
                      {
                        "name": "PRICE",
                        "value": "5$(WFE_DOLLAR) $(WFE_DOLLAR)(params.REPLICAS)"
                      },
                      {
                        "name": "REGION",
                        "value": "$(params.REGION)"
                      },
                      {
                        "name": "REPLICAS",
                        "value": "$(params.REPLICAS)"
                      },
                      {
                        "name": "TARGET_RESOURCE",
                        "value": "$(params.TARGET_RESOURCE)"
                      }
                    ],
                    "securityContext": {
                      "allowPrivilegeEscalation": false,
                      "capabilities": {
                        "drop": [
                          "ALL"
                        ]
                      },
                      "runAsNonRoot": true,
                      "seccompProfile": {
                        "type": "RuntimeDefault"
                      }
                    }
                  }
                ]
              }
            },
            {
              "name": "second",
              "runAfter": [
                "first"
              ],
              "workspaces": [
                {
                  "name": "secret-token",
                  "workspace": "secret-token"
                }
              ],
              "taskSpec": {
                "workspaces": [
                  {
                    "name": "secret-token",
                    "readOnly": true
                  }
                ],
                "steps": [
                  {
                    "name": "main",
                    "image": "registry.example/tools/kubectl:1.34",
                    "script": "echo $(params.REPLICAS)",
                    "env": [
                      {
                        "name": "WFE_DOLLAR",
                        "value": "$"
                      },
                      {
                        "name": "PRICE",
                        "value": "5$(WFE_DOLLAR) $(WFE_DOLLAR)(params.REPLICAS)"
                      },
                      {
                        "name": "REGION",
                        "value": "$(params.REGION)"
                      },
                      {
                        "name": "REPLICAS",
                        "value": "$(params.REPLICAS)"
                      },
                      {
                        "name": "TARGET_RESOURCE",
                        "value": "$(params.TARGET_RESOURCE)"
                      }
                    ],
                    "securityContext": {
                      "allowPrivilegeEscalation": false,
                      "capabilities": {
                        "drop": [
                          "ALL"
                        ]
                      },
                      "runAsNonRoot": true,
                      "seccompProfile": {
                        "type": "RuntimeDefault"
                      }
                    }
                  }
                ]
              }
            },
            {
              "name": "third",
              "runAfter": [
                "second"
              ],
              "retries": 2,
              "timeout": "1m30s",
              "workspaces": [
                {
                  "name": "secret-token",
                  "workspace": "secret-token"
                }
              ],
              "taskSpec": {
                "workspaces": [
                  {
                    "name": "secret-token",
                    "readOnly": true
                  }
                ],
                "steps": [
                  {
                    "name": "main",
                    "image": "registry.example/tools/kubectl:1.34",
                    "command": [
                      "kubectl",
                      "version"
                    ],
                    "env": [
                      {
                        "name": "WFE_DOLLAR",
                        "value": "$"
                      },
                      {
                        "name": "PRICE",
                        "value": "5$(WFE_DOLLAR) $(WFE_DOLLAR)(params.REPLICAS)"
                      },
                      {
                        "name": "REPLICAS",
                        "value": "$(params.REPLICAS)"
                      },
                      {
                        "name": "TARGET_RESOURCE",
                        "value": "$(params.TARGET_RESOURCE)"
                      },
                      {
                        "name": "REGION",
                        "value": "of the step"
                      }
                    ],
                    "securityContext": {
                      "allowPrivilegeEscalation": false,
                      "capabilities": {
                        "drop": [
                          "ALL"
                        ]
                      },
                      "runAsNonRoot": true,
                      "seccompProfile": {
                        "type": "RuntimeDefault"
                      }
                    }
                  }
                ]
              }
            }
          ]
        }"#]]
    .assert_eq(&written);
}

#[test]
fn a_step_may_not_take_longer_than_its_run() {
    let mut run = mk_run("pod/x");
    run.request.workflow = mk_steps().into();
    for (timeout, expected) in [(None, "1m30s"), (Some(60), "1m0s"), (Some(600), "1m30s")] {
        run.timeout = timeout.map(Duration::from_secs);
        let tasks = pipeline_run(&run, "ns").spec.pipeline_spec.unwrap().tasks;
        assert_eq!(tasks[2].timeout.as_deref(), Some(expected));
        assert_eq!(tasks[0].timeout, None);
    }
}

#[test]
fn a_sensitive_parameter_of_steps_is_in_their_run_and_in_nothing_that_is_printed() {
    let mut run = mk_run("pod/x");
    run.request.workflow = mk_steps().into();
    let id = run.request.request_id.clone();
    for (name, value) in [("TOKEN", "hunter2"), ("CODE", "cash$money")] {
        run.request.parameters.insert(name.to_owned(), mk_sealed(&id, name, value));
    }
    run.request.parameters.insert("REPLICAS".to_owned(), "3".into());
    run.opened = vault().open_all(&run.request).unwrap();
    let made = pipeline_run(&run, "ns");
    let written = serde_json::to_string(&made).unwrap();
    assert!(written.contains("hunter2") && written.contains("cash$(WFE_DOLLAR)money"));
    let printed = format!("{made:?} {run:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("money"), "{printed}");
    // A run that only takes the name has no value in clear.
    run.opened = Opened::default();
    assert!(!serde_json::to_string(&pipeline_run(&run, "ns")).unwrap().contains("hunter2"));
}
