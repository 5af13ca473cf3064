//! The window clock: how far the chain is, as enough servers say, noticed when it stands still, jumps, or falls silent.
//!
//! [`WindowClock`] is pure: it is told what was decided on and when. [`follow`] asks the servers and tells it.

use std::{future::Future, time::Duration};

use coxswain_rules::units::{BlockNumber, UnixTime};
use tokio::{sync::watch, time::sleep};

use crate::{
    Named, Panel,
    decision::{Decider, Decision, Pace},
};

/// For how many blocks' time nothing may be decided on before that is told.
const SILENCE: u32 = 5;
/// For how many blocks' time the clock may stand before that is told, where blocks' times are the clock's.
const STALL: u32 = 10;
/// The time of one block, for chains whose block times do not follow the clock.
const LOCAL_SLOT: Duration = Duration::from_secs(1);

/// Where the window clock stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The height that windows go by.
    pub height: BlockNumber,
    /// How many times it has been set back. What ran for it has to start again.
    pub set_back: u64,
    /// The block decided on last, and how many servers name it.
    pub named: Named,
}

/// A change of the window clock that is worth reporting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It passed over blocks, which nobody saw as the newest.
    Skipped {
        /// The height before.
        from: BlockNumber,
        /// The height now.
        to: BlockNumber,
    },
    /// The servers stayed under it: it was set to what they name.
    SetBack {
        /// The height before.
        from: BlockNumber,
        /// The height now.
        to: BlockNumber,
    },
    /// It stands, though the servers answer.
    Stalled {
        /// Where.
        at: BlockNumber,
        /// For how many seconds.
        seconds: u64,
    },
    /// No block has been decided on. No window opens meanwhile.
    Silent {
        /// For how many seconds.
        seconds: u64,
    },
    /// It goes on, after it stood or was silent.
    Resumed {
        /// Where.
        at: BlockNumber,
    },
}

/// The window clock.
#[derive(Clone, Debug)]
pub struct WindowClock {
    pace: Pace,
    standing: Option<Standing>,
    /// When a block was decided on last, and when the clock moved last.
    decided_at: UnixTime,
    moved_at: UnixTime,
    is_silent: bool,
    is_stalled: bool,
}

impl WindowClock {
    /// A clock that begins at this time, and stands nowhere yet.
    pub const fn new(pace: Pace, now: UnixTime) -> Self {
        Self { pace, standing: None, decided_at: now, moved_at: now, is_silent: false, is_stalled: false }
    }

    /// Returns its state. `None` before the first decision.
    pub const fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// From one block to the next.
    fn slot(&self) -> Duration {
        self.pace.map_or(LOCAL_SLOT, |times| times.slot)
    }

    /// Takes in what was decided at this time. `None`: nothing could be. Then it stays where it is.
    pub fn take(&mut self, now: UnixTime, decision: Option<&Decision>) -> Option<Notice> {
        let Some(decision) = decision else {
            let silent = now.saturating_since(self.decided_at);
            let is_news = !self.is_silent && silent >= self.slot().saturating_mul(SILENCE);
            self.is_silent |= is_news;
            return is_news.then_some(Notice::Silent { seconds: silent.as_secs() });
        };
        self.decided_at = now;
        let (height, named) = (decision.clock, Named::from(decision.clone()));
        let before = self.standing.as_ref().map(|before| before.height);
        let mut set_back = self.standing.as_ref().map_or(0, |before| before.set_back);
        set_back += u64::from(before.is_some_and(|before| height < before));
        self.standing = Some(Standing { height, set_back, named });
        let was_odd = std::mem::take(&mut self.is_silent)
            | (self.is_stalled && before.is_some_and(|before| before != height));
        match before {
            Some(before) if before == height => {
                let still = now.saturating_since(self.moved_at);
                let is_late = self.pace.is_some() && still >= self.slot().saturating_mul(STALL);
                if is_late && !self.is_stalled {
                    self.is_stalled = true;
                    return Some(Notice::Stalled { at: height, seconds: still.as_secs() });
                }
                was_odd.then_some(Notice::Resumed { at: height })
            }
            before => {
                self.moved_at = now;
                self.is_stalled = false;
                let from = before.unwrap_or(height);
                if height < from {
                    Some(Notice::SetBack { from, to: height })
                } else if height > from.next() {
                    Some(Notice::Skipped { from, to: height })
                } else {
                    was_odd.then_some(Notice::Resumed { at: height })
                }
            }
        }
    }
}

/// Asks all servers again and again where the chain is, until `stop`. Hands on where the clock stands each time it moves or
/// another block is decided on; while nothing can be decided, it hands on nothing.
pub async fn follow(
    panel: &Panel,
    pace: Pace,
    every: Duration,
    now: impl Fn() -> UnixTime,
    heads: &watch::Sender<Option<Standing>>,
    mut tell: impl FnMut(Notice),
    stop: impl Future<Output = ()>,
) {
    let mut decider: Decider = panel.decider(pace);
    let mut clock = WindowClock::new(pace, now());
    let mut stop = std::pin::pin!(stop);
    loop {
        let asked = async {
            let decision = panel.decide(&mut decider, now()).await.ok();
            if let Some(notice) = clock.take(now(), decision.as_ref()) {
                tell(notice);
            }
            if decision.is_some() {
                heads.send_if_modified(|standing| {
                    let news = clock.standing();
                    let is_news = standing.as_ref() != news;
                    *standing = news.cloned();
                    is_news
                });
            }
            sleep(every).await;
        };
        tokio::select! {
            () = &mut stop => return,
            () = asked => {}
        }
    }
}

#[cfg(test)]
mod tests;
