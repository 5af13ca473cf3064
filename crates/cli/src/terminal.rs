//! What a person at a terminal is told while they wait. Decided without one: the program says whether there is one, and when it is.

use std::{
    io::{self, IsTerminal, Write},
    pin::pin,
    time::{Duration, Instant},
};

use coxswain_ethereum::Activity;

/// How long a run may be before a person is told how far it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often they are told then.
const EVERY: Duration = Duration::from_millis(250);

/// Shows how far a run is, while it takes long.
#[derive(Debug)]
pub struct Progress {
    shows: bool,
    next: Instant,
    shown: bool,
}

impl Progress {
    /// A run begins. It is shown if there is a person at a terminal.
    pub fn new(is_terminal: bool, now: Instant) -> Self {
        Self { shows: is_terminal, next: now + PATIENCE, shown: false }
    }

    /// What to write over the line before, when this share is done; the line goes when all is.
    pub fn line(&mut self, share: f64, now: Instant) -> Option<String> {
        let is_done = share >= 1.0;
        if !self.shows || (now < self.next && !(is_done && self.shown)) {
            return None;
        }
        (self.next, self.shown) = (now + EVERY, true);
        Some(if is_done { String::new() } else { format!("{:3.0} % drawn", 100.0 * share) })
    }
}

/// How long a person at a terminal waits before they are told for what.
const WAITING: Duration = Duration::from_secs(2);

/// Does the work; a person at a terminal is told what is awaited if it takes long.
pub async fn while_waiting<T>(activity: Option<Activity>, work: impl Future<Output = T>) -> T {
    let Some(activity) = activity.filter(|_| io::stderr().is_terminal()) else { return work.await };
    let mut work = pin!(work);
    let mut told = false;
    let mut wait = WAITING;
    let done = loop {
        if let Ok(done) = tokio::time::timeout(wait, &mut work).await {
            break done;
        }
        wait = EVERY;
        let _ = write!(io::stderr(), "\r\u{1b}[K{}", waiting(&activity.awaited()));
        told = true;
    };
    if told {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    done
}

/// What a person is told to be awaited, in one line.
fn waiting(awaited: &[String]) -> String {
    match awaited {
        [] => String::new(),
        [one] => format!("waiting for {one}"),
        [first, rest @ ..] => format!("waiting for {first}, and {} more", rest.len()),
    }
}

/// What a person is told who would have to type a proposal, so that the program doesn't seem to hang.
pub const fn reading(is_terminal: bool) -> Option<&'static str> {
    if is_terminal { Some("reading the proposal from standard input; end it with Ctrl-D") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_takes_one_line() {
        let awaited = |count| vec!["eth_call of a:1".to_owned(); count];
        assert_eq!(waiting(&awaited(0)), "");
        assert_eq!(waiting(&awaited(1)), "waiting for eth_call of a:1");
        assert_eq!(waiting(&awaited(3)), "waiting for eth_call of a:1, and 2 more");
    }

    #[test]
    fn a_long_run_is_shown_after_a_second_and_every_quarter_and_goes_when_it_is_done() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut progress = Progress::new(true, start);
        assert_eq!(progress.line(0.1, at(999)), None);
        assert_eq!(progress.line(0.11, at(1000)).as_deref(), Some(" 11 % drawn"));
        assert_eq!(progress.line(0.12, at(1249)), None);
        assert_eq!(progress.line(0.5, at(1250)).as_deref(), Some(" 50 % drawn"));
        assert_eq!(progress.line(1.0, at(1251)).as_deref(), Some(""));
    }

    #[test]
    fn a_short_run_and_one_that_nobody_sees_show_nothing() {
        let start = Instant::now();
        let mut short = Progress::new(true, start);
        assert_eq!((short.line(0.5, start), short.line(1.0, start + PATIENCE / 2)), (None, None));
        let mut piped = Progress::new(false, start);
        assert_eq!((piped.line(0.5, start + PATIENCE), piped.line(1.0, start + 2 * PATIENCE)), (None, None));
    }

    #[test]
    fn only_who_would_have_to_type_is_told_that_standard_input_is_read() {
        assert_eq!(reading(false), None);
        assert!(reading(true).unwrap().contains("Ctrl-D"));
    }
}
