//! What a transaction is to the Bridge: which of four kinds of proof it takes, if any. Judged from the Bridge's views, input by
//! input and output by output; nothing is inferred from amounts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use alloy::primitives::Address;
use bitcoin::{OutPoint, PubkeyHash, Script, ScriptBuf, Transaction, TxOut, hashes::Hash};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Action, DepositKey, KeyHash, MissingError, RedemptionKey, Snapshot, SweepRequestKey, SweepRequestState,
    Utxo, wallet_script,
};

/// The most inputs and outputs of a transaction that is looked at: a wallet's have 21.
const MOST_PARTS: usize = 1_000;

/// What the Bridge shows of what a transaction spends and pays.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// The wallet, the deposits and moved funds that the transaction may spend, and the requests that it may pay:
    /// see [`keys`].
    pub snapshot: Snapshot,
    /// Which of those requests were reported as timed out. The Bridge takes their payment all the same.
    pub timed_out: BTreeSet<RedemptionKey>,
    /// Which of the spent outputs the Bridge has as main UTXOs that were spent.
    pub spent_main_utxos: BTreeSet<OutPoint>,
    /// The wallet's main UTXO, whose hash is the one in the snapshot.
    pub main_utxo: Option<Utxo>,
    /// The wallets that it has promised its funds to, whose hash is the one in the snapshot. Empty if it hasn't.
    pub targets: Vec<KeyHash>,
}

/// A kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Deposits were gathered into the main UTXO.
    DepositSweep {
        /// The contract that all of the deposits name; zero for none.
        vault: Address,
    },
    /// Requests were paid.
    Redemption,
    /// The funds were moved to the target wallets.
    MovingFunds,
    /// Funds of another wallet were merged into the main UTXO.
    MovedFundsSweep,
}

impl Kind {
    /// The action that was taken.
    pub const fn action(&self) -> Action {
        match self {
            Self::DepositSweep { .. } => Action::DepositSweep,
            Self::Redemption => Action::Redemption,
            Self::MovingFunds => Action::MovingFunds,
            Self::MovedFundsSweep => Action::MovedFundsSweep,
        }
    }
}

/// What a transaction is to the Bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It can be proven.
    Provable(Kind),
    /// The Bridge has booked what it spends: it was proven.
    Proven,
    /// It is a coinbase transaction: a miner paid the wallet.
    Coinbase,
    /// It spends what is the wallet's, and fits no kind: it is fraud, or of a kind newer than this program.
    UnknownSpend(Misfits),
}

/// Why a transaction is of none of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfits {
    /// Why it is no deposit sweep.
    pub deposit_sweep: Misfit,
    /// Why it is no redemption.
    pub redemption: Misfit,
    /// Why it moves no funds.
    pub moving_funds: Misfit,
    /// Why it sweeps no moved funds.
    pub moved_funds_sweep: Misfit,
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deposit_sweep, redemption, moving_funds, moved_funds_sweep } = self;
        write!(
            f,
            "no deposit sweep ({deposit_sweep}), no redemption ({redemption}), no moving funds ({moving_funds}), no moved funds \
             sweep ({moved_funds_sweep})"
        )
    }
}

/// Why a transaction is not of a kind. Inputs and outputs are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It has too many inputs or outputs for any wallet's.
    #[error("it has {0} inputs and outputs")]
    TooLarge(usize),
    /// It has another number of inputs.
    #[error("it has {0} inputs")]
    Inputs(usize),
    /// It has another number of outputs.
    #[error("it has {0} outputs")]
    Outputs(usize),
    /// An input is not the wallet's main UTXO.
    #[error("input {0} is not the main UTXO")]
    NotMainUtxo(usize),
    /// The wallet has a main UTXO, and the transaction doesn't spend it.
    #[error("the main UTXO is not spent")]
    MainUtxoLeft,
    /// An input is no deposit that was revealed, nor the main UTXO.
    #[error("input {0} is neither a revealed deposit nor the main UTXO")]
    NoDeposit(usize),
    /// It spends no deposit.
    #[error("no deposit is spent")]
    NoDeposits,
    /// A deposit names another vault than those before.
    #[error("input {0} is a deposit of another vault")]
    OtherVault(usize),
    /// An output doesn't pay the wallet that it should.
    #[error("output {output} does not pay wallet {wallet}")]
    NotToWallet {
        /// Which output.
        output: usize,
        /// The wallet that it should pay.
        wallet: KeyHash,
    },
    /// An output pays no request, nor is it the change.
    #[error("output {0} pays no redemption request")]
    NoRequest(usize),
    /// It pays no request.
    #[error("no redemption request is paid")]
    NoRequests,
    /// It pays the wallet twice.
    #[error("output {0} is a second change")]
    SecondChange(usize),
    /// Two outputs pay one request.
    #[error("output {0} pays a request a second time")]
    PaidTwice(usize),
    /// The wallet has promised its funds to nobody.
    #[error("the wallet has no target wallets")]
    NoTargets,
    /// An input is no moved funds sweep request that is pending.
    #[error("input {0} is no pending moved funds sweep request")]
    NoSweepRequest(usize),
    /// The moved funds are another wallet's to sweep.
    #[error("the funds of input {input} were moved to wallet {wallet}")]
    OtherWallets {
        /// Which input.
        input: usize,
        /// The wallet that they were moved to.
        wallet: KeyHash,
    },
}

/// What is to be read of the Bridge to judge the wallet's transaction. `None` if that is a coinbase, or too large.
pub fn keys(wallet: KeyHash, transaction: &Transaction) -> Option<SnapshotKeys> {
    if transaction.is_coinbase() || parts(transaction) > MOST_PARTS {
        return None;
    }
    let spent = || transaction.input.iter().map(|input| input.previous_output);
    let paid = transaction.output.iter().map(|output| &output.script_pubkey);
    Some(SnapshotKeys {
        wallets: [wallet].into(),
        deposits: spent().map(DepositKey::new).collect(),
        redemptions: paid.map(|script| RedemptionKey::new(wallet, script)).collect(),
        sweep_requests: spent().map(SweepRequestKey::new).collect(),
    })
}

/// What the wallet's transaction is to the Bridge.
///
/// # Errors
/// If the views lack what [`keys`] names.
pub fn judge(wallet: KeyHash, transaction: &Transaction, views: &Views) -> Result<Judgement, MissingError> {
    if transaction.is_coinbase() {
        return Ok(Judgement::Coinbase);
    }
    let parts = parts(transaction);
    if parts > MOST_PARTS {
        let misfit = Misfit::TooLarge(parts);
        return Ok(Judgement::UnknownSpend(Misfits {
            deposit_sweep: misfit,
            redemption: misfit,
            moving_funds: misfit,
            moved_funds_sweep: misfit,
        }));
    }
    let case = Case { wallet, transaction, views };
    if case.is_proven()? {
        return Ok(Judgement::Proven);
    }
    // Who pays all of its targets in order has moved its funds, even if somebody asked to be paid there.
    let moving_funds = match case.moving_funds() {
        Ok(kind) => return Ok(Judgement::Provable(kind)),
        Err(misfit) => misfit,
    };
    let redemption = match case.redemption()? {
        Ok(kind) => return Ok(Judgement::Provable(kind)),
        Err(misfit) => misfit,
    };
    let moved_funds_sweep = match case.moved_funds_sweep()? {
        Ok(kind) => return Ok(Judgement::Provable(kind)),
        Err(misfit) => misfit,
    };
    let deposit_sweep = match case.deposit_sweep()? {
        Ok(kind) => return Ok(Judgement::Provable(kind)),
        Err(misfit) => misfit,
    };
    Ok(Judgement::UnknownSpend(Misfits { deposit_sweep, redemption, moving_funds, moved_funds_sweep }))
}

/// Whether the script pays the wallet: P2WPKH or P2PKH of its key.
pub fn pays(script: &Script, wallet: KeyHash) -> bool {
    let legacy = ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(wallet.0));
    script == wallet_script(wallet).as_script() || script == legacy.as_script()
}

fn parts(transaction: &Transaction) -> usize {
    transaction.input.len().saturating_add(transaction.output.len())
}

/// A kind, or why it isn't that; an error if the views don't tell.
type Fit = Result<Result<Kind, Misfit>, MissingError>;

struct Case<'a> {
    wallet: KeyHash,
    transaction: &'a Transaction,
    views: &'a Views,
}

impl Case<'_> {
    fn spent(&self) -> impl Iterator<Item = (usize, OutPoint)> {
        self.transaction.input.iter().map(|input| input.previous_output).enumerate()
    }

    fn paid(&self) -> impl Iterator<Item = (usize, &TxOut)> {
        self.transaction.output.iter().enumerate()
    }

    fn is_main_utxo(&self, outpoint: OutPoint) -> bool {
        self.views.main_utxo.is_some_and(|utxo| utxo.outpoint == outpoint)
    }

    /// Whether the Bridge has booked an input as spent. Nothing but this transaction can have spent it: it is in Bitcoin's best
    /// chain.
    fn is_proven(&self) -> Result<bool, MissingError> {
        for (_, outpoint) in self.spent() {
            let swept = self.views.snapshot.deposit(DepositKey::new(outpoint))?.swept_at != 0;
            let request = self.views.snapshot.sweep_request(SweepRequestKey::new(outpoint))?;
            let processed = request.state == SweepRequestState::Processed;
            if swept || processed || self.views.spent_main_utxos.contains(&outpoint) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// That the main UTXO is all it spends.
    fn spends_main_utxo_alone(&self) -> Result<(), Misfit> {
        match self.transaction.input.as_slice() {
            [only] if self.is_main_utxo(only.previous_output) => Ok(()),
            [_] => Err(Misfit::NotMainUtxo(0)),
            inputs => Err(Misfit::Inputs(inputs.len())),
        }
    }

    /// That all it pays is one output, to the wallet.
    fn pays_wallet_alone(&self) -> Result<(), Misfit> {
        let wallet = self.wallet;
        match self.transaction.output.as_slice() {
            [only] if pays(&only.script_pubkey, wallet) => Ok(()),
            [_] => Err(Misfit::NotToWallet { output: 0, wallet }),
            outputs => Err(Misfit::Outputs(outputs.len())),
        }
    }

    fn moving_funds(&self) -> Result<Kind, Misfit> {
        self.spends_main_utxo_alone()?;
        let targets = &self.views.targets;
        if targets.is_empty() {
            return Err(Misfit::NoTargets);
        }
        if self.transaction.output.len() != targets.len() {
            return Err(Misfit::Outputs(self.transaction.output.len()));
        }
        for ((output, paid), &wallet) in self.paid().zip(targets) {
            if !pays(&paid.script_pubkey, wallet) {
                return Err(Misfit::NotToWallet { output, wallet });
            }
        }
        Ok(Kind::MovingFunds)
    }

    fn redemption(&self) -> Fit {
        if let Err(misfit) = self.spends_main_utxo_alone() {
            return Ok(Err(misfit));
        }
        let mut requests = BTreeSet::new();
        let mut change = false;
        for (output, TxOut { script_pubkey, .. }) in self.paid() {
            if pays(script_pubkey, self.wallet) {
                if change {
                    return Ok(Err(Misfit::SecondChange(output)));
                }
                change = true;
                continue;
            }
            let key = RedemptionKey::new(self.wallet, script_pubkey);
            let pending = self.views.snapshot.redemption(key)?.requested_at != 0;
            if !pending && !self.views.timed_out.contains(&key) {
                return Ok(Err(Misfit::NoRequest(output)));
            }
            if !requests.insert(key) {
                return Ok(Err(Misfit::PaidTwice(output)));
            }
        }
        Ok(if requests.is_empty() { Err(Misfit::NoRequests) } else { Ok(Kind::Redemption) })
    }

    fn moved_funds_sweep(&self) -> Fit {
        let inputs = self.transaction.input.len();
        let expected = if self.views.main_utxo.is_some() { 2 } else { 1 };
        if inputs != expected {
            return Ok(Err(Misfit::Inputs(inputs)));
        }
        for (input, outpoint) in self.spent() {
            if input > 0 {
                if !self.is_main_utxo(outpoint) {
                    return Ok(Err(Misfit::NotMainUtxo(input)));
                }
                continue;
            }
            let request = self.views.snapshot.sweep_request(SweepRequestKey::new(outpoint))?;
            match (request.state, request.wallet) {
                (SweepRequestState::Pending, wallet) if wallet == self.wallet => {}
                (SweepRequestState::Pending, wallet) => {
                    return Ok(Err(Misfit::OtherWallets { input, wallet }));
                }
                (
                    SweepRequestState::Unknown | SweepRequestState::Processed | SweepRequestState::TimedOut,
                    _,
                ) => return Ok(Err(Misfit::NoSweepRequest(input))),
            }
        }
        Ok(self.pays_wallet_alone().map(|()| Kind::MovedFundsSweep))
    }

    fn deposit_sweep(&self) -> Fit {
        let mut vaults = BTreeMap::new();
        let mut main_utxo_spent = false;
        for (input, outpoint) in self.spent() {
            if self.is_main_utxo(outpoint) {
                main_utxo_spent = true;
                continue;
            }
            // One that was swept makes the transaction a proven one.
            let deposit = self.views.snapshot.deposit(DepositKey::new(outpoint))?;
            if deposit.revealed_at == 0 {
                return Ok(Err(Misfit::NoDeposit(input)));
            }
            vaults.entry(deposit.vault).or_insert(input);
        }
        if let Some(&input) = vaults.values().filter(|_| vaults.len() > 1).max() {
            return Ok(Err(Misfit::OtherVault(input)));
        }
        let Some((&vault, _)) = vaults.first_key_value() else { return Ok(Err(Misfit::NoDeposits)) };
        if self.views.main_utxo.is_some() && !main_utxo_spent {
            return Ok(Err(Misfit::MainUtxoLeft));
        }
        Ok(self.pays_wallet_alone().map(|()| Kind::DepositSweep { vault }))
    }
}
