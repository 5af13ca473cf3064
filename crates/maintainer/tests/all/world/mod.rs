//! Maintainers on the real Bridge: what wallets did is found, proven and booked, whatever stands in the way.

mod chain;
mod incidents;
mod kinds;
mod several;
mod unproven;
