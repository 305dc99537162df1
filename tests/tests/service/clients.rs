//! Clients that are not ours, and our command-line tool, against the real server.

use std::process::Output;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;
use wfe_tests::server::binary;
use wfe_tests::{ControlPlane, ServerProcess, bundles};

use crate::calls::*;

async fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().await?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{command:?}\n{out}{err}");
    Ok(output)
}

async fn grpcurl(server: &ServerProcess, arguments: &[&str]) -> Result<String> {
    let address = server.addresses().grpc.to_string();
    let (options, method) = arguments.split_at(arguments.len() - 1);
    let output =
        run(Command::new("grpcurl").arg("-plaintext").args(options).arg(address).args(method))
            .await?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

const SERVICE: &str = "kubernaut.execution.v1.ExecutionService";

#[tokio::test]
async fn grpcurl_lists_starts_and_watches() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::three_tasks_in_order(plane.registry()).await?.reference;
    with_server(&plane, async |_, server| {
        let listed = grpcurl(server, &["list"]).await?;
        for service in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
            assert!(listed.lines().any(|line| line == service), "{service} not in {listed}");
        }
        let request = serde_json::json!({
            "requestId": "by-hand", "target": "default/deployment/api",
            "bundle": { "reference": bundle },
        })
        .to_string();
        let method = format!("{SERVICE}/Start");
        let answer: Value =
            serde_json::from_str(&grpcurl(server, &["-d", &request, &method]).await?)?;
        let id = answer["execution"]["id"].as_str().context("an id")?.to_owned();

        let watch = serde_json::json!({ "executionId": id }).to_string();
        let method = format!("{SERVICE}/Watch");
        let told = grpcurl(server, &["-d", &watch, &method]).await?;
        let messages: Vec<Value> =
            serde_json::Deserializer::from_str(&told).into_iter().collect::<Result<_, _>>()?;
        assert!(messages[0]["snapshot"].is_object(), "{told}");
        let last = messages.last().context("a last message")?;
        assert_eq!(last["terminal"]["state"], "STATE_SUCCEEDED");

        let health = r#"{"service": "kubernaut.execution.v1.ExecutionService"}"#;
        let health = grpcurl(server, &["-d", health, "grpc.health.v1.Health/Check"]).await?;
        assert!(health.contains("SERVING") && !health.contains("NOT_SERVING"), "{health}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn grpcurl_shows_the_details_of_a_refusal() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_server(&plane, async |_, server| {
        let address = server.addresses().grpc.to_string();
        let method = format!("{SERVICE}/Start");
        let refused =
            run(Command::new("grpcurl").args(["-plaintext", "-d", "{}", &address, &method]))
                .await?;
        let text = String::from_utf8(refused.stderr)?;
        for part in ["InvalidArgument", "INVALID_REQUEST", "execution.kubernaut.ai", "request_id"] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_command_line_tool_follows_to_the_end_and_its_exit_code_tells_it() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let registry = plane.registry();
    let cases = [
        (bundles::succeeds(registry).await?.reference, 0, "SUCCEEDED"),
        (bundles::step_exits_1(registry).await?.reference, 1, "exited with code 1"),
    ];
    with_server(&plane, async |_, server| {
        let address = format!("http://{}", server.addresses().grpc);
        let wfe = binary("wfe")?;
        for (n, (bundle, code, says)) in cases.iter().enumerate() {
            let target = format!("default/pod/p-{n}");
            let started = run(Command::new(&wfe)
                .args(["--server", &address, "start", "--wait"])
                .args(["--bundle", bundle, "--target", &target]))
            .await?;
            assert_eq!(started.status.code(), Some(*code), "{started:?}");
            assert!(String::from_utf8(started.stdout)?.contains(says));
        }
        let listed =
            run(Command::new(&wfe).args(["--server", &address, "list", "-o", "json"])).await?;
        let listed: Value = serde_json::from_slice(&listed.stdout)?;
        assert_eq!(listed["executions"].as_array().map(Vec::len), Some(2));
        Ok(())
    })
    .await
}
