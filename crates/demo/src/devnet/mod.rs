//! A network of operators on a local chain: five nodes that hold the nine seats of a wallet, and a maintainer, as processes of
//! their own; a block a second, and deposits and redemptions that arrive by themselves.
//!
//! Nothing is done by hand: the nodes agree, sign and broadcast, and the maintainer proves.

mod hostile;
mod life;
mod orders;
mod processes;

pub use life::Life;
pub use orders::{HELP, Order, Part, read_orders};
pub use processes::{Operators, Plan};

use std::ops::RangeInclusive;

use eyre::Result;

use crate::world::free;

/// The operators.
const OPERATORS: RangeInclusive<u8> = 1..=5;
/// How many seats each holds: nine in all.
const SEATS: [usize; 5] = [3, 2, 2, 1, 1];
/// How many of them sign, where they have shares of the wallet's key.
const THRESHOLD: u8 = 5;
/// The maintainer's number, by which its key is known.
const MAINTAINER: u8 = 9;

/// The operator of each seat, by its number.
fn seats() -> impl Iterator<Item = u8> {
    OPERATORS.zip(SEATS).flat_map(|(number, seats)| std::iter::repeat_n(number, seats))
}

/// An operator's key, which everybody knows.
const fn secret(number: u8) -> [u8; 32] {
    [number; 32]
}

/// What an operator, or the maintainer, is called.
fn name(number: u8) -> String {
    if number == MAINTAINER { "maintainer".to_owned() } else { format!("node{number}") }
}

/// Where everything is reached: ports from a first one on. The first three are as a world has them, so that what moves a world
/// moves this one.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    base: u16,
}

impl Ports {
    /// From this one on.
    ///
    /// # Errors
    /// If there are not enough of them, or one is taken.
    pub fn from(base: u16) -> Result<Self> {
        let ports = Self { base };
        eyre::ensure!(base > 0 && base <= u16::MAX - 40, "there are not 40 ports from {base} on");
        let statuses = OPERATORS.chain([MAINTAINER]).map(|number| ports.status(number));
        let links = OPERATORS.map(|number| ports.link(number));
        for port in [ports.ethereum(), ports.electrum(), ports.core(), ports.relay()]
            .into_iter()
            .chain(statuses)
            .chain(links)
        {
            free(port)?;
        }
        Ok(ports)
    }

    const fn ethereum(self) -> u16 {
        self.base
    }

    const fn electrum(self) -> u16 {
        self.base + 1
    }

    const fn core(self) -> u16 {
        self.base + 2
    }

    /// The second Ethereum server.
    const fn relay(self) -> u16 {
        self.base + 3
    }

    /// Where operators reach each other.
    const fn link(self, number: u8) -> u16 {
        self.base + 10 + number as u16
    }

    /// Where a process says how it is.
    const fn status(self, number: u8) -> u16 {
        self.base + 20 + number as u16
    }

    /// The address of an operator's page.
    pub fn page(self, number: u8) -> String {
        format!("http://127.0.0.1:{}/", self.status(number))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn five_operators_hold_nine_seats() {
        assert_eq!(seats().collect::<Vec<_>>(), [1, 1, 1, 2, 2, 3, 3, 4, 5]);
    }

    #[test]
    fn a_port_that_is_taken_or_that_there_is_not_is_refused() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(Ports::from(port).unwrap_err().to_string().starts_with(&format!("port {port} is taken")));
        for base in [0, u16::MAX - 10] {
            assert!(Ports::from(base).unwrap_err().to_string().contains("40 ports"), "{base}");
        }
    }
}
