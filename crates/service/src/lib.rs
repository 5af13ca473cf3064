//! What a long-running program needs, whatever it runs: a configuration in layers, a journal that loses nothing that it has
//! acknowledged, and tasks that are watched.

pub mod configuration;
pub mod journal;
pub mod logging;
mod point;
pub mod settings;
pub mod tasks;

pub use point::point;
