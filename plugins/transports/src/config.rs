//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};
use catena_core::plugin::Transports;

/// The transports of DNS without encryption.
const KNOWN: &[&str] = &["tcp", "udp"];

/// Which transports there are.
pub(crate) fn parse(directive: &Directive) -> Result<Transports, ConfigError> {
    directive.no_block()?;
    let (mut tcp, mut udp) = (false, false);
    for word in directive.at_least(1, "udp|tcp...")? {
        let named = match word.one_of(KNOWN)? {
            "tcp" => &mut tcp,
            _ => &mut udp,
        };
        if std::mem::replace(named, true) {
            return Err(word
                .error(format!("`{word}` is given twice"))
                .with_expected("it once"));
        }
    }
    Ok(match (tcp, udp) {
        (true, false) => Transports::Tcp,
        (false, true) => Transports::Udp,
        _ => Transports::Both,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::plugin::testing::set_up;

    #[test]
    fn one_of_them_or_both() {
        for (text, want) in [
            ("transports udp", Transports::Udp),
            ("transports tcp", Transports::Tcp),
            ("transports udp tcp", Transports::Both),
            ("transports tcp udp", Transports::Both),
        ] {
            let block = set_up(&[crate::PLUGIN], text).unwrap();
            assert_eq!(block.settings.transports, want, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "transports",
                "Corefile:1:1: plugin/transports: wrong argument count after `transports`, expected udp|tcp...",
            ),
            (
                "transports upd",
                "Corefile:1:12: plugin/transports: got `upd`, expected one of: tcp, udp",
            ),
            (
                "transports udp tls",
                "Corefile:1:16: plugin/transports: got `tls`, expected one of: tcp, udp",
            ),
            (
                "transports udp udp",
                "Corefile:1:16: plugin/transports: `udp` is given twice, expected it once",
            ),
            (
                "transports udp {\n x\n}",
                "Corefile:1:1: plugin/transports: `transports` takes no block",
            ),
            (
                "transports udp\ntransports tcp",
                "Corefile:2:1: plugin/transports: this plugin can only be used once per Server Block",
            ),
        ] {
            let errors = set_up(&[crate::PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }
}
