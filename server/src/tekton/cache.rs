//! What the watches know: the facts of runs and TaskRuns, and the ways to find them.
//!
//! Holds facts only, never whole objects. Knows nothing of connections, and decides nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use wfe_core::facts::{RunFacts, TaskRunFacts};
use wfe_runtime::cluster::Version;

use super::{RunChange, RunSnapshot, Seen};

/// An object with the version in which it was seen.
#[derive(Debug, Clone)]
pub(super) struct Versioned<T> {
    pub(super) facts: T,
    /// 0 when the API server told none: then whatever comes later is newer.
    pub(super) version: Version,
}

/// Facts of runs and TaskRuns. The names are shared by all maps that hold them.
#[derive(Debug, Default)]
pub(super) struct Cache {
    runs: BTreeMap<Arc<str>, Versioned<RunFacts>>,
    runs_by_uid: HashMap<Arc<str>, Arc<str>>,
    runs_by_target: HashMap<Arc<str>, Vec<Arc<str>>>,
    task_runs: BTreeMap<Arc<str>, Versioned<TaskRunFacts>>,
    task_runs_by_run: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Up to where everything about runs is known; `None` before the first list.
    runs_position: Option<Version>,
    task_runs_position: Option<Version>,
    /// UIDs of the runs of whose end of existence a watch told last.
    told_gone: VecDeque<Arc<str>>,
}

/// So many runs that are gone are remembered.
const REMEMBERED: usize = 1000;

impl Cache {
    /// Whether everything that exists is known.
    pub(super) fn is_synced(&self) -> bool {
        self.runs_position.is_some() && self.task_runs_position.is_some()
    }

    pub(super) fn seen(&self, name: &str) -> Seen {
        if !self.is_synced() {
            return Seen::NotSynced;
        }
        self.runs
            .get(name)
            .map_or(Seen::Absent, |run| Seen::Present(Box::new(self.snapshot(&run.facts))))
    }

    fn snapshot(&self, run: &RunFacts) -> RunSnapshot {
        let names = self.task_runs_by_run.get(run.uid.as_str());
        RunSnapshot {
            run: run.clone(),
            task_runs: names
                .into_iter()
                .flatten()
                .filter_map(|name| self.task_runs.get(name))
                .map(|task| task.facts.clone())
                .collect(),
        }
    }

    pub(super) fn runs_of_target(&self, target_hash: &str) -> Option<Vec<RunFacts>> {
        self.is_synced().then(|| {
            self.runs_by_target
                .get(target_hash)
                .into_iter()
                .flatten()
                .filter_map(|name| self.runs.get(name))
                .map(|run| run.facts.clone())
                .collect()
        })
    }

    pub(super) fn ended_runs(&self) -> Vec<RunFacts> {
        self.runs.values().filter(|run| !run.facts.is_live()).map(|run| run.facts.clone()).collect()
    }

    /// Every run, as something to look at again.
    pub(super) fn all(&self) -> Vec<RunChange> {
        self.runs.values().map(|run| change(&run.facts)).collect()
    }

    /// The watch of runs came this far.
    pub(super) fn runs_are_known_to(&mut self, version: Version) {
        self.runs_position = self.runs_position.map(|position| position.max(version));
    }

    /// The watch of TaskRuns came this far.
    pub(super) fn task_runs_are_known_to(&mut self, version: Version) {
        self.task_runs_position = self.task_runs_position.map(|position| position.max(version));
    }

    /// Takes the answer to a create. The watch may be ahead of it: then what the watch said stands,
    /// also when it said that the run is gone.
    pub(super) fn answered(&mut self, run: Versioned<RunFacts>) {
        let behind =
            self.runs_position.is_some_and(|position| run.version <= position && run.version != 0);
        if !behind {
            self.apply_run(run);
        }
    }

    /// Takes a run. Answers it when that changed something.
    pub(super) fn apply_run(&mut self, run: Versioned<RunFacts>) -> Option<RunChange> {
        if let Some(known) = self.runs.get_mut(run.facts.name.as_str()) {
            if is_older(run.version, known.version) {
                return None;
            }
            if known.facts == run.facts {
                known.version = run.version;
                return None;
            }
        }
        let change = change(&run.facts);
        let facts = &run.facts;
        let name: Arc<str> = facts.name.as_str().into();
        self.unlink_run(&name);
        self.runs_by_uid.insert(facts.uid.as_str().into(), name.clone());
        if let Some(hash) = &facts.target_hash {
            link(&mut self.runs_by_target, hash, name.clone());
        }
        self.runs.insert(name, run);
        Some(change)
    }

    /// Takes the word of a watch that a run was gone at `version`. Answers it when it was known.
    pub(super) fn told_that_gone(&mut self, name: &str, version: Version) -> Option<RunChange> {
        let uid = self.runs.get(name).map(|run| Arc::from(run.facts.uid.as_str()));
        let gone = self.remove_run(name, version)?;
        self.told_gone.truncate(REMEMBERED - 1);
        if let Some(uid) = uid {
            self.told_gone.push_front(uid);
        }
        Some(gone)
    }

    /// Whether the watches followed the run with this UID until it was gone. Else it vanished while nobody
    /// looked, or longer ago than is remembered.
    pub(super) fn saw_go(&self, uid: &str) -> bool {
        self.told_gone.iter().any(|gone| **gone == *uid)
    }

    /// Takes that a run was gone at `version`. Answers it when it was known.
    pub(super) fn remove_run(&mut self, name: &str, version: Version) -> Option<RunChange> {
        let known = self.runs.get(name)?;
        if is_older(version, known.version) {
            return None;
        }
        let change = change(&known.facts);
        self.unlink_run(name);
        Some(change)
    }

    /// Takes that the run of this name was not `uid`'s before `version`, when another one is known. Answers
    /// that one: whoever it belonged to has to hear that it is gone.
    pub(super) fn remove_other(
        &mut self,
        name: &str,
        uid: &str,
        version: Version,
    ) -> Option<RunChange> {
        let other = self.runs.get(name).is_some_and(|known| known.facts.uid != uid);
        if other { self.remove_run(name, version) } else { None }
    }

    /// Takes all runs, as they were at `version`. Answers those that vanished.
    pub(super) fn replace_runs(
        &mut self,
        runs: Vec<Versioned<RunFacts>>,
        version: Version,
    ) -> Vec<RunChange> {
        let listed: HashSet<&str> = runs.iter().map(|run| run.facts.name.as_str()).collect();
        if went_back(self.runs_position, version) {
            self.runs.values_mut().for_each(|known| known.version = 0);
        }
        let gone: Vec<Arc<str>> =
            self.runs.keys().filter(|name| !listed.contains(name.as_ref())).cloned().collect();
        // A run whose create was answered after the list stays: the list cannot know it.
        let mut vanished: Vec<RunChange> =
            gone.iter().filter_map(|name| self.remove_run(name, version)).collect();
        for run in runs {
            let RunFacts { name, uid, .. } = &run.facts;
            vanished.extend(self.remove_other(name, uid, run.version));
            self.apply_run(run);
        }
        self.runs_position = Some(version);
        vanished
    }

    fn unlink_run(&mut self, name: &str) {
        let Some(old) = self.runs.remove(name) else {
            return;
        };
        self.runs_by_uid.remove(old.facts.uid.as_str());
        if let Some(hash) = &old.facts.target_hash {
            unlink(&mut self.runs_by_target, hash, name);
        }
    }

    /// Takes a TaskRun. Answers its run when that changed something and the run is known.
    pub(super) fn apply_task_run(&mut self, task: Versioned<TaskRunFacts>) -> Option<RunChange> {
        if let Some(known) = self.task_runs.get_mut(task.facts.name.as_str()) {
            if is_older(task.version, known.version) {
                return None;
            }
            if known.facts == task.facts {
                known.version = task.version;
                return None;
            }
        }
        let name: Arc<str> = task.facts.name.as_str().into();
        self.unlink_task_run(&name);
        link(&mut self.task_runs_by_run, &task.facts.run_uid, name.clone());
        let owner = self.owner(&task.facts.run_uid);
        self.task_runs.insert(name, task);
        owner
    }

    /// Takes that a TaskRun was gone at `version`. Answers its run when both were known.
    pub(super) fn remove_task_run(&mut self, name: &str, version: Version) -> Option<RunChange> {
        let known = self.task_runs.get(name)?;
        if is_older(version, known.version) {
            return None;
        }
        let run_uid = known.facts.run_uid.clone();
        self.unlink_task_run(name);
        self.owner(&run_uid)
    }

    /// Takes all TaskRuns, as they were at `version`.
    pub(super) fn replace_task_runs(
        &mut self,
        tasks: Vec<Versioned<TaskRunFacts>>,
        version: Version,
    ) {
        let listed: HashSet<&str> = tasks.iter().map(|task| task.facts.name.as_str()).collect();
        if went_back(self.task_runs_position, version) {
            self.task_runs.values_mut().for_each(|known| known.version = 0);
        }
        let gone: Vec<Arc<str>> =
            self.task_runs.keys().filter(|name| !listed.contains(name.as_ref())).cloned().collect();
        for name in gone {
            self.remove_task_run(&name, version);
        }
        for task in tasks {
            self.apply_task_run(task);
        }
        self.task_runs_position = Some(version);
    }

    fn unlink_task_run(&mut self, name: &str) {
        if let Some(old) = self.task_runs.remove(name) {
            unlink(&mut self.task_runs_by_run, &old.facts.run_uid, name);
        }
    }

    fn owner(&self, run_uid: &str) -> Option<RunChange> {
        let run = self.runs.get(self.runs_by_uid.get(run_uid)?)?;
        Some(change(&run.facts))
    }
}

/// Whether what was seen in `version` is older than what is known from `known`.
fn is_older(version: Version, known: Version) -> bool {
    version != 0 && version < known
}

/// A list older than what was known: the cluster was restored from a backup, so that versions that
/// were seen before say nothing.
fn went_back(position: Option<Version>, listed: Version) -> bool {
    position.is_some_and(|position| listed < position)
}

fn change(run: &RunFacts) -> RunChange {
    RunChange { execution: run.execution, target_hash: run.target_hash.clone() }
}

fn link(index: &mut HashMap<Arc<str>, Vec<Arc<str>>>, key: &str, name: Arc<str>) {
    match index.get_mut(key) {
        Some(names) => names.push(name),
        None => {
            index.insert(key.into(), vec![name]);
        }
    }
}

fn unlink(index: &mut HashMap<Arc<str>, Vec<Arc<str>>>, key: &str, name: &str) {
    if let Some(names) = index.get_mut(key) {
        names.retain(|known| **known != *name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
