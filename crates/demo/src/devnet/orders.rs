//! What a person orders on standard input: who ends, starts, or lies, and what arrives.

use std::{io, str::FromStr, thread};

use tokio::sync::mpsc;

use super::{MAINTAINER, OPERATORS, name};

/// What can be ordered, for a person.
pub const HELP: &str = "kill NAME     end it at once       start NAME    start it again\n\
                        lie NODE      have it lie in every window, until it is started again\n\
                        deposit       reveal one           redeem        request a redemption\n\
                        NAME is node1 to node5, maintainer, ethereum2, electrum or core";
/// How many orders may wait.
const WAITING: usize = 16;

/// A part of the devnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An operator's node, or the maintainer.
    Process(u8),
    /// The second Ethereum server.
    Ethereum2,
    /// The Electrum server.
    Electrum,
    /// The Bitcoin Core node.
    Core,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ends a part at once.
    Kill(Part),
    /// Starts it again. A node that lies is honest again.
    Start(Part),
    /// Has a node's operator lie.
    Lie(u8),
    /// Reveals a deposit.
    Deposit,
    /// Requests a redemption.
    Redeem,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let process = OPERATORS.chain([MAINTAINER]).find(|number| name(*number) == text).map(Self::Process);
        match text {
            "ethereum2" => Ok(Self::Ethereum2),
            "electrum" => Ok(Self::Electrum),
            "core" => Ok(Self::Core),
            _ => process.ok_or_else(|| format!("there is no {text:?} here")),
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["kill", part] => part.parse().map(Self::Kill),
            ["start", part] => part.parse().map(Self::Start),
            ["lie", part] => match part.parse()? {
                Part::Process(number) if OPERATORS.contains(&number) => Ok(Self::Lie(number)),
                _ => Err(format!("{part} has no seat to lie from")),
            },
            ["deposit"] => Ok(Self::Deposit),
            ["redeem"] => Ok(Self::Redeem),
            _ => Err(HELP.to_owned()),
        }
    }
}

/// Reads orders from standard input, line by line, until it ends.
pub fn read_orders() -> mpsc::Receiver<Result<Order, String>> {
    let (sender, orders) = mpsc::channel(WAITING);
    // A thread, for the runtime would wait for its own until somebody presses the return key.
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line.parse()).is_err() {
                return;
            }
        }
    });
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_what_is_none_is_answered_with_what_can_be_ordered() {
        let read = |text: &str| text.parse::<Order>();
        assert_eq!(read(" kill  node3 "), Ok(Order::Kill(Part::Process(3))));
        assert_eq!(read("start maintainer"), Ok(Order::Start(Part::Process(MAINTAINER))));
        assert_eq!(read("kill electrum"), Ok(Order::Kill(Part::Electrum)));
        assert_eq!(read("kill ethereum2"), Ok(Order::Kill(Part::Ethereum2)));
        assert_eq!(read("start core"), Ok(Order::Start(Part::Core)));
        assert_eq!(read("lie node5"), Ok(Order::Lie(5)));
        assert_eq!(read("deposit"), Ok(Order::Deposit));
        assert_eq!(read("redeem"), Ok(Order::Redeem));
        for none in ["", "help", "kill", "kill node1 node2", "deposit 5"] {
            assert_eq!(read(none), Err(HELP.to_owned()), "{none}");
        }
        assert!(read("kill node6").unwrap_err().contains("node6"));
        for seatless in ["lie maintainer", "lie core"] {
            assert!(read(seatless).unwrap_err().contains("no seat"), "{seatless}");
        }
    }
}
