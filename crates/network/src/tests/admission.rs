//! Who is let in, by each setting, and what is remembered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::Address;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, advance};

use super::*;
use crate::{AdmissionRule, Admitted, Eligibility, EligibilityError, RefusedError, admission::Admission};

const HOUR: Duration = Duration::from_secs(3600);

/// Answers as told, and counts.
#[derive(Default)]
struct Told {
    answers: Mutex<BTreeMap<Address, bool>>,
    asked: Mutex<Vec<Address>>,
}

impl Told {
    fn tell(&self, operator: &Identity, answer: Option<bool>) {
        let address = operator.operator().address();
        let mut answers = self.answers.lock().unwrap();
        match answer {
            Some(answer) => drop(answers.insert(address, answer)),
            None => drop(answers.remove(&address)),
        }
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

impl Eligibility for Told {
    fn is_eligible(&self, operator: Address) -> BoxFuture<'_, Result<bool, EligibilityError>> {
        self.asked.lock().unwrap().push(operator);
        let answer = self.answers.lock().unwrap().get(&operator).copied();
        async move { answer.ok_or_else(|| "no server answers".into()) }.boxed()
    }
}

fn eligible() -> (Arc<Told>, Admission) {
    let told = Arc::new(Told::default());
    let network = Hub::node(operator(1), 1);
    (told.clone(), Admission::new(AdmissionRule::Eligible(told), Default::default(), network))
}

#[tokio::test(start_paused = true)]
async fn a_yes_holds_12_hours_and_a_no_1_hour() {
    let (told, admission) = eligible();
    let (good, bad) = (operator(2), operator(3));
    told.tell(&good, Some(true));
    told.tell(&bad, Some(false));
    let start = Instant::now();
    let at = |time: Duration| {
        let now = Instant::now();
        advance(start + time - now)
    };
    assert_eq!(admission.admit(good.operator()).await.unwrap(), Admitted::Eligible);
    at(Duration::from_secs(10)).await;
    assert!(matches!(admission.admit(bad.operator()).await, Err(RefusedError::NotEligible(_))));
    assert_eq!(told.asked(), 2);
    at(HOUR).await;
    assert!(admission.admit(bad.operator()).await.is_err());
    assert_eq!(told.asked(), 0);
    at(HOUR + Duration::from_secs(10)).await;
    assert!(admission.admit(bad.operator()).await.is_err());
    assert_eq!(told.asked(), 1);
    at(12 * HOUR - Duration::from_secs(1)).await;
    assert!(admission.admit(good.operator()).await.is_ok());
    assert_eq!(told.asked(), 0);
    at(12 * HOUR).await;
    assert!(admission.admit(good.operator()).await.is_ok());
    assert_eq!(told.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_refuses_a_newcomer_this_time_and_is_not_remembered() {
    let (told, admission) = eligible();
    assert!(matches!(admission.admit(operator(2).operator()).await, Err(RefusedError::Undecided(..))));
    told.tell(&operator(2), Some(true));
    assert!(admission.admit(operator(2).operator()).await.is_ok());
    assert_eq!(told.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_no_drops_a_connected_peer_and_an_error_none() {
    let (told, admission) = eligible();
    let peers = [operator(2), operator(3)];
    for peer in &peers {
        told.tell(peer, Some(true));
        admission.admit(peer.operator()).await.unwrap();
    }
    let connected: Vec<_> = peers.iter().map(|peer| peer.operator().address()).collect();
    told.asked();
    // What is younger than an hour isn't asked again.
    advance(HOUR - Duration::from_secs(1)).await;
    assert!(admission.ask_again(connected.clone()).await.is_empty());
    assert_eq!(told.asked(), 0);
    advance(Duration::from_secs(1)).await;
    told.tell(&peers[0], Some(false));
    told.tell(&peers[1], None);
    assert_eq!(admission.ask_again(connected.clone()).await, [connected[0]]);
    assert_eq!(told.asked(), 2);
    // However long nobody can say.
    advance(48 * HOUR).await;
    assert!(admission.ask_again(vec![connected[1]]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_unknown_keys_a_second_are_looked_up_and_members_never_wait() {
    let told = Arc::new(Told::default());
    let joined = Joined::new(&operator(1), &[&operator(1), &operator(2)], open_rules(64));
    let configured = [operator(3).operator().address()].into();
    let admission =
        Arc::new(Admission::new(AdmissionRule::Eligible(told.clone()), configured, joined.network.clone()));
    let start = Instant::now();
    let strangers: Vec<_> = (10..40)
        .map(|number| {
            let admission = admission.clone();
            tokio::spawn(async move { admission.admit(operator(number).operator()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(admission.admit(operator(2).operator()).await.unwrap(), Admitted::Member);
    assert_eq!(admission.admit(operator(3).operator()).await.unwrap(), Admitted::Configured);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let mut busy = 0;
    for stranger in strangers {
        busy += usize::from(matches!(stranger.await.unwrap(), Err(RefusedError::Busy(_))));
    }
    // One at once, and two in each of the five seconds that one waits at most.
    assert_eq!((told.asked(), busy), (11, 19));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn lists_hold_addresses_and_peer_ids_and_any_is_any() {
    let network = Hub::node(operator(1), 1);
    let address = operator(2).operator().address().to_string();
    let peer = operator(3).peer_id().to_base58();
    let list = AdmissionRule::list([&address[..], &peer]).unwrap();
    let admission = Admission::new(list, Default::default(), network.clone());
    for number in [2, 3] {
        assert_eq!(admission.admit(operator(number).operator()).await.unwrap(), Admitted::Listed);
    }
    assert!(matches!(admission.admit(operator(4).operator()).await, Err(RefusedError::NotListed(_))));
    for entry in ["", "0x12", "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"] {
        assert!(AdmissionRule::list([entry]).is_err(), "{entry}");
    }
    let any = Admission::new(AdmissionRule::Any, Default::default(), network);
    assert_eq!(any.admit(operator(4).operator()).await.unwrap(), Admitted::Anybody);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let (_, admission) = eligible();
    for number in 0..10_001_u32 {
        let address = Address::left_padding_from(&number.to_be_bytes());
        assert_eq!(admission.remember_no(address), (number + 1).min(10_000) as usize);
    }
}
