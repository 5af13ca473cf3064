//! `coxswain window`: a coordination window's phases, its safe block, and what may be proposed in it.

use std::{fmt, time::SystemTime};

use coxswain_ethereum::{Block, BlockSelector, Chain};
use coxswain_protocol::{Phase, Window};
use coxswain_rules::{
    Action, Assurances,
    units::{BlockNumber, Blocks},
};
use serde::{Serialize, Serializer};

use crate::{
    arguments::WindowArguments,
    coordination::{CoordinationError, NamedParameters, endpoint, require},
    page,
    report::{AssuranceFields, BlockFields, Report},
};

/// A window as seen from a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowReport {
    named: NamedParameters,
    block: BlockNumber,
    /// The servers' head, when it was asked for, and how it is known. `None` if a block was given.
    head: Option<(Block, SystemTime, Assurances)>,
    /// The latest window that has started. `None` before the first.
    window: Option<Window>,
    next: Option<Window>,
}

/// Whether an action may be proposed in a window.
enum Allowed {
    Yes,
    No,
    ByDraw,
}

/// Looks the window up.
///
/// # Errors
/// When the endpoint gives no usable answer, or serves another chain than the network's.
pub async fn window(arguments: &WindowArguments, now: SystemTime) -> Result<WindowReport, CoordinationError> {
    let network = arguments.network.map(Into::into);
    let (named, block, head) = match (arguments.rpc_url.as_slice(), arguments.block) {
        (urls @ [_, ..], _) => {
            let endpoint = endpoint(urls, network, &arguments.asking)?;
            let named = NamedParameters::served(&endpoint, network).await?;
            let chain = Chain::served(&endpoint, network).await?;
            let head = chain.named(&endpoint, BlockSelector::Latest).await?.1;
            let (known, head) = (Assurances::at(head.named_by, head.of, false), head.header.block());
            require(&known, arguments.require, || format!("the head is {head}"))?;
            (named, head.number, Some((head, now, known)))
        }
        ([], Some(block)) => (NamedParameters::chosen(network), block, None),
        ([], None) => {
            return Err(CoordinationError::Usage(
                "--block, --rpc-url or COXSWAIN_ETHEREUM__URLS is needed".to_owned(),
            ));
        }
    };
    let window = named.network.latest_window(block);
    if window.is_none() && block.0 >= named.network.frequency.0 {
        return Err(CoordinationError::Usage(format!("no chain comes to block {block}")));
    }
    let next = Window::numbered(&named.network, window.map_or(0, |window| window.index()).saturating_add(1));
    Ok(WindowReport { named, block, head, window, next })
}

impl WindowReport {
    /// Every action in the checklist's order of priority: whether the window allows it, and why.
    fn checklist(&self, window: Window) -> [(Action, Allowed, String); 5] {
        let network = &self.named.network;
        let (index, n) = (window.index(), network.sweep_interval);
        let by_index = |action| {
            let (allowed, verb) = if network.allows_moving_funds(&window) {
                (Allowed::Yes, "is")
            } else {
                (Allowed::No, "is not")
            };
            (action, allowed, format!("window {index} {verb} a multiple of {n}"))
        };
        let sweep = |action| match network.sweeps_every_window_from {
            Some(from) if network.sweeps_in_every_window(&window) => {
                (action, Allowed::Yes, format!("every window from block {from} on"))
            }
            _ => by_index(action),
        };
        let p = network.heartbeat_probability;
        [
            (Action::Redemption, Allowed::Yes, "every window".to_owned()),
            sweep(Action::DepositSweep),
            sweep(Action::MovedFundsSweep),
            by_index(Action::MovingFunds),
            (
                Action::Heartbeat,
                Allowed::ByDraw,
                format!("where the wallet's draw is below {p}: coxswain leader"),
            ),
        ]
    }
}

impl Report for WindowReport {}

impl Serialize for WindowReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            network: &'static str,
            block: BlockNumber,
            head: Option<BlockFields>,
            #[serde(skip_serializing_if = "Option::is_none")]
            assurance: Option<AssuranceFields>,
            window: Option<WindowFields>,
            next_coordination_block: Option<BlockNumber>,
        }
        let fields = Fields {
            network: self.named.name,
            block: self.block,
            head: self.head.map(|(head, now, _)| BlockFields::new(head, now)),
            assurance: self.head.map(|(.., known)| (&known).into()),
            window: self.window.map(|window| self.window_fields(window)),
            next_coordination_block: self.next.map(|next| next.block()),
        };
        fields.serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowFields {
    index: u64,
    coordination_block: BlockNumber,
    active_phase_end: BlockNumber,
    end: BlockNumber,
    safe_block: BlockNumber,
    phase: &'static str,
    checklist: Vec<ActionFields>,
}

#[derive(Serialize)]
struct ActionFields {
    action: &'static str,
    /// `None` if the wallet's draw decides.
    allowed: Option<bool>,
    why: String,
}

impl WindowReport {
    fn window_fields(&self, window: Window) -> WindowFields {
        let action = |(action, allowed, why): (Action, Allowed, String)| ActionFields {
            action: action.name(),
            allowed: match allowed {
                Allowed::Yes => Some(true),
                Allowed::No => Some(false),
                Allowed::ByDraw => None,
            },
            why,
        };
        WindowFields {
            index: window.index(),
            coordination_block: window.block(),
            active_phase_end: window.active_end(),
            end: window.end(),
            safe_block: window.safe_block(),
            phase: phase(window.phase(self.block)),
            checklist: self.checklist(window).map(action).into(),
        }
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Before => "before",
        Phase::Active => "active",
        Phase::Passive => "passive",
        Phase::Over => "over",
    }
}

impl fmt::Display for WindowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.block;
        if let Some((head, now, known)) = &self.head {
            writeln!(f, "{}\n{known}", page::block(head, *now))?;
        }
        if let Some(window) = self.window {
            let now = match window.phase(block) {
                Phase::Before => "it hasn't started",
                Phase::Active => "the leader may speak",
                Phase::Passive => "the result is being validated",
                Phase::Over => "it is over",
            };
            writeln!(f, "window {} of network {}; at block {block} {now}", window.index(), self.named)?;
            writeln!(f, "  safe block       {:>10}", window.safe_block())?;
            writeln!(
                f,
                "  active phase     {:>10}  to {}",
                window.block(),
                window.active_end().saturating_sub(Blocks(1))
            )?;
            writeln!(
                f,
                "  passive phase    {:>10}  to {}",
                window.active_end(),
                window.end().saturating_sub(Blocks(1))
            )?;
            writeln!(f, "  action starts    {:>10}", window.end())?;
            writeln!(f, "checklist, in order of priority")?;
            for (action, allowed, why) in self.checklist(window) {
                let allowed = match allowed {
                    Allowed::Yes => "yes",
                    Allowed::No => "no",
                    Allowed::ByDraw => "by draw",
                };
                writeln!(f, "  {action:<18} {allowed:<8} {why}")?;
            }
        } else {
            writeln!(f, "no window of network {} has started at block {block}", self.named)?;
        }
        match self.next {
            Some(next) => {
                let away = next.block().saturating_since(block);
                write!(f, "next window at block {}, in {away} blocks", next.block())
            }
            None => write!(f, "no window follows"),
        }
    }
}
