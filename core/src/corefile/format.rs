//! The canonical layout of a Corefile.

use super::lexer::{self, Piece};

/// Lays a Corefile out anew: four blanks for each open brace, one blank between words, at most one empty line in a row.
/// Comments stay, words stay as they are written, and so do lines; only a brace alone on the line below a block's keys
/// moves up to them. The Corefile means the same as before.
///
/// ```
/// use catena_core::corefile::format;
///
/// let text = ".:53\n{   # all\n\nlog\n  hosts   {\n192.0.2.1 \"a b\"  # c \n\n\n# d\n}\n}";
/// let want = "\
/// .:53 { # all
///     log
///     hosts {
///         192.0.2.1 \"a b\" # c
///
///         ## d
///     }
/// }
/// ";
/// assert_eq!(format(text), want);
/// assert_eq!(format(want), want);
/// ```
#[must_use]
pub fn format(text: &str) -> String {
    let lines = lines(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut opened = true;
    for line in join_braces(lines) {
        let closes = line.words.first().is_some_and(|word| word.text == "}");
        if line.blank_before && !opened && !closes {
            out.push('\n');
        }
        let indent = if closes { depth.saturating_sub(1) } else { depth };
        out.extend(std::iter::repeat_n(INDENT, indent.min(MAX_INDENT)));
        out.push_str(&line.render());
        out.push('\n');
        depth = line.depth_behind(depth);
        opened = line.words.last().is_some_and(|word| word.text == "{");
    }
    if out.starts_with(BYTE_ORDER_MARK) {
        // A first word that begins so would lose it to the reader, who leaves out one at the start of a file.
        out.insert(0, BYTE_ORDER_MARK);
    }
    out
}

const BYTE_ORDER_MARK: char = '\u{FEFF}';

const INDENT: &str = "    ";

/// Deeper blocks are not set further to the right: no plugin has such, and text must not grow with its square.
const MAX_INDENT: usize = 16;

#[derive(Default)]
struct Line {
    /// Whether an empty line stands before it.
    blank_before: bool,
    words: Vec<Word>,
    /// From its `#` on.
    comment: Option<String>,
}

struct Word {
    /// As it is written, quotes included.
    raw: String,
    /// What it means.
    text: String,
}

impl Line {
    const fn is_empty(&self) -> bool {
        self.words.is_empty() && self.comment.is_none()
    }

    fn render(&self) -> String {
        let words = self.words.iter().map(|word| word.raw.as_str());
        words.chain(self.comment.as_deref()).collect::<Vec<_>>().join(" ")
    }
}

/// Cuts a text into lines of words; a word in quotes may reach over several lines of the text.
fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    for (raw, piece) in lexer::pieces(text) {
        match piece {
            Piece::Blank(blank) => {
                for _ in blank.matches('\n') {
                    if line.is_empty() {
                        line.blank_before = true;
                    } else {
                        lines.push(std::mem::take(&mut line));
                    }
                }
            }
            Piece::Comment(comment) => line.comment = Some(comment.trim_end().to_owned()),
            Piece::Quoted { .. } | Piece::Word(_) => {
                line.words.extend(piece.word().map(|text| Word {
                    raw: as_written(raw, piece),
                    text,
                }));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn as_written(raw: &str, piece: Piece<'_>) -> String {
    match piece {
        // The text ends within quotes: they are closed, since more text follows now. A backslash there means nothing.
        Piece::Quoted { inner, closed: false } => {
            let backslashes = inner.len() - inner.trim_end_matches('\\').len();
            format!("\"{}\"", &inner[..inner.len() - backslashes % 2])
        }
        Piece::Quoted { .. } => raw.to_owned(),
        _ => raw.replace('\r', ""),
    }
}

/// Moves a brace that begins the line below a block's keys up to them.
fn join_braces(lines: Vec<Line>) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::with_capacity(lines.len());
    let mut place = Place::Keys;
    let mut depth = 0_usize;
    for line in lines {
        let before = place;
        place = place.behind(&line, &mut depth);
        match out.last_mut() {
            Some(keys) if before == Place::BehindKeys && line.opens() => {
                keys.words.extend(line.words);
                keys.comment = line.comment;
            }
            _ => out.push(line),
        }
    }
    out
}

/// What a line stands behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The keys of a block, whose brace is to come.
    BehindKeys,
    /// The same, with a comment in between, which keeps the brace where it is.
    BehindKeysAndComment,
    /// An open brace.
    Block,
    /// The keys of a server without braces, whose directives go on to the end; or braces that the parser pairs in ways
    /// of its own. Either way, no brace is moved any more.
    Directives,
    /// Nothing, a whole block, or a comma: keys follow.
    Keys,
}

impl Place {
    fn behind(self, line: &Line, depth: &mut usize) -> Self {
        if line.is_odd(*depth) {
            return Self::Directives;
        }
        *depth = line.depth_behind(*depth);
        let keys_follow = if *depth > 0 { Self::Block } else { Self::Keys };
        match self {
            Self::Directives => Self::Directives,
            Self::BehindKeys if line.words.is_empty() => Self::BehindKeysAndComment,
            _ if line.words.is_empty() => self,
            Self::Block => keys_follow,
            Self::BehindKeys | Self::BehindKeysAndComment if line.opens() => keys_follow,
            Self::BehindKeys | Self::BehindKeysAndComment => Self::Directives,
            Self::Keys if *depth > 0 || !line.are_keys() => keys_follow,
            Self::Keys if line.comment.is_some() => Self::BehindKeysAndComment,
            Self::Keys => Self::BehindKeys,
        }
    }
}

impl Line {
    fn depth_behind(&self, depth: usize) -> usize {
        self.words
            .iter()
            .fold(depth, |depth, word| match word.text.as_str() {
                "{" => depth + 1,
                "}" => depth.saturating_sub(1),
                _ => depth,
            })
    }

    /// Whether its braces are those of no Corefile that is well laid out.
    fn is_odd(&self, depth: usize) -> bool {
        let closes = self.words.iter().any(|word| word.text == "}");
        let ends_block = closes && self.depth_behind(depth) == 0;
        match depth {
            0 => closes,
            _ => self.opens() || (ends_block && self.words.len() > 1),
        }
    }

    fn opens(&self) -> bool {
        self.words.first().is_some_and(|word| word.text == "{")
    }

    /// Whether these are all keys of a block that has no brace yet.
    fn are_keys(&self) -> bool {
        let is_brace = |word: &Word| word.text == "{" || word.text == "}";
        let imports = self.words.first().is_some_and(|word| word.text == "import");
        let goes_on = self.words.last().is_some_and(|word| word.text.ends_with(','));
        !imports && !goes_on && !self.words.iter().any(is_brace)
    }
}
