//! The samples are what the API server takes for a `WorkflowExecution`.

use anyhow::{Context, Result};
use serde_json::Value;
use wfe_tests::installation::deploy;
use wfe_tests::{ControlPlane, Installation};

#[tokio::test]
async fn the_samples_are_accepted_without_a_warning() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let samples = deploy().join("samples");
        let samples = samples.to_str().context("a path")?;
        let namespace = installation.workflows();
        for how in [&["--server-side"][..], &[]] {
            let apply = ["apply", "--dry-run=server", "-n", &namespace, "-f", samples];
            let output = installation.kubectl(&[&apply[..], how].concat()).await?;
            assert_eq!(String::from_utf8(output.stderr)?, "");
            let accepted = String::from_utf8(output.stdout)?;
            assert_eq!(accepted.lines().count(), 3, "{accepted}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_full_sample_has_every_field_of_a_spec() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let definition = installation.of_kind("CustomResourceDefinition").next();
        let version = &definition.context("the definition")?["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let sample = std::fs::read_to_string(deploy().join("samples/full.yaml"))?;
        let sample: Value = serde_yaml_ng::from_str(&sample)?;
        let mut missing = Vec::new();
        missing_fields(schema, &sample["spec"], "spec", &mut missing);
        assert!(schema["properties"].is_object(), "{schema}");
        assert_eq!(missing, Vec::<String>::new());
        Ok(())
    })
    .await
}

fn missing_fields(schema: &Value, sample: &Value, path: &str, missing: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match sample.get(name) {
            Some(sample) => missing_fields(schema, sample, &path, missing),
            None => missing.push(path),
        }
    }
}
