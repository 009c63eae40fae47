//! Records in presentation form (RFC 1035, section 5), as Corefiles and templates write them.

#![forbid(unsafe_code)]

mod fields;
mod names;
mod record;
mod svcb;
#[cfg(test)]
mod tests;

pub use names::{class_code, class_name, type_code};
pub use record::{DEFAULT_TTL, RecordError, TextRecord};
