use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::store::memory::Database;

struct Place {
    directory: tempfile::TempDir,
    database: Database,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), database: Database::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("wfe.parameter-key")
    }

    async fn unlock(&self) -> Result<Vault, KeyError> {
        unlock(&self.path(), &self.database.open()).await
    }
}

#[tokio::test]
async fn the_first_start_makes_a_key_that_its_owner_alone_may_read_and_later_ones_use_it() {
    let place = Place::new();
    let first = place.unlock().await.unwrap();
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(place.path()).unwrap();
    assert_eq!(STANDARD.decode(text.trim()).unwrap().len(), 32);
    let again = place.unlock().await.unwrap();
    assert_eq!(again.fingerprint(), first.fingerprint());
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
    // Nothing else is left there.
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_key_that_is_there_already_becomes_that_of_a_new_database() {
    let place = Place::new();
    fs::write(place.path(), STANDARD.encode([7; 32])).unwrap();
    let vault = place.unlock().await.unwrap();
    assert_eq!(vault.fingerprint(), crate::testing::vault().fingerprint());
}

#[tokio::test]
async fn a_database_that_has_a_key_is_not_opened_without_it_or_with_another() {
    let place = Place::new();
    place.unlock().await.unwrap();
    fs::remove_file(place.path()).unwrap();
    let error = place.unlock().await.unwrap_err();
    assert!(matches!(&error, KeyError::Missing { path } if *path == place.path()), "{error}");
    assert!(error.to_string().contains("put the key file back"), "{error}");
    assert!(!place.path().exists(), "no other key is made");

    fs::write(place.path(), STANDARD.encode([9; 32])).unwrap();
    let error = place.unlock().await.unwrap_err();
    assert!(matches!(&error, KeyError::Wrong { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_refused_and_left_as_it_is() {
    for wrong in ["", "not base64", "c2hvcnQ=", "\u{1}"] {
        let place = Place::new();
        fs::write(place.path(), wrong).unwrap();
        let error = place.unlock().await.unwrap_err();
        assert!(matches!(&error, KeyError::NoKey { .. }), "{wrong}: {error}");
        assert_eq!(fs::read_to_string(place.path()).unwrap(), wrong);
    }
    let place = Place::new();
    fs::write(place.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(place.unlock().await, Err(KeyError::NoKey { .. })));
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert!(matches!(place.unlock().await, Err(KeyError::Unreadable { .. })));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let place = Place::new();
    let path = place.directory.path().join("missing/key");
    let error = unlock(&path, &place.database.open()).await.unwrap_err();
    assert!(
        matches!(&error, KeyError::Unwritable { path: named, .. } if *named == path),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_have_one_key() {
    for _ in 0..20 {
        let place = Place::new();
        let start = || {
            let (path, store) = (place.path(), place.database.open());
            tokio::spawn(async move { unlock(&path, &store).await })
        };
        let started = [start(), start(), start(), start()];
        let mut fingerprints = Vec::new();
        for vault in started {
            fingerprints.push(vault.await.unwrap().unwrap().fingerprint().clone());
        }
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1);
    }
}

#[test]
fn a_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", ParameterKey::new([7; 32])), "ParameterKey");
}
