//! Splits a command line into words, as a shell does.

/// A command line that ends within a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished(pub(crate) &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    /// Nothing has a meaning of its own.
    Single,
    /// A backslash takes the meaning from the letter behind it.
    Double,
}

/// Splits at spaces. Quotes hold words together, a backslash takes a letter's meaning away, and `#` at a word's start
/// begins a comment up to the line's end. Nothing else of a shell's language is known.
pub(crate) fn split(line: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = Quote::None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Quote::None, '\'') => {
                quote = Quote::Single;
                word.get_or_insert_default();
            }
            (Quote::None, '"') => {
                quote = Quote::Double;
                word.get_or_insert_default();
            }
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None | Quote::Double, '\\') => {
                let escaped = letters
                    .next()
                    .ok_or(Unfinished("a letter behind the backslash"))?;
                word.get_or_insert_default().push(escaped);
            }
            (Quote::None, '#') if word.is_none() => {
                letters.by_ref().find(|&letter| letter == '\n');
            }
            (Quote::None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote != Quote::None {
        return Err(Unfinished("a closing quote"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_in_a_shell() {
        for (line, want) in [
            ("a b  c", &["a", "b", "c"][..]),
            (" a ", &["a"]),
            ("", &[]),
            ("'a b' c", &["a b", "c"]),
            (r#""a \" b" 'c \'"#, &[r#"a " b"#, r"c \"]),
            (r"a\ b \'", &["a b", "'"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("'' \"\"", &["", ""]),
            ("a # b", &["a"]),
            ("a#b", &["a#b"]),
            ("a # b\nc", &["a", "c"]),
            ("$HOME | ;", &["$HOME", "|", ";"]),
        ] {
            assert_eq!(split(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn unfinished_words_are_refused() {
        for (line, want) in [
            ("a 'b", "a closing quote"),
            ("\"a", "a closing quote"),
            ("a\\", "a letter behind the backslash"),
        ] {
            assert_eq!(split(line), Err(Unfinished(want)), "{line}");
        }
    }
}
