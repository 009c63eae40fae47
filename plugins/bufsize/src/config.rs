//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};

/// What passes nearly every network unfragmented: dnsflagday.net/2020.
const DEFAULT_SIZE: u16 = 1232;

/// Below 512, RFC 6891 knows no size; above 4096, fragments are certain.
const SIZES: std::ops::RangeInclusive<u64> = 512..=4096;

/// The size of the first directive; CoreDNS looks at no other, here they are at least read.
pub(crate) fn parse(directives: &[Directive]) -> Result<u16, ConfigError> {
    let mut sizes = directives
        .iter()
        .map(size)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();
    Ok(sizes.next().unwrap_or(DEFAULT_SIZE))
}

fn size(directive: &Directive) -> Result<u16, ConfigError> {
    directive.no_block()?;
    let Some(size) = directive.optional_arg("[SIZE]")? else {
        return Ok(DEFAULT_SIZE);
    };
    // The range lies within 16 bits.
    Ok(size.count(SIZES)? as u16)
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    #[test]
    fn sizes_that_can_be_given() {
        for (text, want) in [
            ("bufsize", 1232),
            ("bufsize 512", 512),
            ("bufsize \"1220\"", 1220),
            ("bufsize 4096", 4096),
            ("bufsize 600\nbufsize 700", 600),
            ("bufsize\nbufsize 700", 1232),
        ] {
            assert_eq!(parse(&parse_directives(text).unwrap()).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let range = "expected a number from 512 to 4096";
        for (text, want) in [
            ("bufsize 511", format!("Corefile:1:9: got `511`, {range}")),
            ("bufsize 4097", format!("Corefile:1:9: got `4097`, {range}")),
            ("bufsize 1k", format!("Corefile:1:9: got `1k`, {range}")),
            ("bufsize -600", format!("Corefile:1:9: got `-600`, {range}")),
            (
                "bufsize \"512 512\"",
                format!("Corefile:1:9: got `512 512`, {range}"),
            ),
            (
                "bufsize 600\nbufsize 5",
                format!("Corefile:2:9: got `5`, {range}"),
            ),
            (
                "bufsize 512 600",
                "Corefile:1:13: wrong argument count: unexpected `600` after `bufsize`, expected [SIZE]"
                    .to_owned(),
            ),
            (
                "bufsize 512 {\n}",
                "Corefile:1:1: `bufsize` takes no block".to_owned(),
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }
}
