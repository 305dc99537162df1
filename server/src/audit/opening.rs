//! The start: whether database, key and checkpoints fit each other, and which key signs from now on.

use std::{path::PathBuf, sync::Arc};

use wfe_audit::{
    checkpoint::{Checkpoint, rotation},
    key::{KeyId, PublicKey, Signature, SigningKey},
};
use wfe_core::{
    actor::Actor,
    audit::{About, Head, Numbering, Position, Record, Stream},
};
use wfe_runtime::error::chain as in_words;

use super::{
    AuditError, DatabaseFile, Doubt, Outside, Sealer, chain, doubt, keys, status::AuditStatus,
};
use crate::{
    clock::Clock,
    store::{Sealed, Store},
};

/// So many of the newest entries are looked at when a server starts, and all that no checkpoint
/// signs yet.
const LOOKED_AT: u64 = 10_000;

/// More than this is not looked at, signed or not: a start must not take minutes.
const LOOKED_AT_MOST: u64 = 200_000;

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// The key that signs; made when nothing was signed before.
    pub key: PathBuf,
    /// The key that signed until now, when another one shall sign from now on.
    pub previous: Option<PathBuf>,
    /// Id of the key that signed until now, when it is lost for ever.
    pub lost: Option<String>,
}

/// What is opened.
pub struct Opening {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its file.
    pub file: DatabaseFile,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where keys are.
    pub keys: KeySettings,
    /// Where checkpoints are kept outside.
    pub places: Vec<Arc<dyn Outside>>,
    /// What is told of it.
    pub status: AuditStatus,
}

/// What is in the file of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyFile {
    Missing,
    Holds(KeyId),
}

/// Which key signs from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The one in the file.
    Found,
    /// A new one.
    Made,
    /// The one in the file, to which the previous one hands over.
    HandedOver,
    /// A new one, to which the previous one hands over.
    MadeAndHandedOver,
    /// None.
    Refused(Refusal),
}

/// Why no key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Missing,
    Other,
    PreviousMissing,
    PreviousOther,
}

/// Chooses the key. `signer` has signed last; `previous` is what the setting for it leads to.
fn choose(
    key: &KeyFile,
    previous: Option<&KeyFile>,
    lost: Option<&str>,
    signer: Option<&KeyId>,
) -> Choice {
    let Some(signer) = signer else {
        return match key {
            KeyFile::Missing => Choice::Made,
            KeyFile::Holds(_) => Choice::Found,
        };
    };
    let given_up = lost == Some(signer.as_str());
    match (key, previous) {
        (KeyFile::Holds(id), _) if id == signer => Choice::Found,
        (KeyFile::Holds(_), None) if given_up => Choice::Found,
        (KeyFile::Missing, None) if given_up => Choice::Made,
        (KeyFile::Holds(_), None) => Choice::Refused(Refusal::Other),
        (KeyFile::Missing, None) => Choice::Refused(Refusal::Missing),
        (_, Some(KeyFile::Missing)) => Choice::Refused(Refusal::PreviousMissing),
        (_, Some(KeyFile::Holds(id))) if id != signer => Choice::Refused(Refusal::PreviousOther),
        (KeyFile::Holds(_), Some(KeyFile::Holds(_))) => Choice::HandedOver,
        (KeyFile::Missing, Some(KeyFile::Holds(_))) => Choice::MadeAndHandedOver,
    }
}

impl KeyFile {
    fn of(key: Option<&SigningKey>) -> Self {
        key.map_or(Self::Missing, |key| Self::Holds(key.public().id()))
    }
}

/// Where the look at the newest entries begins.
fn first_looked_at(sealed: &Sealed) -> Position {
    let Sealed { log, newest, .. } = sealed;
    let signed = newest.as_ref().map_or(log.base.sequence.0, |newest| newest.sequence.0);
    let head = log.head.sequence.0;
    let wanted = signed.min(head.saturating_sub(LOOKED_AT));
    Position(wanted.max(head.saturating_sub(LOOKED_AT_MOST)).max(log.base.sequence.0))
}

impl Opening {
    /// Opens the log: compares it with what was signed, finds or makes the key, and signs what is
    /// there.
    pub async fn begin(self) -> Result<Sealer, AuditError> {
        let sealed = self.store.sealed(Position(0)).await?;
        let outside = self.compare().await?;
        self.look_at_chain(&sealed).await?;
        let newest = sealed.newest.iter().chain(&outside);
        let last = newest.max_by_key(|checkpoint| checkpoint.sequence).cloned();
        let Chosen { key, from } = self.key(last.as_ref().map(|last| &last.key))?;
        self.check_signatures(&sealed, &outside, &key, from.as_ref())?;
        if let Some(from) = from {
            self.hand_over(&sealed, &from, &key).await?;
        }
        let Self { store, file, clock, places, status, .. } = self;
        Ok(Sealer::begin(store, file, clock, key, places, status, last).await?)
    }

    fn database(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    /// The newest checkpoints outside, each of which the log must have.
    async fn compare(&self) -> Result<Vec<Checkpoint>, AuditError> {
        let mut fitting = Vec::new();
        for place in &self.places {
            let newest = match place.newest().await {
                Ok(newest) => newest,
                Err(error @ super::OutsideError::Call { .. }) => {
                    // It is compared before anything is written there.
                    tracing::warn!(error = in_words(&error), "a checkpoint cannot be compared now");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(newest) = newest else { continue };
            let sealed = self.store.sealed(newest.sequence).await?;
            if let Some(source) = doubt::of_checkpoint(&newest, &sealed.log, sealed.hash) {
                return Err(self.not_the_signed(&**place, source));
            }
            fitting.push(newest);
        }
        Ok(fitting)
    }

    fn not_the_signed(&self, place: &dyn Outside, source: Doubt) -> AuditError {
        let (place, remedy, source) = (place.name(), place.remedy(), Box::new(source));
        AuditError::NotTheSigned { database: self.database(), place, remedy, source }
    }

    fn damaged(&self, doubt: Doubt) -> AuditError {
        AuditError::Damaged { database: self.database(), source: Box::new(doubt) }
    }

    async fn look_at_chain(&self, sealed: &Sealed) -> Result<(), AuditError> {
        let damaged = |doubt| self.damaged(doubt);
        if let Some(newest) = &sealed.newest {
            let of_newest = self.store.sealed(newest.sequence).await?;
            let doubt = doubt::of_checkpoint(newest, &of_newest.log, of_newest.hash);
            doubt.map_or(Ok(()), |doubt| Err(damaged(doubt)))?;
        }
        let begin = first_looked_at(sealed);
        let Some(hash) = self.store.sealed(begin).await?.hash else {
            return Err(damaged(Doubt::Missing(begin)));
        };
        let from = Head { sequence: begin, hash };
        match chain::check(&*self.store, from, sealed.log.head).await? {
            Some(doubt) => Err(damaged(doubt)),
            None => Ok(()),
        }
    }

    /// The key that signs from now on, and the one that hands over to it.
    fn key(&self, signer: Option<&KeyId>) -> Result<Chosen, AuditError> {
        let KeySettings { key: path, previous, lost } = &self.keys;
        let key = keys::read(path)?;
        let ours = key.as_ref().is_some_and(|key| Some(&key.public().id()) == signer);
        // Once it has handed over, the previous key may be put away.
        let previous_path = previous.as_ref().filter(|_| !ours && signer.is_some());
        let previous = previous_path.map(|path| keys::read(path)).transpose()?;
        let previous_file = previous.as_ref().map(|key| KeyFile::of(key.as_ref()));
        let (key_file, lost) = (KeyFile::of(key.as_ref()), lost.as_deref());
        let choice = choose(&key_file, previous_file.as_ref(), lost, signer);
        let from = previous.flatten();
        let found = |key: Option<SigningKey>| match key {
            Some(key) => {
                keys::publish(path, &key.public());
                Ok(key)
            }
            None => keys::make(path),
        };
        match choice {
            Choice::Found | Choice::Made => Ok(Chosen { key: found(key)?, from: None }),
            Choice::HandedOver | Choice::MadeAndHandedOver => Ok(Chosen { key: found(key)?, from }),
            Choice::Refused(refusal) => {
                let unknown = || KeyId::from(String::new());
                let id =
                    |key: Option<SigningKey>| key.map_or_else(unknown, |key| key.public().id());
                let (path, signer) = (path.clone(), signer.cloned().unwrap_or_else(unknown));
                let previous_path = previous_path.cloned().unwrap_or_default();
                Err(match refusal {
                    Refusal::Missing => AuditError::KeyMissing { path, signer },
                    Refusal::Other => AuditError::OtherKey { path, found: id(key), signer },
                    Refusal::PreviousMissing => {
                        AuditError::PreviousMissing { path: previous_path, signer }
                    }
                    Refusal::PreviousOther => {
                        let found = id(from);
                        AuditError::PreviousOther { path: previous_path, found, signer }
                    }
                })
            }
        }
    }

    /// Whether the newest checkpoints are of the keys that they name, where those keys are at hand.
    fn check_signatures(
        &self,
        sealed: &Sealed,
        outside: &[Checkpoint],
        key: &SigningKey,
        from: Option<&SigningKey>,
    ) -> Result<(), AuditError> {
        let known: Vec<PublicKey> =
            std::iter::once(key).chain(from).map(SigningKey::public).collect();
        for checkpoint in sealed.newest.iter().chain(outside) {
            let signer = known.iter().find(|key| key.id() == checkpoint.key);
            if signer.is_some_and(|signer| checkpoint.verify(signer) == Signature::Wrong) {
                return Err(self.damaged(Doubt::Forged(checkpoint.sequence)));
            }
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        sealed: &Sealed,
        from: &SigningKey,
        to: &SigningKey,
    ) -> Result<(), AuditError> {
        let record = Record {
            stream: Stream::log(),
            numbering: Numbering::Next,
            at: self.clock.now(),
            actor: Actor::service(),
            what: rotation(sealed.log.id, from, &to.public()),
            about: About::default(),
        };
        self.store.record(&[record]).await?;
        let (from, to) = (from.public().id(), to.public().id());
        tracing::info!(%from, %to, "the audit key was rotated");
        Ok(())
    }
}

struct Chosen {
    key: SigningKey,
    from: Option<SigningKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_signed_goes_on_and_another_only_when_it_was_handed_over_or_is_given_up() {
        let id = |text: &str| KeyId::from(text.to_owned());
        let (old, new, other) = (id("old"), id("new"), id("other"));
        let holds = |id: &KeyId| KeyFile::Holds(id.clone());
        let refused = Choice::Refused;
        #[rustfmt::skip]
        let table = [
            // key, previous, lost, signer, choice
            (KeyFile::Missing, None, None, None, Choice::Made),
            (holds(&new), None, None, None, Choice::Found),
            (holds(&new), Some(holds(&old)), None, None, Choice::Found),
            (holds(&old), None, None, Some(&old), Choice::Found),
            (holds(&old), Some(KeyFile::Missing), None, Some(&old), Choice::Found),
            (KeyFile::Missing, None, None, Some(&old), refused(Refusal::Missing)),
            (holds(&new), None, None, Some(&old), refused(Refusal::Other)),
            (holds(&new), Some(holds(&old)), None, Some(&old), Choice::HandedOver),
            (KeyFile::Missing, Some(holds(&old)), None, Some(&old), Choice::MadeAndHandedOver),
            (holds(&new), Some(KeyFile::Missing), None, Some(&old), refused(Refusal::PreviousMissing)),
            (KeyFile::Missing, Some(holds(&other)), None, Some(&old), refused(Refusal::PreviousOther)),
            (holds(&new), Some(holds(&other)), None, Some(&old), refused(Refusal::PreviousOther)),
            (holds(&new), None, Some("old"), Some(&old), Choice::Found),
            (KeyFile::Missing, None, Some("old"), Some(&old), Choice::Made),
            (holds(&new), None, Some("other"), Some(&old), refused(Refusal::Other)),
            (holds(&new), Some(holds(&old)), Some("old"), Some(&old), Choice::HandedOver),
        ];
        for (key, previous, lost, signer, choice) in table {
            let case = format!("{key:?} {previous:?} {lost:?} {signer:?}");
            assert_eq!(choose(&key, previous.as_ref(), lost, signer), choice, "{case}");
        }
    }
}
