//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};

/// What fits the largest message, beside the longest question and the OPT record itself.
const MAX_DATA: usize = 65_000;

/// The identifier; none if the Corefile leaves it to the host name.
pub(crate) fn parse(directive: &Directive) -> Result<Option<Vec<u8>>, ConfigError> {
    directive.no_block()?;
    let [first, rest @ ..] = directive.args() else {
        return Ok(None);
    };
    let mut data = first.as_bytes().to_vec();
    for arg in rest {
        data.push(b' ');
        data.extend_from_slice(arg.as_bytes());
    }
    if data.len() > MAX_DATA {
        let message = format!("an identifier of {} bytes", data.len());
        return Err(first.error(message).with_expected(format!("at most {MAX_DATA}")));
    }
    Ok(Some(data))
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn parsed(text: &str) -> Result<Option<Vec<u8>>, ConfigError> {
        parse(&parse_directives(text).unwrap()[0])
    }

    #[test]
    fn words_are_joined_by_blanks() {
        for (text, want) in [
            ("nsid", None),
            ("nsid ps0", Some("ps0")),
            ("nsid Use   The Force", Some("Use The Force")),
            ("nsid \"tf  2\"", Some("tf  2")),
            ("nsid \"\"", Some("")),
        ] {
            assert_eq!(parsed(text).unwrap(), want.map(Into::into), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let long = "x".repeat(32_500);
        for (text, want) in [
            (
                "nsid a {\n b\n}".to_owned(),
                "Corefile:1:1: `nsid` takes no block",
            ),
            ("nsid {\n}".to_owned(), "Corefile:1:1: `nsid` takes no block"),
            (
                format!("nsid {long} {long}"),
                "Corefile:1:6: an identifier of 65001 bytes, expected at most 65000",
            ),
        ] {
            assert_eq!(parsed(&text).unwrap_err().headline(), want);
        }
    }
}
