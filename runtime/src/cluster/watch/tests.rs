use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use wfe_crds::tekton::PipelineRun;

use super::{
    super::testing::{ApiServer, Asked, PATIENCE},
    *,
};

const RUNS: &str = "/apis/tekton.dev/v1/namespaces/n/pipelineruns";
const LABEL: &str = "test/selected";

/// What a mirror shows: the phase of each object by its name, and up to where it is known.
#[derive(Default)]
struct Shown {
    phases: BTreeMap<String, String>,
    position: Option<Version>,
}

struct Recorder {
    shown: Arc<Mutex<Shown>>,
    told: watch::Sender<Vec<String>>,
}

impl Recorder {
    fn tell(&self, name: &str) {
        self.told.send_modify(|told| told.push(name.to_owned()));
    }
}

impl Mirror for Recorder {
    type Kind = PipelineRun;

    fn replace(&self, all: Vec<PipelineRun>, at: Version) {
        let all: BTreeMap<_, _> = all.iter().filter_map(read).collect();
        let mut shown = self.shown.lock().unwrap();
        let before = std::mem::replace(&mut shown.phases, all);
        shown.position = Some(at);
        let names: std::collections::BTreeSet<_> =
            before.into_keys().chain(shown.phases.keys().cloned()).collect();
        drop(shown);
        for name in &names {
            self.tell(name);
        }
    }

    fn apply(&self, object: PipelineRun) {
        let Some((name, phase)) = read(&object) else { return };
        self.shown.lock().unwrap().phases.insert(name.clone(), phase);
        self.tell(&name);
    }

    fn remove(&self, object: &ObjectMeta) {
        let name = object.name.clone().unwrap();
        self.shown.lock().unwrap().phases.remove(&name);
        self.tell(&name);
    }

    fn known_to(&self, at: Version) {
        self.shown.lock().unwrap().position = Some(at);
    }
}

fn read(object: &PipelineRun) -> Option<(String, String)> {
    let phase = object.meta().annotations.as_ref()?.get("phase")?;
    Some((object.meta().name.clone()?, phase.clone()))
}

fn mk_object(name: &str, version: u64, phase: &str) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name, "resourceVersion": version.to_string(),
            "annotations": {"phase": phase},
        },
        "spec": {},
    })
}

fn mk_timing() -> Timing {
    Timing {
        watch: Duration::from_secs(1),
        silence: PATIENCE,
        call: PATIENCE,
        stale: Duration::from_mins(2),
        backoff: (Duration::from_millis(5), Duration::from_millis(20)),
    }
}

/// A watch that looks at a scripted API server.
struct Watching {
    server: ApiServer,
    shown: Arc<Mutex<Shown>>,
    pulse: Arc<Pulse>,
    told: watch::Receiver<Vec<String>>,
    keeping: JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Watching {
    async fn start(timing: Timing) -> Self {
        let server = ApiServer::start().await;
        let (shown, pulse) = (Arc::<Mutex<Shown>>::default(), Arc::new(Pulse::default()));
        let (news, told) = watch::channel(Vec::new());
        let api = Api::<PipelineRun>::namespaced(server.client.clone(), "n");
        let keeping = tokio::spawn({
            let recorder = Recorder { shown: shown.clone(), told: news };
            let pulse = pulse.clone();
            async move { match keep(&api, Some(LABEL), &recorder, &pulse, &timing).await {} }
        });
        Self { server, shown, pulse, told, keeping }
    }

    /// The call for a list, which has to be the next one.
    async fn list(&mut self) -> Asked {
        let asked = self.server.next().await;
        assert_eq!((asked.path.as_str(), asked.param("watch")), (RUNS, None), "{}", asked.query);
        assert_eq!(asked.param("labelSelector"), Some("test%2Fselected"));
        asked
    }

    /// The call for a watch from this version on, which has to be the next one.
    async fn watch(&mut self, from: &str) -> Asked {
        let asked = self.server.next().await;
        assert_eq!(asked.path, RUNS);
        assert_eq!(asked.param("watch"), Some("true"), "{}", asked.query);
        assert_eq!(asked.param("resourceVersion"), Some(from), "{}", asked.query);
        assert_eq!(asked.param("allowWatchBookmarks"), Some("true"));
        assert_eq!(asked.param("labelSelector"), Some("test%2Fselected"));
        asked
    }

    async fn until_told(&mut self, expected: &[&str]) {
        let heard = tokio::time::timeout(PATIENCE, self.told.wait_for(|told| told == expected));
        let heard = heard.await.map(|heard| heard.is_ok());
        assert_eq!(heard, Ok(true), "{:?}", self.told.borrow());
    }

    fn phase(&self, name: &str) -> Option<String> {
        self.shown.lock().unwrap().phases.get(name).cloned()
    }

    fn position(&self) -> Option<Version> {
        self.shown.lock().unwrap().position
    }
}

fn mk_list(objects: &[Value], version: &str, token: &str) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRunList",
        "metadata": {"resourceVersion": version, "continue": token},
        "items": objects,
    })
}

fn mk_event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

fn mk_bookmark(version: &str) -> Value {
    let metadata = json!({"resourceVersion": version, "creationTimestamp": null});
    mk_event(
        "BOOKMARK",
        &json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata}),
    )
}

#[tokio::test]
async fn everything_is_listed_in_pages_and_then_watched() {
    let mut watching = Watching::start(mk_timing()).await;
    watching.list().await.answer(200, &mk_list(&[mk_object("a", 3, "Running")], "10", "more"));
    let second = watching.list().await;
    assert_eq!(second.param("continue"), Some("more"));
    second.answer(200, &mk_list(&[mk_object("b", 4, "Running")], "10", ""));
    let events = watching.watch("10").await.stream();
    assert_eq!(watching.phase("a").as_deref(), Some("Running"));
    assert_eq!(watching.position(), Some(10));
    events.send(mk_event("MODIFIED", &mk_object("a", 11, "Succeeded"))).unwrap();
    events.send(mk_event("ADDED", &mk_object("c", 12, "Running"))).unwrap();
    events.send(mk_event("DELETED", &mk_object("b", 13, "Running"))).unwrap();
    let told = watching.told.clone();
    let after_list = told.borrow().len();
    assert_eq!(after_list, 2);
    tokio::time::timeout(PATIENCE, watching.told.wait_for(|told| told.len() == 5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(watching.told.borrow()[2..], ["a", "c", "b"]);
    assert_eq!(watching.phase("a").as_deref(), Some("Succeeded"));
    assert_eq!(watching.phase("b"), None);
}

#[tokio::test]
async fn a_watch_that_ends_in_time_goes_on_where_it_was() {
    let mut watching = Watching::start(mk_timing()).await;
    watching.list().await.answer(200, &mk_list(&[], "10", ""));
    let events = watching.watch("10").await.stream();
    events.send(mk_bookmark("42")).unwrap();
    // The end comes when most of the time of the watch has passed.
    tokio::time::timeout(PATIENCE, async {
        while watching.pulse.age() < Duration::from_millis(700) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    drop(events);
    let _events = watching.watch("42").await.stream();
}

#[tokio::test]
async fn an_expired_watch_lists_anew_and_tells_of_what_vanished() {
    let gone = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 10 (20)", "reason": "Expired", "code": 410,
    });
    // It may be said in answer to the call or within the watch.
    for within in [false, true] {
        let mut watching = Watching::start(mk_timing()).await;
        let objects = [mk_object("a", 3, "Running"), mk_object("b", 4, "Running")];
        watching.list().await.answer(200, &mk_list(&objects, "10", ""));
        let asked = watching.watch("10").await;
        let _events = if within {
            let events = asked.stream();
            events.send(mk_event("ERROR", &gone)).unwrap();
            Some(events)
        } else {
            asked.answer(410, &gone);
            None
        };
        watching.told.mark_unchanged();
        watching.list().await.answer(200, &mk_list(&[mk_object("b", 4, "Running")], "20", ""));
        let _events = watching.watch("20").await.stream();
        let told = watching.told.borrow()[2..].to_vec();
        assert_eq!(told, ["a", "b"]);
        assert_eq!((watching.phase("a"), watching.phase("b").is_some()), (None, true));
    }
}

#[tokio::test]
async fn a_watch_over_which_nothing_comes_is_given_up_and_taken_up_again() {
    let timing = Timing { silence: Duration::from_secs(1), ..mk_timing() };
    let mut watching = Watching::start(timing).await;
    watching.list().await.answer(200, &mk_list(&[], "10", ""));
    let events = watching.watch("10").await.stream();
    events.send(mk_event("ADDED", &mk_object("a", 17, "Running"))).unwrap();
    watching.until_told(&["a"]).await;
    // The connection stays open and says nothing.
    let _events = watching.watch("17").await.stream();
    // The silent one was dropped, not left behind.
    tokio::time::timeout(PATIENCE, events.closed()).await.unwrap();
}

#[tokio::test]
async fn the_age_grows_while_the_api_server_says_nothing() {
    let mut watching = Watching::start(mk_timing()).await;
    watching.list().await.answer(200, &mk_list(&[], "10", ""));
    let events = watching.watch("10").await.stream();
    let frozen = Duration::from_millis(500);
    tokio::time::timeout(PATIENCE, async {
        while watching.pulse.age() < frozen {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // A bookmark is a sign of life.
    events.send(mk_bookmark("11")).unwrap();
    tokio::time::timeout(PATIENCE, async {
        while watching.pulse.age() >= frozen {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn calls_that_are_not_answered_or_refused_are_made_again() {
    let timing = Timing { call: Duration::from_secs(2), ..mk_timing() };
    let mut watching = Watching::start(timing).await;
    let unanswered = watching.list().await;
    watching.list().await.refuse(503, "ServiceUnavailable", "starting");
    watching.list().await.refuse(403, "Forbidden", "no right to list");
    drop(unanswered);
    let asked = watching.list().await;
    assert!(watching.pulse.is_broken());
    asked.answer(200, &mk_list(&[], "10", ""));
    watching.watch("10").await.refuse(500, "InternalError", "broken");
    let asked = watching.watch("10").await;
    assert!(watching.pulse.is_broken());
    let _events = asked.stream();
    tokio::time::timeout(PATIENCE, async {
        while watching.pulse.is_broken() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(watching.position(), Some(10));
}

#[tokio::test]
async fn after_a_long_time_without_a_sign_of_life_everything_is_listed() {
    let timing =
        Timing { call: Duration::from_secs(2), stale: Duration::from_millis(30), ..mk_timing() };
    let mut watching = Watching::start(timing).await;
    watching.list().await.answer(200, &mk_list(&[], "10", ""));
    // Not answered, for longer than the watches may be deaf.
    let unanswered = watching.watch("10").await;
    watching.list().await.answer(200, &mk_list(&[], "20", ""));
    let _events = watching.watch("20").await.stream();
    drop(unanswered);
}

#[tokio::test]
async fn what_cannot_be_read_is_skipped() {
    let mut watching = Watching::start(mk_timing()).await;
    let nameless = json!({"metadata": {"resourceVersion": "5"}, "spec": 1, "status": "x"});
    let objects = [nameless.clone(), mk_object("a", 4, "Running")];
    watching.list().await.answer(200, &mk_list(&objects, "10", ""));
    let events = watching.watch("10").await.stream();
    events.send(json!({"type": "NONSENSE"})).unwrap();
    events.send(mk_event("ADDED", &nameless)).unwrap();
    let mut odd = mk_object("b", 12, "Running");
    odd["status"]["childReferences"] = json!("not a list");
    odd["status"]["startTime"] = json!(7);
    events.send(mk_event("ADDED", &odd)).unwrap();
    watching.until_told(&["a", "b"]).await;
    assert_eq!(watching.phase("b").as_deref(), Some("Running"));
}
