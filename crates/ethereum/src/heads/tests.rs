//! What streams of heads do to windows: each opens once, on time or late, and none on blocks that are not new.

use alloy::consensus::Header;
use coxswain_protocol::{Window, WindowParameters, WindowWatch};
use coxswain_rules::network::Preset;

use super::*;
use coxswain_rules::Quorum;

use crate::{decision::Response, rpc::HashedHeader};

const START: u64 = 1_800_000_000;
/// The coordination block of the windows' network that the chain stands before.
const WINDOW: u64 = 900;

fn header(number: u64, timestamp: u64, branch: u8) -> HashedHeader {
    let header = Header { number, timestamp, extra_data: vec![branch].into(), ..Header::default() };
    let hash = header.hash_slow();
    HashedHeader::new(header, hash).unwrap()
}

/// A chain whose block `WINDOW − 10` came at `START`, a block every 12 s, on a branch.
fn block(number: u64, branch: u8) -> HashedHeader {
    header(number, START + 12 * number - 12 * (WINDOW - 10), branch)
}

/// Servers, the clock that goes by them, and the windows that it opened.
struct Watch {
    decider: Decider,
    clock: WindowClock,
    watch: WindowWatch,
    windows: Vec<u64>,
    notices: Vec<Notice>,
}

impl Watch {
    fn new(servers: usize, pace: Pace) -> Self {
        Self {
            decider: Decider::new(Quorum::new(servers, 0).unwrap(), pace),
            clock: WindowClock::new(pace, UnixTime(START)),
            watch: WindowWatch::new(WindowParameters::default(), None),
            windows: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn mainnet(servers: usize) -> Self {
        Self::new(servers, Preset::MAINNET.block_times)
    }

    /// This long after the start, each server shows this head, and a chain under it; `None` answers nothing.
    fn hear(&mut self, seconds: u64, heads: &[Option<HashedHeader>]) -> Option<u64> {
        let now = START + seconds;
        let shown: Vec<Option<Vec<HashedHeader>>> = heads
            .iter()
            .map(|head| {
                let head = head.as_ref()?;
                let branch = head.fields().extra_data[0];
                let under = (head.number().0.saturating_sub(8)..head.number().0).map(|number| {
                    let before = 12 * (head.number().0 - number);
                    header(number, head.timestamp().0 - before, branch)
                });
                Some(under.chain([head.clone()]).collect())
            })
            .collect();
        let said: Vec<_> =
            heads.iter().map(|head| head.as_ref().map_or(Response::Nothing, Response::Answer)).collect();
        let names: Vec<_> =
            shown.iter().map(|shown| shown.as_deref().map_or(Response::Nothing, Response::Answer)).collect();
        let decided = self
            .decider
            .heads(UnixTime(now), &said)
            .and_then(|horizon| self.decider.names(UnixTime(now), horizon, &names))
            .ok();
        self.notices.extend(self.clock.take(UnixTime(now), decided.as_ref()));
        decided.as_ref()?;
        let height = self.clock.standing().unwrap().height;
        self.windows.extend(self.watch.on_block(height).map(|window: Window| window.index()));
        Some(height.0)
    }

    /// One server that shows this block, this many seconds after it was made.
    fn alone(&mut self, number: u64, late: u64) -> Option<u64> {
        let block = block(number, 0);
        let seconds = block.timestamp().0 - START + late;
        self.hear(seconds, &[Some(block)])
    }
}

#[test]
fn inc_14_a_window_opens_once_whether_its_block_is_shown_skipped_repeated_or_replaced() {
    let blocks: [&[(u64, u8)]; 4] = [
        &[(898, 0), (899, 0), (900, 0), (901, 0)],
        &[(898, 0), (899, 0), (902, 0), (903, 0)],
        &[(899, 0), (900, 0), (900, 0), (900, 0), (901, 0)],
        &[(899, 0), (900, 0), (899, 1), (900, 1), (898, 2), (901, 2)],
    ];
    for blocks in blocks {
        let mut watch = Watch::mainnet(1);
        let mut latest = 0;
        for (number, branch) in blocks {
            latest = latest.max(*number);
            let seconds = 12 * (latest + 10 - WINDOW);
            let height = watch.hear(seconds, &[Some(block(*number, *branch))]);
            assert_eq!(height, Some(latest), "the clock never goes back: {blocks:?}");
        }
        assert_eq!(watch.windows, [1], "{blocks:?}");
    }
}

#[test]
fn inc_14_a_jump_of_50_blocks_is_told_and_opens_its_window_late_once() {
    let mut watch = Watch::mainnet(1);
    assert_eq!(watch.alone(890, 0), Some(890));
    assert_eq!(watch.alone(940, 0), Some(940));
    assert_eq!(watch.alone(941, 0), Some(941));
    assert_eq!(watch.windows, [1]);
    assert_eq!(watch.notices, [Notice::Skipped { from: BlockNumber(890), to: BlockNumber(940) }]);
}

#[test]
fn no_window_opens_on_stale_blocks() {
    for (late, height) in [(180, Some(900)), (181, None)] {
        let mut watch = Watch::mainnet(1);
        watch.alone(899, 0);
        assert_eq!(watch.alone(900, late), height, "{late} s");
        assert_eq!(watch.windows.len(), usize::from(height.is_some()));
    }
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let mut watch = Watch::mainnet(1);
    watch.alone(890, 0);
    for seconds in [12, 59] {
        assert_eq!(watch.hear(seconds, &[None]), None);
        assert!(watch.notices.is_empty(), "{seconds} s");
    }
    for seconds in [60, 72, 84] {
        assert_eq!(watch.hear(seconds, &[None]), None);
    }
    assert_eq!(watch.notices, [Notice::Silent { seconds: 60 }]);
    // The window's block came meanwhile: it opens late.
    assert_eq!(watch.alone(905, 0), Some(905));
    assert_eq!(watch.notices[1..], [Notice::Skipped { from: BlockNumber(890), to: BlockNumber(905) }]);
    assert_eq!(watch.windows, [1]);
    let mut watch = Watch::mainnet(1);
    watch.alone(890, 0);
    watch.hear(70, &[None]);
    watch.alone(891, 60);
    assert_eq!(watch.notices[1..], [Notice::Resumed { at: BlockNumber(891) }]);
}

#[test]
fn a_chain_that_stands_is_told_where_time_is_the_clocks() {
    let mut watch = Watch::mainnet(1);
    watch.alone(890, 0);
    watch.alone(890, 119);
    assert!(watch.notices.is_empty());
    watch.alone(890, 120);
    // It is told once.
    watch.alone(890, 121);
    watch.alone(891, 110);
    assert_eq!(
        watch.notices,
        [Notice::Stalled { at: BlockNumber(890), seconds: 120 }, Notice::Resumed { at: BlockNumber(891) }]
    );
    // Who mines by hand may take a rest.
    let mut local = Watch::new(1, Preset::LOCAL.block_times);
    local.alone(890, 0);
    local.alone(890, 9_000);
    assert!(local.notices.is_empty());
}

#[test]
fn inc_47_a_higher_head_of_one_server_moves_nothing() {
    let mut watch = Watch::mainnet(3);
    let at = |number| Some(block(number, 0));
    assert_eq!(watch.hear(0, &[at(890), at(890), at(890)]), Some(890));
    // 900 would open a window; it is new by its own time.
    let lie = Some(header(900, START + 12, 7));
    assert_eq!(watch.hear(12, &[at(891), at(891), lie.clone()]), Some(891));
    // It lags instead, or says nothing.
    assert_eq!(watch.hear(24, &[at(892), at(892), at(880)]), Some(892));
    assert_eq!(watch.hear(36, &[at(893), at(893), None]), Some(893));
    // One lags by a block. The lie has more blocks than there was time for: it doesn't stand for one that has reached 894.
    let lie = Some(header(900, START + 48, 7));
    assert_eq!(watch.hear(48, &[at(894), at(893), lie]), Some(893));
    assert_eq!(watch.clock.standing().unwrap().named.header.number(), BlockNumber(893));
    assert!(watch.windows.is_empty());
}

#[test]
fn inc_47_mainnets_heads_have_no_more_blocks_than_time() {
    for (number, is_in_pace) in [(892, true), (893, false)] {
        let mut watch = Watch::mainnet(1);
        assert_eq!(watch.alone(890, 0), Some(890));
        let head = header(number, START + 24, 0);
        assert_eq!(watch.hear(24, &[Some(head)]), is_in_pace.then_some(number));
    }
}

#[test]
fn after_75_blocks_time_under_it_the_clock_is_set_to_what_is_named() {
    for (seconds, set_back) in [(74, 0), (75, 1)] {
        let mut watch = Watch::new(1, None);
        let shows = |number| [Some(header(number, START, 0))];
        assert_eq!(watch.hear(0, &shows(905)), Some(905));
        assert_eq!(watch.hear(12, &shows(850)), Some(905));
        let height = watch.hear(12 + seconds, &shows(860));
        let standing = watch.clock.standing().unwrap();
        assert_eq!(standing.set_back, set_back);
        if set_back == 1 {
            assert_eq!(height, Some(860));
            assert_eq!(watch.notices, [Notice::SetBack { from: BlockNumber(905), to: BlockNumber(860) }]);
        } else {
            assert_eq!(height, Some(905));
            assert!(watch.notices.is_empty());
        }
        assert_eq!(watch.windows, [1], "windows already run stay run");
    }
}

#[test]
fn repeats_are_no_news() {
    let mut watch = Watch::mainnet(1);
    watch.alone(890, 0);
    let before = watch.clock.standing().cloned();
    watch.alone(890, 5);
    assert_eq!(watch.clock.standing(), before.as_ref());
    assert!(watch.notices.is_empty());
}
