//! The blocks that are decided on, as the node's tasks wait for them.

use coxswain_ethereum::heads::Standing;
use coxswain_service::tasks::Stop;
use tokio::sync::watch;

/// The next block, or the newest if several have come. `None` if the task is to stop, or no more come.
pub(crate) async fn next_head(
    heads: &mut watch::Receiver<Option<Standing>>,
    stop: &mut Stop,
) -> Option<Standing> {
    loop {
        tokio::select! {
            () = stop.requested() => return None,
            changed = heads.changed() => if changed.is_err() {
                return None;
            },
        }
        if let Some(standing) = heads.borrow_and_update().clone() {
            return Some(standing);
        }
    }
}
