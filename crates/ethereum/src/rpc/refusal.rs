//! How endpoints word that a range of blocks is too wide, or holds too much: each in its own words, some with the width
//! that would do.

/// An endpoint's refusal to answer for a range, with the width that it says would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It never answers for as many blocks.
    TooWide { allowed: Option<u64> },
    /// It can't answer for what these blocks hold at once, or in time.
    TooMuch { allowed: Option<u64> },
}

impl Refusal {
    /// Reads the refusal from an error message. `None` if the message is no refusal.
    pub(crate) fn told(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        // The range lies where the node has no blocks, or is none.
        if has(&["beyond", "invalid block range", "pruned", "rate limit", "request count", "reverted"]) {
            return None;
        }
        let too_much =
            has(&["response size", "response is too big", "response too large", "response exceed"])
                || has(&["result set", "logs matched"])
                || has(&["timeout", "timed out", "deadline exceeded", "took too long"])
                || has(&["too many", "more than", "max"]) && has(&["result", " logs"]);
        if too_much {
            return Some(Self::TooMuch { allowed: suggested(&text).or_else(|| named_width(&text)) });
        }
        let too_wide = has(&["range", "block span", "blocks"])
            && has(&[
                "exceed",
                "limit",
                "max",
                "too ",
                "over ",
                "up to",
                "larger",
                "bigger",
                "greater",
                "more than",
                "less than",
                "reduce",
            ]);
        too_wide.then(|| Self::TooWide { allowed: suggested(&text).or_else(|| widest(&text)) })
    }
}

/// The width of a suggested range: `[0x10, 0x1f]`, or `range 16-31`.
fn suggested(text: &str) -> Option<u64> {
    let in_brackets =
        text.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']')).and_then(|(range, _)| {
            let (first, last) = range.split_once(',')?;
            let hex = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
            Some((hex(first)?, hex(last)?))
        });
    let in_words = text.rsplit_once("range ").and_then(|(_, range)| {
        let (first, rest) = range.split_once('-')?;
        let last = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    let (first, last): (u64, u64) = in_brackets.or(in_words)?;
    last.checked_sub(first)?.checked_add(1)
}

/// The width that a text names beside something else: `Maximum allowed number of requested blocks is 112`.
fn named_width(text: &str) -> Option<u64> {
    last_number(text.rsplit_once("requested blocks is ")?.1)
}

/// The widest range that a text allows: `1000`, or one less where it `must be less than 1000`.
fn widest(text: &str) -> Option<u64> {
    match text.rsplit_once("less than ") {
        Some((_, bound)) => last_number(bound)?.checked_sub(1),
        None => last_number(text),
    }
}

/// The last number of a text: a width is named after all else. `10,000` and `2k` are numbers too.
fn last_number(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ',').rev().find_map(|word| {
        let digits = word.trim_matches(',').replace(',', "");
        match digits.strip_suffix('k') {
            Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
            None => digits.parse().ok(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Option<Refusal> = Some(Refusal::TooWide { allowed: None });
    const MUCH: Option<Refusal> = Some(Refusal::TooMuch { allowed: None });

    const fn wide(allowed: u64) -> Option<Refusal> {
        Some(Refusal::TooWide { allowed: Some(allowed) })
    }

    const fn much(allowed: u64) -> Option<Refusal> {
        Some(Refusal::TooMuch { allowed: Some(allowed) })
    }

    /// As endpoints were seen to word it, and reported by their users.
    #[test]
    fn inc_30_refusals_are_understood_as_they_are_worded() {
        for (text, refusal) in [
            // Infura.
            (
                "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].",
                much(4_519_381),
            ),
            ("query returned more than 10000 results", MUCH),
            ("range 1000000 exceeds limit of 10000", wide(10_000)),
            ("query timeout exceeded", MUCH),
            // Alchemy.
            (
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on \
                 the response size, or you can request any block range with a cap of 10K logs in the response. Based on \
                 your parameters and the response size limit, this block range should work: [0xc5dc00, 0xc614a7]",
                much(14_504),
            ),
            (
                "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your \
                 parameters, this block range should work: [0x1180fca, 0x1180fd3]. Upgrade to PAYG for expanded block range.",
                wide(10),
            ),
            (
                "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range \
                 should work: [0x123c9b2, 0x123cba5]",
                wide(500),
            ),
            (
                "Query timeout exceeded. Consider reducing your block range. Based on your parameters and the response size \
                 limit, this block range should work: [0x5223c98, 0x5223e80]",
                much(489),
            ),
            // QuickNode, Cloudflare, Ankr, dRPC, BlockPI, Blast, Tenderly, PublicNode.
            ("eth_getLogs is limited to a 10,000 range", wide(10_000)),
            ("eth_getLogs and eth_newFilter are limited to a 10,000 blocks range", wide(10_000)),
            ("Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800", wide(800)),
            ("block range is too wide", WIDE),
            ("ranges over 10000 blocks are not supported on freetier", wide(10_000)),
            (
                "eth_getLogs is limited to 1024 block range. Please check the parameter requirements",
                wide(1024),
            ),
            ("block range limit exceeded", WIDE),
            (r#"invalid params {"payload":"range 9009594 is bigger than range limit 2000"}"#, wide(2000)),
            ("exceed maximum block range: 50000", wide(50_000)),
            ("please limit the query to at most 1000 blocks", wide(1000)),
            // Nethermind, Erigon, Besu, reth.
            ("Too many logs requested. Max logs per response is 20000.", MUCH),
            ("query block range exceeds server limit, narrow your filter: 1000", wide(1000)),
            ("query returns too many logs, narrow your filter: 20000", MUCH),
            ("Requested range exceeds maximum RPC range limit", WIDE),
            ("query exceeds max block range 100000", wide(100_000)),
            ("query exceeds max results 20000, retry with the range 25766988-25775072", much(8085)),
            // Others, each with another of its kind.
            ("logs matched by query exceeds limit of 10000", MUCH),
            ("Logs matched by query exceed the limit of 20,000", MUCH),
            ("result set too large", MUCH),
            ("the result set is too big, 12 MB", MUCH),
            ("response exceed size limit", MUCH),
            ("Response exceeds maximum size of 150 MB", MUCH),
            ("Please, reduce the query block range", WIDE),
            ("please reduce the number of blocks", WIDE),
            ("block range must be less than 1000", wide(999)),
            ("the number of blocks must be less than 2,048", wide(2047)),
            ("Log response size exceeded. Maximum allowed number of requested blocks is 112", much(112)),
            ("Log response size exceeded. Maximum allowed number of requested blocks is 1,024", much(1024)),
            (
                "block range is larger than max block range, block range = 5120, max block range = 5000",
                wide(5000),
            ),
            ("block range is too wide (maximum 1024)", wide(1024)),
            ("block range too large, max range: 1000", wide(1000)),
            ("backend response too large", MUCH),
        ] {
            assert_eq!(Refusal::told(text), refusal, "{text}");
        }
    }

    #[test]
    fn inc_30_words_that_were_not_understood_once() {
        let words = include_str!("../../tests/cases/eth-getlogs-words-not-understood.txt");
        assert_eq!(words.lines().count(), 6);
        for text in words.lines() {
            assert!(Refusal::told(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_refuses_no_range_is_not_taken_for_it() {
        for text in [
            "execution reverted: Bridge: the range is too wide",
            "method not found",
            "header not found",
            "block range extends beyond current head block",
            "invalid block range params",
            "pruned history unavailable",
            "daily request count exceeded, request rate limited",
            "Too many requests, reason: call rate limit exhausted, retry in 10s",
            "invalid api key",
            "Archive requests require a personal token",
            "",
        ] {
            assert_eq!(Refusal::told(text), None, "{text}");
        }
    }
}
