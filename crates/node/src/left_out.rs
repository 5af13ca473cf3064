//! What a leader left out of its proposals, and why: recorded beside its windows.

use coxswain_proposals::Exclusion;
use coxswain_protocol::Window;
use coxswain_rules::{Action, KeyHash};
use coxswain_service::journal::{Fact, FactKey, ReadError, Reader};
use serde::{Deserialize, Serialize};

const LEFT_OUT: &str = "left out";
/// For how many windows that is kept of a wallet.
const WINDOWS: u64 = 32;
/// How many candidates are named at most. A stranger can make up thousands.
const NAMED: usize = 100;

/// What was left out of one action's proposal in a window that we led, whether one came of it or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The window's index.
    pub window: u64,
    /// The action.
    pub action: Action,
    /// The first candidates, each with its reason.
    pub candidates: Vec<String>,
    /// How many there are.
    pub count: usize,
}

impl LeftOut {
    /// `None` if nothing was left out.
    pub(crate) fn of(window: Window, action: Action, excluded: &[Exclusion]) -> Option<Self> {
        let named = excluded.iter().take(NAMED).map(|left| format!("{}: {}", left.item, left.why));
        let left =
            Self { window: window.index(), action, candidates: named.collect(), count: excluded.len() };
        (left.count > 0).then_some(left)
    }

    /// As the journal takes it: in place of that of [`WINDOWS`] windows before.
    pub(crate) fn fact(&self, wallet: KeyHash) -> Result<Fact, serde_json::Error> {
        let name = format!("{}/{}", self.window % WINDOWS, self.action.name());
        let key = FactKey { topic: LEFT_OUT, owner: wallet.0, name };
        Ok(Fact { key, body: serde_json::to_string(self)?, replaces: true })
    }

    /// All that is kept of a wallet.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(reader: &Reader, wallet: KeyHash) -> Result<Vec<Self>, ReadError> {
        let bodies = reader.facts(LEFT_OUT, Some(wallet.0))?;
        Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use coxswain_proposals::{Item, Why};
    use coxswain_protocol::WindowParameters;
    use coxswain_rules::{OutPoint, units::BlockNumber};
    use coxswain_service::journal::{Journal, Settings};

    use super::*;

    #[tokio::test]
    async fn what_was_left_out_is_kept_for_as_many_windows_and_no_more_than_so_many_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap();
        let wallet = KeyHash([7; 20]);
        let window = |index: u64| {
            let block = BlockNumber(WindowParameters::LOCAL.frequency.0 * index);
            WindowParameters::LOCAL.latest_window(block).unwrap()
        };
        let excluded: Vec<_> = (0..150)
            .map(|vout| Exclusion {
                item: Item::Deposit(OutPoint { vout, ..OutPoint::null() }),
                why: Why::Full,
            })
            .collect();
        for index in 1..=WINDOWS + 1 {
            let left = LeftOut::of(window(index), Action::DepositSweep, &excluded).unwrap();
            assert_eq!((left.candidates.len(), left.count), (NAMED, 150));
            journal.fact(left.fact(wallet).unwrap()).await.unwrap();
        }
        assert_eq!(LeftOut::of(window(1), Action::Redemption, &[]), None);
        let kept = LeftOut::read(journal.reader(), wallet).unwrap();
        let mut windows: Vec<_> = kept.iter().map(|left| left.window).collect();
        windows.sort_unstable();
        assert_eq!(windows, (2..=WINDOWS + 1).collect::<Vec<_>>());
    }
}
