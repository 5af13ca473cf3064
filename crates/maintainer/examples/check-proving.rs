//! The four kinds on real peers: what wallets did is found through btcd, and through ElectrumX, and proven to the real Bridge.
//! `make test-peers` runs it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "what fails, fails the check; it shares the tests' world"
)]

#[path = "../tests/all/world/kinds.rs"]
mod kinds;
#[path = "../tests/all/world/unproven.rs"]
mod unproven;

use unproven::Kind;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for kind in [Kind::Btcd, Kind::ElectrumX] {
        kinds::each_kind_is_found_proven_and_booked(kind).await;
        println!("{kind:?}: each of the four kinds is found, proven and booked");
    }
}
