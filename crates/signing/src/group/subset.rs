//! Who of the ready signs: the choice of a convener.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use coxswain_protocol::{Seat, SigningGroup};

use super::{Announcement, Draw};

/// Pairs of operators that can't sign together: a seat of one has banned a seat of the other, or has no link to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts(BTreeSet<(Address, Address)>);

impl Conflicts {
    /// What these announcements say, and what is known of links that failed in this action.
    pub fn of<'a>(
        announcements: impl IntoIterator<Item = &'a Announcement>,
        group: &SigningGroup,
        unlinked: &BTreeSet<(Address, Address)>,
    ) -> Self {
        let mut pairs = BTreeSet::new();
        for announcement in announcements {
            let Some(own) = group.holder(announcement.seat) else { continue };
            let banned = announcement.banned.iter().filter_map(|seat| group.holder(*seat));
            let missing = group.operators().iter().filter(|operator| !announcement.links.contains(*operator));
            pairs.extend(
                banned.chain(missing.copied()).filter(|other| *other != own).map(|other| ordered(own, other)),
            );
        }
        pairs.extend(unlinked.iter().map(|(a, b)| ordered(*a, *b)));
        Self(pairs)
    }

    /// Whether these two can't sign together.
    pub fn between(&self, a: Address, b: Address) -> bool {
        self.0.contains(&ordered(a, b))
    }

    /// Whether any two of these seats can't.
    pub fn among(&self, seats: &BTreeSet<Seat>, group: &SigningGroup) -> bool {
        let operators: BTreeSet<Address> = seats.iter().filter_map(|seat| group.holder(*seat)).collect();
        self.0.iter().any(|(a, b)| operators.contains(a) && operators.contains(b))
    }
}

fn ordered(a: Address, b: Address) -> (Address, Address) {
    if a < b { (a, b) } else { (b, a) }
}

/// Chooses as many of the ready seats as must sign. `marks`: how often an operator was in a subset that failed. `None` if too few can.
pub fn choose(
    ready: &BTreeSet<Seat>,
    threshold: usize,
    group: &SigningGroup,
    draw: &Draw,
    conflicts: &Conflicts,
    marks: &BTreeMap<Address, u32>,
) -> Option<BTreeSet<Seat>> {
    let ready: Vec<(Seat, Address)> = draw
        .seats()
        .iter()
        .filter(|seat| ready.contains(seat))
        .filter_map(|seat| Some((*seat, group.holder(*seat)?)))
        .collect();
    let mut left = without_pairs(ready.clone(), conflicts);
    if left.len() < threshold {
        left = without_the_worst(ready, conflicts);
    }
    if left.len() < threshold {
        return None;
    }
    let mut operators = draw.operators().to_vec();
    // Stable: among as many marks, as drawn.
    operators.sort_by_key(|operator| marks.get(operator).copied().unwrap_or_default());
    let of =
        |operator: Address| left.iter().filter(move |(_, holder)| *holder == operator).map(|(seat, _)| *seat);
    let mut chosen = BTreeSet::new();
    let mut parts = Vec::new();
    for operator in operators {
        if chosen.len() + of(operator).count() <= threshold {
            chosen.extend(of(operator));
        } else {
            parts.extend(of(operator));
        }
    }
    let lacking = threshold - chosen.len();
    chosen.extend(parts.into_iter().take(lacking));
    Some(chosen)
}

/// Leaves out one seat of each end of a pair that can't sign together, pair by pair: one of them is wrong, and it can't be told which.
fn without_pairs(mut seats: Vec<(Seat, Address)>, conflicts: &Conflicts) -> Vec<(Seat, Address)> {
    while let Some((a, b)) = first_pair(&seats, conflicts) {
        seats.retain(|(seat, _)| *seat != a && *seat != b);
    }
    seats
}

fn first_pair(seats: &[(Seat, Address)], conflicts: &Conflicts) -> Option<(Seat, Seat)> {
    seats.iter().enumerate().find_map(|(index, (seat, holder))| {
        let mut later = seats.iter().skip(index + 1);
        later.find(|(_, other)| conflicts.between(*holder, *other)).map(|(other, _)| (*seat, *other))
    })
}

/// Leaves out the seat with most of such pairs, again and again. Among as many, the first as drawn.
fn without_the_worst(mut seats: Vec<(Seat, Address)>, conflicts: &Conflicts) -> Vec<(Seat, Address)> {
    loop {
        let pairs =
            |holder: Address| seats.iter().filter(|(_, other)| conflicts.between(holder, *other)).count();
        let mut worst = None;
        for (seat, holder) in &seats {
            let count = pairs(*holder);
            if count > worst.map_or(0, |(_, most)| most) {
                worst = Some((*seat, count));
            }
        }
        let Some((worst, _)) = worst else { return seats };
        seats.retain(|(seat, _)| *seat != worst);
    }
}

/// Whether so many seats have announced that a wallet without a main UTXO may sign: two different actions can't both come to as
/// many, unless more seats cheat than the group can bear.
pub fn is_quorum(announced: usize, seats: usize, threshold: usize) -> bool {
    let faulty = seats.saturating_sub(threshold) / 2;
    2 * announced > seats + faulty
}
