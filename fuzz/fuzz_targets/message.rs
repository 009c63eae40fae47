//! Any bytes as a query and as an answer: what is let in can be answered, what is accepted survives reading and writing.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catena_core::message::testing::check_laws(bytes));
