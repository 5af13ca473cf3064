//! How reports for people are laid out: within the terminal's columns, times as dates, a block with its age.

use coxswain_rules::units::UnixTime;
use std::{
    io::{IsTerminal, stdout},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coxswain_ethereum::Block;
use terminal_size::{Width, terminal_size};

/// The fewest columns that reports are laid out for.
const NARROWEST: usize = 80;
/// Where a line's last column of text begins at most: what stands further right is no column.
const LAST_COLUMN: usize = 40;

/// The terminal's columns. `None` if standard output is no terminal: then no line is broken.
pub fn columns() -> Option<usize> {
    let columns = || terminal_size().map_or(NARROWEST, |(Width(columns), _)| columns.into()).max(NARROWEST);
    stdout().is_terminal().then(columns)
}

/// The text with its long lines broken between words, the rest below the line's last column. A word that is longer than a line stays
/// whole, so that it can be copied.
pub fn wrap(text: &str, columns: usize) -> String {
    let lines: Vec<_> = text.split('\n').map(|line| wrap_line(line, columns)).collect();
    lines.join("\n")
}

fn wrap_line(line: &str, columns: usize) -> String {
    if visible(line) <= columns {
        return line.to_owned();
    }
    let (start, indent) = last_column(line);
    let (head, text) = line.split_at(start);
    let mut wrapped = head.to_owned();
    let (mut at, mut is_fresh) = (indent, true);
    for word in text.split(' ') {
        let width = visible(word);
        let fits = at.saturating_add(1).saturating_add(width) <= columns;
        if !is_fresh {
            // A word that fits nowhere needs no line of its own if this one has just begun.
            if fits {
                wrapped.push(' ');
                at = at.saturating_add(1);
            } else {
                wrapped.push('\n');
                wrapped.push_str(&" ".repeat(indent));
                at = indent;
            }
        }
        wrapped.push_str(word);
        at = at.saturating_add(width);
        is_fresh = false;
    }
    wrapped
}

/// Where the line's last column of text begins: behind two spaces or more. In bytes, and in characters that show.
fn last_column(line: &str) -> (usize, usize) {
    let (mut found, mut spaces) = ((0, 0), 2);
    let mut shown = 0_usize;
    for (at, character) in shown_characters(line) {
        if character == ' ' {
            spaces += 1;
        } else {
            if spaces >= 2 && shown <= LAST_COLUMN {
                found = (at, shown);
            }
            spaces = 0;
        }
        shown = shown.saturating_add(1);
    }
    found
}

/// How many characters show: all but those of escape sequences.
fn visible(text: &str) -> usize {
    shown_characters(text).count()
}

fn shown_characters(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut escapes = false;
    text.char_indices().filter(move |(_, character)| match (escapes, *character) {
        (false, '\u{1b}') => {
            escapes = true;
            false
        }
        (false, _) => true,
        // `ESC [ … letter`
        (true, last) => {
            escapes = !last.is_ascii_alphabetic();
            false
        }
    })
}

/// A time as a date: `2026-11-25 21:10:05 UTC`.
pub(crate) fn date(UnixTime(time): UnixTime) -> String {
    let (days, seconds) = (time / 86_400, time % 86_400);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    // Days are counted from 1 March 0000, so that a leap day ends a year; an era is 400 years, 146,097 days.
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// So many seconds, in the two largest units: `5 h 59 min`.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A time as seen from a block's: `in 5 h 59 min`, `2 h 2 min ago`.
pub(crate) fn seen(time: UnixTime, block: UnixTime) -> String {
    match time.since(block) {
        Some(Duration::ZERO) => "the block's own time".to_owned(),
        Some(ahead) => format!("in {}", span(ahead.as_secs())),
        None => format!("{} ago", span(block.saturating_since(time).as_secs())),
    }
}

/// How old the block is by this clock, in seconds; negative if its time is still to come.
pub(crate) fn age(block: &Block, now: SystemTime) -> i64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i128::from(now).saturating_sub(i128::from(block.timestamp.0));
    i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX })
}

/// How old the block is, in words.
pub(crate) fn old(block: &Block, now: SystemTime) -> String {
    let age = age(block, now);
    let old = span(age.unsigned_abs());
    if age < 0 { format!("{old} ahead of this machine's clock") } else { format!("{old} old") }
}

/// The block with its date, its age and its hash.
pub(crate) fn block(block: &Block, now: SystemTime) -> String {
    let old = old(block, now);
    format!("block {} of {}, {old} ({})", block.number, date(block.timestamp), block.hash)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coxswain_rules::units::BlockNumber;

    use super::*;

    #[test]
    fn long_lines_are_broken_below_their_last_column() {
        let text =
            "VALID      one two three four\n  short\n  holds  RD-1   the wallet is Live or MovingFunds";
        let expected = "VALID      one two\n           three four\n  short\n  holds  RD-1   the\n                wallet\n                is Live\n                or\n                MovingFunds";
        assert_eq!(wrap(text, 23), expected);
        assert_eq!(wrap(text, 100), text);
    }

    #[test]
    fn a_word_too_long_for_a_line_stays_whole_and_beside_its_name() {
        let hex = "ab".repeat(50);
        let text = format!("psbt         {hex}");
        assert_eq!(wrap(&text, 80), text);
        let text = format!("  asked of {hex} at block 7");
        assert_eq!(wrap(&text, 80), format!("  asked of\n  {hex}\n  at block 7"));
    }

    #[test]
    fn escape_sequences_take_no_columns() {
        let text = "\u{1b}[1m\u{1b}[32mVALID    \u{1b}[0m  aaaa bbbb cccc";
        assert_eq!(wrap(text, 25), text, "25 columns show");
        assert_eq!(wrap(text, 24), "\u{1b}[1m\u{1b}[32mVALID    \u{1b}[0m  aaaa bbbb\n           cccc");
    }

    #[test]
    fn seconds_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (u64::from(u32::MAX), "2106-02-07 06:28:15 UTC"),
        ] {
            assert_eq!(date(UnixTime(seconds)), expected);
        }
        // Whatever a node says, it is no panic.
        assert!(date(UnixTime(u64::MAX)).ends_with("UTC"));
    }

    #[test]
    fn times_are_seen_from_the_block() {
        assert_eq!(seen(UnixTime(10_000), UnixTime(10_000)), "the block's own time");
        assert_eq!(seen(UnixTime(10_059), UnixTime(10_000)), "in 59 s");
        assert_eq!(seen(UnixTime(10_060), UnixTime(10_000)), "in 1 min 0 s");
        assert_eq!(seen(UnixTime(13_600), UnixTime(10_000)), "in 1 h 0 min");
        assert_eq!(seen(UnixTime(10_000), UnixTime(96_400)), "1 d 0 h ago");
    }

    #[test]
    fn a_block_has_an_age_or_is_ahead_of_the_clock() {
        let of = Block { number: BlockNumber(7), hash: Default::default(), timestamp: UnixTime(1_000) };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!((age(&of, at(1_012)), age(&of, at(900))), (12, -100));
        assert!(block(&of, at(1_012)).starts_with("block 7 of 1970-01-01 00:16:40 UTC, 12 s old (0x"));
        assert_eq!(
            (&old(&of, at(1_012))[..], &old(&of, at(900))[..]),
            ("12 s old", "1 min 40 s ahead of this machine's clock")
        );
        assert!(block(&of, at(900)).contains(", 1 min 40 s ahead of this machine's clock ("));
        assert_eq!(age(&Block { timestamp: UnixTime(u64::MAX), ..of }, at(0)), i64::MIN);
    }
}
