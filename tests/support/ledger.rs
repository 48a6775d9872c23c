//! What clients were told while things broke, and whether the cluster still keeps to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::http::{Answer, Api, NOT_SENT};

/// What became of a write, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx: it must never be lost.
    Acknowledged,
    /// The node said, or nobody was there to say, that nothing was stored.
    Refused,
    /// No answer: it may be stored or not.
    Unknown,
}

impl Outcome {
    pub fn of(answered: &Result<Answer, String>) -> Self {
        match answered {
            Ok(answer) if answer.is_success() => Self::Acknowledged,
            Ok(answer) => match answer.problem().as_deref() {
                Some("not-ready" | "too-many-siblings") => Self::Refused,
                _ => Self::Unknown,
            },
            Err(error) if error.starts_with(NOT_SENT) => Self::Refused,
            Err(_) => Self::Unknown,
        }
    }
}

/// A write without a context token to a key that everybody writes.
#[derive(Debug, Clone)]
struct Contended {
    value: String,
    began: Instant,
    acknowledged: Option<Instant>,
}

#[derive(Debug, Default)]
struct Books {
    /// Keys of one writer alone: every state in which the key may be found. `None`: deleted.
    own: BTreeMap<String, Vec<Option<String>>>,
    /// Sets that grow: every writer adds what it adds to all it was shown, with a context token.
    added: BTreeMap<String, BTreeSet<String>>,
    contended: BTreeMap<String, Vec<Contended>>,
    acknowledged: BTreeMap<SocketAddr, usize>,
    without_answer: usize,
    /// Reads by the one writer of a key, at the node that had acknowledged its last write.
    read_back: usize,
    /// What such reads should not have shown.
    misread: Vec<String>,
}

/// Every write of a test and what its client was told.
#[derive(Debug, Default)]
pub struct Ledger {
    books: Mutex<Books>,
}

impl Ledger {
    /// How many writes this node has acknowledged.
    pub fn acknowledged_by(&self, api: Api) -> usize {
        self.books().acknowledged.get(&api.address).copied().unwrap_or_default()
    }

    pub fn summary(&self) -> String {
        let books = self.books();
        let all: usize = books.acknowledged.values().sum();
        format!(
            "{all} writes acknowledged {:?}, {} without an answer",
            books.acknowledged, books.without_answer
        )
    }

    pub fn wrote_own(&self, api: Api, key: &str, state: Option<String>, outcome: Outcome) {
        let mut books = self.books();
        books.count(api, outcome);
        let states = books.own.entry(key.to_owned()).or_insert_with(|| vec![None]);
        match outcome {
            Outcome::Acknowledged => *states = vec![state],
            Outcome::Unknown => states.push(state),
            Outcome::Refused => {}
        }
    }

    /// The one writer of a key has read it where its last write was acknowledged, and this came.
    pub fn read_own(&self, api: Api, key: &str, found: &BTreeSet<String>) {
        let mut books = self.books();
        books.read_back += 1;
        let states = books.own.get(key).map(Vec::as_slice).unwrap_or_default();
        if let Some(violation) = own_violation(key, states, found) {
            books.misread.push(format!("read back from {}: {violation}", api.address));
        }
    }

    /// How many reads there were of what the reader had written.
    pub fn read_back(&self) -> usize {
        self.books().read_back
    }

    pub fn added(&self, api: Api, key: &str, item: String, outcome: Outcome) {
        let mut books = self.books();
        books.count(api, outcome);
        if outcome == Outcome::Acknowledged {
            books.added.entry(key.to_owned()).or_default().insert(item);
        }
    }

    pub fn wrote_contended(&self, api: Api, key: &str, value: String, began: Instant, outcome: Outcome) {
        let mut books = self.books();
        books.count(api, outcome);
        let acknowledged = (outcome == Outcome::Acknowledged).then(Instant::now);
        books.contended.entry(key.to_owned()).or_default().push(Contended { value, began, acknowledged });
    }

    /// Everything that is not as it was acknowledged, as this node answers.
    pub fn violations(&self, api: Api) -> Vec<String> {
        let books = self.books();
        let own = |(key, states): (&String, &Vec<_>)| own_violation(key, states, &api.siblings(key).values);
        let own = books.own.iter().filter_map(own);
        let added = books.added.iter().filter_map(|(key, items)| added_violation(api, key, items));
        let contended =
            books.contended.iter().filter_map(|(key, writes)| contended_violation(api, key, writes));
        books.misread.iter().cloned().chain(own).chain(added).chain(contended).collect()
    }

    /// Fails the test unless every one of these nodes keeps to the ledger.
    #[track_caller]
    pub fn assert_kept_by(&self, apis: &[Api]) {
        println!("{}", self.summary());
        for api in apis {
            let violations = self.violations(*api);
            assert!(violations.is_empty(), "{}: {}", api.address, violations.join("\n"));
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn count(&mut self, api: Api, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => *self.acknowledged.entry(api.address).or_default() += 1,
            Outcome::Unknown => self.without_answer += 1,
            Outcome::Refused => {}
        }
    }
}

fn own_violation(key: &str, states: &[Option<String>], found: &BTreeSet<String>) -> Option<String> {
    let fits = match (found.len(), found.first()) {
        (0, _) => states.contains(&None),
        (1, Some(value)) => states.contains(&Some(value.clone())),
        _ => false,
    };
    (!fits).then(|| format!("{key}: one of {states:?} was acknowledged last, found {found:?}"))
}

fn added_violation(api: Api, key: &str, items: &BTreeSet<String>) -> Option<String> {
    let found = api.siblings(key).values;
    let held: BTreeSet<&str> = found.iter().flat_map(|value| value.lines()).collect();
    let lost: Vec<&String> = items.iter().filter(|item| !held.contains(item.as_str())).collect();
    (!lost.is_empty()).then(|| format!("{key}: acknowledged and lost: {lost:?}"))
}

/// A write without a token replaces all that its coordinator holds. So one that is gone was replaced by a
/// write that is there, or by one that was replaced in turn: what is there at the end was acknowledged after
/// what is gone was begun.
fn contended_violation(api: Api, key: &str, writes: &[Contended]) -> Option<String> {
    let found = api.siblings(key).values;
    let mut there = Vec::new();
    for value in &found {
        match writes.iter().find(|write| write.value == *value) {
            Some(write) => there.push(write),
            None => return Some(format!("{key}: {value} was never written")),
        }
    }
    let replaced = |gone: &Contended| {
        there.iter().any(|write| write.acknowledged.is_none_or(|acknowledged| acknowledged > gone.began))
    };
    let lost = |write: &&Contended| {
        write.acknowledged.is_some() && !found.contains(&write.value) && !replaced(write)
    };
    let lost: Vec<&str> = writes.iter().filter(lost).map(|write| write.value.as_str()).collect();
    (!lost.is_empty())
        .then(|| format!("{key}: acknowledged, replaced by nothing and lost: {lost:?}; found {found:?}"))
}
