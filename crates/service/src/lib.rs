//! What a long-running program needs, whatever it runs: a configuration in layers, a journal that loses nothing that it has
//! acknowledged, tasks that are watched, and a status that can be asked for.

mod clock;
pub mod configuration;
pub mod journal;
pub mod logging;
mod point;
pub mod settings;
pub mod status;
pub mod tasks;

pub use clock::now;
pub use point::point;
