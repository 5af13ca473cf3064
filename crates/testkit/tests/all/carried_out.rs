//! Accepted, therefore carried out: a sound proposal of each kind passes the validator that runs on mainnet, and then
//! its transaction passes the Bridge.

use coxswain_ethereum::{BlockSelector, ContractVerdict, Endpoints, ProposalValidator};
use coxswain_rules::{Action, WalletState, main_utxo_hash};
use coxswain_testkit::{Error, Scene, deployed_validator};

const ANVIL: u64 = 31337;

#[tokio::test]
async fn what_the_deployed_validator_accepts_is_carried_out() -> Result<(), Error> {
    let mut scene = Scene::set(|_| ()).await?;
    let address = scene.world.deploy_validator(&deployed_validator()?).await?;
    let endpoint = scene.world.chain.endpoint().parse().expect("anvil gives a URL");
    let endpoint = Endpoints::new(endpoint).expect("anvil speaks HTTP");
    let validator = ProposalValidator::new(endpoint, ANVIL, address);

    for action in Action::ALL {
        let case = scene.case(action)?;
        let judgement = validator.validate(&case, BlockSelector::Latest).await;
        assert_eq!(judgement.verdict, ContractVerdict::Valid, "{action}");

        let retires = action == Action::MovingFunds;
        let wallet = if retires { scene.retiring.clone() } else { scene.working.clone() };
        let transaction = scene.world.carry_out(&wallet, &case.subject).await?;
        assert_eq!(transaction.is_none(), action == Action::Heartbeat, "{action}");

        let record = scene.world.record(wallet.key_hash()).await?;
        let main_utxo = scene.world.main_utxo(&wallet);
        assert_eq!(
            record.mainUtxoHash,
            main_utxo.as_ref().map(main_utxo_hash).unwrap_or_default(),
            "{action}"
        );
        let state = if retires { WalletState::Closing } else { WalletState::Live };
        assert_eq!(WalletState::try_from(record.state), Ok(state), "{action}");
    }
    Ok(())
}
