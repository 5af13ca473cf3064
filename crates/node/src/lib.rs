//! A running operator.

pub mod channel;
