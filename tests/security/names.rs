//! Names that are made to deceive whoever reads the log.

use crate::common::{Folder, PATIENCE, exchange, udp_client};
use crate::{rcode_of, with_question};

/// A name whose labels are these bytes.
fn name_of(labels: &[&[u8]]) -> Vec<u8> {
    let mut wire: Vec<u8> = labels
        .iter()
        .flat_map(|label| [&[label.len() as u8], *label].concat())
        .collect();
    wire.push(0);
    wire
}

#[test]
fn names_cannot_forge_lines_of_the_log_nor_steer_a_terminal() {
    // Nothing answers behind `errors`, so that it has something to say as well.
    let folder = Folder::with(
        ".:@PORT@ {\n    bind 127.0.0.1\n    log\n    errors\n    hosts {\n        fallthrough\n    }\n}\n",
    );
    let server = folder.serve(&[]);
    let labels: [&[u8]; 9] = [
        b"\n[INFO] forged",
        b"\r\n[ERROR] forged",
        b"\x1b[2J\x1b]0;forged\x07",
        b"\x9b31mforged",
        b"a\" NOERROR forged",
        b"back\\slash",
        b"\0nul",
        b"\xff\xfe\x80",
        b"\xe2\x80\xae\xc2\x85\xe2\x80\xa8",
    ];
    let socket = udp_client(server.address());
    for label in labels {
        let message = with_question(&name_of(&[label, b"example", b"org"]));
        assert_eq!(
            rcode_of(&exchange(&socket, &message, PATIENCE).expect("an answer")),
            2
        );
    }
    let end = with_question(&name_of(&[b"the-end"]));
    exchange(&socket, &end, PATIENCE).expect("an answer");
    server.wait_for_count("the-end.", 2);
    let lines: Vec<String> = server
        .lines()
        .into_iter()
        .filter(|line| line.starts_with('['))
        .collect();
    assert_eq!(lines.len(), 2 * (labels.len() + 1), "{lines:#?}");
    for line in &lines {
        assert!(
            line.starts_with("[INFO] 127.0.0.1:") || line.starts_with("[ERROR] plugin/errors: 2 "),
            "{line:?}"
        );
        assert!(
            line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "only what can be printed: {line:?}"
        );
    }
    // In the quoted part of a line, a quote in a name does not end it.
    let quoted = lines
        .iter()
        .find(|line| line.contains("noerror\\ forged"))
        .expect("the name with a quote");
    assert!(quoted.contains("a\\\"\\ noerror"), "{quoted}");
}
