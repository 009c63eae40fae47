//! Which action may stand where: what Go's parser checks and that of the crate does not.

/// What an action opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block,
    Define,
    If,
    Range,
    With,
}

struct Frame {
    kind: Kind,
    has_else: bool,
}

/// Checks that blocks are closed, and that `else`, `break` and `define` stand where they can.
pub(super) fn check(source: &str) -> Result<(), String> {
    let mut open: Vec<Frame> = Vec::new();
    for action in Actions(source) {
        let (word, rest) = split_word(action);
        let kind = match word {
            "if" => Kind::If,
            "range" => Kind::Range,
            "with" => Kind::With,
            "block" => Kind::Block,
            "define" if open.is_empty() => Kind::Define,
            "define" => return Err("unexpected {{define}} within a block".to_owned()),
            "end" => {
                open.pop().ok_or("unexpected {{end}}")?;
                continue;
            }
            "else" => {
                let frame = open.last_mut().ok_or("unexpected {{else}}")?;
                otherwise(frame, split_word(rest).0)?;
                continue;
            }
            "break" | "continue" if is_alone(rest) => {
                let around = open
                    .iter()
                    .rev()
                    .map(|frame| frame.kind)
                    .find(|kind| matches!(kind, Kind::Range | Kind::Define | Kind::Block));
                if around != Some(Kind::Range) {
                    return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                continue;
            }
            _ => continue,
        };
        open.push(Frame {
            kind,
            has_else: false,
        });
    }
    match open.is_empty() {
        true => Ok(()),
        false => Err("unexpected EOF: an {{end}} is missing".to_owned()),
    }
}

fn otherwise(frame: &mut Frame, word: &str) -> Result<(), String> {
    let fits = match (frame.kind, word) {
        (Kind::Block | Kind::Define, _) => false,
        (Kind::If, "if") | (Kind::With, "with") => !frame.has_else,
        (_, "if" | "with") => false,
        _ => !std::mem::replace(&mut frame.has_else, true),
    };
    if fits {
        Ok(())
    } else {
        Err("unexpected {{else}}".to_owned())
    }
}

/// The word at the start, and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let len = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    text.split_at(len)
}

/// Whether nothing but the mark that trims follows.
fn is_alone(rest: &str) -> bool {
    matches!(rest.trim(), "" | "-")
}

/// The insides of the actions of a template that the crate could cut into words.
struct Actions<'a>(&'a str);

impl<'a> Iterator for Actions<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (_, behind) = self.0.split_once("{{")?;
        let inner = match behind.strip_prefix('-') {
            Some(trimmed) if trimmed.starts_with([' ', '\t', '\r', '\n']) => trimmed,
            _ => behind,
        };
        let inside = match inner.trim_start().strip_prefix("/*") {
            Some(comment) => {
                let (_, behind) = comment.split_once("*/")?;
                let (_, rest) = behind.split_once("}}")?;
                self.0 = rest;
                return Some("");
            }
            None => &inner[..inside_len(inner)],
        };
        self.0 = inner[inside.len()..].strip_prefix("}}").unwrap_or_default();
        Some(inside)
    }
}

/// The length up to the braces that close an action; those within texts and characters do not.
fn inside_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'}' if bytes.get(at + 1) == Some(&b'}') => return at,
            quote @ (b'"' | b'\'' | b'`') => {
                at += 1;
                while let Some(&byte) = bytes.get(at) {
                    match byte {
                        b'\\' if quote != b'`' => at += 1,
                        byte if byte == quote => break,
                        _ => {}
                    }
                    at += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}
