//! What a plugin may ask about the machine.

use std::fs;

/// The machine's host name, or `localhost` where it cannot be told.
///
/// `chaos` and `nsid` name the server by it unless the Corefile gives another name.
#[must_use]
pub fn host_name() -> String {
    // The kernel shows here what gethostname(2) gives, that of the container included.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_word() {
        let name = host_name();
        assert_eq!(name.split_whitespace().collect::<Vec<_>>(), [name.as_str()]);
    }
}
