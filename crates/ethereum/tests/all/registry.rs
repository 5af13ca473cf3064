//! The wallet registry's readers, on a double that speaks the registry's ABI as the contract's package has it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use alloy::primitives::{Address, B256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use coxswain_ethereum::{
    BlockSelector, Chain, Eligible, EligibleError, Endpoints, Expected, GroupError, Groups,
};
use coxswain_rules::units::BlockNumber;
use coxswain_testkit::{DOUBLE_BRIDGE as BRIDGE, DOUBLE_REGISTRY as REGISTRY, Registry};
use url::Url;

fn operator(id: u32) -> Address {
    Registry::operator(id)
}

async fn group_of(double: Registry, from_block: u64) -> Result<Vec<Address>, GroupError> {
    group_by(vec![double], from_block).await
}

/// The group, as these servers have it.
async fn group_by(doubles: Vec<Registry>, from_block: u64) -> Result<Vec<Address>, GroupError> {
    let mut served = Vec::new();
    for double in doubles {
        served.push(double.serve().await.unwrap());
    }
    let urls = served.iter().map(|served| served.url().clone());
    let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
    let chain = Chain::served(&endpoints, None).await.unwrap();
    let (panel, named) = chain.named(&endpoints, BlockSelector::Latest).await.unwrap();
    let groups = Groups::new(panel, endpoints, BRIDGE, REGISTRY, BlockNumber(from_block));
    let group = groups.of(Registry::wallet(), &named.header).await?.fact;
    assert_eq!(group.key, Registry::key());
    Ok(group.operators)
}

#[tokio::test]
async fn inc_47_one_liar_among_three_servers_makes_up_no_group_and_no_end_of_a_wallet() {
    let honest = Registry::of_five;
    let (mut gone, mut unknown, mut others) = (honest(), honest(), honest());
    gone.kept.clear();
    unknown.wallets.clear();
    let operator_of_11 = others.operators.insert(11, operator(99));
    assert!(operator_of_11.is_some());
    for lying in [gone, unknown, others] {
        for place in 0..3 {
            let mut doubles = vec![honest(), honest()];
            doubles.insert(place, lying.clone());
            let group = group_by(doubles, 0).await.unwrap();
            assert_eq!(group, [operator(11), operator(13), operator(11)], "at {place}");
        }
    }
    // Without enough on one side it is undecided.
    let mut gone = honest();
    gone.kept.clear();
    let undecided = group_by(vec![gone, honest()], 0).await.unwrap_err();
    assert!(matches!(undecided, GroupError::Undecided(_)), "{undecided}");
}

#[tokio::test]
async fn a_wallets_operators_are_its_members_less_the_misbehaved_by_seat() {
    assert_eq!(group_of(Registry::of_five(), 0).await.unwrap(), [operator(11), operator(13), operator(11)]);
}

/// What of it doesn't fit together.
async fn contradiction(change: impl FnOnce(&mut Registry)) -> &'static str {
    let mut double = Registry::of_five();
    change(&mut double);
    match group_of(double, 0).await.unwrap_err() {
        GroupError::Contradiction { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_group_is_right_or_there_is_none() {
    let what = contradiction(|double| double.submitted[0].1.result.members[2] = 12).await;
    assert_eq!(what, "its members have another hash");
    let what = contradiction(|double| double.submitted[0].1.result.misbehavedMembersIndices = vec![2]).await;
    assert_eq!(what, "its members have another hash");
    let what = contradiction(|double| double.submitted[0].1.result.misbehavedMembersIndices = vec![6]).await;
    assert_eq!(what, "a member misbehaved that there isn't");
    let what = contradiction(|double| double.created.clear()).await;
    assert_eq!(what, "no event of its creation");
    let what = contradiction(|double| double.submitted.clear()).await;
    assert_eq!(what, "no event of its key generation");
    let what = contradiction(|double| assert!(double.operators.remove(&13).is_some())).await;
    assert_eq!(what, "a member has no operator");
    let other = Secp256k1::new();
    let other = PublicKey::from_secret_key(&other, &SecretKey::from_slice(&[8; 32]).unwrap());
    let what = contradiction(|double| {
        for kept in double.kept.values_mut() {
            kept.publicKeyX = B256::from_slice(&other.serialize_uncompressed()[1..33]);
            kept.publicKeyY = B256::from_slice(&other.serialize_uncompressed()[33..]);
        }
    })
    .await;
    assert_eq!(what, "its key has another hash");
}

#[tokio::test]
async fn a_wallet_that_is_unknown_or_gone_is_said_to_be() {
    let mut unknown = Registry::of_five();
    unknown.wallets.clear();
    assert_eq!(group_of(unknown, 0).await, Err(GroupError::NoWallet(Registry::wallet())));
    let mut gone = Registry::of_five();
    gone.kept.clear();
    assert_eq!(group_of(gone, 0).await, Err(GroupError::Gone(Registry::wallet())));
}

#[tokio::test]
async fn events_are_looked_for_from_the_registrys_first_block() {
    assert!(group_of(Registry::of_five(), 690).await.is_ok());
    assert!(group_of(Registry::of_five(), 691).await.is_err());
}

#[tokio::test]
async fn an_operator_is_eligible_if_its_provider_has_stake() {
    let served = Registry::of_five().serve().await.unwrap();
    let eligible = Eligible::new(&[served.url().clone()], &Expected::default(), REGISTRY, 0).unwrap();
    // One with stake, one whose provider has none, one without a provider.
    for (number, expected) in [(11, true), (12, false), (13, false)] {
        assert_eq!(eligible.is_eligible(operator(number)).await, Ok(expected), "{number}");
    }
}

#[tokio::test]
async fn a_no_and_a_yes_need_enough_servers_and_an_error_is_neither() {
    let mut lying = Registry::of_five();
    lying.stakes.clear();
    let mut dead = Registry::of_five();
    dead.dead = true;
    let mut served = Vec::new();
    for registry in [Registry::of_five(), Registry::of_five(), lying, dead] {
        served.push(registry.serve().await.unwrap());
    }
    let [good, other, lying, dead] = [0, 1, 2, 3].map(|at| served[at].url());
    let ask = async |servers: &[&Url]| {
        let urls: Vec<_> = servers.iter().copied().cloned().collect();
        let eligible = Eligible::new(&urls, &Expected::default(), REGISTRY, 0).unwrap();
        eligible.is_eligible(operator(11)).await
    };
    assert_eq!(ask(&[good, other, lying]).await, Ok(true));
    assert_eq!(ask(&[good, other, dead]).await, Ok(true));
    let disagree = ask(&[good, lying, dead]).await.unwrap_err();
    let EligibleError::NotAgreed { yes, no, silent, required, .. } = disagree else { panic!() };
    assert_eq!((yes, no, silent, required), (1, 1, 1, 2));
    assert!(ask(&[good, lying]).await.is_err());
    assert_eq!(ask(&[good, dead]).await, Ok(true));
    assert_eq!(ask(&[lying, dead]).await, Ok(false));
    assert!(ask(&[dead]).await.is_err());
}
