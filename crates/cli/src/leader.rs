//! `coxswain leader`: a wallet's draw in one window: seed, order of the operators, leader, seat, heartbeat.

use std::{fmt, fs::File, io::Read, path::Path};

use alloy_primitives::{Address, B256};
use coxswain_ethereum::{BlockSelector, Chain};
use coxswain_protocol::{SafeHashes, Seed, SigningGroup, Window};
use coxswain_rules::{Assurances, KeyHash, units::BlockNumber};
use serde::{Serialize, Serializer};

use crate::{
    arguments::LeaderArguments,
    coordination::{CoordinationError, NamedParameters, endpoint, require},
    group,
    report::{AssuranceFields, Report, Text},
    values::address,
};

/// The longest file of operators read, in bytes: far over a line for each seat.
const MOST_BYTES: u64 = 64 << 10;

/// A wallet's draw.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderReport {
    named: NamedParameters,
    wallet: KeyHash,
    /// None when the safe block's hash was given rather than its window.
    window: Option<Window>,
    safe_block_hash: B256,
    /// How what was read from the chain is known. `None` if nothing was.
    known: Option<Assurances>,
    seed: Seed,
    /// Each operator with its first seat, in the order drawn.
    order: Vec<(Address, u8)>,
    draw: f64,
}

/// Makes the draw.
///
/// # Errors
/// When the file is malformed, the block is no coordination block, or the endpoint gives no usable answer.
pub async fn leader(arguments: &LeaderArguments) -> Result<LeaderReport, CoordinationError> {
    let network = arguments.network.map(Into::into);
    let (group, of_group) = match &arguments.operators {
        Some(file) => (operators(file)?, None),
        None if arguments.rpc_url.is_empty() => {
            let problem = "--operators, or --rpc-url (or COXSWAIN_ETHEREUM__URLS) to read them from the chain, is needed";
            return Err(CoordinationError::Usage(problem.to_owned()));
        }
        None => {
            let read = group::read(
                arguments.wallet,
                &arguments.rpc_url,
                network,
                &arguments.registry,
                &arguments.asking,
            )
            .await?;
            (group::signing_group(read.fact.operators)?, Some(read.known))
        }
    };
    let (named, window, safe_block_hash, known) =
        match (arguments.safe_block_hash, arguments.rpc_url.as_slice(), arguments.block) {
            (Some(hash), ..) => (NamedParameters::chosen(network), None, hash, of_group),
            (None, urls @ [_, ..], Some(block)) => {
                let endpoint = endpoint(urls, network, &arguments.asking)?;
                let named = NamedParameters::served(&endpoint, network).await?;
                let window = named.network.window_at(block).ok_or_else(|| no_window(named, block))?;
                let safe_block = BlockSelector::Number(window.safe_block());
                let (_, block) =
                    Chain::served(&endpoint, network).await?.named(&endpoint, safe_block).await?;
                let mut known = of_group.unwrap_or(Assurances::at(block.named_by, block.of, false));
                known.named_by = known.named_by.min(block.named_by);
                let hash = SafeHashes::of(block.header.fields()).by(named.network.hash_rule(&window));
                (named, Some(window), hash, Some(known))
            }
            _ => {
                let problem =
                    "--safe-block-hash, or --rpc-url (or COXSWAIN_ETHEREUM__URLS) with --block, is needed";
                return Err(CoordinationError::Usage(problem.to_owned()));
            }
        };
    let seed = Seed::new(arguments.wallet, safe_block_hash);
    let seat = |operator| group.first_seat(operator).expect("drawn operators are the group's").number();
    let order = group.shuffled(seed).into_iter().map(|operator| (operator, seat(operator))).collect();
    let draw = seed.heartbeat_draw();
    let report =
        LeaderReport { named, wallet: arguments.wallet, window, safe_block_hash, known, seed, order, draw };
    if let Some(known) = &known {
        let leader =
            || report.order.first().map_or_else(String::new, |(leader, _)| format!("{leader} leads"));
        require(known, arguments.require, leader)?;
    }
    Ok(report)
}

fn no_window(named: NamedParameters, block: BlockNumber) -> CoordinationError {
    let frequency = named.network.frequency;
    let before = named.network.latest_window(block).map(|window| window.block());
    let after = before.unwrap_or_default().checked_add(frequency);
    let neighbours: Vec<_> = [before, after].into_iter().flatten().map(|block| block.to_string()).collect();
    CoordinationError::Usage(format!(
        "--block {block} is no coordination block of network {named} (multiples of {frequency} above 0): try {}",
        neighbours.join(" or ")
    ))
}

/// Reads the operators by seat: one address a line.
pub(crate) fn operators(file: &Path) -> Result<SigningGroup, CoordinationError> {
    let usage = |problem: String| CoordinationError::Usage(format!("{}: {problem}", file.display()));
    let mut text = String::new();
    let opened = File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    match opened {
        Err(error) => return Err(usage(error.to_string())),
        Ok(length) if length as u64 > MOST_BYTES => {
            return Err(usage(format!("it is longer than {MOST_BYTES} bytes")));
        }
        Ok(_) => {}
    }
    let mut holders = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        holders.push(address(line.trim()).map_err(|problem| usage(format!("line {number}: {problem}")))?);
    }
    SigningGroup::new(holders).map_err(|error| usage(error.to_string()))
}

impl LeaderReport {
    fn heartbeat(&self) -> bool {
        self.draw < self.named.network.heartbeat_probability
    }
}

impl Report for LeaderReport {}

impl Serialize for LeaderReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            network: &'static str,
            wallet: Text<KeyHash>,
            window: Option<u64>,
            safe_block: Option<BlockNumber>,
            safe_block_hash: B256,
            #[serde(skip_serializing_if = "Option::is_none")]
            assurance: Option<AssuranceFields>,
            seed: Text<Seed>,
            order: Vec<Text<Address>>,
            leader: Option<Text<Address>>,
            seat: Option<u8>,
            heartbeat_draw: f64,
            heartbeat_probability: f64,
            heartbeat: bool,
        }
        let first = self.order.first();
        let fields = Fields {
            network: self.named.name,
            wallet: Text(self.wallet),
            window: self.window.map(|window| window.index()),
            safe_block: self.window.map(|window| window.safe_block()),
            safe_block_hash: self.safe_block_hash,
            assurance: self.known.as_ref().map(Into::into),
            seed: Text(self.seed),
            order: self.order.iter().map(|(operator, _)| Text(*operator)).collect(),
            leader: first.map(|(operator, _)| Text(*operator)),
            seat: first.map(|(_, seat)| *seat),
            heartbeat_draw: self.draw,
            heartbeat_probability: self.named.network.heartbeat_probability,
            heartbeat: self.heartbeat(),
        };
        fields.serialize(serializer)
    }
}

impl fmt::Display for LeaderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wallet           {}", self.wallet)?;
        if let Some(window) = self.window {
            let rule = self.named.network.hash_rule(&window);
            writeln!(f, "window           {} of network {}", window.index(), self.named)?;
            writeln!(f, "safe block       {}, hashed by the rule {rule}", window.safe_block())?;
        }
        writeln!(f, "safe block hash  {}", self.safe_block_hash)?;
        if let Some(known) = &self.known {
            writeln!(f, "known            {known}")?;
        }
        writeln!(f, "seed             {}", self.seed)?;
        if let Some((leader, seat)) = self.order.first() {
            writeln!(f, "leader           {leader}, through seat {seat}")?;
        }
        let p = self.named.network.heartbeat_probability;
        let (heartbeat, relation) = if self.heartbeat() { ("yes", "below") } else { ("no", "not below") };
        writeln!(f, "heartbeat        {heartbeat}: the draw is {:.6}, {relation} {p}", self.draw)?;
        write!(f, "order drawn")?;
        for (position, (operator, seat)) in (1..).zip(&self.order) {
            write!(f, "\n  {position:>3}. {operator}, first seat {seat}")?;
        }
        Ok(())
    }
}
