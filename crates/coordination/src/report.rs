//! One line about a wallet's window, for the log, that a person understands.

use std::fmt;

use coxswain_protocol::{Alarm, WindowResult};

/// How a window ended: leader, outcome, faults, and what to look at.
pub(crate) struct Report<'a>(pub(crate) &'a WindowResult);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowResult { window, basis, agreement, faults, alarms, notes, .. } = self.0;
        write!(f, "window {} at block {}: ", window.index(), window.block())?;
        match basis {
            Some(basis) => write!(f, "leader {}; ", basis.leader)?,
            None => f.write_str("leader unknown; ")?,
        }
        write!(f, "{agreement}")?;
        match faults.as_slice() {
            [] => f.write_str("; no faults")?,
            faults => {
                f.write_str("; faults:")?;
                for (n, fault) in faults.iter().enumerate() {
                    write!(f, "{} {} by {}", if n == 0 { "" } else { "," }, fault.kind, fault.culprit)?;
                }
            }
        }
        if !notes.is_empty() {
            write!(f, "; {} noted", notes.len())?;
        }
        for alarm in alarms {
            match alarm {
                Alarm::Failures { leader, of_last_five } => {
                    write!(f, "; ALARM: {of_last_five} of the last 5 windows of {leader} failed")?;
                }
                Alarm::HashRule { authors } => {
                    f.write_str("; ALARM: another rule for the safe block's hash is used by")?;
                    for (n, author) in authors.iter().enumerate() {
                        write!(f, "{} {author}", if n == 0 { "" } else { "," })?;
                    }
                }
            }
        }
        Ok(())
    }
}
