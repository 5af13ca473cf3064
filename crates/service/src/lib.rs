//! What a long-running program needs, whatever it runs: a configuration in layers, a journal that loses nothing that it has
//! acknowledged, tasks that are watched, and a status that can be asked for.
//!
//! ```
//! use coxswain_service::configuration::Layers;
//!
//! #[derive(serde::Deserialize)]
//! struct Configuration { journal: Journal }
//! #[derive(serde::Deserialize)]
//! struct Journal { path: String }
//!
//! let mut layers = Layers::default();
//! layers.variables([("COXSWAIN_JOURNAL__PATH".into(), "a.db".into())]).unwrap();
//! layers.flag("--journal", "journal", "path", "b.db");
//! assert_eq!(layers.read::<Configuration>().unwrap().journal.path, "b.db");
//! assert_eq!(layers.origin("journal.path").unwrap().to_string(), "--journal");
//! ```

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
