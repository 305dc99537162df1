//! Writes to the API server, as those count them who make or take them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use http::Request;
use kube::Client;
use wfe_tests::BridgeProcess;

/// Writes so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes {
    /// PipelineRuns that were created, as the API server counts the requests: only the service makes such.
    pub(crate) runs: u64,
    /// Of the bridge, by kind, and by outcome when that was not `ok`.
    pub(crate) bridge: BTreeMap<String, u64>,
}

impl Writes {
    /// As they are now.
    pub(crate) async fn now(client: &Client, bridge: &BridgeProcess) -> Result<Self> {
        let of_api_server = client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
        Ok(Self { runs: runs(&of_api_server)?, bridge: of_bridge(&bridge.metrics().await?)? })
    }

    /// Those since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let bridge = self.bridge.iter().map(|(kind, count)| {
            let earlier = before.bridge.get(kind).copied().unwrap_or_default();
            (kind.clone(), count.saturating_sub(earlier))
        });
        Self { runs: self.runs.saturating_sub(before.runs), bridge: bridge.collect() }
    }

    /// All of them.
    pub(crate) fn all(&self) -> u64 {
        self.runs + self.bridge.values().sum::<u64>()
    }
}

fn runs(metrics: &str) -> Result<u64> {
    let wanted = [
        r#"group="tekton.dev""#,
        r#"resource="pipelineruns""#,
        r#"subresource="""#,
        r#"verb="POST""#,
    ];
    samples(metrics, "apiserver_request_total")
        .filter(|(labels, _)| wanted.iter().all(|label| labels.contains(label)))
        .map(|(_, value)| count(value))
        .sum()
}

fn of_bridge(metrics: &str) -> Result<BTreeMap<String, u64>> {
    let mut kinds = BTreeMap::new();
    for (labels, value) in samples(metrics, "wfe_bridge_kubernetes_write_seconds_count") {
        let kind = label(labels, "write").context("a write without a kind")?;
        let kind = match label(labels, "outcome").context("a write without an outcome")? {
            "ok" => kind.to_owned(),
            outcome => format!("{kind} {outcome}"),
        };
        *kinds.entry(kind).or_default() += count(value)?;
    }
    Ok(kinds)
}

/// The samples of a metric: labels and value.
pub(crate) fn samples<'a>(
    metrics: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    metrics.lines().filter_map(move |line| {
        let labels_and_value = line.strip_prefix(name)?.strip_prefix('{')?;
        labels_and_value.rsplit_once("} ")
    })
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = labels.split_once(&format!("{name}=\""))?;
    value.split_once('"').map(|(value, _)| value)
}

/// Counts are written as floating-point numbers when they are large.
fn count(value: &str) -> Result<u64> {
    let value: f64 = value.trim().parse()?;
    Ok(format!("{value:.0}").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_known_by_the_runs_that_were_created() {
        let metrics = r#"
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",group="tekton.dev",resource="pipelineruns",subresource="",verb="POST"} 7
apiserver_request_total{code="409",group="tekton.dev",resource="pipelineruns",subresource="",verb="POST"} 2
apiserver_request_total{code="200",group="tekton.dev",resource="pipelineruns",subresource="",verb="PATCH"} 5
apiserver_request_total{code="201",group="tekton.dev",resource="taskruns",subresource="",verb="POST"} 6
apiserver_request_total_other{group="tekton.dev",resource="pipelineruns",subresource="",verb="POST"} 9
"#;
        assert_eq!(runs(metrics).unwrap(), 9);
    }

    #[test]
    fn writes_of_the_bridge_are_counted_by_kind_and_by_what_went_wrong() {
        let metrics = r#"
wfe_bridge_kubernetes_write_seconds_count{outcome="ok",write="status"} 3
wfe_bridge_kubernetes_write_seconds_count{outcome="conflict",write="status"} 1
wfe_bridge_kubernetes_write_seconds_count{outcome="ok",write="event"} 1.2e+03
wfe_bridge_kubernetes_write_seconds_sum{outcome="ok",write="event"} 0.5
"#;
        let before = Writes { runs: 1, bridge: of_bridge(metrics).unwrap() };
        let kinds = [("status", 3), ("status conflict", 1), ("event", 1_200)];
        let kinds = kinds.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(before.bridge, BTreeMap::from(kinds));
        assert_eq!(before.since(&Writes::default()), before);
        assert_eq!(before.since(&before).all(), 0);
        assert_eq!(before.all(), 1_205);
    }
}
