use std::fs;

use catena_core::plugin::testing::set_up;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["one", "two"] {
            let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example.org")]).unwrap();
            fs::write(folder.path(&format!("{name}.pem")), made.cert.pem()).unwrap();
            fs::write(
                folder.path(&format!("{name}.key")),
                made.signing_key.serialize_pem(),
            )
            .unwrap();
        }
        fs::write(folder.path("empty.pem"), "").unwrap();
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Puts the folder before the names of files.
    fn fill(&self, text: &str) -> String {
        [
            "one.pem",
            "one.key",
            "two.pem",
            "two.key",
            "empty.pem",
            "none.pem",
        ]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(name, &self.path(name)))
    }
}

#[test]
fn lines_that_can_be_given() {
    let folder = Folder::new();
    for text in [
        "tls one.pem one.key",
        "tls one.pem one.key one.pem",
        "tls one.pem one.key {\n}",
        "tls one.pem one.key {\n client_auth nocert\n}",
        "tls one.pem one.key {\n client_auth request\n}",
        "tls one.pem one.key {\n client_auth require\n}",
        "tls one.pem one.key two.pem {\n client_auth verify_if_given\n}",
        "tls one.pem one.key two.pem {\n client_auth require_and_verify\n}",
    ] {
        let block = set_up(&[crate::PLUGIN], &folder.fill(text)).unwrap();
        assert!(block.settings.tls.is_some(), "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let folder = Folder::new();
    for (text, want) in [
        ("tls", "Corefile:1:1: plugin/tls: wrong argument count"),
        ("tls one.pem", "Corefile:1:1: plugin/tls: wrong argument count"),
        (
            "tls one.pem one.key one.pem one.pem",
            "plugin/tls: wrong argument count",
        ),
        ("tls none.pem one.key", "Corefile:1:5: plugin/tls: cannot read "),
        (
            "tls empty.pem one.key",
            "Corefile:1:5: plugin/tls: no certificate in the file",
        ),
        (
            "tls one.pem two.key",
            "plugin/tls: the key does not belong to the certificate",
        ),
        ("tls one.pem two.pem", "plugin/tls: no private key in the file"),
        ("tls one.pem one.key none.pem", "plugin/tls: cannot read "),
        (
            "tls one.pem one.key {\n client_auth maybe\n}",
            "Corefile:2:14: plugin/tls: got `maybe`",
        ),
        (
            "tls one.pem one.key {\n client_auth\n}",
            "Corefile:2:2: plugin/tls: wrong argument count",
        ),
        (
            "tls one.pem one.key {\n client_aut nocert\n}",
            "Corefile:2:2: plugin/tls: unknown option `client_aut`",
        ),
        (
            "tls one.pem one.key {\n keylog\n}",
            "Corefile:2:2: plugin/tls: wrong argument count",
        ),
        (
            "tls {\n acme dns.example.org\n}",
            "Corefile:2:2: plugin/tls: certificates are not fetched by ACME in this version yet",
        ),
        (
            "tls one.pem one.key\ntls two.pem two.key",
            "Corefile:2:1: plugin/tls: this plugin can only be used once per Server Block",
        ),
    ] {
        let errors = set_up(&[crate::PLUGIN], &folder.fill(text)).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        assert!(headline.contains(want), "{text}: {headline}");
    }
}
