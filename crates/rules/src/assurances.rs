//! How far the facts that a verdict rests on are to be believed, kind by kind.

use std::fmt;

use crate::Assurance;

/// How far each kind of fact that counted is to be believed, the weakest of each. `None`: none was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Assurances {
    /// How many servers name the block.
    pub named_by: usize,
    /// Of how many.
    pub of: usize,
    /// Whether whoever asked gave the block's hash.
    pub is_given: bool,
    /// What Ethereum's contracts hold.
    pub state: Option<Assurance>,
    /// What Ethereum's events tell.
    pub events: Option<Assurance>,
    /// What Bitcoin's servers tell.
    pub bitcoin: Option<Assurance>,
}

impl Assurances {
    /// Of a block that so many servers name, nothing having been read at it yet.
    pub const fn at(named_by: usize, of: usize, is_given: bool) -> Self {
        Self { named_by, of, is_given, state: None, events: None, bitcoin: None }
    }

    /// Of a verdict by nothing but Ethereum's state, at a block that is given.
    pub const fn of_state(assurance: Assurance) -> Self {
        Self { state: Some(assurance), ..Self::at(0, 0, true) }
    }

    /// How far all of it is to be believed. What is read at a block that one server alone names is that server's word.
    pub fn weakest(&self) -> Assurance {
        let kinds = [self.state, self.events, self.bitcoin].into_iter().flatten();
        kinds.fold(self.block(), Assurance::min)
    }

    /// Whether it is known as well as required. Events, and much of Bitcoin, can't be proven: that they are agreed on does.
    pub fn meets(&self, required: Assurance) -> bool {
        let agreed = required.min(Assurance::Agreed);
        let meets = |kind: Option<Assurance>, required| kind.is_none_or(|kind| kind >= required);
        self.block() >= required
            && meets(self.state, required)
            && meets(self.events, agreed)
            && meets(self.bitcoin, agreed)
    }

    const fn block(&self) -> Assurance {
        if self.is_given || self.named_by > 1 { Assurance::Proven } else { Assurance::Word }
    }

    /// What Ethereum's contracts hold has counted, known so far.
    pub fn count_state(&mut self, assurance: Assurance) {
        self.state = Some(self.state.map_or(assurance, |state| state.min(assurance)));
    }

    /// What Ethereum's events tell has counted, known so far.
    pub fn count_events(&mut self, assurance: Assurance) {
        self.events = Some(self.events.map_or(assurance, |events| events.min(assurance)));
    }

    /// What Bitcoin's servers tell has counted, known so far.
    pub fn count_bitcoin(&mut self, assurance: Assurance) {
        self.bitcoin = Some(self.bitcoin.map_or(assurance, |bitcoin| bitcoin.min(assurance)));
    }
}

impl fmt::Display for Assurances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the block is named by {} of {}", self.named_by, self.of)?;
        if self.is_given {
            write!(f, ", and by you")?;
        }
        let kinds = [("state", self.state), ("events", self.events), ("Bitcoin", self.bitcoin)];
        for (name, kind) in kinds {
            if let Some(kind) = kind {
                write!(f, "; {name}: {kind}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(named_by: usize, state: Assurance, events: Option<Assurance>) -> Assurances {
        Assurances { named_by, of: 3, is_given: false, state: Some(state), events, bitcoin: None }
    }

    #[test]
    fn inc_47_what_is_read_at_a_block_that_one_server_names_is_its_word() {
        let alone = known(1, Assurance::Proven, None);
        assert_eq!(alone.weakest(), Assurance::Word);
        assert!(alone.meets(Assurance::Word) && !alone.meets(Assurance::Agreed));
        let given = Assurances { is_given: true, ..alone };
        assert!(given.meets(Assurance::Proven));
        assert_eq!(known(2, Assurance::Proven, None).weakest(), Assurance::Proven);
    }

    #[test]
    fn what_is_required_is_met_by_what_is_as_strong() {
        for (state, agreed, proven) in [
            (Assurance::Word, false, false),
            (Assurance::Agreed, true, false),
            (Assurance::Proven, true, true),
        ] {
            let known = known(2, state, None);
            assert_eq!(known.meets(Assurance::Agreed), agreed, "{state}");
            assert_eq!(known.meets(Assurance::Proven), proven, "{state}");
        }
        let events = |events| known(2, Assurance::Proven, Some(events));
        assert!(events(Assurance::Agreed).meets(Assurance::Proven), "events can't be proven");
        assert!(!events(Assurance::Word).meets(Assurance::Agreed));
        assert_eq!(events(Assurance::Agreed).weakest(), Assurance::Agreed);
    }

    #[test]
    fn the_weakest_of_a_kind_counts() {
        let mut known = known(2, Assurance::Proven, None);
        for assurance in [Assurance::Agreed, Assurance::Proven] {
            known.count_state(assurance);
            known.count_events(Assurance::Agreed);
        }
        assert_eq!((known.state, known.events), (Some(Assurance::Agreed), Some(Assurance::Agreed)));
        known.count_bitcoin(Assurance::Word);
        let line = "the block is named by 2 of 3; state: agreed; events: agreed; Bitcoin: word";
        assert_eq!(known.to_string(), line);
    }
}
