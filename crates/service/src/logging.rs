//! What a long-running program tells, on standard error: lines for people, or JSON for programs.

use std::io;

use serde::Deserialize;
use tracing_subscriber::{
    Layer, Registry,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing would be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The levels make no sense.
    #[error("a level is off, error, warn, info, debug or trace; or TARGET=LEVEL, several between commas")]
    Levels(#[from] ParseError),
    /// The program has begun to log otherwise.
    #[error("something else takes the log already")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Begins to tell, from now on, what these levels let through: `info`, or `info,coxswain_network=debug`.
///
/// # Errors
/// If the levels make no sense, or something else takes the log already.
pub fn begin(levels: &str, format: Format, colours: bool) -> Result<(), LoggingError> {
    let levels: Targets = levels.parse()?;
    let lines = fmt::layer().with_writer(io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Text => Box::new(lines.with_target(false).with_ansi(colours)),
        Format::Json => Box::new(lines.json().flatten_event(true).with_current_span(false)),
    };
    let subscriber = Registry::default().with(layer.with_filter(levels));
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}
