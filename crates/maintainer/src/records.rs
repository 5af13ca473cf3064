//! What a maintainer keeps between runs, in the journal: the transactions that it has signed, its pauses, and how far its
//! searches have come. Losing it costs time, nothing else: every pass starts from the Bridge.

use std::sync::Arc;

use alloy::primitives::Address;
use coxswain_ethereum::submit::{Sent, SentLog, Unrecorded};
use coxswain_service::{
    journal::{AppendError, Fact, FactKey, Journal, ReadError},
    point,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;
use tracing::warn;

use crate::{find::Memory, order::Pauses};

/// What all of it is about.
const TOPIC: &str = "maintainer";
const SENT: &str = "sent";
const PAUSES: &str = "pauses";
const MEMORY: &str = "memory";

/// A maintainer's records. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Records(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    journal: Arc<Journal>,
    owner: [u8; 20],
    /// What was signed for the newest nonce.
    sent: Mutex<Vec<Sent>>,
    /// Pauses and memory as they were written last.
    kept: Mutex<[String; 2]>,
}

impl Records {
    /// The account's in this journal.
    ///
    /// # Errors
    /// If the journal can't be read. What is damaged in it is left out.
    pub fn of(journal: Arc<Journal>, account: Address) -> Result<Self, ReadError> {
        let owner = account.into_array();
        let sent = read(&journal, owner, SENT)?;
        let shared = Shared { journal, owner, sent: Mutex::new(sent), kept: Mutex::default() };
        Ok(Self(Arc::new(shared)))
    }

    /// What was signed for the newest nonce, and may have been sent.
    pub async fn sent(&self) -> Vec<Sent> {
        self.0.sent.lock().await.clone()
    }

    /// What a pass may go on with.
    ///
    /// # Errors
    /// If the journal can't be read. What is damaged in it is left out.
    pub fn kept(&self) -> Result<(Memory, Pauses), ReadError> {
        let Shared { journal, owner, .. } = &*self.0;
        Ok((read(journal, *owner, MEMORY)?, read(journal, *owner, PAUSES)?))
    }

    /// Keeps what the next run may go on with, if there is news.
    ///
    /// # Errors
    /// If it can't be told that it is kept.
    pub async fn keep(&self, (memory, pauses): (&Memory, &Pauses)) -> Result<(), AppendError> {
        let mut kept = self.0.kept.lock().await;
        for ((name, written), body) in
            [MEMORY, PAUSES].into_iter().zip(kept.iter_mut()).zip([text(memory)?, text(pauses)?])
        {
            if *written != body {
                self.write(name, body.clone()).await?;
                *written = body;
            }
        }
        Ok(())
    }

    async fn write(&self, name: &str, body: String) -> Result<(), AppendError> {
        self.0.journal.fact(Fact { key: key(self.0.owner, name), body, replaces: true }).await
    }
}

impl SentLog for Records {
    async fn record(&self, sent: &Sent) -> Result<(), Unrecorded> {
        let mut newest = self.0.sent.lock().await;
        // What has a lower nonce is mined, or replaced by what is.
        let mut news: Vec<Sent> = newest.iter().filter(|old| old.nonce == sent.nonce).cloned().collect();
        news.push(sent.clone());
        point("record/before");
        let written = async { self.write(SENT, text(&news)?).await };
        written.await.map_err(|error| Unrecorded(error.to_string()))?;
        point("record/after");
        *newest = news;
        Ok(())
    }
}

fn key(owner: [u8; 20], name: &str) -> FactKey {
    FactKey { topic: TOPIC, owner, name: name.to_owned() }
}

fn text(kept: &impl Serialize) -> Result<String, AppendError> {
    serde_json::to_string(kept).map_err(|error| AppendError::Unwritable(Arc::new(error)))
}

/// What was kept under this name; nothing if it is damaged, or another version's.
fn read<T: DeserializeOwned + Default>(
    journal: &Journal,
    owner: [u8; 20],
    name: &'static str,
) -> Result<T, ReadError> {
    let Some(body) = journal.reader().fact(&key(owner, name))? else { return Ok(T::default()) };
    let damage: &dyn std::fmt::Display = match &body {
        Ok(body) => match serde_json::from_str(body) {
            Ok(kept) => return Ok(kept),
            Err(error) => &error.to_string(),
        },
        Err(error) => error,
    };
    warn!(name, %damage, "what was kept is damaged, and left out");
    Ok(T::default())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes};
    use coxswain_service::journal::Settings;

    use super::*;

    fn sent(nonce: u64, byte: u8) -> Sent {
        Sent {
            nonce,
            hash: B256::repeat_byte(byte),
            tip: 1,
            max_fee: 2,
            call: Some(B256::repeat_byte(byte)),
            raw: Bytes::from(vec![byte; 4]),
        }
    }

    #[tokio::test]
    async fn what_was_signed_for_the_newest_nonce_is_there_after_a_restart_and_what_is_damaged_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::at(folder.path().join("journal.db"));
        let open = || Arc::new(Journal::open(&settings).unwrap());
        let account = Address::repeat_byte(7);
        let records = Records::of(open(), account).unwrap();
        for sent in [sent(1, 1), sent(2, 2), sent(2, 3)] {
            records.record(&sent).await.unwrap();
        }
        let mut pauses = Pauses::default();
        let now = std::time::Duration::from_secs(1_000);
        let txid = bitcoin::hashes::Hash::from_byte_array([4; 32]);
        pauses.failed(txid, now);
        records.keep((&Memory::default(), &pauses)).await.unwrap();
        let close = |records: Records| {
            let shared = Arc::into_inner(records.0).unwrap();
            Arc::into_inner(shared.journal).unwrap().close();
        };
        close(records);

        let records = Records::of(open(), account).unwrap();
        assert_eq!(records.sent().await, [sent(2, 2), sent(2, 3)]);
        assert!(records.kept().unwrap().1.is_paused(txid, now));
        records.write(PAUSES, "{".to_owned()).await.unwrap();
        assert!(!records.kept().unwrap().1.is_paused(txid, now));
        close(records);
        // Another account's are its own.
        let records = Records::of(open(), Address::ZERO).unwrap();
        assert!(records.sent().await.is_empty());
    }
}
