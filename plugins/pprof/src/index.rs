//! The page that lists the others.

use std::fmt::Write;

/// What can be asked for: the name and what it is.
const PROFILES: &[(&str, &str)] = &[
    (
        "allocs",
        "What was allocated since the start; not available, see heap.",
    ),
    (
        "block",
        "How often each thread was blocked, and how long; with the option block in the Corefile.",
    ),
    ("cmdline", "The command line of the program."),
    (
        "goroutine",
        "The threads of the program, which has no goroutines; debug=1 shows them as text.",
    ),
    ("heap", "The memory in use."),
    ("mutex", "Waiting for locks; not available."),
    (
        "profile",
        "Where processor time goes; seconds=N says how long to look (30 by default).",
    ),
    ("symbol", "Names of addresses; profiles have them already."),
    ("threadcreate", "The threads of the program."),
    ("trace", "An execution trace; not available."),
];

/// The page, in HTML.
pub(crate) fn html() -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>/debug/pprof/</title></head>\n\
         <body>\n<h1>/debug/pprof/</h1>\n<dl>\n",
    );
    for (name, about) in PROFILES {
        // Writing to a string does not fail.
        let _ = writeln!(page, "<dt><a href=\"{name}\">{name}</a></dt><dd>{about}</dd>");
    }
    page.push_str("</dl>\n</body>\n</html>\n");
    page
}
