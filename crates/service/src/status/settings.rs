//! Where a program says how it is.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;
use url::Url;

use crate::{configuration::parsed_if_any, settings::duration};

/// Where a program says how it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusSettings {
    /// Where it listens. Left out, the program's own port on loopback.
    #[serde(deserialize_with = "parsed_if_any")]
    pub listen: Option<SocketAddr>,
    /// Whether nothing is served at all.
    #[serde(deserialize_with = "crate::configuration::parsed")]
    pub off: bool,
    /// Whether the page is shown to others than this machine, too.
    #[serde(deserialize_with = "crate::configuration::parsed")]
    pub public_page: bool,
    /// Under which URL others reach it, as `http://node.example:9601`. If it is given, the program asks itself there.
    pub announced: Option<Url>,
    /// How often it asks itself there, as `10m`.
    #[serde(deserialize_with = "duration")]
    pub check_every: Option<Duration>,
}
