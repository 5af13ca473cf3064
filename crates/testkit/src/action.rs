//! Accepted proposals carried out: the wallet's transaction is built by the rules, signed, mined on regtest and proven
//! to the Bridge.

use alloy::{
    primitives::{Address, B256},
    sol_types::SolCall,
};
use bitcoin::{OutPoint, Transaction};
use coxswain_bindings::{
    Bridge,
    bridge::{Info, Proof},
};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Action, Amount, DepositExtraInfo, DepositKey, DepositSweepProposal, KeyHash, MovedFundsSweepProposal,
    MovingFundsProposal, RedemptionKey, RedemptionProposal, Snapshot, Subject, SweepRequestKey,
    UnsignedTransaction, Utxo, main_utxo_hash,
};

use crate::{Deposit, DepositSpec, Error, PendingRedemption, Wallet, World, convert, regtest::spv_proof};

/// What a wallet pays for its first sweep.
const FEE: Amount = Amount::from_sat(10_000);

impl World {
    /// Creates the wallet with this number, and has it sweep one deposit: it has a main UTXO.
    pub async fn funded_wallet(&mut self, seed: u64) -> Result<Wallet, Error> {
        let wallet = self.wallet(seed).await?;
        let deposit = self.reveal(&wallet, DepositSpec::default()).await?;
        self.sweep(&wallet, &[deposit], FEE).await?;
        Ok(wallet)
    }

    /// Carries out what a validator has accepted. A heartbeat leaves no transaction.
    pub async fn carry_out(
        &mut self,
        wallet: &Wallet,
        subject: &Subject,
    ) -> Result<Option<Transaction>, Error> {
        Ok(match subject {
            Subject::Heartbeat(_) => None,
            Subject::DepositSweep { proposal, extra_info } => {
                Some(self.sweep_deposits(wallet, proposal, extra_info).await?)
            }
            Subject::Redemption(proposal) => Some(self.pay_redemptions(wallet, proposal).await?),
            Subject::MovingFunds { proposal, .. } => Some(self.move_to_targets(wallet, proposal).await?),
            Subject::MovedFundsSweep(proposal) => Some(self.sweep_moved(wallet, proposal).await?),
        })
    }

    /// Sweeps the deposits: the wallet has a new main UTXO, and each depositor without a vault a balance in the Bank.
    pub async fn sweep(
        &mut self,
        wallet: &Wallet,
        deposits: &[Deposit],
        fee: Amount,
    ) -> Result<Transaction, Error> {
        let proposal =
            DepositSweepProposal { deposits: deposits.iter().map(Deposit::revealed).collect(), fee };
        let extra_info: Vec<_> = deposits.iter().map(|deposit| deposit.extra_info.clone()).collect();
        self.sweep_deposits(wallet, &proposal, &extra_info).await
    }

    /// Pays the requests from the main UTXO.
    pub async fn redeem(
        &mut self,
        wallet: &Wallet,
        requests: &[PendingRedemption],
        fee: Amount,
    ) -> Result<Transaction, Error> {
        let scripts = requests.iter().map(|request| request.script.clone()).collect();
        self.pay_redemptions(wallet, &RedemptionProposal { scripts, fee }).await
    }

    /// Moves the main UTXO to the committed targets; the output at each one's position awaits its sweep.
    pub async fn move_funds(
        &mut self,
        wallet: &Wallet,
        targets: &[KeyHash],
        fee: Amount,
    ) -> Result<Transaction, Error> {
        self.move_to_targets(wallet, &MovingFundsProposal { targets: targets.to_vec(), fee }).await
    }

    /// Merges an output of another wallet's moving funds transaction into the main UTXO.
    pub async fn sweep_moved_funds(
        &mut self,
        wallet: &Wallet,
        outpoint: OutPoint,
        fee: Amount,
    ) -> Result<Transaction, Error> {
        self.sweep_moved(wallet, &MovedFundsSweepProposal { outpoint, fee }).await
    }

    /// Mines a transaction of the wallet that others have signed and handed to Bitcoin, and proves it to the Bridge: an action of
    /// this kind, whose deposits have no vault.
    ///
    /// # Errors
    /// If it can't be mined, or the Bridge refuses the proof.
    pub async fn prove_signed(
        &mut self,
        wallet: &Wallet,
        action: Action,
        transaction: &Transaction,
    ) -> Result<(), Error> {
        let block = self.bitcoin.mine(std::slice::from_ref(transaction))?;
        self.settle().await?;
        let main_utxo = convert::utxo(self.main_utxo(wallet));
        let (info, proof) = (convert::info(transaction.into()), spv_proof(&block, 1)?);
        let (from, bridge, key_hash) = (self.governance, self.bridge.address(), wallet.key_hash());
        match action {
            Action::Heartbeat => return Ok(()),
            Action::DepositSweep => {
                let call = Bridge::submitDepositSweepProofCall {
                    sweepTx: info,
                    sweepProof: proof,
                    mainUtxo: main_utxo,
                    vault: Address::ZERO,
                };
                self.chain.send(from, bridge, &call).await?;
            }
            Action::Redemption => {
                let call = Bridge::submitRedemptionProofCall {
                    redemptionTx: info,
                    redemptionProof: proof,
                    mainUtxo: main_utxo,
                    walletPubKeyHash: key_hash.into(),
                };
                self.chain.send(from, bridge, &call).await?;
            }
            Action::MovingFunds => {
                let call = Bridge::submitMovingFundsProofCall {
                    movingFundsTx: info,
                    movingFundsProof: proof,
                    mainUtxo: main_utxo,
                    walletPubKeyHash: key_hash.into(),
                };
                self.chain.send(from, bridge, &call).await?;
            }
            Action::MovedFundsSweep => {
                let call = Bridge::submitMovedFundsSweepProofCall {
                    sweepTx: info,
                    sweepProof: proof,
                    mainUtxo: main_utxo,
                };
                self.chain.send(from, bridge, &call).await?;
            }
        }
        let keeps = transaction
            .output
            .first()
            .is_some_and(|output| output.script_pubkey == coxswain_rules::wallet_script(key_hash));
        if keeps {
            self.set_main_utxo(wallet, transaction);
        } else {
            self.main_utxos.remove(&key_hash);
        }
        Ok(())
    }

    async fn sweep_deposits(
        &mut self,
        wallet: &Wallet,
        proposal: &DepositSweepProposal,
        extra_info: &[DepositExtraInfo],
    ) -> Result<Transaction, Error> {
        let deposits = proposal.deposits.iter().map(|deposit| DepositKey::new(deposit.outpoint)).collect();
        let snapshot = self.state_for(wallet, SnapshotKeys { deposits, ..SnapshotKeys::default() }).await?;
        // All deposits of a sweep have one: rule DS-14.
        let vault = snapshot.deposits.values().next().map(|record| record.vault).unwrap_or_default();
        let main_utxo = self.main_utxo(wallet);
        let unsigned = UnsignedTransaction::deposit_sweep(
            &snapshot,
            wallet.key_hash(),
            proposal,
            extra_info,
            main_utxo,
        )?;
        let transaction = self
            .prove(wallet, &unsigned, |tx, proof| Bridge::submitDepositSweepProofCall {
                sweepTx: tx,
                sweepProof: proof,
                mainUtxo: convert::utxo(main_utxo),
                vault,
            })
            .await?;
        self.set_main_utxo(wallet, &transaction);
        Ok(transaction)
    }

    async fn pay_redemptions(
        &mut self,
        wallet: &Wallet,
        proposal: &RedemptionProposal,
    ) -> Result<Transaction, Error> {
        let redemptions =
            proposal.scripts.iter().map(|script| RedemptionKey::new(wallet.key_hash(), script)).collect();
        let snapshot =
            self.state_for(wallet, SnapshotKeys { redemptions, ..SnapshotKeys::default() }).await?;
        let main_utxo = self.main_utxo(wallet).ok_or(Error::NoMainUtxo(wallet.key_hash()))?;
        let unsigned = UnsignedTransaction::redemption(
            &snapshot,
            wallet.key_hash(),
            proposal,
            main_utxo,
            self.dust_change,
        )?;
        let transaction = self
            .prove(wallet, &unsigned, |tx, proof| Bridge::submitRedemptionProofCall {
                redemptionTx: tx,
                redemptionProof: proof,
                mainUtxo: convert::utxo(Some(main_utxo)),
                walletPubKeyHash: wallet.key_hash().into(),
            })
            .await?;
        if transaction.output.len() > proposal.scripts.len() {
            self.set_main_utxo(wallet, &transaction);
        } else {
            self.main_utxos.remove(&wallet.key_hash());
        }
        Ok(transaction)
    }

    async fn move_to_targets(
        &mut self,
        wallet: &Wallet,
        proposal: &MovingFundsProposal,
    ) -> Result<Transaction, Error> {
        let snapshot = self.state_for(wallet, SnapshotKeys::default()).await?;
        let main_utxo = self.main_utxo(wallet).ok_or(Error::NoMainUtxo(wallet.key_hash()))?;
        let unsigned = UnsignedTransaction::moving_funds(&snapshot, wallet.key_hash(), proposal, main_utxo)?;
        let transaction = self
            .prove(wallet, &unsigned, |tx, proof| Bridge::submitMovingFundsProofCall {
                movingFundsTx: tx,
                movingFundsProof: proof,
                mainUtxo: convert::utxo(Some(main_utxo)),
                walletPubKeyHash: wallet.key_hash().into(),
            })
            .await?;
        self.main_utxos.remove(&wallet.key_hash());
        Ok(transaction)
    }

    async fn sweep_moved(
        &mut self,
        wallet: &Wallet,
        proposal: &MovedFundsSweepProposal,
    ) -> Result<Transaction, Error> {
        let sweep_requests = [SweepRequestKey::new(proposal.outpoint)].into();
        let snapshot =
            self.state_for(wallet, SnapshotKeys { sweep_requests, ..SnapshotKeys::default() }).await?;
        let main_utxo = self.main_utxo(wallet);
        let unsigned =
            UnsignedTransaction::moved_funds_sweep(&snapshot, wallet.key_hash(), proposal, main_utxo)?;
        let transaction = self
            .prove(wallet, &unsigned, |tx, proof| Bridge::submitMovedFundsSweepProofCall {
                sweepTx: tx,
                sweepProof: proof,
                mainUtxo: convert::utxo(main_utxo),
            })
            .await?;
        self.set_main_utxo(wallet, &transaction);
        Ok(transaction)
    }

    /// Signs, mines and proves.
    async fn prove<C: SolCall>(
        &mut self,
        wallet: &Wallet,
        unsigned: &UnsignedTransaction,
        call: impl FnOnce(Info, Proof) -> C,
    ) -> Result<Transaction, Error> {
        let transaction = wallet.sign(unsigned)?;
        let block = self.bitcoin.mine(std::slice::from_ref(&transaction))?;
        self.settle().await?;
        if self.proves {
            let call = call(convert::info((&transaction).into()), spv_proof(&block, 1)?);
            self.chain.send(self.governance, self.bridge.address(), &call).await?;
        }
        Ok(transaction)
    }

    /// The Bridge's state as the wallet's next transaction needs it: with the main UTXO that the wallet's own last one left, even
    /// if that is not proven.
    async fn state_for(&self, wallet: &Wallet, mut keys: SnapshotKeys) -> Result<Snapshot, Error> {
        keys.wallets.insert(wallet.key_hash());
        let mut snapshot = self.snapshot(&keys).await?;
        if let (false, Some(record)) = (self.proves, snapshot.wallets.get_mut(&wallet.key_hash())) {
            let main_utxo = self.main_utxo(wallet);
            record.main_utxo_hash = main_utxo.map_or(B256::ZERO, |utxo| main_utxo_hash(&utxo));
        }
        Ok(snapshot)
    }

    /// The first output is the wallet's own.
    fn set_main_utxo(&mut self, wallet: &Wallet, transaction: &Transaction) {
        let outpoint = OutPoint::new(transaction.compute_txid(), 0);
        let main_utxo = transaction.output.first().map(|output| Utxo { outpoint, value: output.value });
        self.main_utxos.extend(main_utxo.map(|utxo| (wallet.key_hash(), utxo)));
    }
}
