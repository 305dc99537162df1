//! Which WorkflowExecutions there are, and which of them somebody follows.
//!
//! Holds whole objects only for those that are followed: the finished ones cost a name and a UID.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kube::core::ObjectMeta;
use tokio::sync::watch;
use wfe_runtime::cluster::Version;

use crate::{
    decide::needs_work,
    object::{Key, Object},
};

/// What a follower sees of its object.
#[derive(Debug, Clone)]
pub enum Sight {
    /// It is this.
    Present(Arc<Object>),
    /// It is gone.
    Gone,
}

/// What a follower has not seen yet, if there is something.
///
/// When an object is forgotten, the last word on it is followed by the end of the channel, which then
/// does not tell any more whether that word was heard.
pub fn news(sight: &mut watch::Receiver<Sight>) -> Option<Sight> {
    let is_new = sight.has_changed().unwrap_or(true);
    is_new.then(|| sight.borrow_and_update().clone())
}

/// Who looks at an object again.
#[derive(Debug)]
pub enum Recall {
    /// A follower that is to be set on it.
    Hire(watch::Receiver<Sight>),
    /// Somebody follows it, and must be done first.
    Followed,
    /// It was not seen, or is gone.
    Unknown,
}

/// All objects that were seen.
#[derive(Debug, Default)]
pub struct Desk {
    entries: HashMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    uid: String,
    version: Version,
    follower: Option<watch::Sender<Sight>>,
}

impl Desk {
    /// An object was created or changed. Answers the sight of it when a follower is to be set on it.
    #[must_use]
    pub fn see(&mut self, object: Object) -> Option<watch::Receiver<Sight>> {
        if let Some(entry) = self.entries.get_mut(&object.key) {
            if object.version <= entry.version {
                return None;
            }
            if entry.uid == object.uid {
                entry.version = object.version;
                if let Some(follower) = &entry.follower {
                    follower.send_replace(Sight::Present(Arc::new(object)));
                    return None;
                }
            } else if let Some(follower) = &entry.follower {
                // Another object by the same name: the one that was followed is gone.
                follower.send_replace(Sight::Gone);
            }
        }
        let (key, uid, version) = (object.key.clone(), object.uid.clone(), object.version);
        let (follower, sight) = if needs_work(&object) {
            let (sender, receiver) = watch::channel(Sight::Present(Arc::new(object)));
            (Some(sender), Some(receiver))
        } else {
            (None, None)
        };
        self.entries.insert(key, Entry { uid, version, follower });
        sight
    }

    /// An object is gone.
    pub fn forget(&mut self, metadata: &ObjectMeta) {
        let key = Key::of(metadata);
        let is_it =
            self.entries.get(&key).is_some_and(|entry| metadata.uid.as_ref() == Some(&entry.uid));
        if is_it {
            self.remove(&key);
        }
    }

    /// These are all objects that exist as of `at`. Answers as [`Desk::see`], for each.
    #[must_use]
    pub fn replace(&mut self, all: Vec<Object>, at: Version) -> Vec<watch::Receiver<Sight>> {
        let listed: HashSet<Key> = all.iter().map(|object| object.key.clone()).collect();
        let gone = |(key, entry): (&Key, &Entry)| {
            (!listed.contains(key) && entry.version <= at).then(|| key.clone())
        };
        let gone: Vec<Key> = self.entries.iter().filter_map(gone).collect();
        for key in gone {
            self.remove(&key);
        }
        all.into_iter().filter_map(|object| self.see(object)).collect()
    }

    /// Whether this object was seen.
    pub fn knows(&self, key: &Key, uid: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.uid == uid)
    }

    /// There is news of an object that may be finished. Answers the sight of it for a follower that is
    /// to be set on it.
    #[must_use]
    pub fn recall(&mut self, object: Object) -> Recall {
        match self.entries.get_mut(&object.key) {
            Some(entry) if entry.uid == object.uid => {
                if entry.follower.is_some() {
                    return Recall::Followed;
                }
                entry.version = entry.version.max(object.version);
                let (sender, receiver) = watch::channel(Sight::Present(Arc::new(object)));
                entry.follower = Some(sender);
                Recall::Hire(receiver)
            }
            Some(_) | None => Recall::Unknown,
        }
    }

    /// A follower has nothing more to do. Says no when there was news in the meantime.
    #[must_use]
    pub fn rest(&mut self, key: &Key, uid: &str, sight: &watch::Receiver<Sight>) -> bool {
        if sight.has_changed().unwrap_or(false) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(key)
            && entry.uid == uid
        {
            entry.follower = None;
        }
        true
    }

    fn remove(&mut self, key: &Key) {
        if let Some(Entry { follower: Some(follower), .. }) = self.entries.remove(key) {
            follower.send_replace(Sight::Gone);
        }
    }
}

#[cfg(test)]
mod tests;
