//! A Corefile that was read, back to text.

use std::borrow::Cow;

use super::{
    Corefile, Directive, Token,
    lexer::{self, Piece},
};

impl Corefile {
    /// Writes the server blocks as text that reads as the same blocks, with imports followed and variables replaced.
    ///
    /// Nothing if there is a word that this notation cannot say: it knows no way to write a lone brace as an argument,
    /// a reference to a variable that is not one, or an odd number of backslashes before a quote.
    ///
    /// ```
    /// use catena_core::corefile::{Corefile, Input, Rules};
    ///
    /// let text = b"(common) {\n errors\n}\nexample.org { # here\n import common\n chaos \"a b\" c\n}";
    /// let corefile = Corefile::parse(&Input::new("Corefile", text), &Rules::any_directive()).unwrap();
    /// assert_eq!(corefile.to_text().unwrap(), "example.org {\n    errors\n    chaos \"a b\" c\n}\n");
    /// ```
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        let mut out = String::new();
        for block in &self.blocks {
            for (index, key) in block.keys.iter().enumerate() {
                out.push_str(&written_key(key, index == 0, block.keys.len())?);
                out.push(' ');
            }
            out.push_str("{\n");
            write_lines(&mut out, &block.directives, 1)?;
            out.push_str("}\n");
        }
        Some(out)
    }
}

fn write_lines(out: &mut String, lines: &[Directive], depth: usize) -> Option<()> {
    let indent = "    ".repeat(depth);
    for line in lines {
        if line.name() == "import" {
            return None;
        }
        out.push_str(&indent);
        let words: Option<Vec<_>> = line.words().map(written).collect();
        out.push_str(&words?.join(" "));
        if line.has_block() {
            out.push_str(" {\n");
            write_lines(out, line.options(), depth + 1)?;
            out.push_str(&indent);
            out.push('}');
        }
        out.push('\n');
    }
    Some(())
}

/// A key must not be taken for an import, for a comma's sake for two, or for a snippet's name.
fn written_key(key: &Token, first: bool, count: usize) -> Option<Cow<'_, str>> {
    let text = key.as_str();
    let snippet = count == 1 && text.starts_with('(') && text.ends_with(')');
    let misread = text.is_empty() || text.ends_with(',') || snippet || (first && text == "import");
    if misread { None } else { written(key) }
}

/// A word as it must be written, if it can be.
fn written(word: &Token) -> Option<Cow<'_, str>> {
    let text = word.as_str();
    let is_text = word.as_bytes() == text.as_bytes();
    if !is_text || text == "{" || text == "}" || text.contains("{$") || text.contains("{%") {
        return None;
    }
    let quoted = format!("\"{}\"", text.replace('"', "\\\""));
    let marks_order = text.starts_with('\u{FEFF}');
    [Cow::Borrowed(text), Cow::Owned(quoted)]
        .into_iter()
        .find(|form| {
            let mut pieces = lexer::pieces(form);
            let (Some((_, alone)), None) = (pieces.next(), pieces.next()) else {
                return false;
            };
            let closed = matches!(alone, Piece::Word(_) | Piece::Quoted { closed: true, .. });
            let plain = matches!(alone, Piece::Word(_));
            closed
                && !(plain && (marks_order || form.contains(['#', '\r'])))
                && alone.word().as_deref() == Some(text)
        })
}
