//! Events that servers make up, move to another block or hide: what the Bridge's state says of them decides.

use alloy::{
    primitives::{U64, hex},
    sol_types::SolEvent,
};
use coxswain_bindings::bridge::Bridge::{DepositRevealed, RedemptionRequested};
use coxswain_ethereum::{Endpoints, Expected};
use coxswain_proposals::{Assessment, Item, SessionError, Step, Why};
use coxswain_rules::{
    Action, Amount, Assurance, Objection, Proposal, RevealedDeposit, RuleId,
    units::{BlockNumber, Blocks},
};
use coxswain_testkit::{Change, Deposit, DepositSpec, FaultyEndpoint, Reply, Wallet, standard_scripts};
use serde_json::{Value, json};

use super::{FAIR, sweep};
use crate::generator::support::{HOUR, Stage, why};

const RIPE: u64 = 2 * HOUR + 60;

/// What a server does to the Bridge's events.
#[derive(Clone, Debug)]
enum Lie {
    /// It shows none.
    Hides,
    /// It shows them so many blocks later, or earlier.
    Moves(i64),
    /// It shows the reveal of another output besides, in the block of each.
    MakesUp,
    /// It shows reveals with another blinding factor.
    Changes,
    /// None: it is honest.
    None,
}

impl Lie {
    fn of(&self, all: &mut Vec<Value>) {
        let is_concerned = |log: &Value| {
            let topic = log["topics"][0].as_str().unwrap().parse().unwrap();
            [DepositRevealed::SIGNATURE_HASH, RedemptionRequested::SIGNATURE_HASH].contains(&topic)
        };
        let (mut concerned, others): (Vec<_>, Vec<_>) = all.drain(..).partition(is_concerned);
        self.bend(&mut concerned);
        all.extend(others.into_iter().chain(concerned));
    }

    fn bend(&self, logs: &mut Vec<Value>) {
        let number = |log: &Value| log["blockNumber"].as_str().unwrap().parse::<U64>().unwrap().to::<u64>();
        match self {
            Self::None => {}
            Self::Hides => logs.clear(),
            Self::Moves(blocks) => {
                for log in logs {
                    log["blockNumber"] = json!(U64::from(number(log).saturating_add_signed(*blocks)));
                }
            }
            Self::MakesUp => {
                let mut made_up = logs.clone();
                for log in &mut made_up {
                    // The output's index, the second word of a reveal.
                    bend(log, 63, 9);
                    log["logIndex"] = json!("0x77");
                }
                made_up.dedup_by_key(|log| number(log));
                logs.append(&mut made_up);
            }
            Self::Changes => logs.iter_mut().for_each(|log| bend(log, 32 * 3, 0xee)),
        }
    }

    async fn server(self, stage: &Stage) -> FaultyEndpoint {
        let upstream = stage.world.chain.url();
        let meet = move |method: &str| match method {
            "eth_getLogs" => {
                let lie = self.clone();
                Reply::Changed(Change::new(move |logs| lie.of(logs.as_array_mut().unwrap())))
            }
            _ => Reply::Forward,
        };
        FaultyEndpoint::start(upstream, meet).await.unwrap()
    }
}

/// Changes a byte of a log's data.
fn bend(log: &mut Value, at: usize, to: u8) {
    let mut data = hex::decode(log["data"].as_str().unwrap()).unwrap();
    if let Some(byte) = data.get_mut(at) {
        *byte = to;
    }
    log["data"] = json!(hex::encode_prefixed(data));
}

/// A wallet with a deposit that is ripe to be swept; the blocks around its reveal have times of their own, as on real chains.
async fn scene() -> (Stage, Wallet, Deposit) {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    apart(&stage, true).await;
    stage.world.chain.mine(2).await.unwrap();
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.world.chain.mine(2).await.unwrap();
    apart(&stage, false).await;
    stage.pass(RIPE).await;
    (stage, wallet, deposit)
}

async fn apart(stage: &Stage, is_on: bool) {
    stage.world.chain.space_blocks(is_on.then_some(1)).await.unwrap();
}

impl Stage {
    /// What a member says of the proposal by what these servers say, with all events read, and with none.
    async fn judged_by(
        &mut self,
        servers: &[&FaultyEndpoint],
        wallet: &Wallet,
        proposal: &Proposal,
    ) -> [Option<Assessment>; 2] {
        let urls = servers.iter().map(|server| server.url().clone());
        let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
        let mut judged = [None, None];
        let height = self.height().await;
        for (slot, from) in judged.iter_mut().zip([0, height + 1]) {
            self.events = self.events_from(from);
            // If the servers don't agree on the events, nothing is judged.
            let known = coxswain_ethereum::Chain::new(crate::generator::support::CHAIN);
            let (_, named) = known.named(&endpoints, coxswain_ethereum::BlockSelector::Latest).await.unwrap();
            let bridge = self.world.bridge.address();
            let log = coxswain_ethereum::EventLog::new(bridge, BlockNumber(from));
            let reader = coxswain_ethereum::EventReader::new(endpoints.clone(), log, Blocks(96));
            if reader.follow(named.header.block()).await.is_ok() {
                let bitcoin = self.bitcoin.clone();
                *slot = Some(self.judge_through(endpoints.clone(), bitcoin, wallet, proposal).await);
            }
        }
        judged
    }
}

fn named(deposit: &Deposit, reveal_block: u64, vout: u32) -> Proposal {
    let outpoint = bitcoin::OutPoint::new(deposit.outpoint.txid, vout);
    let deposits = vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(reveal_block) }];
    Proposal::DepositSweep(coxswain_rules::DepositSweepProposal { deposits, fee: FAIR })
}

fn is_valid(assessment: &Assessment) -> bool {
    matches!(assessment, Assessment::Valid { .. })
}

fn is_not_there(assessment: &Assessment) -> bool {
    let objection = assessment.objection();
    matches!(objection, Some(Objection::RevealNotInBlock { .. }))
}

fn is_hidden(assessment: &Assessment) -> bool {
    matches!(
        assessment,
        Assessment::Undecided { step: Step::Evidence, cause }
            if matches!(&**cause, SessionError::RevealHidden { .. })
    )
}

const LIES: [Lie; 5] = [Lie::Hides, Lie::Moves(1), Lie::Moves(-1), Lie::MakesUp, Lie::Changes];

#[tokio::test]
async fn inc_47_one_of_three_that_makes_up_moves_or_hides_events_changes_nothing() {
    let (mut stage, wallet, deposit) = scene().await;
    let block = deposit.reveal_block;
    let valid = sweep([&deposit], FAIR);
    let elsewhere =
        [named(&deposit, block.next().0, 1), named(&deposit, block.saturating_sub(Blocks(1)).0, 1)];
    let made_up = named(&deposit, block.0, 9);
    let honest = [Lie::None.server(&stage).await, Lie::None.server(&stage).await];
    for (place, lie) in LIES.into_iter().enumerate() {
        let liar = lie.clone().server(&stage).await;
        let mut servers = vec![&honest[0], &honest[1]];
        servers.insert(place % 3, &liar);
        for judged in stage.judged_by(&servers, &wallet, &valid).await {
            assert!(judged.as_ref().is_some_and(is_valid), "{lie:?}: {judged:?}");
        }
        for proposal in elsewhere.iter().chain([&made_up]) {
            for judged in stage.judged_by(&servers, &wallet, proposal).await {
                assert!(judged.as_ref().is_some_and(is_not_there), "{lie:?}: {judged:?}");
            }
        }
    }
}

#[tokio::test]
async fn inc_47_by_state_a_lone_server_moves_hides_and_makes_up_nothing() {
    let (mut stage, wallet, deposit) = scene().await;
    let block = deposit.reveal_block;
    for lie in [Lie::Hides, Lie::Moves(1), Lie::Moves(-1)] {
        let liar = lie.clone().server(&stage).await;
        // It was revealed in that block, whatever is shown: that none is shown is no objection.
        let judged = stage.judged_by(&[&liar], &wallet, &sweep([&deposit], FAIR)).await;
        assert!(judged.iter().flatten().all(is_hidden), "{lie:?}: {judged:?}");
        // And in no other.
        for other in [block.saturating_sub(Blocks(1)), block.next()] {
            let judged = stage.judged_by(&[&liar], &wallet, &named(&deposit, other.0, 1)).await;
            assert!(judged.iter().flatten().all(is_not_there), "{lie:?}: {judged:?}");
        }
    }
    let liar = Lie::MakesUp.server(&stage).await;
    for judged in stage.judged_by(&[&liar], &wallet, &named(&deposit, block.0, 9)).await {
        assert!(judged.as_ref().is_some_and(is_not_there), "{judged:?}");
    }
    // What a reveal tells can't be held against state alone: then it is a word, and said to be.
    let liar = Lie::Changes.server(&stage).await;
    for judged in stage.judged_by(&[&liar], &wallet, &sweep([&deposit], FAIR)).await {
        let Some(Assessment::Rejected { objection, assurance, .. }) = judged else { panic!("{judged:?}") };
        assert_eq!((objection.rule(), assurance), (Some(RuleId::Ds11), Assurance::Word));
    }
}

#[tokio::test]
async fn inc_47_one_that_shows_the_reveal_wins_over_two_that_show_none() {
    let (mut stage, wallet, deposit) = scene().await;
    let hiding = [Lie::Hides.server(&stage).await, Lie::Hides.server(&stage).await];
    let valid = sweep([&deposit], FAIR);
    for place in 0..3 {
        let honest = Lie::None.server(&stage).await;
        let mut servers = vec![&hiding[0], &hiding[1]];
        servers.insert(place, &honest);
        for judged in stage.judged_by(&servers, &wallet, &valid).await {
            assert!(judged.as_ref().is_some_and(is_valid), "at {place}: {judged:?}");
        }
    }
    // But not with a reveal that doesn't fit the output.
    let false_one = Lie::Changes.server(&stage).await;
    for judged in stage.judged_by(&[&hiding[0], &hiding[1], &false_one], &wallet, &valid).await {
        assert!(judged.as_ref().is_some_and(is_hidden), "{judged:?}");
    }
}

#[tokio::test]
async fn inc_47_a_reveal_or_request_is_as_deep_as_the_bridges_record_of_it() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.pass(0).await;
    stage.pass(0).await;
    apart(&stage, true).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    let [_, script, ..] = standard_scripts(1);
    let (redeemer, amount) = (stage.world.depositor, Amount::from_sat(2_000_000));
    stage.world.request_redemption(&wallet, redeemer, script.clone(), amount).await.unwrap();
    apart(&stage, false).await;
    stage.world.chain.mine(20).await.unwrap();
    stage.world.chain.advance(RIPE).await.unwrap();
    let liar = Lie::Moves(-40).server(&stage).await;
    let endpoints = Endpoints::new(liar.url().clone()).unwrap();
    for (action, item) in [
        (Action::DepositSweep, Item::Deposit(deposit.outpoint)),
        (Action::Redemption, Item::Redemption(script)),
    ] {
        stage.events = stage.events_from(0);
        let bitcoin = stage.bitcoin.clone();
        let generation =
            stage.generate_through(endpoints.clone(), bitcoin, wallet.key_hash(), &[action]).await;
        let attempt = &generation.attempts[0];
        let why = why(&attempt.excluded, &item);
        assert_eq!(*why, Why::Shallow { depth: Blocks(31), least: Blocks(32) }, "{action}");
        assert!(generation.proposed().is_none());
    }
}
