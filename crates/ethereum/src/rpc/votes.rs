//! Counts several servers' answers to one question: the answer that enough of them give, and the servers that differ.

use std::sync::{Arc, Mutex, PoisonError};

use coxswain_rules::Dissent;

use super::error::RequestError;

/// The servers that were outvoted or refuted so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dissents(Arc<Mutex<coxswain_rules::Dissents>>);

impl Dissents {
    /// Notes what a server says, unless something is known of it.
    pub(crate) fn note(&self, endpoint: &str, said: impl FnOnce() -> String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(endpoint, said);
    }

    /// All that were noted.
    pub(crate) fn all(&self) -> Vec<Dissent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all().to_vec()
    }
}

/// Why there is no answer that enough servers give.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// Why, all in all.
    pub(crate) error: RequestError,
    /// The failures of the servers that gave no answer.
    pub(crate) failures: Vec<RequestError>,
}

/// Each server's answer, by its name.
pub(crate) type Said<'a, Answer> = Vec<(&'a str, Result<Answer, RequestError>)>;

/// What this many servers say at least, and how many do. Who says otherwise is noted.
pub(crate) fn agreed<Answer: PartialEq>(
    method: &'static str,
    required: usize,
    said: Said<'_, Answer>,
    shown: impl Fn(&Answer) -> String,
    dissents: &Dissents,
) -> Result<(Answer, usize), Disagreement> {
    let mut votes: Vec<(Answer, Vec<&str>)> = Vec::new();
    let mut failures = Vec::new();
    for (name, answer) in said {
        match answer {
            Ok(answer) => match votes.iter_mut().find(|(other, _)| *other == answer) {
                Some((_, names)) => names.push(name),
                None => votes.push((answer, vec![name])),
            },
            Err(error) => failures.push(error),
        }
    }
    match votes.iter().position(|(_, names)| names.len() >= required) {
        Some(place) => {
            let (answer, names) = votes.swap_remove(place);
            for (other, names) in votes {
                for name in names {
                    dissents.note(name, || format!("{method}: it {}", shown(&other)));
                }
            }
            Ok((answer, names.len()))
        }
        None if votes.is_empty() => {
            Err(Disagreement { error: RequestError::of_all(failures.iter().cloned()), failures })
        }
        None => {
            let said = votes.iter().flat_map(|(answer, names)| {
                let shown = shown(answer);
                names.iter().map(move |name| format!("{name} {shown}"))
            });
            let said = said.chain(failures.iter().map(ToString::to_string)).collect::<Vec<_>>().join("; ");
            Err(Disagreement { error: RequestError::NotAgreed { method, required, said }, failures })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        said: &[(&'static str, Option<u8>)],
        required: usize,
    ) -> (Result<(u8, usize), String>, Vec<Dissent>) {
        let dissents = Dissents::default();
        let failed = || RequestError::NoneFit(Vec::new());
        let said = said.iter().map(|(name, answer)| (*name, answer.ok_or_else(failed))).collect();
        let agreed = agreed("eth_call", required, said, |answer| format!("says {answer}"), &dissents);
        (agreed.map_err(|error| error.error.to_string()), dissents.all())
    }

    #[test]
    fn inc_47_who_is_outvoted_is_named_with_what_it_says() {
        let (agreed, dissents) = of(&[("a:1", Some(7)), ("b:2", Some(8)), ("c:3", Some(7))], 2);
        assert_eq!(agreed, Ok((7, 2)));
        let said = "eth_call: it says 8".to_owned();
        assert_eq!(dissents, [Dissent { endpoint: "b:2".to_owned(), said }]);
        // One that gives no answer says nothing.
        let (agreed, dissents) = of(&[("a:1", Some(7)), ("b:2", None), ("c:3", Some(7))], 2);
        assert_eq!((agreed, dissents.len()), (Ok((7, 2)), 0));
        // If too few say the same, nobody is outvoted: all are shown.
        let (agreed, dissents) = of(&[("a:1", Some(7)), ("b:2", Some(8)), ("c:3", None)], 2);
        let shown = agreed.unwrap_err();
        assert!(shown.contains("a:1 says 7; b:2 says 8"), "{shown}");
        assert_eq!(dissents, []);
    }
}
