//! A namespace for one test: made with all that a `PipelineRun` needs, described when the test fails, removed after it.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{self, Pod, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::tekton::{condition, pipeline_runs, task_runs};
use crate::wait::{PATIENCE, eventually};

/// The label of every test namespace.
pub const LABEL: &str = "wfe.test/namespace";

/// A namespace that belongs to one test.
#[derive(Clone)]
pub struct Namespace {
    client: Client,
    name: String,
}

impl Namespace {
    /// Runs `test` in a new namespace and removes it. When the test fails or panics, what is in it is printed first.
    ///
    /// # Errors
    ///
    /// What the test answered, or what the API server refused.
    pub async fn with<T>(client: Client, test: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let namespace = Self::create(client).await?;
        let tested = AssertUnwindSafe(test(&namespace)).catch_unwind().await;
        if !matches!(tested, Ok(Ok(_))) {
            eprintln!("{}", namespace.describe().await);
        }
        let closed = namespace.close().await;
        let answer = tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        closed?;
        Ok(answer)
    }

    /// Makes a namespace with a name of its own; returns when its default `ServiceAccount` is there, without which
    /// Tekton cannot make pods. Whoever calls this calls [`Namespace::close`].
    ///
    /// # Errors
    ///
    /// When the API server refuses, or no `ServiceAccount` appears.
    pub async fn create(client: Client) -> Result<Self> {
        let wanted = json!({
            "metadata": { "generateName": "wfe-test-", "labels": { (LABEL): "true" } },
        });
        let namespaces = Api::<v1::Namespace>::all(client.clone());
        let wanted = serde_json::from_value(wanted)?;
        let created = namespaces.create(&PostParams::default(), &wanted).await;
        let name = created.context("create a namespace")?.name_any();
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &name);
        eventually(PATIENCE, "the default ServiceAccount", || accounts.get("default")).await?;
        Ok(Self { client, name })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that it was made with.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its `PipelineRun`s.
    #[must_use]
    pub fn runs(&self) -> Api<DynamicObject> {
        pipeline_runs(&self.client, &self.name)
    }

    /// Its `TaskRun`s.
    #[must_use]
    pub fn tasks(&self) -> Api<DynamicObject> {
        task_runs(&self.client, &self.name)
    }

    /// Its pods.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Asks for its removal; the control plane does the rest by itself. The test may have removed it already.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn close(self) -> Result<()> {
        let namespaces = Api::<v1::Namespace>::all(self.client);
        match namespaces.delete(&self.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }

    /// Everything in it that Tekton made, with what became of it; for people who read why a test failed.
    pub async fn describe(&self) -> String {
        let mut text = format!("in namespace {}:\n", self.name);
        for (kind, api) in [("PipelineRun", self.runs()), ("TaskRun", self.tasks())] {
            match api.list(&ListParams::default()).await {
                Ok(list) => list.iter().for_each(|object| describe_object(&mut text, kind, object)),
                Err(error) => add(&mut text, &format!("{kind}: {error}")),
            }
        }
        match self.pods().list(&ListParams::default()).await {
            Ok(list) => list.iter().for_each(|pod| describe_pod(&mut text, pod)),
            Err(error) => add(&mut text, &format!("Pod: {error}")),
        }
        text
    }
}

fn describe_object(text: &mut String, kind: &str, object: &DynamicObject) {
    let said = condition(object).map_or_else(
        || "no condition yet".to_owned(),
        |said| format!("{} {} {}", said.status, said.reason, said.message),
    );
    add(text, &format!("{kind} {}: {said}", object.name_any()));
}

fn describe_pod(text: &mut String, pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    add(text, &format!("Pod {}: {phase} {}", pod.name_any(), status.message.unwrap_or_default()));
}

fn add(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {line}");
}
