//! Wakes those who follow an execution, or the log. Carries no data: whoever is woken reads the store.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use wfe_core::ids::{ExecutionId, Revision};

/// One channel for each execution that somebody follows.
#[derive(Debug, Default)]
pub struct Notifier {
    channels: Mutex<HashMap<ExecutionId, watch::Sender<Revision>>>,
    log: watch::Sender<()>,
}

impl Notifier {
    /// Follows an execution. Subscribe first, read the store then, so that nothing falls between.
    pub fn subscribe(&self, id: ExecutionId) -> watch::Receiver<Revision> {
        let mut channels = self.lock();
        // Channels that nobody follows any more go when the map would have to grow, which keeps the
        // cost of a subscription constant on average.
        if channels.len() == channels.capacity() {
            channels.retain(|_, sender| sender.receiver_count() > 0);
        }
        channels.entry(id).or_insert_with(|| watch::Sender::new(Revision::default())).subscribe()
    }

    /// Tells that an execution reached a revision.
    pub fn notify(&self, id: ExecutionId, revision: Revision) {
        let mut channels = self.lock();
        let Some(sender) = channels.get(&id) else { return };
        if sender.receiver_count() == 0 {
            channels.remove(&id);
            return;
        }
        sender.send_if_modified(|newest| {
            let rises = revision > *newest;
            *newest = revision.max(*newest);
            rises
        });
    }

    /// Follows the log. As for an execution: subscribe first, read then.
    pub fn subscribe_log(&self) -> watch::Receiver<()> {
        self.log.subscribe()
    }

    /// Tells that something was put on record.
    pub fn recorded(&self) {
        self.log.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, watch::Sender<Revision>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_follower_is_woken_and_a_late_word_does_not_take_it_back() {
        let (notifier, id) = (Notifier::default(), ExecutionId::new(Uuid::from_u128(1)));
        let mut receiver = notifier.subscribe(id);
        notifier.notify(id, Revision(3));
        notifier.notify(id, Revision(2));
        receiver.changed().await.unwrap();
        assert_eq!(*receiver.borrow_and_update(), Revision(3));
        assert!(!receiver.has_changed().unwrap());
    }

    #[test]
    fn channels_without_followers_do_not_pile_up() {
        let notifier = Notifier::default();
        for n in 0..1000 {
            drop(notifier.subscribe(ExecutionId::new(Uuid::from_u128(n))));
        }
        assert!(notifier.lock().capacity() < 16, "{}", notifier.lock().capacity());
    }
}
