//! The newest checkpoint in a ConfigMap, with the key that tells whether it is right.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use wfe_audit::{checkpoint::Checkpoint, key::PublicKey};
use wfe_crds::names::SERVER_FIELD_MANAGER;
use wfe_runtime::cluster::call;

use super::{Outside, OutsideError};

/// The checkpoint: JSON.
const CHECKPOINT: &str = "checkpoint.json";
/// The public key: PEM.
const KEY: &str = "public-key.pem";
/// The API server is not asked to write more often.
const PAUSE: Duration = Duration::from_secs(10);

/// A ConfigMap that holds one checkpoint.
pub struct CheckpointMap {
    maps: Api<ConfigMap>,
    namespace: String,
    name: String,
}

impl fmt::Debug for CheckpointMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointMap").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CheckpointMap {
    /// The ConfigMap of this name.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { maps: Api::namespaced(client, &namespace), namespace, name }
    }
}

#[async_trait]
impl Outside for CheckpointMap {
    fn kind(&self) -> &'static str {
        "config_map"
    }

    fn name(&self) -> String {
        format!("the ConfigMap {}/{}", self.namespace, self.name)
    }

    fn remedy(&self) -> &'static str {
        "keep a copy of that ConfigMap as evidence and delete it"
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    async fn newest(&self) -> Result<Option<Checkpoint>, OutsideError> {
        let found = call(self.maps.get_opt(&self.name)).await;
        let found = found.map_err(|source| OutsideError::Call { place: self.name(), source })?;
        let text = found.and_then(|map| map.data).and_then(|mut data| data.remove(CHECKPOINT));
        let unreadable = |source| OutsideError::Unreadable { place: self.name(), source };
        text.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
    }

    async fn keep(&self, checkpoint: &Checkpoint, key: &PublicKey) -> Result<(), OutsideError> {
        let text = serde_json::to_string(checkpoint).map_err(OutsideError::Json)?;
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": self.name, "namespace": self.namespace },
            "data": { CHECKPOINT: text, KEY: key.to_pem() },
        });
        let params = PatchParams::apply(SERVER_FIELD_MANAGER).force();
        let kept = call(self.maps.patch(&self.name, &params, &Patch::Apply(&map))).await;
        kept.map(drop).map_err(|source| OutsideError::Call { place: self.name(), source })
    }
}
