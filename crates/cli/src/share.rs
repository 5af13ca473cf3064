//! `coxswain share`: what a file of key shares says, and how a test group's key is dealt.

#[cfg(feature = "threshold")]
use std::path::PathBuf;
use std::{fmt, path::Path};

#[cfg(feature = "threshold")]
use alloy_primitives::Address;
use bitcoin::secp256k1::PublicKey;
use coxswain_signing::store::{Cost, Inspected, Passphrase, PassphraseError, ShareError, ShareFile, inspect};
#[cfg(feature = "threshold")]
use coxswain_signing::{
    WholeKey,
    threshold::{deal, deal_key},
};
use serde::{Serialize, Serializer};

#[cfg(feature = "threshold")]
use crate::arguments::ShareDealArguments;
use crate::{arguments::ShareInspectArguments, report::Report};

/// Why shares are not shown or dealt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareCommandError {
    /// The file, or what it is written to.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// Its passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The operators.
    #[cfg(feature = "threshold")]
    #[error(transparent)]
    Operators(#[from] crate::coordination::CoordinationError),
    /// The chain.
    #[cfg(feature = "threshold")]
    #[error(transparent)]
    Chain(#[from] coxswain_signing::ChainRefused),
    /// The group.
    #[cfg(feature = "threshold")]
    #[error(transparent)]
    Group(#[from] coxswain_signing::threshold::KeyError),
    /// The key that is shared out.
    #[cfg(feature = "threshold")]
    #[error(transparent)]
    Key(#[from] coxswain_signing::KeyFileError),
    /// There are files already.
    #[cfg(feature = "threshold")]
    #[error("{} is there already: a group is dealt into a new folder", .0.display())]
    There(PathBuf),
}

/// What a file of shares says, all but secrets.
#[derive(Clone, Debug)]
pub struct ShareReport {
    inspected: Inspected,
    /// The verifying shares, if the passphrase was given.
    verifying: Option<Vec<PublicKey>>,
}

/// Shows a file of shares.
///
/// # Errors
/// If the file isn't safe, isn't whole, or the passphrase is another one's.
pub fn share_inspect(arguments: &ShareInspectArguments) -> Result<ShareReport, ShareCommandError> {
    let ShareInspectArguments { file, passphrase_file, .. } = arguments;
    let inspected = inspect(file)?;
    let verifying = passphrase_file.as_deref().map(|passphrase| opened(file, passphrase)).transpose()?;
    Ok(ShareReport { inspected, verifying })
}

fn opened(file: &Path, passphrase: &Path) -> Result<Vec<PublicKey>, ShareCommandError> {
    let opened = ShareFile::open(file, &Passphrase::from_file(passphrase)?)?;
    Ok(opened.shares().core().verifying().to_vec())
}

impl Report for ShareReport {}

impl Serialize for ShareReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            wallet: String,
            wallet_key: String,
            chain_id: u64,
            scheme: &'a str,
            threshold: u8,
            group_size: u8,
            seats: Vec<u8>,
            dealt: bool,
            bytes: usize,
            argon2_kib: u32,
            argon2_passes: u32,
            argon2_lanes: u32,
            verifying_shares: Option<Vec<String>>,
        }
        let Inspected { info, cost: Cost { kib, passes, lanes }, bytes } = &self.inspected;
        let shares = |shares: &Vec<PublicKey>| shares.iter().map(ToString::to_string).collect();
        let fields = Fields {
            wallet: info.wallet().to_string(),
            wallet_key: info.wallet_key.to_string(),
            chain_id: info.chain_id,
            scheme: &info.scheme,
            threshold: info.threshold,
            group_size: info.group_size,
            seats: info.seats.iter().map(|seat| seat.number()).collect(),
            dealt: info.dealt,
            bytes: *bytes,
            argon2_kib: *kib,
            argon2_passes: *passes,
            argon2_lanes: *lanes,
            verifying_shares: self.verifying.as_ref().map(shares),
        };
        fields.serialize(serializer)
    }
}

impl fmt::Display for ShareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspected { info, cost: Cost { kib, passes, lanes }, bytes } = &self.inspected;
        let seats: Vec<_> = info.seats.iter().map(ToString::to_string).collect();
        writeln!(f, "wallet      {}", info.wallet())?;
        writeln!(f, "wallet key  {}", info.wallet_key)?;
        writeln!(f, "chain       {}", info.chain_id)?;
        writeln!(f, "scheme      {}", info.scheme)?;
        writeln!(f, "group       {} of {} seats sign", info.threshold, info.group_size)?;
        writeln!(f, "own seats   {}", seats.join(", "))?;
        let dealt = if info.dealt { "dealt: one person has held the whole key" } else { "made by the group" };
        writeln!(f, "key         {dealt}")?;
        writeln!(f, "passphrase  Argon2id, {kib} KiB, passes {passes}, lanes {lanes}")?;
        match &self.verifying {
            None => write!(f, "file        {bytes} bytes, whole; not opened: that takes --passphrase-file"),
            Some(verifying) => {
                write!(
                    f,
                    "file        {bytes} bytes, whole; the passphrase opens it, and the shares fit the key"
                )?;
                for (seat, share) in (1..).zip(verifying) {
                    write!(f, "\n  {seat:>3}. {share}")?;
                }
                Ok(())
            }
        }
    }
}

/// A dealt group.
#[cfg(feature = "threshold")]
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DealReport {
    wallet: String,
    wallet_key: String,
    chain_id: u64,
    threshold: u8,
    group_size: u8,
    files: Vec<DealtFile>,
}

/// An operator's file.
#[cfg(feature = "threshold")]
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DealtFile {
    operator: String,
    seats: Vec<u8>,
    file: PathBuf,
}

/// Deals a test group's key: a folder for each operator, its file of shares in it.
///
/// # Errors
/// If the chain is no test chain, no group is of this kind, or a file can't be written.
#[cfg(feature = "threshold")]
pub fn share_deal(arguments: &ShareDealArguments) -> Result<DealReport, ShareCommandError> {
    let ShareDealArguments {
        threshold,
        operators,
        chain_id,
        test_chains,
        key_file,
        out,
        passphrase_file,
        ..
    } = arguments;
    // The chain first: nothing is asked, read or made for another.
    let chain = coxswain_signing::TestChain::new(*chain_id, test_chains)?;
    let group = crate::leader::operators(operators)?;
    let folder = |operator: &Address| out.join(operator.to_string());
    if let Some(there) = group.operators().iter().map(folder).find(|folder| folder.exists()) {
        return Err(ShareCommandError::There(there));
    }
    let passphrase = match passphrase_file {
        Some(file) => Passphrase::from_file(file)?,
        None => Passphrase::from_terminal("Passphrase of all these files: ", true)?,
    };
    let shares = match key_file {
        Some(file) => deal_key(chain, &group, *threshold, &WholeKey::from_file(file)?)?,
        None => deal(chain, &group, *threshold)?,
    };
    let mut files = Vec::new();
    let mut info = None;
    for (operator, shares) in &shares {
        let file = shares.save(&folder(operator), &passphrase, Cost::DEFAULT)?;
        let seats = shares.info().seats.iter().map(|seat| seat.number()).collect();
        files.push(DealtFile { operator: operator.to_string(), seats, file });
        info = Some(shares.info());
    }
    let info = info.expect("a group has a seat, and a seat an operator");
    Ok(DealReport {
        wallet: info.wallet().to_string(),
        wallet_key: info.wallet_key.to_string(),
        chain_id: info.chain_id,
        threshold: info.threshold,
        group_size: info.group_size,
        files,
    })
}

#[cfg(feature = "threshold")]
impl Report for DealReport {}

#[cfg(feature = "threshold")]
impl fmt::Display for DealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wallet, wallet_key, chain_id, threshold, group_size, files } = self;
        writeln!(f, "wallet      {wallet}")?;
        writeln!(f, "wallet key  {wallet_key}")?;
        writeln!(f, "group       {threshold} of {group_size} seats sign, on chain {chain_id} only")?;
        write!(f, "key         dealt, and wiped here; whoever has all files has it")?;
        for DealtFile { operator, seats, file } in files {
            let seats: Vec<_> = seats.iter().map(ToString::to_string).collect();
            write!(f, "\n  {operator}, seats {}: {}", seats.join(", "), file.display())?;
        }
        Ok(())
    }
}
