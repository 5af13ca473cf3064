//! The whole way of each action that moves bitcoin: what is due is proposed, its transaction signed, taken by the Bitcoin node,
//! mined, and proven to the Bridge.

use coxswain_bitcoin::{Backend, Backends, Endpoint, Expected, Limits};
use coxswain_ethereum::{BlockSelector, Chain, EventLog, EventReader, ProposalValidator};
use coxswain_proposals::{Assessment, ChecklistOutcome, Memory, Session, Sources};
use coxswain_rules::{
    Action, Amount, Assurance, WalletState, main_utxo_hash, network::Parameters, units::BlockNumber,
};
use coxswain_testkit::{
    BitcoinServer, DepositOutput, DepositSpec, Reply, Serving, Wallet, World, standard_scripts,
};

use crate::generator::support::{CHAIN, DAY};

const NETWORK: Parameters = Parameters::LOCAL;
const CHECKLIST: [Action; 4] =
    [Action::Redemption, Action::DepositSweep, Action::MovedFundsSweep, Action::MovingFunds];

#[tokio::test]
async fn every_action_goes_the_whole_way() {
    let mut world = World::start().await.unwrap();
    let server = BitcoinServer::electrum(&world.bitcoin, Serving::default(), |_, _| Reply::Forward);
    let server = server.await.unwrap();
    let validator = world.validator;
    let ethereum = coxswain_ethereum::Endpoints::new(world.chain.url()).unwrap();
    let validator = ProposalValidator::new(ethereum.clone(), CHAIN, validator);
    let bitcoin = Endpoint::new(server.url(), Limits::default()).unwrap();
    let bitcoin = Backends::new(vec![bitcoin], Expected::on(::bitcoin::Network::Regtest));
    let bridge = world.bridge.address();
    let fallback = Some(::bitcoin::FeeRate::from_sat_per_vb_u32(5));
    let events = EventReader::new(ethereum, EventLog::new(bridge, BlockNumber(0)), NETWORK.final_depth);
    let (events_too, validator_too) = (events.clone(), validator.clone());
    let sources = Sources::new(events_too, CHAIN, validator_too, &bitcoin, NETWORK, fallback);
    let mut memory = [Memory::default(), Memory::default()];
    let wallets = [world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap()];

    let mut generate = async |index: usize| -> ChecklistOutcome {
        let (_, named) = Chain::new(CHAIN).named(events.endpoints(), BlockSelector::Latest).await.unwrap();
        events.follow(named.header.block()).await.unwrap();
        let wallet = wallets[index].key_hash();
        let mut session = Session::new(&sources, wallet, named.clone(), &mut memory[index]);
        let generation = session.generate_first(CHECKLIST).await;
        // The leader finds it valid, and so does a follower who knows nothing but what is on the wire.
        if let Some(proposed) = generation.proposed() {
            let valid = Assessment::Valid { assurance: Assurance::Word, warning: None };
            assert_eq!(session.judge(&proposed.case).await, valid);
            let mut memory = Memory::default();
            let mut session = Session::new(&sources, wallet, named, &mut memory);
            let (case, assessment) = session.judge_proposal(&proposed.proposal()).await;
            assert_eq!((case.as_ref(), assessment), (Some(&proposed.case), valid));
        }
        generation
    };
    let carry_out =
        async |world: &mut World, wallet: &Wallet, generation: &ChecklistOutcome, action: Action| {
            let proposed = generation.proposed().unwrap_or_else(|| panic!("{action}: {generation:?}"));
            assert_eq!(proposed.case.action(), action);
            let signed = wallet.sign(&proposed.transaction.as_ref().unwrap().unsigned).unwrap();
            bitcoin.broadcast(&signed).await.unwrap();
            let mined = world.carry_out(wallet, &proposed.case.subject).await.unwrap();
            assert_eq!(mined, Some(signed), "all members build the same bytes");
            let record = world.record(wallet.key_hash()).await.unwrap();
            let main_utxo = world.main_utxo(wallet);
            assert_eq!(record.mainUtxoHash, main_utxo.as_ref().map(main_utxo_hash).unwrap_or_default());
        };
    let pass = async |world: &World, seconds| {
        world.chain.mine(NETWORK.event_depth.0).await.unwrap();
        world.chain.advance(seconds).await.unwrap();
    };

    for output in [DepositOutput::P2wsh, DepositOutput::P2sh] {
        for extra_data in [[0; 32], [7; 32]] {
            let spec = DepositSpec { output, extra_data: extra_data.into(), ..DepositSpec::default() };
            world.reveal(&wallets[0], spec).await.unwrap();
        }
    }
    pass(&world, DAY).await;
    let generation = generate(0).await;
    carry_out(&mut world, &wallets[0], &generation, Action::DepositSweep).await;

    // Into the main UTXO, and a redemption of every standard script before: that comes first on the list.
    world.reveal(&wallets[0], DepositSpec::default()).await.unwrap();
    for script in standard_scripts(1) {
        let (redeemer, amount) = (world.depositor, Amount::from_sat(2_000_000));
        world.request_redemption(&wallets[0], redeemer, script, amount).await.unwrap();
    }
    pass(&world, DAY).await;
    for action in [Action::Redemption, Action::DepositSweep] {
        let generation = generate(0).await;
        carry_out(&mut world, &wallets[0], &generation, action).await;
    }

    world.retire(&wallets[0]).await.unwrap();
    pass(&world, DAY).await;
    let generation = generate(0).await;
    let due = generation.commitment().unwrap_or_else(|| panic!("{generation:?}"));
    assert_eq!(due.targets, [wallets[1].key_hash()]);
    world.commit_targets(&wallets[0], &due.targets).await.unwrap();
    let generation = generate(0).await;
    carry_out(&mut world, &wallets[0], &generation, Action::MovingFunds).await;
    let generation = generate(1).await;
    carry_out(&mut world, &wallets[1], &generation, Action::MovedFundsSweep).await;

    let state = async |wallet: &Wallet| {
        let record = world.record(wallet.key_hash()).await.unwrap();
        WalletState::try_from(record.state).unwrap()
    };
    assert_eq!(
        [state(&wallets[0]).await, state(&wallets[1]).await],
        [WalletState::Closing, WalletState::Live]
    );
}
