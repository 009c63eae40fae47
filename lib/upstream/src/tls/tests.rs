use super::*;

#[test]
fn names_are_domain_names_or_addresses() {
    for (text, want) in [
        ("dns.example.org", Some("dns.example.org")),
        ("dns.example.org.", Some("dns.example.org")),
        ("192.0.2.1", Some("192.0.2.1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("", None),
        ("a b", None),
        ("dns..example.org", None),
    ] {
        let name = parse_name(text).map(|name| name.to_str().into_owned());
        assert_eq!(name.as_deref(), want, "{text}");
    }
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["dns.example.org".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let good = file("good.pem", &certificate.pem());
    let good_key = file("good.key", &key.serialize_pem());
    let other_key = file("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    let empty = file("empty.pem", "");
    let missing = folder.path().join("missing.pem");
    assert!(Tls::from_files(None, Some(&good)).is_ok());
    assert!(Tls::from_files(Some((&good, &good_key)), Some(&good)).is_ok());
    for (case, identity, ca, want) in [
        ("no file", None, Some(&missing), "cannot read"),
        (
            "nothing in it",
            None,
            Some(&empty),
            "there is no certificate in it",
        ),
        (
            "a key as CA",
            None,
            Some(&good_key),
            "there is no certificate in it",
        ),
        ("no key", Some((&good, &missing)), None, "missing.pem"),
        ("a certificate as key", Some((&good, &good)), None, "cannot read"),
        ("another key", Some((&good, &other_key)), None, "good.pem"),
    ] {
        let identity =
            identity.map(|(certificate, key): (&PathBuf, &PathBuf)| (certificate.as_path(), key.as_path()));
        let error = Tls::from_files(identity, ca.map(PathBuf::as_path))
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "case {case}: {error}");
    }
}
