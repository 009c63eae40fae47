//! Types and classes by name.

use std::collections::HashMap;
use std::sync::OnceLock;

use catena_core::log::TypeName;

/// The code of a type by its name in capitals, such as `AAAA` or `ANY`; `TYPE` with a number is not a name.
///
/// ```
/// use catena_records::type_code;
///
/// assert_eq!(type_code("AAAA"), Some(28));
/// assert_eq!(type_code("aaaa"), None);
/// assert_eq!(type_code("TYPE28"), None);
/// ```
#[must_use]
pub fn type_code(name: &str) -> Option<u16> {
    static CODES: OnceLock<HashMap<&'static str, u16>> = OnceLock::new();
    let codes = CODES.get_or_init(|| {
        let named = |code: u16| TypeName(code).known().map(|name| (name, code));
        (0..=u16::MAX).filter_map(named).collect()
    });
    codes.get(name).copied()
}

/// The classes that have names.
const CLASSES: [(&str, u16); 6] = [
    ("IN", 1),
    ("CS", 2),
    ("CH", 3),
    ("HS", 4),
    ("NONE", 254),
    ("ANY", 255),
];

/// The code of a class by its name in capitals.
#[must_use]
pub fn class_code(name: &str) -> Option<u16> {
    CLASSES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, code)| code)
}

/// The name of a class, if it has one.
#[must_use]
pub fn class_name(code: u16) -> Option<&'static str> {
    CLASSES
        .iter()
        .find(|(_, known)| *known == code)
        .map(|&(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_leads_back_to_its_code() {
        for code in 0..=u16::MAX {
            if let Some(name) = TypeName(code).known() {
                assert_eq!(type_code(name), Some(code), "{name}");
            }
        }
        for (name, code) in CLASSES {
            assert_eq!((class_code(name), class_name(code)), (Some(code), Some(name)));
        }
        assert_eq!(
            (class_code("in"), class_name(7), type_code("")),
            (None, None, None)
        );
        assert_eq!(
            (type_code("ANY"), type_code("AXFR"), type_code("HTTPS")),
            (Some(255), Some(252), Some(65))
        );
    }
}
