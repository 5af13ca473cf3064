//! A bounded queue that is fair: each of those that fill it has a lane, and lanes take turns.

use std::collections::{BTreeMap, VecDeque};

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Items in a lane.
    pub(crate) items: usize,
    /// Bytes in a lane.
    pub(crate) lane_bytes: usize,
    /// Bytes in all lanes.
    pub(crate) bytes: usize,
}

/// Items with their sizes, in lanes.
#[derive(Debug)]
pub(crate) struct FairQueue<Lane, Item> {
    limits: Limits,
    lanes: BTreeMap<Lane, Items<Item>>,
    /// Lanes that hold something, in the order of their turns.
    turns: VecDeque<Lane>,
    bytes: usize,
}

#[derive(Debug)]
struct Items<Item> {
    items: VecDeque<(Item, usize)>,
    bytes: usize,
}

impl<Lane: Ord + Copy, Item> FairQueue<Lane, Item> {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, lanes: BTreeMap::new(), turns: VecDeque::new(), bytes: 0 }
    }

    /// Adds an item at the end of its lane; gives back how many were dropped for it: itself if the lane is full, else the
    /// last ones of the fullest lane.
    pub(crate) fn push(&mut self, lane: Lane, item: Item, size: usize) -> usize {
        let limits = self.limits;
        let items = self.lanes.entry(lane).or_insert_with(|| {
            self.turns.push_back(lane);
            Items { items: VecDeque::new(), bytes: 0 }
        });
        if items.items.len() >= limits.items || items.bytes + size > limits.lane_bytes {
            if items.items.is_empty() {
                self.lanes.remove(&lane);
                self.turns.retain(|turn| *turn != lane);
            }
            return 1;
        }
        items.items.push_back((item, size));
        items.bytes += size;
        self.bytes += size;
        let mut dropped = 0;
        while self.bytes > limits.bytes {
            let fullest = self.lanes.iter().max_by_key(|(_, items)| items.bytes).map(|(lane, _)| *lane);
            let Some(fullest) = fullest else { break };
            self.take(fullest, VecDeque::pop_back);
            dropped += 1;
        }
        dropped
    }

    /// Puts an item back at the front of its lane, whose turn is next. It was in the queue before, so that it is not
    /// measured again.
    pub(crate) fn put_back(&mut self, lane: Lane, item: Item, size: usize) {
        let items = self.lanes.entry(lane).or_insert_with(|| Items { items: VecDeque::new(), bytes: 0 });
        items.items.push_front((item, size));
        items.bytes += size;
        self.bytes += size;
        self.turns.retain(|turn| *turn != lane);
        self.turns.push_front(lane);
    }

    /// Takes the first item of the lane whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(Lane, Item, usize)> {
        let lane = self.turns.pop_front()?;
        self.turns.push_back(lane);
        let (item, size) = self.take(lane, VecDeque::pop_front)?;
        Some((lane, item, size))
    }

    /// Takes the first item of this lane.
    pub(crate) fn pop_lane(&mut self, lane: Lane) -> Option<(Lane, Item, usize)> {
        let (item, size) = self.take(lane, VecDeque::pop_front)?;
        Some((lane, item, size))
    }

    fn take(
        &mut self,
        lane: Lane,
        which: impl FnOnce(&mut VecDeque<(Item, usize)>) -> Option<(Item, usize)>,
    ) -> Option<(Item, usize)> {
        let items = self.lanes.get_mut(&lane)?;
        let (item, size) = which(&mut items.items)?;
        items.bytes -= size;
        self.bytes -= size;
        if items.items.is_empty() {
            self.lanes.remove(&lane);
            self.turns.retain(|turn| *turn != lane);
        }
        Some((item, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { items: 3, lane_bytes: 100, bytes: 150 };

    fn drain(queue: &mut FairQueue<u8, u8>) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop().map(|(_, item, _)| item)).collect()
    }

    #[test]
    fn lanes_take_turns() {
        let mut queue = FairQueue::new(LIMITS);
        for (lane, item) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            assert_eq!(queue.push(lane, item, 1), 0);
        }
        assert_eq!(drain(&mut queue), [10, 20, 30, 11, 31, 12]);
        assert_eq!((queue.bytes, queue.lanes.len(), queue.turns.len()), (0, 0, 0));
    }

    #[test]
    fn a_full_lane_drops_what_comes_and_no_other_lane_notices() {
        let mut queue = FairQueue::new(LIMITS);
        for item in 0..3 {
            assert_eq!(queue.push(1, item, 1), 0);
        }
        assert_eq!(queue.push(1, 3, 1), 1);
        assert_eq!(queue.push(2, 20, 1), 0);
        assert_eq!(drain(&mut queue), [0, 20, 1, 2]);
        assert_eq!(queue.push(1, 0, 101), 1);
        assert_eq!((queue.lanes.len(), queue.turns.len()), (0, 0));
        assert_eq!(queue.push(1, 0, 100), 0);
    }

    #[test]
    fn a_full_queue_drops_the_last_of_the_fullest_lane() {
        let mut queue = FairQueue::new(LIMITS);
        assert_eq!(queue.push(1, 10, 50), 0);
        assert_eq!(queue.push(1, 11, 50), 0);
        assert_eq!(queue.push(2, 20, 50), 0);
        assert_eq!(queue.push(3, 30, 10), 1);
        assert_eq!(drain(&mut queue), [10, 20, 30]);
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let mut queue = FairQueue::new(LIMITS);
        for (lane, item) in [(1, 10), (1, 11), (2, 20)] {
            queue.push(lane, item, 1);
        }
        let (lane, item, size) = queue.pop().unwrap();
        queue.put_back(lane, item, size);
        assert_eq!(drain(&mut queue), [10, 20, 11]);
        queue.push(4, 40, 1);
        assert_eq!(queue.pop_lane(4), Some((4, 40, 1)));
        assert_eq!(queue.pop_lane(4), None);
    }
}
