//! What validating costs on the real Bridge, behind its proxy: our validator beside the one deployed on mainnet, in the same
//! run. Every call is a transaction of its own, so that all storage is cold; what a transaction costs before it runs is
//! taken off. One line a call: name, ours, deployed.

use alloy::{
    primitives::Address,
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use coxswain_ethereum::calldata;
use coxswain_rules::{Action, Amount, Case, RedemptionProposal, Subject};
use coxswain_testkit::{DepositSpec, Scene, TestChain, World, deployed_validator, standard_scripts, sweep};

const FEE: Amount = Amount::from_sat(10_000);
const REDEEMED: Amount = Amount::from_sat(1_000_000);
/// Of what one transaction sweeps or pays.
const MOST: usize = 20;
const HOURS: u64 = 3600;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Before Prague nothing is paid for calldata but what is taken off here.
    let mut scene = Scene::on(World::on(TestChain::start_before_prague()?).await?, |_| ()).await?;
    let wallet = scene.working.clone();
    let mut deposits = Vec::new();
    for _ in 0..MOST {
        deposits.push(scene.world.reveal(&wallet, DepositSpec::default()).await?);
    }
    let redeemer = scene.world.depositor;
    let mut scripts = Vec::new();
    for script in (10_u64..).flat_map(standard_scripts).take(MOST) {
        scene.world.request_redemption(&wallet, redeemer, script.clone(), REDEEMED).await?;
        scripts.push(script);
    }
    scene.world.chain.advance(3 * HOURS).await?;

    let redemption = |scripts: &[_]| Case {
        wallet: wallet.key_hash(),
        subject: Subject::Redemption(RedemptionProposal { scripts: scripts.to_vec(), fee: FEE }),
    };
    let sweep =
        |count| Case { wallet: wallet.key_hash(), subject: sweep(deposits.get(..count).unwrap_or_default()) };
    let cases = [
        ("deposit sweep of 1", sweep(1)),
        ("deposit sweep of 20", sweep(MOST)),
        ("redemption of 1", redemption(scripts.get(..1).unwrap_or_default())),
        ("redemption of 20", redemption(&scripts)),
        ("heartbeat", scene.case(Action::Heartbeat)?),
        ("moving funds", scene.case(Action::MovingFunds)?),
        ("moved funds sweep", scene.case(Action::MovedFundsSweep)?),
    ];
    let ours = scene.world.validator;
    let deployed = scene.world.deploy_validator(&deployed_validator()?).await?;
    for (name, case) in cases {
        let (ours, deployed) =
            (gas(&scene.world, ours, &case).await?, gas(&scene.world, deployed, &case).await?);
        println!("{name}: {ours} of {deployed}, {} %", ours * 100 / deployed);
    }
    Ok(())
}

/// What the validator burns to accept the case.
async fn gas(world: &World, validator: Address, case: &Case) -> Result<u64> {
    let input = calldata(case);
    let before: u64 = 21_000 + input.iter().map(|&byte| if byte == 0 { 4 } else { 16 }).sum::<u64>();
    let request = TransactionRequest::default()
        .from(world.governance)
        .to(validator)
        .input(input.into())
        .gas_limit(15_000_000);
    let receipt: TransactionReceipt = world.chain.rpc().ask("eth_sendTransactionSync", (request,)).await?;
    if !receipt.status() {
        return Err(format!("{validator} rejects {:?}", case.action()).into());
    }
    Ok(receipt.gas_used - before)
}
