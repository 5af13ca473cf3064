//! How many inputs go through rounds 1 and 2 at once, so that what an operator reads of the others meanwhile fits its memory. It follows
//! from the attempt's list: all come to the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use alloy_primitives::{Address, B256};
use coxswain_protocol::{Seat, SigningGroup};

use super::attempt::ROUND_BYTES;
use crate::hash::Hasher;

/// What an operator reads of all others at once, at most.
pub const READ_BYTES: usize = 256 << 20;
/// What a message may bear beside its own bytes.
pub const FRAME_BYTES: usize = 8;

/// What comes and goes while one batch of inputs is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In which attempt.
    pub attempt: u8,
    /// Which, counted from 0.
    pub number: u8,
    /// Names it: alike for all who sign, and for no other batch ever.
    pub id: B256,
    /// The other operators, and how many bytes each of them and we send to each other, [`FRAME_BYTES`] a message included.
    pub peers: BTreeMap<Address, usize>,
    /// The most bytes of a message, [`FRAME_BYTES`] included.
    pub message_bytes: usize,
}

/// An attempt's batches.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    held: BTreeMap<Address, usize>,
    inputs: usize,
    each: usize,
}

impl Batches {
    /// The batches in which these seats sign so many inputs, if each operator reads no more than `read_bytes` at once.
    pub(super) fn new(
        seats: &BTreeSet<Seat>,
        group: &SigningGroup,
        inputs: usize,
        read_bytes: usize,
    ) -> Self {
        let mut held = BTreeMap::<Address, usize>::new();
        for holder in seats.iter().filter_map(|seat| group.holder(*seat)) {
            *held.entry(holder).or_default() += 1;
        }
        let pairs = held.values().map(|own| own.saturating_mul(seats.len().saturating_sub(*own)));
        let pairs = pairs.max().unwrap_or_default().max(1);
        let [one, two, three] = ROUND_BYTES;
        let of_pair = (read_bytes / pairs).saturating_sub(three.saturating_mul(inputs) + 3 * FRAME_BYTES);
        let most = (of_pair / (one + two)).clamp(1, inputs.max(1));
        // As even as can be. A batch's number is a byte.
        let count = inputs.div_ceil(most).clamp(1, usize::from(u8::MAX));
        Self { held, inputs, each: inputs.div_ceil(count).max(1) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.inputs.div_ceil(self.each)
    }

    /// The inputs of a batch.
    pub(super) fn inputs(&self, number: usize) -> Range<usize> {
        let start = number.saturating_mul(self.each).min(self.inputs);
        start..start.saturating_add(self.each).min(self.inputs)
    }

    /// Whether it is the last, which round 3 follows.
    pub(super) fn is_last(&self, number: usize) -> bool {
        number + 1 >= self.count()
    }

    /// How many bytes a round's message has. `None` if the batch has no such round.
    pub(super) fn message_bytes(&self, number: usize, round: u8) -> Option<usize> {
        let of_input = ROUND_BYTES.get(usize::from(round).checked_sub(1)?)?;
        let inputs = match round {
            3 if self.is_last(number) => self.inputs,
            3 => return None,
            _ => self.inputs(number).len(),
        };
        Some(of_input.saturating_mul(inputs))
    }

    /// What comes and goes, for this operator.
    pub(super) fn batch(&self, attempt: u8, number: u8, context: &B256, us: Address) -> Batch {
        let own = self.held.get(&us).copied().unwrap_or_default();
        let messages = (1..=3).filter_map(|round| self.message_bytes(usize::from(number), round));
        let messages = messages.map(|bytes| bytes.saturating_add(FRAME_BYTES));
        let of_pair: usize = messages.clone().sum();
        let others = self.held.iter().filter(|(other, _)| **other != us);
        let id = Hasher::new("coxswain/signing/1/batch").fixed(&context.0).number(u64::from(number)).finish();
        Batch {
            attempt,
            number,
            id,
            peers: others.map(|(other, held)| (*other, of_pair.saturating_mul(own * held))).collect(),
            message_bytes: messages.max().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(number: usize) -> Address {
        Address::repeat_byte(u8::try_from(number).unwrap())
    }

    /// A group of which these many seats sign, operator by operator.
    fn signing(held: &[usize]) -> (SigningGroup, BTreeSet<Seat>) {
        let holders = held.iter().enumerate().flat_map(|(at, count)| vec![operator(at + 1); *count]);
        let group = SigningGroup::new(holders.collect()).unwrap();
        let seats = 1..=u64::try_from(group.holders().len()).unwrap();
        (group, seats.map(|seat| Seat::try_from(seat).unwrap()).collect())
    }

    fn read(batch: &Batch) -> usize {
        batch.peers.values().sum()
    }

    #[test]
    fn nobody_reads_more_than_the_bound_and_one_input_more_would_not_fit() {
        for (held, inputs, count) in [
            (vec![1; 3], 21, 1),
            (vec![1; 51], 21, 1),
            (vec![1; 51], 66, 1),
            (vec![1; 51], 67, 2),
            (vec![10; 5], 21, 3),
            ([vec![25], vec![1; 26]].concat(), 21, 5),
        ] {
            let (group, seats) = signing(&held);
            let batches = Batches::new(&seats, &group, inputs, READ_BYTES);
            assert_eq!(batches.count(), count, "{held:?}, {inputs}");
            let all: Vec<usize> = (0..count).flat_map(|number| batches.inputs(number)).collect();
            assert_eq!(all, (0..inputs).collect::<Vec<_>>());
            let context = B256::repeat_byte(1);
            let of_all = (1..=held.len()).map(operator);
            let mut most = 0;
            for us in of_all {
                for number in 0..count {
                    let batch = batches.batch(1, u8::try_from(number).unwrap(), &context, us);
                    most = most.max(read(&batch));
                }
            }
            assert!(most <= READ_BYTES, "{held:?}: {most}");
            // A batch fewer would be too few.
            if count > 1 {
                let fewer = Batches { each: inputs.div_ceil(count - 1), ..batches };
                assert!(read(&fewer.batch(1, 0, &context, operator(1))) > READ_BYTES, "{held:?}");
            }
        }
    }

    #[test]
    fn round_3_is_of_all_inputs_and_follows_the_last_batch() {
        let (group, seats) = signing(&[2, 1]);
        let [one, two, three] = ROUND_BYTES;
        let bound = 2 * (2 * (one + two) + 3 * three + 3 * FRAME_BYTES);
        let batches = Batches::new(&seats, &group, 3, bound);
        assert_eq!((batches.count(), batches.inputs(0), batches.inputs(1)), (2, 0..2, 2..3));
        assert_eq!(Batches::new(&seats, &group, 3, bound - 1).count(), 3);
        assert_eq!(batches.message_bytes(0, 1), Some(2 * one));
        assert_eq!(batches.message_bytes(0, 3), None);
        assert_eq!(batches.message_bytes(1, 3), Some(3 * three));
        for none in [0, 4] {
            assert_eq!(batches.message_bytes(1, none), None);
        }
        let batch = |number, us| batches.batch(1, number, &B256::ZERO, operator(us));
        let pair = one + two + 3 * three + 3 * FRAME_BYTES;
        assert_eq!(batch(1, 1).peers, [(operator(2), 2 * pair)].into());
        assert_eq!(batch(1, 2).peers, [(operator(1), 2 * pair)].into());
        assert_eq!(batch(0, 1).id, batch(0, 2).id);
        assert_ne!(batch(0, 1).id, batch(1, 1).id);
    }

    /// What no bound has room for goes input by input: it is not refused.
    #[test]
    fn inputs_that_do_not_fit_at_all_go_one_by_one() {
        let (group, seats) = signing(&[1, 1]);
        let batches = Batches::new(&seats, &group, 4, 0);
        assert_eq!((batches.count(), batches.inputs(3)), (4, 3..4));
    }
}
