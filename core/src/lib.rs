//! The framework of Catena: everything that a plugin author imports.

#![deny(unsafe_code)]

pub mod corefile;
pub mod message;
pub mod net;
