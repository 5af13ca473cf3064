//! Direct streams on connections: which connection writes what, and what is read on each.

mod behaviour;
mod handler;

pub(crate) use behaviour::Behaviour;
