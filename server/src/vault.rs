//! Seals the values of sensitive parameters, and opens them again.
//!
//! A value is sealed at the door, before anything else sees it, and opened where its run is created. In
//! between stand its digest and its sealed form. Both need the key in [`key`]; the sealed form is bound to
//! its request and to the name of its parameter, so that it opens nowhere else.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use wfe_core::{
    ids::RequestId,
    parameter::{DigestValues, Parameter, SealedValue, ValueDigest},
    request::StartRequest,
    veil::Veil,
};
use zeroize::Zeroizing;

pub mod key;

pub use key::{Fingerprint, KeyError, ParameterKey};

/// Keep the keys that are made from the one key apart from each other.
const DIGEST: &[u8] = b"kubernaut.ai/wfe parameter digest v1";
const SEAL: &[u8] = b"kubernaut.ai/wfe parameter seal v1";
const FINGERPRINT: &[u8] = b"kubernaut.ai/wfe parameter key fingerprint v1";

/// Seals and opens values.
pub struct Vault {
    digest: hmac::Key,
    seal: LessSafeKey,
    fingerprint: Fingerprint,
    random: SystemRandom,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes to seal a sensitive parameter with")]
pub struct NoRandomness;

/// A sealed value cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the value of the sensitive parameter {name} cannot be opened: it was sealed with another key, or \
     the database was changed"
)]
pub struct CannotOpen {
    /// Its parameter.
    pub name: String,
}

/// The values of sensitive parameters, in clear. Can be neither shown nor written, and is wiped when it is
/// dropped.
#[derive(Clone, Default)]
pub struct Opened(BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Opened {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// What hides these values.
    pub fn veil(&self) -> Veil {
        Veil::over(self.0.values().map(|value| value.as_str()))
    }
}

impl Vault {
    /// A vault with this key.
    pub fn new(key: &ParameterKey) -> Result<Self, KeyError> {
        let secret = Salt::new(HKDF_SHA256, b"kubernaut.ai/wfe").extract(key.bytes());
        let mut fingerprint = [0; 32];
        derive(&secret, FINGERPRINT, &mut fingerprint)?;
        let (mut digest, mut seal) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        derive(&secret, DIGEST, &mut digest)?;
        derive(&secret, SEAL, &mut seal)?;
        let seal = UnboundKey::new(&AES_256_GCM, &*seal).map_err(|_| KeyError::Underivable)?;
        Ok(Self {
            digest: hmac::Key::new(hmac::HMAC_SHA256, &*digest),
            seal: LessSafeKey::new(seal),
            fingerprint: Fingerprint::of(fingerprint),
            random: SystemRandom::new(),
        })
    }

    /// A vault whose key is kept nowhere: what it seals is lost with the process.
    pub fn ephemeral() -> Result<Self, KeyError> {
        Self::new(&ParameterKey::random(&SystemRandom::new())?)
    }

    /// Tells the key of this vault from others.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Seals the value of a parameter of a request.
    pub fn seal(
        &self,
        request: &RequestId,
        name: &str,
        value: &str,
    ) -> Result<SealedValue, NoRandomness> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| NoRandomness)?;
        self.seal_with(nonce, request, name, value)
    }

    /// The same with this nonce, which must not be used twice.
    pub fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        request: &RequestId,
        name: &str,
        value: &str,
    ) -> Result<SealedValue, NoRandomness> {
        let mut bytes = Zeroizing::new(value.as_bytes().to_vec());
        let bound = Aad::from(bound_to(request, name));
        let tag = self
            .seal
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound, &mut bytes)
            .map_err(|_| NoRandomness)?;
        let sealed = STANDARD.encode([&nonce[..], &bytes[..], tag.as_ref()].concat());
        Ok(SealedValue { digest: self.digest(name, value), sealed })
    }

    /// Opens the value of a parameter of a request.
    pub fn open(
        &self,
        request: &RequestId,
        name: &str,
        value: &SealedValue,
    ) -> Result<Zeroizing<String>, CannotOpen> {
        let wrong = || CannotOpen { name: name.to_owned() };
        let bytes = STANDARD.decode(&value.sealed).map_err(|_| wrong())?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let bound = Aad::from(bound_to(request, name));
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.seal.open_in_place(nonce, bound, &mut rest).map_err(|_| wrong())?;
        let text = std::str::from_utf8(opened).map_err(|_| wrong())?;
        let text = Zeroizing::new(text.to_owned());
        // The digest is what people see and what a repetition is compared with: it must be of this value.
        if self.digest(name, &text) == value.digest { Ok(text) } else { Err(wrong()) }
    }

    /// Opens what is sensitive in a request. Also what does not reach its run: nobody may tell that either.
    pub fn open_all(&self, request: &StartRequest) -> Result<Opened, CannotOpen> {
        let mut opened = BTreeMap::new();
        for (name, parameter) in &request.parameters {
            if let Parameter::Sensitive(sealed) = parameter {
                opened.insert(name.clone(), self.open(&request.request_id, name, sealed)?);
            }
        }
        Ok(Opened(opened))
    }
}

impl DigestValues for Vault {
    fn digest(&self, name: &str, value: &str) -> ValueDigest {
        let mut context = hmac::Context::with_key(&self.digest);
        // A name holds no zero byte, so that no other name and value make the same text.
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        ValueDigest(digest)
    }
}

/// Neither a request id nor a name holds a zero byte.
fn bound_to(request: &RequestId, name: &str) -> Vec<u8> {
    [request.as_str().as_bytes(), &[0], name.as_bytes()].concat()
}

fn derive(secret: &Prk, purpose: &[u8], into: &mut [u8; 32]) -> Result<(), KeyError> {
    let derived = secret.expand(&[purpose], HKDF_SHA256).and_then(|key| key.fill(into));
    derived.map_err(|_| KeyError::Underivable)
}

#[cfg(test)]
mod tests;
