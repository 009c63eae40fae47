//! Records in presentation form (RFC 1035, section 5), as Corefiles and templates write them.

#![forbid(unsafe_code)]

mod names;

pub use names::{class_code, class_name, type_code};
