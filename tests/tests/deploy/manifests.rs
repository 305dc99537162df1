//! The API server accepts the manifests, and they fit together.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::process::Command;
use wfe_tests::server::binary;
use wfe_tests::{ControlPlane, Installation};

#[tokio::test]
async fn the_manifests_are_applied_without_a_warning_and_their_pods_are_admitted() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        assert_eq!(installation.warnings(), "");
        for deployment in installation.of_kind("Deployment") {
            dry_run(installation, pod(deployment)).await.context(name(deployment))?;
            // Were it not refused, the namespace would admit anything and the line above show nothing.
            let mut open = pod(deployment);
            open["spec"]["containers"][0]["securityContext"] = json!({});
            let Err(refused) = dry_run(installation, open).await else {
                anyhow::bail!("{} is not restricted", installation.system())
            };
            assert!(refused.to_string().contains("violates PodSecurity"), "{refused}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whatever_selects_pods_selects_those_of_one_deployment_and_finds_its_ports() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let deployments: Vec<&Value> = installation.of_kind("Deployment").collect();
        let mut selectors = Vec::new();
        for object in installation.objects() {
            let spec = &object["spec"];
            let (selector, ports) = match object["kind"].as_str().unwrap_or_default() {
                "Service" => (&spec["selector"], service_ports(spec)),
                "PodDisruptionBudget" | "Deployment" => {
                    (&spec["selector"]["matchLabels"], Vec::new())
                }
                "NetworkPolicy" => (&spec["podSelector"]["matchLabels"], ingress_ports(spec)),
                _ => continue,
            };
            selectors.push((name(object), selector, ports));
        }
        assert_eq!(selectors.len(), 2 + 4 + 2 + 1, "{selectors:?}");
        for (who, selector, ports) in selectors {
            let selected: Vec<&&Value> =
                deployments.iter().filter(|one| selects(selector, one)).collect();
            let [deployment] = selected[..] else { anyhow::bail!("{who} selects {selected:?}") };
            let known = container(deployment)["ports"].as_array().context("ports")?;
            for port in ports {
                assert!(known.iter().any(|known| known["name"] == port), "{who}: {port}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_settings_of_the_server_are_its_own_and_fit_the_rest_of_its_deployment() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let deployment = deployment(installation, "wfe-server")?;
        let settings = settings(deployment, "wfe-server").await?;
        for (setting, port) in
            [("grpc_address", "grpc"), ("health_address", "health"), ("metrics_address", "metrics")]
        {
            listens_for_all(deployment, &settings[setting], port)?;
        }
        assert_eq!(settings["namespace"], installation.workflows());
        let database = settings["database"].as_str().context("a database")?;
        let mounts = container(deployment)["volumeMounts"].as_array().context("mounts")?;
        let mounted = mounts.iter().find(|mount| mount["name"] == "database");
        let directory = mounted.context("the database")?["mountPath"].as_str().context("a path")?;
        assert!(database.starts_with(&format!("{directory}/")), "{database} is not kept");
        // Given once to open calls, and once to work under way.
        grace_is_longer_than(deployment, &settings, 2)
    })
    .await
}

#[tokio::test]
async fn the_settings_of_the_bridge_are_its_own_and_fit_the_rest() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let deployment = deployment(installation, "wfe-bridge")?;
        let settings = settings(deployment, "wfe-bridge").await?;
        for (setting, port) in [
            ("health_address", "health"),
            ("metrics_address", "metrics"),
            ("webhook_address", "webhook"),
        ] {
            listens_for_all(deployment, &settings[setting], port)?;
        }
        the_webhook_is_found(installation, &settings)?;
        let services = installation.of_kind("Service");
        let ports = services.flat_map(|service| {
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            ports.map(move |port| format!("https://{}:{}", name(service), port["port"]))
        });
        let server = settings["server"].as_str().context("a server")?.trim_end_matches('/');
        assert!(ports.into_iter().any(|port| port == server), "{server} is no Service");
        assert_eq!(settings["namespace"], Value::Null, "every namespace is bridged");
        grace_is_longer_than(deployment, &settings, 1)
    })
    .await
}

/// The API server calls the webhook by a name of its certificate, at a path that it answers, and not for the bridge.
fn the_webhook_is_found(installation: &Installation, settings: &Value) -> Result<()> {
    let mut configurations = installation.of_kind("MutatingWebhookConfiguration");
    let configuration = configurations.next().context("a configuration of webhooks")?;
    assert_eq!(settings["webhook_configuration"], configuration["metadata"]["name"]);
    assert_eq!(settings["webhook_secret"], installation.webhook_secret());
    let webhook = &configuration["webhooks"][0];
    let service = &webhook["clientConfig"]["service"];
    let part = |name: &str| service[name].as_str().context("a Service");
    let name = format!("{}.{}.svc", part("name")?, part("namespace")?);
    assert_eq!(settings["webhook_names"], json!([name]));
    let found =
        installation.of_kind("Service").find(|one| one["metadata"]["name"] == service["name"]);
    let found = found.context("the Service of the webhook")?;
    assert_eq!(found["spec"]["ports"][0]["port"], service["port"]);
    assert_eq!(found["metadata"]["namespace"], service["namespace"]);
    let condition = webhook["matchConditions"][0]["expression"].as_str().context("a condition")?;
    assert!(condition.contains(&format!("'{}'", installation.bridge().username())), "{condition}");
    Ok(())
}

/// The settings that a program has with the environment of its Deployment. Every variable must be one of its own.
async fn settings(deployment: &Value, program: &str) -> Result<Value> {
    let program = binary(program)?;
    let environment = container(deployment)["env"].as_array().context("an environment")?;
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?)))
        .collect::<Option<_>>()
        .context("names and values")?;
    let help = Command::new(&program).arg("--help").env_clear().output().await?;
    let help = String::from_utf8(help.stdout)?;
    for (variable, _) in &environment {
        assert!(help.contains(&format!("[env: {variable}=")), "{variable} is no setting:\n{help}");
    }
    let mut printing = Command::new(&program);
    let printed = printing.arg("--print-config").env_clear().envs(environment).output().await?;
    anyhow::ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    Ok(serde_yaml_ng::from_slice(&printed.stdout)?)
}

fn listens_for_all(deployment: &Value, address: &Value, port: &str) -> Result<()> {
    let ports = container(deployment)["ports"].as_array().context("ports")?;
    let port = ports.iter().find(|known| known["name"] == port).context("a port")?;
    assert_eq!(*address, format!("0.0.0.0:{}", port["containerPort"]));
    Ok(())
}

fn grace_is_longer_than(deployment: &Value, settings: &Value, times: u32) -> Result<()> {
    let timeout = settings["shutdown_timeout"].as_str().context("a timeout")?;
    let timeout = timeout.strip_suffix('s').context("seconds")?.parse()?;
    let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    let grace = Duration::from_secs(grace.as_u64().context("a grace period")?);
    assert!(grace > times * Duration::from_secs(timeout), "{grace:?}, {times} x {timeout} s");
    Ok(())
}

fn deployment<'a>(installation: &'a Installation, wanted: &str) -> Result<&'a Value> {
    installation.of_kind("Deployment").find(|one| name(one) == wanted).context("a Deployment")
}

fn pod(deployment: &Value) -> Value {
    let template = deployment["spec"]["template"].clone();
    let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["generateName"] = json!(format!("{}-", name(deployment)));
    pod
}

async fn dry_run(installation: &Installation, pod: Value) -> Result<()> {
    let pods = Api::<Pod>::namespaced(installation.client().clone(), &installation.system());
    let params = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&params, &serde_json::from_value(pod)?).await?;
    Ok(())
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn selects(selector: &Value, deployment: &Value) -> bool {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
    })
}

fn service_ports(spec: &Value) -> Vec<Value> {
    let ports = spec["ports"].as_array().into_iter().flatten();
    ports.map(|port| port["targetPort"].clone()).collect()
}

fn ingress_ports(spec: &Value) -> Vec<Value> {
    let rules = spec["ingress"].as_array().into_iter().flatten();
    let ports = rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten());
    ports.map(|port| port["port"].clone()).collect()
}
