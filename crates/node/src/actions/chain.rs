//! Does what actions ask for, on the real chains: judges by sessions, signs by the wallet's signer, hands transactions to Bitcoin
//! and looks where they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::Address;
use bitcoin::{CompressedPublicKey, OutPoint, ScriptBuf, Transaction, Txid, consensus::encode};
use coxswain_bitcoin::{Backend, BackendError, Backends, Output};
use coxswain_ethereum::{Eligible, EventReader, Named, heads::Standing};
use coxswain_proposals::{Assessment, Memory, Obstacle, Session, SessionError, Sources};
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_rules::{
    Assurance, Assurances, KeyHash, Objection, Proposal, UnsignedTransaction,
    units::{BlockNumber, Confirmations, Height},
};
use coxswain_signing::{Job, Outcome, Preimages, Refusal, Signed, WalletSigner};
use tokio::sync::watch;
use tracing::warn;

use super::{
    carrier::Hands,
    machine::{Judged, Place, Prepared, Seen, Signing},
    milestone::{Alive, SignedTransaction},
    possible::{Possible, PossiblySigned},
    spenders::{SpenderError, Spenders},
};

/// How many blocks of Bitcoin are looked through for what others have signed: three times what any action has time for.
const RECENT: u32 = 72;

/// A wallet's signer, and its signing group.
#[derive(Debug)]
pub struct Signatory<S> {
    /// The signer.
    pub signer: S,
    /// The wallet's public key.
    pub key: CompressedPublicKey,
    /// Its group.
    pub group: Arc<SigningGroup>,
}

/// The real chains.
#[derive(Debug)]
pub struct ChainHands<S> {
    /// The Bridge's events.
    pub events: EventReader,
    /// What sessions read.
    pub sources: Sources<Backends>,
    /// Bitcoin.
    pub bitcoin: Backends,
    /// The blocks decided on.
    pub heads: watch::Receiver<Option<Standing>>,
    /// Who signs.
    pub signatories: BTreeMap<KeyHash, Signatory<S>>,
    /// Who says whether we have a stake, and who we are. `None` where nobody has one.
    pub stake: Option<(Eligible, Address)>,
    /// What is kept of each wallet.
    pub memories: Memories,
    /// What is looked for on Bitcoin.
    pub spenders: Spenders,
    /// What may be signed, whoever has signed it.
    pub possible: PossiblySigned,
}

/// The state of a wallet that is kept from one session to the next.
#[derive(Debug, Default)]
pub struct Memories(Mutex<BTreeMap<KeyHash, Arc<tokio::sync::Mutex<Memory>>>>);

impl Memories {
    fn of(&self, wallet: KeyHash) -> Arc<tokio::sync::Mutex<Memory>> {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(memories.entry(wallet).or_default())
    }
}

/// Why it can't be told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("no block has been decided on yet")]
    NoBlock,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Ethereum(#[from] coxswain_ethereum::ChainError),
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    #[error(transparent)]
    Spender(#[from] SpenderError),
    #[error(transparent)]
    Stake(#[from] coxswain_ethereum::EligibleError),
    #[error("{0}")]
    Step(String),
}

impl<S: WalletSigner + 'static> ChainHands<S> {
    /// The newest block, with the events up to it.
    async fn block(&self) -> Result<Named, Untold> {
        let standing = self.heads.borrow().clone();
        let named = standing.ok_or(Untold::NoBlock)?.named;
        self.events.follow(named.header.block()).await?;
        Ok(named)
    }

    async fn judged(&self, wallet: KeyHash, proposal: &Proposal, again: bool) -> Result<Judged, Untold> {
        if let (Proposal::Heartbeat(_), Some((eligible, operator))) = (proposal, &self.stake)
            && !eligible.is_eligible(*operator).await?
        {
            return Ok(Judged::Skipped("the operator has no stake any more".to_owned()));
        }
        let named = self.block().await?;
        // Before anything is found unspent: what conflicts comes in a later block.
        let height = self.bitcoin.tip().await?.height;
        let memory = self.memories.of(wallet);
        let mut memory = memory.lock().await;
        let mut session = Session::new(&self.sources, wallet, named, &mut memory);
        let (case, assessment) = session.judge_proposal(proposal).await;
        let case = match (assessment, case) {
            (Assessment::Valid { .. }, Some(case)) => case,
            (Assessment::Valid { .. }, None) => {
                return Err(Untold::Step("a valid case is missing".to_owned()));
            }
            (Assessment::Rejected { step, objection, .. }, case) => {
                let is_spent = matches!(
                    *objection,
                    Objection::MainUtxoSpent(_)
                        | Objection::OwnTransactionWaiting(_)
                        | Objection::OutputSpent(_)
                );
                if let (true, Some(case)) = (is_spent, case)
                    && let Ok(Some(unsigned)) = session.assemble(&case).await
                    && let Some(signed) = self.find_signed(&unsigned, height).await?
                {
                    return Ok(Judged::Out(Box::new(signed)));
                }
                let why = format!("{step}: {objection}");
                let is_doubtful = self.is_doubtful(&session.assurances());
                return Ok(if is_doubtful { Judged::Doubted(why) } else { Judged::Rejected(why) });
            }
            (Assessment::Undecided { step, cause }, _) => {
                return Err(Untold::Step(format!("{step}: {cause}")));
            }
        };
        if again && let Some(missing) = session.commitment_missing(&case).await? {
            return Err(Untold::Step(format!(
                "the commitment is not deep enough: {missing} blocks are missing"
            )));
        }
        let unsigned = match session.assemble(&case).await {
            Ok(unsigned) => unsigned,
            Err(Obstacle::Objection(objection)) => return Ok(Judged::Rejected(objection.to_string())),
            Err(Obstacle::Undecided(cause)) => return Err((*cause).into()),
        };
        let preimages = match (proposal, &unsigned) {
            (Proposal::Heartbeat(heartbeat), _) => match heartbeat.message.as_slice().try_into() {
                Ok(message) => Preimages::Heartbeat(message),
                Err(_) => return Ok(Judged::Rejected("a heartbeat's message has 16 bytes".to_owned())),
            },
            (_, Some(unsigned)) => Preimages::Transaction(unsigned.preimages()),
            (_, None) => return Err(Untold::Step("no transaction is assembled".to_owned())),
        };
        Ok(Judged::Valid(Arc::new(Prepared { preimages, unsigned, height })))
    }

    /// Whether it is one server's word, where there are others, which may say otherwise when they are back.
    fn is_doubtful(&self, known: &Assurances) -> bool {
        let is_word = |kind: Option<Assurance>| kind == Some(Assurance::Word);
        let ethereum = known.named_by < 2 || is_word(known.state) || is_word(known.events);
        let servers = self.bitcoin.quorum().map_or(0, |(servers, _)| servers);
        (known.of > 1 && ethereum) || (servers > 1 && is_word(known.bitcoin))
    }

    fn finished(signatory: &Signatory<S>, prepared: &Prepared, signed: &Signed) -> Signing {
        let Some(unsigned) = &prepared.unsigned else {
            let seats = (1..).take(signatory.group.holders().len());
            let seats = seats.filter_map(|number: u64| Seat::try_from(number).ok());
            let silent: Vec<_> = seats.filter(|seat| !signed.heard.contains(seat)).collect();
            let of = signatory.group.holders().len();
            return Signing::Heartbeat(Alive { active: of - silent.len(), of, silent, low_in_a_row: 0 });
        };
        let transaction = match unsigned.sign(signatory.key, &signed.signatures) {
            Ok(transaction) => transaction,
            Err(error) => return Signing::Failed(error.to_string()),
        };
        let Signed { attempt, seats, .. } = signed;
        let signed = signed_transaction(&transaction, unsigned, *attempt, seats.clone(), prepared.height);
        Signing::Transaction(Box::new(signed))
    }

    /// This transaction as others have signed it, if it is on Bitcoin.
    async fn find_signed(
        &self,
        unsigned: &UnsignedTransaction,
        tip: Height,
    ) -> Result<Option<SignedTransaction>, SpenderError> {
        let wanted = unsigned.transaction();
        let prevouts = unsigned.prevouts();
        let (Some(input), Some(prevout)) = (wanted.input.first(), prevouts.first()) else { return Ok(None) };
        let output = Output { outpoint: input.previous_output, script: prevout.script_pubkey.clone() };
        let height = tip.saturating_sub(RECENT);
        let Some(found) = self.spenders.find(&self.bitcoin, &output, height).await? else { return Ok(None) };
        let spent = |transaction: &Transaction| -> Vec<OutPoint> {
            transaction.input.iter().map(|input| input.previous_output).collect()
        };
        let is_it = spent(&found) == spent(wanted) && found.output == wanted.output;
        Ok(is_it.then(|| signed_transaction(&found, unsigned, 0, Vec::new(), height)))
    }

    /// Where the transaction is.
    async fn place(&self, signed: &SignedTransaction, tip: Height) -> Result<Place, Untold> {
        match self.confirmations(signed.txid).await? {
            Some(Confirmations::NONE) => Ok(Place::Mempool),
            // A block may have come since the tip was asked for.
            Some(deep) => Ok(Place::Block(tip.saturating_sub(deep.0 - 1))),
            None => Ok(match self.conflict(signed).await? {
                Some(other) => Place::Replaced(other),
                None => Place::Nowhere,
            }),
        }
    }

    /// Returns its confirmations: 0 in the mempool. `None` if no server has it.
    async fn confirmations(&self, txid: Txid) -> Result<Option<Confirmations>, BackendError> {
        match self.bitcoin.transactions(&[OutPoint::new(txid, 0)]).await?.pop() {
            Some(known) => Ok(known?.fact.map(|known| known.confirmations)),
            None => Ok(None),
        }
    }

    /// Returns another transaction, in a block, that spends one of the same outputs. Where one is spent, and it isn't shown by what,
    /// it can't be told that there is none.
    async fn conflict(&self, signed: &SignedTransaction) -> Result<Option<Txid>, Untold> {
        let output = |(outpoint, script): &(OutPoint, ScriptBuf)| Output {
            outpoint: *outpoint,
            script: script.clone(),
        };
        let outputs: Vec<_> = signed.inputs.iter().map(output).collect();
        for (output, unspent) in outputs.iter().zip(self.bitcoin.unspent(&outputs).await?) {
            if unspent?.fact {
                continue;
            }
            let found = self.spenders.find(&self.bitcoin, output, signed.height).await?;
            let Some(spender) = found.map(|spender| spender.compute_txid()) else {
                return Err(Untold::Step(format!(
                    "{} is spent, and no server shows by what",
                    output.outpoint
                )));
            };
            if spender == signed.txid {
                return Err(Untold::Step("one server has the transaction, another has not".to_owned()));
            }
            if self.confirmations(spender).await?.is_some_and(|deep| deep > Confirmations::NONE) {
                return Ok(Some(spender));
            }
        }
        Ok(None)
    }

    /// Whether the Bridge has recorded the transaction as the wallet's.
    async fn is_proven(&self, wallet: KeyHash, txid: Txid) -> Result<bool, Untold> {
        let named = self.block().await?;
        let (log, head) = (self.events.log(), named.header.number());
        let recorded = log.transactions(wallet).any(|own| own.txid == txid && own.at.block <= head);
        let mut moves = log.completed_moves().iter();
        Ok(recorded || moves.any(|own| own.source == wallet && own.txid == txid && own.at.block <= head))
    }
}

fn signed_transaction(
    transaction: &Transaction,
    unsigned: &UnsignedTransaction,
    attempt: u64,
    seats: Vec<Seat>,
    height: Height,
) -> SignedTransaction {
    let spent = transaction.input.iter().map(|input| input.previous_output);
    let scripts = unsigned.prevouts().into_iter().map(|prevout| prevout.script_pubkey);
    SignedTransaction {
        txid: transaction.compute_txid(),
        raw: encode::serialize(transaction).into(),
        inputs: spent.zip(scripts).collect(),
        fee: unsigned.fee(),
        vsize: u64::try_from(transaction.vsize()).unwrap_or(u64::MAX),
        attempt,
        seats,
        height,
    }
}

impl<S: WalletSigner + 'static> Hands for ChainHands<S> {
    fn signs(&self, wallet: KeyHash) -> bool {
        self.signatories.contains_key(&wallet)
    }

    async fn judge(&self, wallet: KeyHash, proposal: &Proposal, again: bool) -> Judged {
        let judged = self.judged(wallet, proposal, again).await;
        judged.unwrap_or_else(|untold| Judged::Undecided(untold.to_string()))
    }

    async fn sign(&self, job: &Job, prepared: &Prepared, clock: watch::Receiver<BlockNumber>) -> Signing {
        let Some(signatory) = self.signatories.get(&job.wallet) else {
            return Signing::Failed("there is no signer".to_owned());
        };
        if let Some(unsigned) = &prepared.unsigned {
            let possible = Possible::of(job, unsigned, prepared.height);
            // It may be in nobody's way any more at the next block.
            if let Err(error) = self.possible.begin(job.wallet, job.has_main_utxo, possible).await {
                return Signing::Unrecorded(error.to_string());
            }
        }
        let report = signatory.signer.sign(job, &signatory.group, clock).await;
        for blame in &report.blames {
            warn!(wallet = %job.wallet, action = %job.action_id, ?blame, "a seat is blamed");
        }
        match report.outcome {
            Outcome::Signed(signed) => Self::finished(signatory, prepared, &signed),
            Outcome::Deadline => Signing::Deadline,
            Outcome::NotReady { heard, needed } => {
                Signing::Failed(format!("{heard} seats were ready, {needed} needed"))
            }
            Outcome::Exhausted(attempts) => {
                Signing::Failed(format!("all {} attempts have failed", attempts.len()))
            }
            Outcome::Refused(refusal @ Refusal::Unrecorded(_)) => Signing::Unrecorded(refusal.to_string()),
            Outcome::Refused(refusal) => Signing::Failed(refusal.to_string()),
        }
    }

    async fn watch(&self, wallet: KeyHash, signed: &SignedTransaction, hand: bool) -> Seen {
        let transaction: Transaction = match encode::deserialize(&signed.raw) {
            Ok(transaction) => transaction,
            Err(error) => return Seen::nothing(error.to_string()),
        };
        let handed = if hand {
            Some(self.bitcoin.broadcast(&transaction).await.map_err(|error| error.to_string()))
        } else {
            None
        };
        let tip = match self.bitcoin.tip().await {
            Ok(tip) => tip.height,
            Err(error) => return Seen { handed, ..Seen::nothing(error.to_string()) },
        };
        let place = self.place(signed, tip).await.unwrap_or_else(|error| Place::Unknown(error.to_string()));
        let (mut is_proven, mut next_block) = (false, None);
        match place {
            Place::Block(_) => is_proven = self.is_proven(wallet, signed.txid).await.unwrap_or_default(),
            Place::Mempool => {
                let fees = self.bitcoin.fees().await;
                next_block =
                    fees.ok().and_then(|fees| fees.fact.next_block).map(|rate| rate.to_sat_per_kwu());
            }
            Place::Nowhere | Place::Replaced(_) | Place::Unknown(_) => {}
        }
        Seen { tip: Some(tip), handed, place, is_proven, next_block }
    }
}
