//! `coxswain replay`: what a node judged, judged again from its journal alone.

use std::{ffi::OsString, fmt};

use anstyle::AnsiColor;
use coxswain_ethereum::ContractVerdict;
use coxswain_node::replay::{Verdict, replay as judge_again};
use coxswain_rules::{KeyHash, units::BlockNumber};
use serde::Serialize;

use crate::{
    arguments::ReplayArguments,
    history::{JournalError, open},
    report::{Report, Text, strong},
};

/// A verdict, beside what comes of judging again.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    wallet: Text<KeyHash>,
    window: u64,
    block: BlockNumber,
    recorded: String,
    contract: String,
    rules: String,
    same: bool,
}

/// Judges again what was judged in a window.
///
/// # Errors
/// If nothing is kept of it, or it doesn't hold.
pub fn replay(
    arguments: &ReplayArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<ReplayReport, JournalError> {
    let reader = open(&arguments.journal, variables)?;
    let replay = judge_again(&reader, arguments.wallet, arguments.window)?;
    let valid = || "valid".to_owned();
    Ok(ReplayReport {
        wallet: Text(arguments.wallet),
        window: arguments.window,
        block: replay.block,
        recorded: match &replay.recorded {
            Verdict::Valid => valid(),
            Verdict::Rejected(objection) => format!("rejected: {objection}"),
            Verdict::Undecided(why) => format!("undecided: {why}"),
        },
        contract: match &replay.contract {
            ContractVerdict::Valid => valid(),
            ContractVerdict::Rejected(rejection) => format!("rejected: {rejection}"),
            ContractVerdict::Undecided(error) => format!("undecided: {error}"),
        },
        rules: replay.rules.as_ref().map_or_else(valid, |rejection| format!("rejected: {rejection}")),
        same: replay.is_same(),
    })
}

impl Report for ReplayReport {
    /// 0 the same, 1 it differs.
    fn exit_code(&self) -> u8 {
        u8::from(!self.same)
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wallet, window, block, recorded, contract, rules, same } = self;
        writeln!(f, "window {window} of wallet {}, judged at block {block}", wallet.0)?;
        writeln!(f, "  recorded      {recorded}\n  the contract  {contract}\n  the rules     {rules}")?;
        let (green, red) = (strong(AnsiColor::Green), strong(AnsiColor::Red));
        match same {
            true => write!(f, "{green}the same{green:#}"),
            false => write!(f, "{red}it differs{red:#}"),
        }
    }
}
