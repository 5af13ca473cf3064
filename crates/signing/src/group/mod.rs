//! Who of a group signs: announcements, conveners, their lists, and the choice. Pure: no I/O, no clock, and no word of a scheme.

mod announcement;
mod board;
mod draw;
mod lacking;
mod list;
mod subset;
#[cfg(test)]
mod tests;

#[cfg(all(unix, feature = "threshold"))]
pub(crate) use announcement::operator;

pub use announcement::{Announcement, AnnouncementError, MAX_LEADER_MESSAGE, SignedAnnouncement, WindowId};
pub use board::{Board, Heard};
pub use draw::{Draw, RANKS};
pub use lacking::{Lacking, SignedLacking};
pub use list::{Attempt, Held, ListError, Lists, SubsetList};
pub use subset::{Conflicts, choose, is_quorum};
