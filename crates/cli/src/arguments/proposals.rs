//! The arguments of what makes or judges a proposal: `validate`, `explain`, `propose`.

use std::path::PathBuf;

use bitcoin::FeeRate;
use clap::Args;
use coxswain_ethereum::BlockSelector;
use coxswain_rules::{Action, Assurance, KeyHash, network::Preset, units::BlockNumber};

use super::{BitcoinArguments, EthereumArguments};
use crate::values::{assurance, key_hash};

pub(super) const VALIDATE_HELP: &str = "\
Exit codes:
  0  valid: every rule holds
  1  rejected: a rule is broken; the output names it
  2  usage, or a malformed proposal; the error names the field
  3  undecided: the question could not be answered (endpoint, chain, contract); try again when that is fixed
The contract alone decides that. With --bitcoin-url, what a member of the wallet would say is shown beside it: it looks for
the events and on Bitcoin for what the contract can't see.

Example, a heartbeat:
  echo '{\"action\": \"heartbeat\", \"wallet\": \"0x8db50eb52063ea9d98b3eac91489a90f738986f6\",
         \"message\": \"0xffffffffffffffff0123456789abcdef\"}' |
    coxswain validate --rpc-url http://localhost:8545 --validator 0x…

docs/proposals.md describes the document, with an example of each action.";

pub(super) const EXPLAIN_HELP: &str = "\
Every rule of the action is evaluated here, over the Bridge's state at the same block that the contract judges at: it
holds, is broken, or is not evaluable as it compares what another broken rule says is missing.

Exit codes:
  0  valid: every rule holds, and the contract agrees
  1  rejected: a rule is broken, and the contract rejects the proposal for it
  2  usage, or a malformed proposal; the error names the field
  3  undecided: the question could not be answered, or the contract and the rules disagree: then trust neither
The validator deployed on mainnet accepts deposits that nobody can spend. That known difference is shown, and the exit
code is the contract's verdict, as with coxswain validate.

docs/proposals.md describes the document, with an example of each action.";

pub(super) const PROPOSE_HELP: &str = "\
Reads the Bridge and Bitcoin, leaves out what can't be in a valid proposal, builds the transaction and asks the contract.
Nothing is signed or sent. Without --action, the first action that is possible: redemption, deposit-sweep,
moved-funds-sweep, moving-funds, heartbeat.

Exit codes:
  0  there is a proposal
  1  there is nothing to propose, or a commitment to be submitted first
  2  usage
  3  undecided: it could not be told what to propose

Example:
  coxswain propose --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 \\
    --rpc-url https://your-node.example --bitcoin-url ssl://electrum.example:50002";

/// What fees are computed from, besides what Bitcoin says.
#[derive(Clone, Debug, Default, Args)]
pub struct FeeArguments {
    /// The fee rate that stands for the estimate if the Bitcoin endpoint has none, in whole sat/vB [default: 5 with a local
    /// Ethereum chain; else none, and without an estimate it is undecided]
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub fallback_fee_rate: Option<u32>,
}

impl FeeArguments {
    /// The rate that stands for a missing estimate on this chain, if there is one.
    pub fn fallback(&self, network: Option<Preset>) -> Option<FeeRate> {
        let given = self.fallback_fee_rate.map(FeeRate::from_sat_per_vb_u32);
        given.or(network.and_then(|network| network.fallback_fee_rate))
    }
}

/// The arguments of `coxswain validate` and `coxswain explain`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The proposal, a JSON document; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Where to ask.
    #[command(flatten)]
    pub ethereum: EthereumArguments,
    /// Where to look up what the proposal leaves out.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// What fees are judged by.
    #[command(flatten)]
    pub fees: FeeArguments,
    /// The block to judge at: a number, a hash, or latest, safe, finalized, earliest
    #[arg(long, value_name = "BLOCK", default_value_t)]
    pub block: BlockSelector,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers or you name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain propose`.
#[derive(Debug, Args)]
pub struct ProposeArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The action to propose; given again, the next to try [default: all, in the order of a checklist]
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub action: Vec<Action>,
    /// Where to ask.
    #[command(flatten)]
    pub ethereum: EthereumArguments,
    /// Where to ask about Bitcoin.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// The block to propose at: a number, a hash, or latest, safe, finalized, earliest
    #[arg(long, value_name = "BLOCK", default_value_t)]
    pub block: BlockSelector,
    /// The first block whose events are read: what was revealed or requested before isn't found [default: 30 days back]
    #[arg(long, value_name = "N")]
    pub since: Option<BlockNumber>,
    /// What fees are computed from.
    #[command(flatten)]
    pub fees: FeeArguments,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers or you name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads an action's name.
fn action(name: &str) -> Result<Action, String> {
    Action::ALL.into_iter().find(|action| action.name() == name).ok_or_else(|| {
        let names = Action::ALL.map(Action::name).join(", ");
        format!("expected one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inc_33_only_a_local_chain_has_a_fallback_fee_rate_that_nobody_configured() {
        let rate = |fallback_fee_rate, chain_id| {
            FeeArguments { fallback_fee_rate }.fallback(Preset::of_chain(chain_id))
        };
        for (chain_id, default) in [(1, None), (11_155_111, None), (31_337, Some(5)), (1_337, Some(5))] {
            assert_eq!(rate(None, chain_id), default.map(FeeRate::from_sat_per_vb_u32));
            assert_eq!(rate(Some(7), chain_id), Some(FeeRate::from_sat_per_vb_u32(7)));
        }
    }
}
