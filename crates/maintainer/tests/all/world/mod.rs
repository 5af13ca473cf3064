//! Maintainers on the real Bridge: what wallets did is found, proven and booked, whatever stands in the way.

mod bench;
mod chain;
mod incidents;
mod kinds;
mod several;
