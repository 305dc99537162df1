//! What is deleted: runs, TaskRuns and pods, and what becomes of the rest.

use wfe_core::facts::Stopped;

use super::{super::words, Attempt, Due, Moment, Object, TaskRun, World};

/// What becomes of the TaskRuns of a run that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Cascade {
    /// They are deleted with it.
    Background,
    /// They stay, and go on.
    Orphan,
}

impl World {
    /// Deletes a run; with `uid`, only when it has it.
    pub(in super::super) fn delete(
        &mut self,
        name: &str,
        uid: Option<&str>,
        cascade: Cascade,
    ) -> bool {
        let Some(run) = self.runs.get(name) else {
            return false;
        };
        if run.gone || uid.is_some_and(|uid| uid != run.facts.uid) {
            return false;
        }
        let Some(mut run) = self.runs.remove(name) else {
            return false;
        };
        self.touched(Object::Run(name.to_owned()));
        match cascade {
            Cascade::Background => {
                for task_run in run.task_runs {
                    self.owners.remove(&task_run.facts.name);
                    self.touched(Object::TaskRun(task_run.facts.name));
                }
            }
            Cascade::Orphan => {
                // Under a name that no run can have, so that it is in nobody's way.
                let key = format!("{name}/{}", run.facts.uid);
                for task_run in &run.task_runs {
                    self.owners.insert(task_run.facts.name.clone(), key.clone());
                }
                for due in self.due.values_mut() {
                    if let Due::Move(of, uid, _) = due
                        && *uid == run.facts.uid
                    {
                        of.clone_from(&key);
                    }
                }
                run.gone = true;
                self.runs.insert(key, run);
            }
        }
        true
    }

    /// Deletes a TaskRun. Tekton makes it again under the same name while its run goes on.
    pub(in super::super) fn delete_task_run(&mut self, name: &str, now: Moment) -> bool {
        let deleted = self.take_task_run(name).is_some();
        if deleted {
            let run = self.owners.remove(name).unwrap_or_default();
            self.touched(Object::TaskRun(name.to_owned()));
            self.wake_run(&run, now);
        }
        deleted
    }

    fn take_task_run(&mut self, name: &str) -> Option<TaskRun> {
        let task_runs = &mut self.runs.get_mut(self.owners.get(name)?)?.task_runs;
        let place = task_runs.iter().position(|task_run| task_run.facts.name == name)?;
        Some(task_runs.remove(place))
    }

    /// Deletes the pod of a TaskRun. Tekton makes it again, and all steps begin anew; not when the TaskRun
    /// is over or asked to stop.
    pub(in super::super) fn delete_pod_of(&mut self, task_run: &str, now: Moment) -> bool {
        self.sequence += 1;
        let serial = self.sequence;
        let Some(owner) = self.owners.get(task_run).cloned() else {
            return false;
        };
        let Some(found) = self
            .runs
            .get_mut(&owner)
            .and_then(|run| run.task_runs.iter_mut().find(|found| found.facts.name == task_run))
        else {
            return false;
        };
        if found.facts.is_live()
            && found.facts.stopped == Stopped::No
            && !found.facts.steps.is_empty()
        {
            found.serial = serial;
            found.facts.condition = Some(words::task_pending());
            found.facts.steps.clear();
            let meant = Attempt { task: found.task, serial };
            self.touched(Object::TaskRun(task_run.to_owned()));
            self.begin_attempt(&owner, meant, now);
        }
        true
    }

    /// Gives a run the TaskRun that one of the same name left behind, as Tekton does. Answers whether there
    /// was one.
    pub(super) fn adopt(&mut self, run: &str, task_run: &str, task: usize, now: Moment) -> bool {
        let Some(found) = self.take_task_run(task_run) else {
            return false;
        };
        self.sequence += 1;
        let meant = Attempt { task, serial: self.sequence };
        let live = found.facts.is_live() && found.facts.stopped == Stopped::No;
        if let Some(run) = self.runs.get_mut(run) {
            run.task_runs.push(TaskRun { task, serial: meant.serial, ..found });
        }
        self.owners.insert(task_run.to_owned(), run.to_owned());
        self.touched(Object::TaskRun(task_run.to_owned()));
        if live {
            self.begin_attempt(run, meant, now);
        } else {
            self.wake_run(run, now);
        }
        true
    }
}
