//! Signed heads of a log, and the hand-over from one key to the next.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use wfe_core::audit::{Hash, Head, Position, What};

use crate::key::{KeyId, PublicKey, Signature, SigningKey};

/// The newest entry of a log at some time, signed: whoever has it can tell later whether anything
/// up to there was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Id of the log.
    pub log: Hash,
    /// Place of the entry.
    pub sequence: Position,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed.
    #[serde(deserialize_with = "timestamp")]
    pub at: Timestamp,
    /// Which key signed.
    pub key: KeyId,
    /// Signature: base64.
    pub signature: String,
}

impl Checkpoint {
    /// Signs the head of a log.
    pub fn sign(log: Hash, head: Head, at: Timestamp, key: &SigningKey) -> Self {
        let Head { sequence, hash } = head;
        let unsigned =
            Self { log, sequence, hash, at, key: key.public().id(), signature: String::new() };
        Self { signature: key.sign(&unsigned.signed_text()), ..unsigned }
    }

    /// Reads checkpoints that stand one behind the other, as in a file that each was appended to.
    pub fn read_all(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        serde_json::Deserializer::from_str(text).into_iter().collect()
    }

    /// What is signed.
    pub fn signed_text(&self) -> String {
        let Self { log, sequence, hash, at, key: _, signature: _ } = self;
        format!("kubernaut.ai/wfe audit checkpoint v1\n{log}\n{sequence}\n{hash}\n{at}\n")
    }

    /// Whether `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> Signature {
        key.signed(&self.signed_text(), &self.signature)
    }

    /// The entry that it signs.
    pub const fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }
}

/// What the old key says of the new one.
fn rotation_text(log: Hash, to_public: &str) -> String {
    format!("kubernaut.ai/wfe audit key v1\n{log}\n{to_public}\n")
}

/// What goes on record, in the stream of the log itself, when `to` signs from now on instead of `from`.
pub fn rotation(log: Hash, from: &SigningKey, to: &PublicKey) -> What {
    let to_public = to.to_base64();
    What::KeyRotated {
        from: from.public().id().to_string(),
        from_public: from.public().to_base64(),
        to: to.id().to_string(),
        signature: from.sign(&rotation_text(log, &to_public)),
        to_public,
    }
}

/// A hand-over whose parts fit each other: each id names its key, and the old key signed the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Who signed until then.
    pub from: PublicKey,
    /// Who signs from then on.
    pub to: PublicKey,
}

/// Why a record of a hand-over hands nothing over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BadRotation {
    /// A public key in it is none, or has another id.
    #[error("its ids and its public keys do not fit each other")]
    Keys,
    /// The old key did not sign the new one.
    #[error("the old key did not sign the new one")]
    Signature,
}

impl Rotation {
    /// Reads and checks what is on record. `None` when it is no hand-over.
    pub fn read(log: Hash, what: &What) -> Option<Result<Self, BadRotation>> {
        let What::KeyRotated { from, from_public, to, to_public, signature } = what else {
            return None;
        };
        let key = |id: &str, public: &str| {
            let key = PublicKey::from_base64(public).map_err(|_| BadRotation::Keys)?;
            if key.id().as_str() == id { Ok(key) } else { Err(BadRotation::Keys) }
        };
        let checked = || {
            let (from, to) = (key(from, from_public)?, key(to, to_public)?);
            match from.signed(&rotation_text(log, to_public), signature) {
                Signature::Right => Ok(Self { from, to }),
                Signature::Wrong => Err(BadRotation::Signature),
            }
        };
        Some(checked())
    }
}

/// A time in the one spelling that is signed.
pub(crate) fn timestamp<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(input)?;
    match text.parse::<Timestamp>() {
        Ok(time) if time.to_string() == text => Ok(time),
        Ok(_) | Err(_) => {
            Err(D::Error::custom("must be a time in UTC, such as 2026-11-21T10:00:00Z"))
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    fn mk_key() -> SigningKey {
        SigningKey::generate(&SystemRandom::new()).unwrap().0
    }

    fn mk_checkpoint(key: &SigningKey) -> Checkpoint {
        let head = Head { sequence: Position(7), hash: Hash([2; 32]) };
        Checkpoint::sign(Hash([1; 32]), head, "2026-11-21T10:00:00.25Z".parse().unwrap(), key)
    }

    #[test]
    fn a_checkpoint_is_signed_over_all_that_it_says() {
        let key = mk_key();
        let checkpoint = mk_checkpoint(&key);
        assert_eq!(
            checkpoint.signed_text(),
            format!(
                "kubernaut.ai/wfe audit checkpoint v1\n{}\n7\n{}\n2026-11-21T10:00:00.25Z\n",
                "01".repeat(32),
                "02".repeat(32)
            )
        );
        assert_eq!(checkpoint.verify(&key.public()), Signature::Right);
        let later = "2026-11-21T10:00:01Z".parse().unwrap();
        for altered in [
            Checkpoint { log: Hash([3; 32]), ..checkpoint.clone() },
            Checkpoint { sequence: Position(8), ..checkpoint.clone() },
            Checkpoint { hash: Hash([3; 32]), ..checkpoint.clone() },
            Checkpoint { at: later, ..checkpoint.clone() },
        ] {
            assert_eq!(altered.verify(&key.public()), Signature::Wrong, "{altered:?}");
        }
        assert_eq!(checkpoint.verify(&mk_key().public()), Signature::Wrong);
    }

    #[test]
    fn a_checkpoint_reads_back_in_one_spelling_only() {
        let json = serde_json::to_string(&mk_checkpoint(&mk_key())).unwrap();
        assert!(serde_json::from_str::<Checkpoint>(&json).is_ok());
        for (from, to) in
            [("10:00:00.25Z", "10:00:00.250Z"), ("T10", " 10"), ("\"at\"", "\"when\"")]
        {
            let other = json.replace(from, to);
            assert_ne!(other, json);
            assert!(serde_json::from_str::<Checkpoint>(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn checkpoints_are_read_one_behind_the_other() {
        let one = mk_checkpoint(&mk_key());
        let pretty = serde_json::to_string_pretty(&one).unwrap();
        let line = serde_json::to_string(&one).unwrap();
        for (text, count) in [(String::new(), 0), (pretty, 1), (format!("{line}\n{line}\n"), 2)] {
            assert_eq!(Checkpoint::read_all(&text).unwrap(), vec![one.clone(); count]);
        }
        assert!(Checkpoint::read_all(&line[..40]).is_err());
    }

    #[test]
    fn a_hand_over_is_of_the_old_key_in_one_log() {
        let (old, new, log) = (mk_key(), mk_key(), Hash([1; 32]));
        let what = rotation(log, &old, &new.public());
        let fits = Rotation { from: old.public(), to: new.public() };
        assert_eq!(Rotation::read(log, &what), Some(Ok(fits)));
        assert_eq!(Rotation::read(Hash([2; 32]), &what), Some(Err(BadRotation::Signature)));

        let What::KeyRotated { from, from_public, to, to_public, signature } = what else {
            panic!("no hand-over");
        };
        let other = mk_key().public();
        let another = What::KeyRotated {
            from: from.clone(),
            from_public: from_public.clone(),
            to: other.id().to_string(),
            to_public: other.to_base64(),
            signature: signature.clone(),
        };
        assert_eq!(Rotation::read(log, &another), Some(Err(BadRotation::Signature)));
        let misnamed = What::KeyRotated { from: to.clone(), from_public, to, to_public, signature };
        assert_eq!(Rotation::read(log, &misnamed), Some(Err(BadRotation::Keys)));
        assert_eq!(Rotation::read(log, &What::Withdrawn { reason: String::new() }), None);
    }
}
