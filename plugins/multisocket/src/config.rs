//! Reads the Corefile.

use std::ops::RangeInclusive;

use catena_core::corefile::{ConfigError, Directive};

/// The limit is CoreDNS's; each socket costs its receive buffer.
const COUNTS: RangeInclusive<u64> = 1..=1024;

/// How many sockets; none if the Corefile leaves it to the machine.
pub(crate) fn parse(directive: &Directive) -> Result<Option<usize>, ConfigError> {
    directive.no_block()?;
    let Some(count) = directive.optional_arg("[NUM_SOCKETS]")? else {
        return Ok(None);
    };
    // The range lies within 16 bits.
    Ok(Some(count.count(COUNTS)? as usize))
}

#[cfg(test)]
mod tests {
    use catena_core::plugin::testing::{WORKERS, set_up};

    #[test]
    fn counts_that_can_be_given() {
        for (text, want) in [
            ("multisocket", WORKERS),
            ("multisocket 1", 1),
            ("multisocket 2", 2),
            ("multisocket 1024", 1024),
        ] {
            assert_eq!(
                set_up(&[crate::PLUGIN], text).unwrap().settings.sockets,
                Some(want),
                "{text}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let range = "expected a number from 1 to 1024";
        for (text, want) in [
            ("multisocket text", format!("Corefile:1:13: plugin/multisocket: got `text`, {range}")),
            ("multisocket 0", format!("Corefile:1:13: plugin/multisocket: got `0`, {range}")),
            ("multisocket -1", format!("Corefile:1:13: plugin/multisocket: got `-1`, {range}")),
            ("multisocket 1025", format!("Corefile:1:13: plugin/multisocket: got `1025`, {range}")),
            (
                "multisocket 2 2",
                "Corefile:1:15: plugin/multisocket: wrong argument count: unexpected `2` after `multisocket`, \
                 expected [NUM_SOCKETS]"
                    .to_owned(),
            ),
            ("multisocket 2 {\n block\n}", "Corefile:1:1: plugin/multisocket: `multisocket` takes no block".to_owned()),
            (
                "multisocket 2\nmultisocket 3",
                "Corefile:2:1: plugin/multisocket: this plugin can only be used once per Server Block".to_owned(),
            ),
        ] {
            let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }
}
