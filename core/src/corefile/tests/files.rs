//! Imports of files.

use std::{fs, path::Path};

use super::*;

/// Writes files into a new folder and parses the one named Corefile.
fn parse_files(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Result<Corefile, ConfigErrors>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let path = folder.path().join("Corefile");
    let bytes = fs::read(&path).unwrap();
    let rules = Rules::new(KNOWN).with_environment(&|_| None);
    let corefile = Corefile::parse(&Input::new("Corefile", &bytes).at(&path), &rules);
    (folder, corefile)
}

#[test]
fn files_are_found_from_the_file_that_imports_them() {
    let (folder, corefile) = parse_files(&[
        ("Corefile", b"import servers.conf\nb {\n whoami\n}\n"),
        ("servers.conf", b"a {\n import conf/common.conf\n whoami\n}"),
        (
            "conf/common.conf",
            b"import flags.conf\nhosts {\n import ../lists/hosts.inc\n ttl 5\n}",
        ),
        ("conf/flags.conf", b"header {\n response set ra\n}"),
        ("lists/hosts.inc", b"192.0.2.1 c"),
    ]);
    let corefile = corefile.unwrap();
    assert_eq!(
        outline(&corefile),
        "a {header {response set ra}; hosts {192.0.2.1 c; ttl 5}; whoami} b {whoami}"
    );
    let names: Vec<_> = corefile
        .files
        .iter()
        .map(|file| file.strip_prefix(folder.path()).unwrap())
        .collect();
    let want = [
        "Corefile",
        "servers.conf",
        "conf/common.conf",
        "conf/flags.conf",
        "lists/hosts.inc",
    ];
    assert_eq!(names, want.map(Path::new));
}

#[test]
fn patterns_import_in_the_order_of_names() {
    let (_folder, corefile) = parse_files(&[
        (
            "Corefile",
            b"import servers/?.conf\nimport none/*.conf\nimport teams/*/zone\n",
        ),
        ("servers/b.conf", b"b {\n import ../parts/*.part\n}"),
        ("servers/a.conf", b"a {\n import ../parts/*.part\n}"),
        ("servers/c.txt", b"nonsense {"),
        ("parts/2.part", b"log two"),
        ("parts/10.part", b"log ten"),
        ("teams/y/zone", b"y {\n}"),
        ("teams/x/zone", b"x {\n}"),
        ("teams/z/other", b"nonsense {"),
    ]);
    let corefile = corefile.unwrap();
    assert_eq!(
        outline(&corefile),
        "a {log ten; log two} b {log ten; log two} x {} y {}"
    );
    assert!(
        corefile.warnings[0].message().contains("none/*.conf"),
        "{:?}",
        corefile.warnings
    );
}

#[test]
fn files_that_cannot_be_imported_are_refused() {
    for (case, corefile, want) in [
        (
            "missing",
            "import x/missing.conf",
            "File to import not found: x/missing.conf",
        ),
        ("folder", "import conf.d/*", "conf.d/sub: is a directory"),
        ("itself", "a {\n import Corefile\n}", "import loop"),
        ("each other", "import one", "import loop"),
    ] {
        let (_folder, errors) = parse_files(&[
            ("Corefile", corefile.as_bytes()),
            ("conf.d/sub/a", b"log"),
            ("one", b"import two"),
            ("two", b"import one"),
        ]);
        let errors = errors.expect_err(case).to_string();
        assert!(errors.contains(want), "case {case}: {errors}");
    }
}

#[test]
fn an_error_in_a_file_names_that_file() {
    let (folder, errors) = parse_files(&[
        ("Corefile", b". {\n import one.conf\n}"),
        ("one.conf", b"whoami\nimport two.conf\n"),
        ("two.conf", b"# comment\nnosuch\n"),
    ]);
    let errors = errors.unwrap_err().to_string();
    let folder = folder.path().display();
    assert!(
        errors.starts_with(&format!("{folder}/two.conf:2:1: Error during parsing: ")),
        "{errors}"
    );
    assert!(
        errors.contains(&format!("imported at {folder}/one.conf:2:8")),
        "{errors}"
    );
    assert!(errors.contains("imported at Corefile:2:9"), "{errors}");
}

#[test]
fn bytes_of_a_file_become_text_and_those_of_a_variable_stay() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

    let (_folder, corefile) = parse_files(&[("Corefile", b"\xef\xbb\xbf. {\n log gr\xf6\xdfe \xc3\xb6\n}")]);
    let args: Vec<_> = corefile.unwrap().blocks[0].directives[0]
        .args()
        .iter()
        .map(Token::to_string)
        .collect();
    assert_eq!(args, ["gr\u{fffd}\u{fffd}e", "ö"]);

    let rules =
        Rules::any_directive().with_environment(&|_| Some(OsString::from_vec(b"gr\xf6\xdfe".to_vec())));
    let corefile = Corefile::parse(&Input::new("Corefile", b". {\n chaos {$LATIN}\n}"), &rules).unwrap();
    assert_eq!(
        corefile.blocks[0].directives[0].args()[0].as_bytes(),
        b"gr\xf6\xdfe"
    );
}
