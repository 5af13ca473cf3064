//! Redemptions.

use coxswain_bitcoin::Backend;
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{Amount, RedemptionKey, Subject};

use super::{Answer, MAX_TRIES, Progress};
use crate::{
    ActionOutcome, Exclusion, Item, Nothing, ProposedTransaction, Session, SessionError, outcome::Refusal,
    redemptions,
};

impl<B: Backend> Session<'_, B> {
    pub(crate) async fn redemption(&mut self, excluded: &mut Vec<Exclusion>) -> Progress<ActionOutcome> {
        let record = self.active().await?;
        if record.pending_redemptions_value == Amount::ZERO {
            return Ok(Nothing::NoneLeft.into());
        }
        let (wallet, head) = (self.key_hash, self.block.number);
        let timeout = self.basis().await?.redemption_parameters.redemption_timeout;
        let (from, needed) = (self.events.from_block(), redemptions::oldest_block(head, timeout));
        let requests = redemptions::newest(self.events.requests(wallet), needed..=head);
        if requests.is_empty() && from > needed {
            return Err(SessionError::EventsTooShort { from, needed }.into());
        }
        let redemptions =
            requests.iter().map(|request| RedemptionKey::new(wallet, &request.script)).collect();
        let snapshot = self.snapshot(SnapshotKeys { redemptions, ..SnapshotKeys::default() }).await?;
        if requests.is_empty() {
            return Ok(Nothing::NoneLeft.into());
        }
        let head = self.head().await?;
        let (mut scripts, refused) = redemptions::candidates(&snapshot, wallet, head, &requests)?;
        excluded.extend(refused);
        if scripts.is_empty() {
            return Ok(Nothing::NoneLeft.into());
        }
        let Some(main_utxo) = self.unspent_main_utxo(&record).await? else {
            return Ok(Nothing::NoMainUtxo.into());
        };
        let fees = self.fees().await?;
        let dust_change = self.sources.network.dust_change;

        for _ in 0..MAX_TRIES {
            let mut left_out = Vec::new();
            let batch = redemptions::batch(
                &snapshot,
                wallet,
                scripts.clone(),
                main_utxo.utxo,
                &fees,
                dust_change,
                &mut left_out,
            );
            let redemptions::Batch { proposal, unsigned, fee } = match batch {
                Ok(batch) => batch,
                Err(nothing) => {
                    excluded.extend(left_out);
                    return Ok(nothing.into());
                }
            };
            let funding = main_utxo.transaction.iter().cloned().collect();
            let transaction = ProposedTransaction { unsigned, fee, funding };
            let subject = Subject::Redemption(proposal.clone());
            let rejection = match self.put(subject, Some(transaction)).await? {
                Answer::Accepted(proposed) => {
                    excluded.extend(left_out);
                    return Ok(ActionOutcome::Proposal(proposed));
                }
                Answer::Rejected(rejection) => rejection,
            };
            let mut items = match Refusal::from(rejection) {
                Refusal::Items(items) => items,
                Refusal::All(nothing) => return Ok(nothing.into()),
            };
            for (index, script) in proposal.scripts.into_iter().enumerate() {
                let Some(why) = items.remove(&index) else { continue };
                scripts.retain(|other| *other != script);
                excluded.push(Exclusion { item: Item::Redemption(script), why });
            }
        }
        Ok(Nothing::TooManyRejections(MAX_TRIES).into())
    }
}
