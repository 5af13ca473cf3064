//! What must be recorded before it leaves: what is signed for in a window, and what our account sends to Ethereum.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use coxswain_ethereum::submit::{Sent, SentLog, Unrecorded};
use coxswain_service::journal::{AppendError, Fact, FactKey, Journal};
use coxswain_signing::{Claim, ClaimError, SigningRecord};
use tracing::error;

/// What was signed for, by chain and window.
const SIGNED: &str = "signed";
/// What an account has sent under its newest nonce.
const SENT: &str = "sent";

/// What this process has signed for, in the journal.
#[derive(Clone, Debug)]
pub struct SignedFor(Arc<Journal>);

impl SignedFor {
    /// In this journal.
    pub const fn new(journal: Arc<Journal>) -> Self {
        Self(journal)
    }
}

impl SigningRecord for SignedFor {
    async fn claim(&self, claim: Claim) -> Result<(), ClaimError> {
        let unrecorded = |error: &dyn std::error::Error| ClaimError::Unrecorded(error.to_string());
        let name = format!("{}/{}", claim.chain_id, claim.coordination_block);
        let key = FactKey { topic: SIGNED, owner: claim.wallet.0, name };
        let body = serde_json::to_string(&claim).map_err(|error| unrecorded(&error))?;
        let fact = Fact { key: key.clone(), body, replaces: false };
        match self.0.fact(fact).await {
            Ok(()) => Ok(()),
            Err(AppendError::OtherFact { .. }) => {
                let there = self.0.reader().fact(&key).map_err(|error| unrecorded(&error))?;
                let there: Option<Claim> =
                    there.and_then(Result::ok).and_then(|body| serde_json::from_str(&body).ok());
                Err(match there {
                    Some(other) => ClaimError::Other { recorded: other.action_id },
                    None => ClaimError::Unrecorded("what was signed for before can't be read".to_owned()),
                })
            }
            Err(error) => Err(unrecorded(&error)),
        }
    }
}

/// What our account has sent, in the journal: all of its newest nonce, which a restart goes on from.
#[derive(Debug)]
pub struct SentTransactions {
    journal: Arc<Journal>,
    account: Address,
    newest: Mutex<Vec<Sent>>,
}

impl SentTransactions {
    /// Of this account, with what an earlier run has sent.
    pub fn restored(journal: Arc<Journal>, account: Address) -> (Self, Vec<Sent>) {
        let newest = match journal.reader().fact(&key(account)) {
            Ok(None) => Vec::new(),
            Ok(Some(Ok(body))) => serde_json::from_str(&body).unwrap_or_else(|error| {
                error!(%account, %error, "what the account has sent can't be read: it goes by the chain");
                Vec::new()
            }),
            Ok(Some(Err(_))) | Err(_) => {
                error!(%account, "what the account has sent can't be read: it goes by the chain");
                Vec::new()
            }
        };
        (Self { journal, account, newest: Mutex::new(newest.clone()) }, newest)
    }
}

fn key(account: Address) -> FactKey {
    FactKey { topic: SENT, owner: account.into_array(), name: String::new() }
}

impl SentLog for SentTransactions {
    async fn record(&self, sent: &Sent) -> Result<(), Unrecorded> {
        let unrecorded = |error: &dyn std::error::Error| Unrecorded(error.to_string());
        let newest = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.retain(|other| other.nonce == sent.nonce && other.hash != sent.hash);
            newest.push(sent.clone());
            newest.clone()
        };
        let body = serde_json::to_string(&newest).map_err(|error| unrecorded(&error))?;
        let fact = Fact { key: key(self.account), body, replaces: true };
        self.journal.fact(fact).await.map_err(|error| unrecorded(&error))
    }
}
