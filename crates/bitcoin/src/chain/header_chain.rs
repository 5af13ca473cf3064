//! The chain of headers with the most work, and the branches beside it.

use bitcoin::{BlockHash, CompactTarget, Target, Work, block::Header};
use coxswain_rules::units::{Confirmations, Height};

use super::{HeaderRules, Start};

/// The time of a header must be over the median of so many before it,
const MEDIAN_OF: usize = 11;
/// and at most so many seconds ahead of the clock.
const MOST_AHEAD: u32 = 2 * 3600;
/// How many branches are kept: the newest ones.
const MOST_BRANCHES: usize = 16;
/// A branch is dropped once it left the chain more than so many blocks under its tip. (A heavier one that left before is still
/// taken, in one piece.)
const DEEPEST_BRANCH: u32 = 144;
/// How many headers a branch has at most.
const LONGEST_BRANCH: usize = 4_032;
/// How far under the chain's tip a server's may be, or the branch that it is on may begin.
const VOTING_DEPTH: u32 = 2;
/// The oldest tip that is up to date, in seconds.
const OLDEST_TIP: i64 = 3 * 3600;
/// How many headers are looked at for how fast the chain grows,
const RECENT: u32 = 144;
/// and the longest time that they may take, in seconds.
const LONGEST_SPAN: i64 = 3 * 24 * 3600;

/// A chain of headers that hold, from a start that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderChain {
    rules: HeaderRules,
    /// The height of the first header.
    start: Height,
    /// The start, and all that stands on it.
    headers: Vec<Header>,
    /// Their hashes.
    hashes: Vec<BlockHash>,
    /// The newest last.
    branches: Vec<Branch>,
}

/// Headers beside the chain, with no more work than it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Branch {
    /// The height of the last block that it shares with the chain.
    fork: Height,
    headers: Vec<Header>,
    hashes: Vec<BlockHash>,
}

/// A header that doesn't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header at height {height}: {flaw}")]
pub struct HeaderError {
    /// Its height, counted.
    pub height: Height,
    /// The flaw.
    pub flaw: FlawError,
}

/// A header's flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlawError {
    /// It stands on no header that is known at the height before.
    #[error("it does not stand on a known header")]
    Unlinked,
    /// It names another target than it must.
    #[error("its bits are {actual:x}, must be {expected:x}")]
    WrongBits {
        /// The value that consensus requires.
        expected: CompactTarget,
        /// The value that the header names.
        actual: CompactTarget,
    },
    /// It names a target that can't follow, whatever the epoch took.
    #[error("its bits are {actual:x}, which is not within a factor of 4 of {before:x}")]
    BitsOutOfReach {
        /// The bits of the epoch before.
        before: CompactTarget,
        /// The value that the header names.
        actual: CompactTarget,
    },
    /// Its hash doesn't meet the target.
    #[error("its hash does not meet its target")]
    NoWork,
    /// It is not over the median of the headers before.
    #[error("its time is {time}, must be over {median}")]
    TooEarly {
        /// Its time, in Unix seconds.
        time: u32,
        /// The median of the headers before.
        median: u32,
    },
    /// It is too far ahead of the clock.
    #[error("its time is {time}, at most {latest} allowed")]
    TooFarAhead {
        /// Its time, in Unix seconds.
        time: u32,
        /// The latest that is allowed.
        latest: u32,
    },
    /// It is on a branch that is too long to be kept, and has less work than the chain all the same.
    #[error("its branch is too long")]
    BranchTooLong,
}

/// How a server's tip stands to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is up to date: what the server says counts.
    Current,
    /// It is on the chain, but too far below its tip.
    Behind {
        /// How many blocks.
        blocks: u32,
    },
    /// It is on a branch.
    Forked {
        /// The height of the last block that it shares with the chain.
        at: Height,
    },
    /// It is not known. The server's headers must be asked for.
    Unknown,
}

/// Why the chain may not be the newest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StaleError {
    /// The tip is too old.
    #[error("the newest Bitcoin block is {age} s old, at most {OLDEST_TIP} s allowed")]
    TipOld {
        /// Its age, in seconds.
        age: i64,
    },
    /// The chain grows too slowly.
    #[error("the newest {RECENT} Bitcoin blocks took {span} s, at most {LONGEST_SPAN} s allowed")]
    Slow {
        /// The seconds from the first of them to the last.
        span: i64,
    },
}

impl HeaderChain {
    /// The chain that has nothing but its start.
    pub fn new(start: Start, rules: HeaderRules) -> Self {
        Self {
            rules,
            start: start.height,
            headers: vec![start.header],
            hashes: vec![start.header.block_hash()],
            branches: Vec::new(),
        }
    }

    /// The height of its first header.
    pub const fn start(&self) -> Height {
        self.start
    }

    /// The height of its tip, counted from the start's.
    pub fn height(&self) -> Height {
        let above = u32::try_from(self.headers.len().saturating_sub(1));
        self.start.saturating_add(above.unwrap_or(u32::MAX))
    }

    /// Its newest header.
    pub fn tip(&self) -> &Header {
        self.headers.last().expect("the start is never dropped")
    }

    /// Its headers, from its start on.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The header at this height. `None` below the start and above the tip.
    pub fn header(&self, height: Height) -> Option<&Header> {
        self.headers.get(self.index(height)?)
    }

    /// The height of the block with this hash, if it is in the chain.
    pub fn find(&self, hash: BlockHash) -> Option<Height> {
        // What is asked about is new, mostly.
        let above = self.hashes.iter().rposition(|known| *known == hash)?;
        self.start.checked_add(u32::try_from(above).ok()?)
    }

    /// In how many blocks what the block at this height holds is buried, that block included. `None` if the chain doesn't
    /// have it.
    pub fn confirmations(&self, height: Height) -> Option<Confirmations> {
        self.header(height)?;
        height.confirmations(self.height())
    }

    /// The median time of its eleven newest headers. Where fewer are known, the least that it can be; `None` if that is nothing.
    pub(crate) fn median_time(&self) -> Option<u32> {
        median_of(self.headers.iter().rev().take(MEDIAN_OF).map(|header| header.time))
    }

    /// Takes in consecutive headers. The first is claimed to be at this height and must stand on a known header at the height
    /// before. Known headers are passed over. The chain becomes theirs if that has more work; else they are kept as a branch.
    /// `now` is the clock, in Unix seconds.
    ///
    /// # Errors
    /// If a header doesn't hold. Those before it are taken in.
    pub fn connect(&mut self, first: Height, headers: &[Header], now: u32) -> Result<(), HeaderError> {
        let kept = self.index(first).and_then(|index| self.headers.get(index..)).unwrap_or_default();
        let known = std::iter::zip(kept, headers).take_while(|(kept, header)| kept == header).count();
        let mut new = headers.iter().skip(known).peekable();
        let Some(next) = new.peek() else { return Ok(()) };
        let height = first.saturating_add(u32::try_from(known).unwrap_or(u32::MAX));
        let mut branch = self
            .branch_to(height, next.prev_blockhash)
            .ok_or(HeaderError { height, flaw: FlawError::Unlinked })?;
        let outcome = new.try_for_each(|header| {
            let hash = header.block_hash();
            let height = branch.height().next();
            self.check(&branch, header, hash, now).map_err(|flaw| HeaderError { height, flaw })?;
            branch.headers.push(*header);
            branch.hashes.push(hash);
            Ok(())
        });
        self.take(branch).map_err(|flaw| HeaderError { height, flaw })?;
        outcome
    }

    /// How the server stands whose tip this is.
    pub fn standing(&self, tip: BlockHash) -> Standing {
        let depth = |height: Height| self.height().saturating_since(height);
        if let Some(height) = self.find(tip) {
            return match depth(height) {
                ..=VOTING_DEPTH => Standing::Current,
                blocks => Standing::Behind { blocks },
            };
        }
        let on_branch = |branch: &Branch| {
            let index = branch.hashes.iter().position(|hash| *hash == tip)?;
            let above = u32::try_from(index).ok()?.saturating_add(1);
            Some((branch.fork, branch.fork.saturating_add(above)))
        };
        match self.branches.iter().find_map(on_branch) {
            Some((fork, height)) if depth(fork) <= VOTING_DEPTH && depth(height) <= VOTING_DEPTH => {
                Standing::Current
            }
            Some((fork, _)) => Standing::Forked { at: fork },
            None => Standing::Unknown,
        }
    }

    /// Whether the chain is up to date at this time, in Unix seconds.
    ///
    /// # Errors
    /// If its tip is too old, or it grows too slowly.
    pub fn fresh(&self, now: u32) -> Result<(), StaleError> {
        let tip = i64::from(self.tip().time);
        let age = i64::from(now) - tip;
        if age > OLDEST_TIP {
            return Err(StaleError::TipOld { age });
        }
        let first = self.height().saturating_sub(RECENT - 1).max(self.start);
        let span = self.header(first).map_or(0, |header| tip - i64::from(header.time));
        if span > LONGEST_SPAN { Err(StaleError::Slow { span }) } else { Ok(()) }
    }

    /// How many headers a server can have beyond the chain at this time, in Unix seconds: twice as many as there should be by
    /// the clock, and what a branch may have.
    pub(crate) fn most_new(&self, now: u32) -> u32 {
        let due = now.saturating_sub(self.tip().time) / self.rules.spacing;
        let branch = u32::try_from(LONGEST_BRANCH).unwrap_or(u32::MAX);
        due.saturating_mul(2).saturating_add(branch)
    }

    fn index(&self, height: Height) -> Option<usize> {
        usize::try_from(height.since(self.start)?).ok()
    }

    /// The branch that ends with the header of this hash, under this height: on the chain, it has no headers yet.
    fn branch_to(&self, height: Height, parent: BlockHash) -> Option<Branch> {
        let fork = height.checked_sub(1)?;
        if self.index(fork).and_then(|index| self.hashes.get(index)) == Some(&parent) {
            return Some(Branch { fork, headers: Vec::new(), hashes: Vec::new() });
        }
        self.branches.iter().find_map(|branch| {
            let length = usize::try_from(fork.since(branch.fork)?).ok()?;
            let hashes = branch.hashes.get(..length)?;
            let headers = branch.headers.get(..length)?;
            let ends_there = hashes.last() == Some(&parent);
            ends_there.then(|| Branch {
                fork: branch.fork,
                headers: headers.to_vec(),
                hashes: hashes.to_vec(),
            })
        })
    }

    /// The header at this height, as seen from the branch's end.
    fn ancestor<'a>(&'a self, branch: &'a Branch, height: Height) -> Option<&'a Header> {
        match height.since(branch.fork) {
            None | Some(0) => self.header(height),
            Some(above) => branch.headers.get(usize::try_from(above - 1).ok()?),
        }
    }

    /// Checks a header that is to stand on the branch's last.
    fn check(&self, branch: &Branch, header: &Header, hash: BlockHash, now: u32) -> Result<(), FlawError> {
        let parent_height = branch.height();
        let parent = self.ancestor(branch, parent_height).ok_or(FlawError::Unlinked)?;
        let parent_hash = branch.hashes.last().copied().unwrap_or_else(|| parent.block_hash());
        if header.prev_blockhash != parent_hash {
            return Err(FlawError::Unlinked);
        }
        self.check_bits(branch, parent, parent_height, header.bits)?;
        if !Target::from_compact(header.bits).is_met_by(hash) {
            return Err(FlawError::NoWork);
        }
        let (time, latest) = (header.time, now.saturating_add(MOST_AHEAD));
        match self.median(branch, parent_height) {
            Some(median) if time <= median => Err(FlawError::TooEarly { time, median }),
            _ if time > latest => Err(FlawError::TooFarAhead { time, latest }),
            _ => Ok(()),
        }
    }

    fn check_bits(
        &self,
        branch: &Branch,
        parent: &Header,
        parent_height: Height,
        actual: CompactTarget,
    ) -> Result<(), FlawError> {
        let height = parent_height.next();
        let expected = if self.rules.retargets_at(height) {
            let epoch = height.checked_sub(self.rules.interval.get());
            match epoch.and_then(|epoch| self.ancestor(branch, epoch)) {
                Some(first) => {
                    let seconds = i64::from(parent.time) - i64::from(first.time);
                    self.rules.next_bits(parent.bits, seconds)
                }
                // The epoch began before the start.
                None if self.rules.may_follow(parent.bits, actual) => return Ok(()),
                None => return Err(FlawError::BitsOutOfReach { before: parent.bits, actual }),
            }
        } else {
            parent.bits
        };
        if actual == expected { Ok(()) } else { Err(FlawError::WrongBits { expected, actual }) }
    }

    /// The median time of the eleven headers up to this height. Where fewer are known, the least that it can be; `None` if that is
    /// nothing.
    fn median(&self, branch: &Branch, last: Height) -> Option<u32> {
        let heights = Height(0).to(last).rev().take(MEDIAN_OF);
        median_of(heights.map_while(|height| self.ancestor(branch, height)).map(|header| header.time))
    }

    /// Makes the branch the chain if it has more work, and keeps it otherwise.
    fn take(&mut self, branch: Branch) -> Result<(), FlawError> {
        let Some(kept) = self.index(branch.fork).map(|index| index.saturating_add(1)) else { return Ok(()) };
        let rivals = self.headers.get(kept..).unwrap_or_default();
        if rivals.is_empty() {
            self.headers.extend(branch.headers);
            self.hashes.extend(branch.hashes);
        } else if work(&branch.headers) > work(rivals) {
            let fork = branch.fork;
            let old =
                Branch { fork, headers: self.headers.split_off(kept), hashes: self.hashes.split_off(kept) };
            self.headers.extend(branch.headers);
            self.hashes.extend(branch.hashes);
            for other in &mut self.branches {
                other.leave_at(fork, &old);
            }
            self.branches.push(old);
            let kept = self.hashes.get(kept..).unwrap_or_default();
            for other in self.branches.iter_mut().filter(|branch| branch.fork == fork) {
                other.join(kept);
            }
        } else {
            self.keep(branch)?;
        }
        let lowest = self.height().saturating_sub(DEEPEST_BRANCH);
        self.branches
            .retain(|branch| branch.fork >= lowest && (1..=LONGEST_BRANCH).contains(&branch.headers.len()));
        let excess = self.branches.len().saturating_sub(MOST_BRANCHES);
        self.branches.drain(..excess);
        Ok(())
    }

    fn keep(&mut self, branch: Branch) -> Result<(), FlawError> {
        if branch.headers.len() > LONGEST_BRANCH {
            return Err(FlawError::BranchTooLong);
        }
        let is_part_of = |whole: &Branch, part: &Branch| {
            whole.fork == part.fork && whole.hashes.get(..part.hashes.len()) == Some(&*part.hashes)
        };
        if self.branches.iter().any(|known| is_part_of(known, &branch)) {
            return Ok(());
        }
        self.branches.retain(|known| !is_part_of(&branch, known));
        self.branches.push(branch);
        Ok(())
    }
}

impl Branch {
    /// The height of its last header.
    fn height(&self) -> Height {
        self.fork.saturating_add(u32::try_from(self.headers.len()).unwrap_or(u32::MAX))
    }

    /// Follows the chain, which now leaves what it was at `fork`: what this branch shared with it beyond is its own now.
    fn leave_at(&mut self, fork: Height, old: &Self) {
        let Some(shared) = self.fork.since(fork).and_then(|shared| usize::try_from(shared).ok()) else {
            return;
        };
        self.headers.splice(..0, old.headers.iter().take(shared).copied());
        self.hashes.splice(..0, old.hashes.iter().take(shared).copied());
        self.fork = fork;
    }

    /// Gives up what it has in common with the chain, whose hashes over the fork these are.
    fn join(&mut self, chain: &[BlockHash]) {
        let common = std::iter::zip(&self.hashes, chain).take_while(|(own, chain)| own == chain).count();
        self.headers.drain(..common);
        self.hashes.drain(..common);
        self.fork = self.fork.saturating_add(u32::try_from(common).unwrap_or(u32::MAX));
    }
}

fn work(headers: &[Header]) -> Option<Work> {
    headers.iter().map(Header::work).reduce(|sum, work| sum + work)
}

/// The median of up to eleven times, as low as it can be if fewer are known.
fn median_of(times: impl Iterator<Item = u32>) -> Option<u32> {
    let mut times: Vec<u32> = times.collect();
    times.sort_unstable();
    // What came before the start may have been earlier than all of these.
    let unknown = MEDIAN_OF - times.len().min(MEDIAN_OF);
    times.get((MEDIAN_OF / 2).checked_sub(unknown)?).copied()
}
