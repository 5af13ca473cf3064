//! What coordination asks of the chains: the safe hash as enough servers name it, proposals, and verdicts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use coxswain_bitcoin::Backends;
use coxswain_coordination::{Advisor, Unread};
#[cfg(feature = "proven")]
use coxswain_ethereum::proof::Recorder;
use coxswain_ethereum::{EventReader, Named, Panel, heads::Standing};
use coxswain_proposals::{ActionOutcome, Assessment, CommitmentDue, Memory, Session, Sources};
use coxswain_protocol::{Assignment, Assurance, ContentVerdict, Generation, SafeHashes, Setup, Window};
use coxswain_rules::{
    Action, Case, KeyHash, Proposal,
    units::{BlockNumber, Blocks},
};
use coxswain_service::journal::Journal;
use tokio::sync::watch;
use tracing::warn;

#[cfg(feature = "proven")]
use crate::replay::Records;
use crate::{commitments::CommitmentDesk, kept::Kept, left_out::LeftOut};

/// For how many blocks a leader waits for its wallet's commitment to show.
const COMMITMENT_SHOWS: Blocks = Blocks(6);

/// Answers from sessions at the newest decision block.
#[derive(Debug)]
pub struct SessionAdvisor {
    panel: Panel,
    events: EventReader,
    sources: Sources<Backends>,
    heads: watch::Receiver<Option<Standing>>,
    /// Sends commitments. `None` if this node sends none.
    commitments: Option<CommitmentDesk>,
    wallets: Mutex<BTreeMap<KeyHash, Arc<tokio::sync::Mutex<Desk>>>>,
    /// The wallets that may be led.
    setups: Vec<Setup>,
    led: Mutex<Option<Led>>,
    /// Keeps what is left out of proposals.
    journal: Option<Arc<Journal>>,
    /// Keeps what generations remember.
    kept: Option<Kept>,
    #[cfg(feature = "proven")]
    records: Option<Records>,
}

/// The wallets that we lead in a window.
#[derive(Clone, Debug)]
struct Led {
    window: Window,
    hashes: SafeHashes,
    wallets: Arc<[KeyHash]>,
}

impl Led {
    fn among(setups: &[Setup], window: Window, hashes: SafeHashes) -> Self {
        let leads = |setup: &&Setup| {
            let hash = hashes.by(setup.network.hash_rule(&window));
            let assignment = Assignment::new(&setup.network, window, setup.wallet, &setup.group, hash);
            assignment.leader == setup.key.address()
        };
        let wallets = setups.iter().filter(leads).map(|setup| setup.wallet).collect();
        Self { window, hashes, wallets }
    }
}

/// What is kept of a wallet between two questions.
#[derive(Debug, Default)]
struct Desk {
    memory: Memory,
    /// It as it was kept last.
    kept: Memory,
    /// The proposal made or judged last, with all that it takes to judge it again.
    case: Option<(Arc<Proposal>, Case)>,
}

impl SessionAdvisor {
    /// Asks these, at the blocks that the clock's standings name. What all wallets that are led in a window need first is read at
    /// once: they are found among these setups.
    pub fn new(
        panel: Panel,
        events: EventReader,
        sources: Sources<Backends>,
        heads: watch::Receiver<Option<Standing>>,
        commitments: Option<CommitmentDesk>,
        setups: Vec<Setup>,
    ) -> Self {
        Self {
            panel,
            events,
            sources,
            heads,
            commitments,
            wallets: Mutex::default(),
            setups,
            led: Mutex::default(),
            journal: None,
            kept: None,
            #[cfg(feature = "proven")]
            records: None,
        }
    }

    /// Records what is left out of proposals.
    #[must_use]
    pub fn keeping(self, journal: Arc<Journal>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Goes on with what the wallets' generations remember, and keeps what they will.
    #[must_use]
    pub(crate) fn remembering(self, kept: Kept, memories: BTreeMap<KeyHash, Memory>) -> Self {
        let desk = |(wallet, memory): (KeyHash, Memory)| {
            let desk = Desk { kept: memory.clone(), memory, case: None };
            (wallet, Arc::new(tokio::sync::Mutex::new(desk)))
        };
        let wallets = memories.into_iter().map(desk).collect();
        Self { kept: Some(kept), wallets: Mutex::new(wallets), ..self }
    }

    /// That it fails keeps no proposal off.
    async fn keep(&self, wallet: KeyHash, left: LeftOut) {
        let Some(journal) = &self.journal else { return };
        match left.fact(wallet) {
            Ok(fact) => {
                if let Err(error) = journal.fact(fact).await {
                    warn!(%wallet, %error, "what was left out of the proposal is not recorded");
                }
            }
            Err(error) => warn!(%wallet, %error, "what was left out of the proposal can't be written down"),
        }
    }

    /// Records what verdicts rest on.
    #[cfg(feature = "proven")]
    #[must_use]
    pub fn recording(self, records: Records) -> Self {
        Self { records: Some(records), ..self }
    }

    /// Has the records of all wallets that we lead in the window read at once, if there are several.
    async fn read_together(&self, window: Window, block: &Named) {
        let led = self.led.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(led) = led.filter(|led| led.window == window && led.wallets.len() > 1) else { return };
        self.sources.read_together(&block.header, led.wallets.iter().copied()).await;
    }

    fn desk(&self, wallet: KeyHash) -> Arc<tokio::sync::Mutex<Desk>> {
        let mut wallets = self.wallets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(wallets.entry(wallet).or_default())
    }

    /// The newest block, with the events up to it.
    async fn block(&self) -> Result<Named, String> {
        let standing = self.heads.borrow().clone();
        let named = standing.ok_or_else(|| "no block has been decided on yet".to_owned())?.named;
        self.events.follow(named.header.block()).await.map_err(|error| error.to_string())?;
        Ok(named)
    }

    /// Generates at the newest block; while the wallet must commit first, has that done, and tries again at each block.
    async fn generated(&self, wallet: KeyHash, window: Window, action: Action) -> Generation {
        let mut heads = self.heads.clone();
        let mut first = None;
        loop {
            heads.mark_unchanged();
            let (generation, due) = self.generated_once(wallet, window, action).await;
            let (Some(due), Some(commitments)) = (due, &self.commitments) else { return generation };
            let number = self
                .heads
                .borrow()
                .as_ref()
                .map_or(BlockNumber(0), |standing| standing.named.header.number());
            if number >= first.get_or_insert(number).saturating_add(COMMITMENT_SHOWS) {
                return generation;
            }
            if !commitments.submit(wallet, &due) {
                return generation;
            }
            if heads.changed().await.is_err() {
                return generation;
            }
        }
    }

    async fn generated_once(
        &self,
        wallet: KeyHash,
        window: Window,
        action: Action,
    ) -> (Generation, Option<Box<CommitmentDue>>) {
        let block = match self.block().await {
            Ok(block) => block,
            Err(why) => return (Generation::Failed(why), None),
        };
        self.read_together(window, &block).await;
        let desk = self.desk(wallet);
        let mut desk = desk.lock().await;
        let mut session = Session::new(&self.sources, wallet, block, &mut desk.memory);
        let attempt = session.generate(action).await;
        if let Some(kept) = &self.kept
            && desk.memory != desk.kept
        {
            kept.keep_memory(wallet, &desk.memory).await;
            desk.kept = desk.memory.clone();
        }
        if let Some(left) = LeftOut::of(window, action, &attempt.excluded) {
            self.keep(wallet, left).await;
        }
        match attempt.outcome {
            ActionOutcome::Proposal(prepared) => {
                let proposal = Arc::new(prepared.proposal());
                desk.case = Some((Arc::clone(&proposal), prepared.case));
                (Generation::Proposal(proposal), None)
            }
            // Nothing can be moved before.
            ActionOutcome::Commitment(due) => (Generation::NotPossible, Some(due)),
            ActionOutcome::Nothing(_) => (Generation::NotPossible, None),
            ActionOutcome::Undecided(error) => (Generation::Failed(error.to_string()), None),
        }
    }

    async fn judged(
        &self,
        wallet: KeyHash,
        window: Window,
        proposal: Arc<Proposal>,
    ) -> (ContentVerdict, BlockNumber) {
        let block = match self.block().await {
            Ok(block) => block,
            Err(why) => {
                let number = self
                    .heads
                    .borrow()
                    .as_ref()
                    .map_or(BlockNumber(0), |standing| standing.named.header.number());
                return (ContentVerdict::Undecided(why), number);
            }
        };
        let number = block.header.number();
        let desk = self.desk(wallet);
        let mut desk = desk.lock().await;
        let Desk { memory, case, .. } = &mut *desk;
        #[cfg(feature = "proven")]
        let recorder = Recorder::default();
        #[cfg(feature = "proven")]
        let recorded = self.records.as_ref().map(|records| {
            self.sources.clone().through(self.panel.recorded(recorder.clone()), records.assurance)
        });
        #[cfg(feature = "proven")]
        let sources = recorded.as_ref().unwrap_or(&self.sources);
        #[cfg(not(feature = "proven"))]
        let (sources, _) = (&self.sources, window);
        let mut session = Session::new(sources, wallet, block, memory);
        let assessment = match case {
            Some((known, case)) if *known == proposal => session.judge(case).await,
            _ => {
                let (found, assessment) = session.judge_proposal(&proposal).await;
                *case = found.map(|case| (proposal, case));
                assessment
            }
        };
        let verdict = match assessment {
            Assessment::Valid { .. } => ContentVerdict::Valid(session.assurances()),
            Assessment::Rejected { objection, assurance, .. } => {
                ContentVerdict::Rejected { objection, assurance }
            }
            Assessment::Undecided { step, cause } => ContentVerdict::Undecided(format!("{step}: {cause}")),
        };
        #[cfg(feature = "proven")]
        if let (Some(records), Some((_, case))) = (&self.records, &*case) {
            records.record(wallet, window.index(), number, case, &verdict, &recorder).await;
        }
        (verdict, number)
    }
}

impl Advisor for SessionAdvisor {
    async fn safe_hash(&self, window: Window) -> Result<(SafeHashes, Assurance), Unread> {
        let named = self.panel.at_number(window.safe_block()).await;
        let named = named.map_err(|error| Unread(error.to_string()))?;
        let assurance = if named.named_by > 1 { Assurance::Agreed } else { Assurance::Word };
        let hashes = SafeHashes::of(named.header.fields());
        let mut led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
        if led.as_ref().is_none_or(|led| (led.window, led.hashes) != (window, hashes)) {
            *led = Some(Led::among(&self.setups, window, hashes));
        }
        Ok((hashes, assurance))
    }

    async fn generate(&self, wallet: KeyHash, window: Window, action: Action) -> Generation {
        self.generated(wallet, window, action).await
    }

    async fn judge(
        &self,
        wallet: KeyHash,
        window: Window,
        proposal: Arc<Proposal>,
    ) -> (ContentVerdict, BlockNumber) {
        self.judged(wallet, window, proposal).await
    }
}
