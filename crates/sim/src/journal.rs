//! A journal that fails now and then, in each way in which a write can.

use coxswain_protocol::{Entry, EntryError};

use crate::dice::Dice;

/// What survives a restart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Result<Entry, EntryError>>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It is durable, and said to be.
    Durable,
    /// It is lost, and said to be.
    Lost,
    /// It is durable, and said to be lost.
    LostAfter,
    /// Half of it is durable, and it is said to be lost.
    Torn,
    /// It is durable, and nothing is said.
    Unanswered,
}

impl Write {
    /// The name in a summary.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Durable => "write",
            Self::Lost => "write lost before",
            Self::LostAfter => "write lost after",
            Self::Torn => "write torn",
            Self::Unanswered => "write unanswered",
        }
    }
}

impl Journal {
    /// Writes an entry, or not. `failing` is how often in a hundred times it goes wrong.
    pub(crate) fn append(&mut self, entry: Entry, failing: u64, dice: &mut Dice) -> Write {
        let write = if dice.percent(failing) {
            dice.pick(&[Write::Lost, Write::LostAfter, Write::Torn, Write::Unanswered])
        } else {
            Write::Durable
        };
        match write {
            Write::Durable | Write::LostAfter | Write::Unanswered => self.entries.push(Ok(entry)),
            Write::Torn => self.entries.push(Err(EntryError)),
            Write::Lost => {}
        }
        write
    }
}
