use std::fs;

use super::*;

struct Pair {
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["dns.example.org".to_owned()]).unwrap();
    Pair {
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(pair: &Pair) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(pair);
        folder
    }

    fn write(&self, pair: &Pair) {
        fs::write(self.cert(), &pair.cert).unwrap();
        fs::write(self.key(), &pair.key).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn load(&self) -> Result<(CertificateFiles, CertifiedKey), FileError> {
        CertificateFiles::load(self.cert(), self.key())
    }
}

#[test]
fn says_what_is_wrong_with_files() {
    let (first, second) = (pair(), pair());
    let folder = Folder::with(&first);
    assert!(folder.load().is_ok());
    fs::write(folder.key(), &second.key).unwrap();
    assert_eq!(folder.load().unwrap_err(), FileError::Mismatch);
    fs::write(folder.key(), &first.cert).unwrap();
    assert!(matches!(folder.load().unwrap_err(), FileError::Key(text) if text.starts_with("no private key")));
    fs::write(folder.cert(), "no PEM at all").unwrap();
    let error = folder.load().unwrap_err();
    assert_eq!(
        error,
        FileError::Certificate("no certificate in the file".to_owned())
    );
    fs::remove_file(folder.cert()).unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read ") && error.contains("cert.pem"),
        "{error}"
    );
    fs::create_dir(folder.cert()).unwrap();
    assert!(folder.load().unwrap_err().to_string().ends_with(": not a file"));
}

#[test]
fn changes_are_taken_over_and_half_changes_are_told_once() {
    let (first, second) = (pair(), pair());
    let folder = Folder::with(&first);
    let (files, _) = folder.load().unwrap();
    assert!(files.refresh().unwrap().is_none(), "nothing has changed");
    fs::write(folder.cert(), &second.cert).unwrap();
    assert_eq!(files.refresh().unwrap_err(), FileError::Mismatch);
    assert!(files.refresh().unwrap().is_none(), "this was said");
    fs::write(folder.key(), &second.key).unwrap();
    assert!(files.refresh().unwrap().is_some());
    fs::remove_file(folder.key()).unwrap();
    assert!(files.refresh().unwrap().is_none(), "it is about to come");
}

#[tokio::test(start_paused = true)]
async fn files_are_followed() {
    let (first, second) = (pair(), pair());
    let folder = Folder::with(&first);
    let (files, _) = folder.load().unwrap();
    folder.write(&second);
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let following = tokio::spawn(Arc::new(files).follow(move |change| {
        let _ = told.send(change.is_ok());
    }));
    assert_eq!(hears.recv().await, Some(true));
    following.abort();
}
