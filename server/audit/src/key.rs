//! Keys that sign checkpoints, and how they are written down. Randomness is an argument.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pem::{EncodeConfig, LineEnding, Pem};
use ring::{
    rand::SecureRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// PKCS#8 of an Ed25519 key in its first version, which every tool reads; the seed follows.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// SPKI of an Ed25519 key; the 32 bytes of the key follow.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not PEM.
    #[error("not a PEM file")]
    Pem(#[source] pem::PemError),
    /// The file holds something else.
    #[error("a {wanted} in PEM is needed, this is a {found}")]
    Label {
        /// What is needed.
        wanted: &'static str,
        /// What the file says that it is.
        found: String,
    },
    /// It is a key of another kind, or damaged.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// The text is not 32 bytes in base64.
    #[error("a public key is 32 bytes in base64")]
    Base64,
    /// There is no randomness to make a key of.
    #[error("no randomness for a new key")]
    Random,
}

/// Names a key: the first 16 hex digits of SHA-256 over the 32 bytes of the public key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyId {
    /// An id as somebody wrote it: a claim, until a key is found that it names.
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that tells whether a signature is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    /// The key of a PEM file with an SPKI `PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = contents(text, PUBLIC)?;
        let raw = der.strip_prefix(&SPKI).ok_or(KeyError::NotEd25519)?;
        raw.try_into().map(Self).map_err(|_| KeyError::NotEd25519)
    }

    /// The key of 32 bytes in base64.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let raw = STANDARD.decode(text).map_err(|_| KeyError::Base64)?;
        raw.try_into().map(Self).map_err(|_| KeyError::Base64)
    }

    /// Its 32 bytes in base64.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// A PEM file with it.
    pub fn to_pem(&self) -> String {
        written(PUBLIC, [SPKI.as_slice(), &self.0].concat())
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        let mut id = hex::encode(Sha256::digest(self.0));
        id.truncate(16);
        KeyId(id)
    }

    /// Whether the private part of this key made `signature`, as it is in base64, over `text`.
    pub fn signed(&self, text: &str, signature: &str) -> Signature {
        let checked = STANDARD.decode(signature).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), &signature).is_ok()
        });
        if checked { Signature::Right } else { Signature::Wrong }
    }
}

/// What came of checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// The key made it, over this text.
    Right,
    /// It did not.
    Wrong,
}

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// A new key, and the PEM file to keep it in.
    pub fn generate(random: &dyn SecureRandom) -> Result<(Self, String), KeyError> {
        let mut seed = [0; 32];
        random.fill(&mut seed).map_err(|_| KeyError::Random)?;
        let der = [PKCS8.as_slice(), &seed].concat();
        Ok((Self::from_der(&der)?, written(PRIVATE, der)))
    }

    /// The key of a PEM file with a PKCS#8 `PRIVATE KEY`, as made by [`Self::generate`] or OpenSSL.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&contents(text, PRIVATE)?)
    }

    /// The key of these 32 secret bytes; for tests alone, which want the same key each time.
    #[cfg(any(test, feature = "test-util"))]
    pub fn of_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        Self::from_der(&[PKCS8.as_slice(), &seed].concat())
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::NotEd25519)?;
        let raw = pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotEd25519)?;
        Ok(Self { pair, public: PublicKey(raw) })
    }

    /// The key that tells whether a signature is of this one.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature over `text`, in base64.
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.pair.sign(text.as_bytes()))
    }
}

fn contents(text: &str, wanted: &'static str) -> Result<Vec<u8>, KeyError> {
    let pem = pem::parse(text).map_err(KeyError::Pem)?;
    if pem.tag() != wanted {
        return Err(KeyError::Label { wanted, found: pem.tag().to_owned() });
    }
    Ok(pem.into_contents())
}

fn written(label: &str, der: Vec<u8>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    /// As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
    const OPENSSL: (&str, &str) = (
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIN4jm25X9V7rqUbrqw9BAfzCRpfOsN9L1GZWACZvvJYH\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA3lp2l2vjZDzIF1InU4um/ylQVrSfnUs/hDluRWmOVKQ=\n-----END PUBLIC KEY-----\n",
    );

    #[test]
    fn a_key_survives_being_written_down() {
        let (key, pem) = SigningKey::generate(&SystemRandom::new()).unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
        let public = key.public();
        assert_eq!(PublicKey::from_pem(&public.to_pem()).unwrap(), public);
        assert_eq!(PublicKey::from_base64(&public.to_base64()).unwrap(), public);
        assert_eq!(public.id().as_str().len(), 16);
    }

    #[test]
    fn keys_of_openssl_are_read_and_written_byte_for_byte() {
        let (private, public) = OPENSSL;
        let key = SigningKey::from_pem(private).unwrap();
        assert_eq!(key.public(), PublicKey::from_pem(public).unwrap());
        assert_eq!(key.public().to_pem(), public);
    }

    #[test]
    fn a_signature_is_of_one_key_over_one_text() {
        let (one, _) = SigningKey::generate(&SystemRandom::new()).unwrap();
        let (other, _) = SigningKey::generate(&SystemRandom::new()).unwrap();
        let signature = one.sign("text");
        assert_eq!(one.public().signed("text", &signature), Signature::Right);
        assert_eq!(one.public().signed("texT", &signature), Signature::Wrong);
        assert_eq!(other.public().signed("text", &signature), Signature::Wrong);
        assert_eq!(one.public().signed("text", "not base64"), Signature::Wrong);
        assert_eq!(one.public().signed("text", ""), Signature::Wrong);
    }

    #[test]
    fn what_is_no_key_says_what_it_is() {
        let (_, public) = OPENSSL;
        let error = SigningKey::from_pem(public).unwrap_err().to_string();
        assert_eq!(error, "a PRIVATE KEY in PEM is needed, this is a PUBLIC KEY");
        assert!(matches!(SigningKey::from_pem("nothing"), Err(KeyError::Pem(_))));
        let short = written(PUBLIC, SPKI.to_vec());
        assert!(matches!(PublicKey::from_pem(&short), Err(KeyError::NotEd25519)));
        assert!(matches!(PublicKey::from_base64("AAAA"), Err(KeyError::Base64)));
    }

    #[test]
    fn a_key_that_is_shown_in_a_log_keeps_its_secret() {
        let (key, _) = SigningKey::generate(&SystemRandom::new()).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id()));
    }
}
