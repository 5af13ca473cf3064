//! The questions that prove a call: asked of one endpoint after the other, until the call ends.
//!
//! An access list is a hint at what the call will touch. What a run still lacks is asked for, and the call is run again.
//! What one endpoint has proven holds, whoever proves the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256, address},
    rpc::{
        json_rpc::{RpcRecv, RpcSend},
        types::{AccessListResult, TransactionInput, TransactionRequest},
    },
};

use super::{
    run::{Call, ExecutionError, MAX_ACCOUNTS, MAX_SLOTS, Run, run, run_noting},
    state::{AccountProof, AccountProofError, Codes, Shortfall, State},
    witness::Recorder,
};
use crate::rpc::{Called, Connection, Dissents, Endpoints, HashedHeader, RequestError};

/// How often a call is run at most.
const MAX_ROUNDS: usize = 16;
/// How many slots one `eth_getProof` asks for at most.
const SLOTS_PER_PROOF: usize = 256;
/// How many accounts and slots one batch asks for at most. On mainnet a proof of one takes up to 9 KB, so that an answer
/// stays under 5 MB.
const PROOFS_PER_BATCH: usize = 512;
/// How many contracts' code one batch asks for at most: 48 KB each.
const CODES_PER_BATCH: usize = 64;
/// The pause before a request that failed in passing is sent once more.
const PAUSE: Duration = Duration::from_millis(200);
/// The precompiled contracts that hash as Bitcoin does. An access list leaves them out, and nearly each call touches them.
const PRECOMPILES: [Address; 2] = [
    address!("0000000000000000000000000000000000000002"),
    address!("0000000000000000000000000000000000000003"),
];

/// Why an endpoint didn't help to prove a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It doesn't serve the proof, or gives no usable answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What it gave proves nothing: it lies, or is on another branch.
    #[error("{server}: {error}")]
    Invalid {
        /// The endpoint's host and port.
        server: String,
        /// The flaw.
        error: AccountProofError,
    },
}

/// Why a call is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It can't be, whatever the endpoints prove.
    #[error(transparent)]
    NotProvable(#[from] ExecutionError),
    /// No endpoint proves all that it needs.
    #[error("no endpoint proves the state: {}", listed(.0))]
    NoProof(Vec<ServerError>),
}

fn listed(failures: &[ServerError]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A call's answer, which is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// How the call ended.
    pub called: Called,
    /// Whether there is code where it went. What has none answers nothing to any call.
    pub has_code: bool,
}

impl Proven {
    fn of(called: Called, call: &Call, state: &State) -> Self {
        Self { called, has_code: call.to.is_none_or(|to| state.has_code(to) == Some(true)) }
    }
}

/// Proves calls by what the endpoints' proofs prove.
#[derive(Debug)]
pub struct Prover {
    servers: Vec<Connection>,
    chain_id: u64,
    /// Code is kept: it is the most of a call's state, and the same on whichever block.
    codes: Mutex<Codes>,
    /// What calls on the newest state have had proven: the next one touches much of it again. Many read it side by side, and one that
    /// needs more goes on with a copy.
    last: Mutex<Option<Arc<State>>>,
    /// Where it is noted whose proofs don't hold.
    dissents: Dissents,
}

impl Prover {
    /// A prover of calls on chain `chain_id`, by the proofs of these endpoints. Nothing is sent yet.
    pub fn new(endpoint: &Endpoints, chain_id: u64) -> Self {
        Self {
            servers: endpoint.servers().into_iter().flatten().collect(),
            chain_id,
            codes: Mutex::default(),
            last: Mutex::default(),
            dissents: endpoint.noted().clone(),
        }
    }

    /// A server's failure. If it lies, or is on another branch, that is noted.
    fn failed(&self, failure: ServerError) -> ServerError {
        if let ServerError::Invalid { server, error } = &failure {
            self.dissents.note(server, || error.to_string());
        }
        failure
    }

    /// The answer to a call on the state after this block.
    ///
    /// # Errors
    /// If it can't be proven, or no endpoint proves it.
    pub async fn call(&self, call: &Call, header: &HashedHeader) -> Result<Proven, ProofError> {
        let mut state = self.kept(header.fields().state_root);
        let outcome = self.call_on(&mut state, call, header).await;
        self.keep(state);
        outcome
    }

    /// As [`call`](Self::call), and takes down what the answer rests on.
    ///
    /// # Errors
    /// As with [`call`](Self::call).
    pub(crate) async fn call_recorded(
        &self,
        call: &Call,
        header: &HashedHeader,
        recorder: &Recorder,
    ) -> Result<Proven, ProofError> {
        let mut state = self.kept(header.fields().state_root);
        let outcome = self.call_on(&mut state, call, header).await;
        self.keep(Arc::clone(&state));
        let (proven, codes) = (outcome?, self.codes());
        if let Ok((Run::Ended(called), touched)) = run_noting(call, header, self.chain_id, &state, &codes)
            && called == proven.called
        {
            let slots = |address: Address| {
                let of = touched.slots.iter().filter(move |(of, _)| *of == address);
                of.map(|(_, slot)| *slot)
            };
            let proofs =
                touched.accounts.iter().map(|address| (*address, state.proofs(*address, slots(*address))));
            let codes = touched.codes.iter().filter_map(|hash| Some((*hash, codes.get(*hash)?.clone())));
            let touched = (proofs.collect(), codes.collect());
            recorder.take(call, &called, self.chain_id, header, touched);
        }
        Ok(proven)
    }

    async fn call_on(
        &self,
        state: &mut Arc<State>,
        call: &Call,
        header: &HashedHeader,
    ) -> Result<Proven, ProofError> {
        let mut failures = Vec::new();
        let mut rounds = 0;
        // If enough is known already, nobody is asked for hints.
        let mut hinted = false;
        if !state.is_empty()
            && let Run::Ended(called) = run(call, header, self.chain_id, state, &self.codes())?
        {
            return Ok(Proven::of(called, call, state));
        }
        for server in &self.servers {
            let server = Server { connection: server, at: U64::from(header.number().0) };
            if !hinted {
                let hints = server.hints(call, header.fields().beneficiary).await;
                match self.ask(&server, &hints, Arc::make_mut(state)).await {
                    Ok(()) => hinted = true,
                    Err(failure) => {
                        failures.push(self.failed(failure));
                        continue;
                    }
                }
            }
            loop {
                let codes = self.codes();
                let wanted = match run(call, header, self.chain_id, state, &codes)? {
                    Run::Ended(called) => return Ok(Proven::of(called, call, state)),
                    Run::Lacks(wanted) => wanted,
                };
                rounds += 1;
                if rounds == MAX_ROUNDS {
                    return Err(ExecutionError::TooManyRounds(rounds).into());
                }
                if let Err(failure) = self.ask(&server, &wanted, Arc::make_mut(state)).await {
                    failures.push(self.failed(failure));
                    break;
                }
            }
        }
        Err(ProofError::NoProof(failures))
    }

    /// Whether there is code at the address after this block.
    ///
    /// # Errors
    /// If no endpoint proves it.
    pub(crate) async fn has_code(&self, address: Address, header: &HashedHeader) -> Result<bool, ProofError> {
        let mut state = State::under(header.fields().state_root);
        let account = BTreeMap::from([(address, BTreeSet::new())]);
        let mut failures = Vec::new();
        for server in &self.servers {
            let server = Server { connection: server, at: U64::from(header.number().0) };
            match server.prove(&account, &mut state).await {
                Ok(()) => return Ok(state.has_code(address) == Some(true)),
                Err(failure) => failures.push(self.failed(failure)),
            }
        }
        Err(ProofError::NoProof(failures))
    }

    /// Returns the state proven under this root, to be built on.
    fn kept(&self, root: B256) -> Arc<State> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = last.as_ref().filter(|state| state.root() == root && !state.is_full());
        kept.cloned().unwrap_or_else(|| Arc::new(State::under(root)))
    }

    /// Keeps what is proven, beside what others had proven under the same root in between.
    fn keep(&self, state: Arc<State>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some(kept) if Arc::ptr_eq(kept, &state) => {}
            Some(kept) => Arc::make_mut(kept).join(Arc::unwrap_or_clone(state)),
            None => *last = Some(state),
        }
    }

    fn codes(&self) -> Codes {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for all that is wanted, and for the code of the accounts that turn out to have any.
    async fn ask(
        &self,
        server: &Server<'_>,
        wanted: &Shortfall,
        state: &mut State,
    ) -> Result<(), ServerError> {
        server.prove(&wanted.accounts, state).await?;
        let mut missing = wanted.codes.clone();
        {
            let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            for address in wanted.accounts.keys() {
                if let Some(hash) = state.code_hash(*address)
                    && codes.get(hash).is_none()
                {
                    missing.insert(hash, *address);
                }
            }
        }
        let missing: Vec<_> = missing.into_iter().collect();
        for part in missing.chunks(CODES_PER_BATCH) {
            let answers = server.codes(part).await?;
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            for ((hash, address), code) in part.iter().zip(answers) {
                codes.admit(*hash, *address, code).map_err(|error| server.invalid(error))?;
            }
        }
        Ok(())
    }
}

/// One endpoint, asked about the block at a height. A proof binds what it says to the block's root.
struct Server<'a> {
    connection: &'a Connection,
    at: U64,
}

impl Server<'_> {
    fn invalid(&self, error: AccountProofError) -> ServerError {
        ServerError::Invalid { server: self.connection.name().to_owned(), error }
    }

    /// What the call will likely touch, as far as the endpoint tells.
    async fn hints(&self, call: &Call, beneficiary: Address) -> Shortfall {
        let mut accounts = BTreeMap::<Address, BTreeSet<U256>>::new();
        for address in [Call::FROM, beneficiary].into_iter().chain(PRECOMPILES).chain(call.to) {
            accounts.entry(address).or_default();
        }
        let transaction = TransactionRequest {
            from: Some(Call::FROM),
            to: call.to.map(Into::into),
            input: TransactionInput::new(call.input.clone()),
            ..TransactionRequest::default()
        };
        let answer: Result<AccessListResult, _> =
            self.connection.request("eth_createAccessList", (transaction, self.at)).await;
        let mut slots = 0;
        for item in answer.map(|answer| answer.access_list.0).unwrap_or_default() {
            if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&item.address) {
                continue;
            }
            let account = accounts.entry(item.address).or_default();
            for slot in item.storage_keys {
                if slots < MAX_SLOTS {
                    account.insert(slot.into());
                    slots += 1;
                }
            }
        }
        Shortfall { accounts, codes: BTreeMap::new() }
    }

    /// Has these accounts and slots proven, in as few requests as will be answered.
    async fn prove(
        &self,
        accounts: &BTreeMap<Address, BTreeSet<U256>>,
        state: &mut State,
    ) -> Result<(), ServerError> {
        let mut questions = Vec::new();
        for (address, slots) in accounts {
            let slots: Vec<_> = slots.iter().copied().collect();
            let (first, rest) = slots.split_at(slots.len().min(SLOTS_PER_PROOF));
            for part in std::iter::once(first).chain(rest.chunks(SLOTS_PER_PROOF)) {
                questions.push((*address, part.to_vec()));
            }
        }
        let mut questions = questions.as_slice();
        while !questions.is_empty() {
            let mut weight = 0;
            let batch = questions
                .iter()
                .take_while(|(_, slots)| {
                    weight += 1 + slots.len();
                    weight <= PROOFS_PER_BATCH
                })
                .count();
            let (part, rest) = questions.split_at(batch.max(1));
            questions = rest;
            let params = part.iter().map(|(address, slots)| {
                let slots: Vec<B256> = slots.iter().map(|slot| B256::from(*slot)).collect();
                (*address, slots, self.at)
            });
            let answers: Vec<AccountProof> = self.batch("eth_getProof", params.collect()).await?;
            for ((address, slots), answer) in part.iter().zip(answers) {
                let slots = slots.iter().copied().collect();
                state.admit(*address, &slots, &answer).map_err(|error| self.invalid(error))?;
            }
        }
        Ok(())
    }

    async fn codes(&self, part: &[(B256, Address)]) -> Result<Vec<Bytes>, ServerError> {
        let params = part.iter().map(|(_, address)| (*address, self.at)).collect();
        Ok(self.batch("eth_getCode", params).await?)
    }

    async fn batch<Params, Answer>(
        &self,
        method: &'static str,
        params: Vec<Params>,
    ) -> Result<Vec<Answer>, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        match self.connection.batch(method, &params).await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(PAUSE).await;
                self.connection.batch(method, &params).await
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_trie::EMPTY_ROOT_HASH;

    use super::*;

    #[test]
    fn what_is_kept_for_later_calls_is_bounded_and_of_one_root() {
        let prover = Prover::new(&Endpoints::new("http://127.0.0.1:9".parse().unwrap()).unwrap(), 1);
        let account = |round: u8| Address::repeat_byte(round);
        // Under an empty root, all is proven to be absent.
        let slots: BTreeSet<_> = (0..MAX_SLOTS).map(U256::from).collect();
        let nothing = AccountProof { account_proof: Vec::new(), storage_proof: Vec::new() };
        for round in 0..40 {
            let mut state = prover.kept(EMPTY_ROOT_HASH);
            Arc::make_mut(&mut state).admit(account(round), &slots, &nothing).unwrap();
            prover.keep(state);
            let kept = prover.last.lock().unwrap().clone().unwrap();
            assert!(kept.account(account(round)).is_some(), "the newest is kept");
            let calls = (0..=round).filter(|round| kept.account(account(*round)).is_some()).count();
            assert!(calls <= 4, "what {calls} calls touched is kept");
        }
        let other = B256::repeat_byte(1);
        assert!(prover.kept(other).is_empty());
        prover.keep(Arc::new(State::under(other)));
        let kept = prover.last.lock().unwrap().clone().unwrap();
        assert!(kept.root() == other && kept.is_empty(), "nothing is proven under another root");
    }
}
