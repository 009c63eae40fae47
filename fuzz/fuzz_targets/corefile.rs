//! Any bytes as a Corefile: layout, printing and typed readers keep their laws.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catena_core::corefile::testing::check_laws(bytes));
