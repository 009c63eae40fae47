//! Text of a Corefile to typed arguments.
