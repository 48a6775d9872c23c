//! Which siblings of what comes from elsewhere are taken. Every dot at or under the watermark is known to every member
//! that is not behind: what such a member does not hold from there was replaced long ago.

use std::convert::Infallible;

use model::{Delta, DeltaSibling, Dot, Entry, Hlc, Key, Sibling, Summary};
use storage::{Store, StoreError, UpdateError};

/// What the two sides of a session are to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terms {
    /// Neither is behind: all is merged that is not long forgotten.
    #[default]
    Equal,
    /// Every member of the roster is behind: all is merged.
    AllBehind,
    /// This side is not behind, the other one is: at or under the watermark this side's word counts.
    Authority,
    /// This side is behind, the other one is not: at or under the watermark the other side's word counts.
    Behind,
    /// Both are behind, and there is a member that is not, or may be: neither can say what was replaced.
    NoAuthority,
}

impl Terms {
    /// By who is behind, and whether both sides know every member to be.
    pub fn of(own_behind: bool, peer_behind: bool, all_behind: bool) -> Self {
        match (own_behind, peer_behind) {
            (false, false) => Self::Equal,
            (false, true) => Self::Authority,
            (true, false) => Self::Behind,
            (true, true) if all_behind => Self::AllBehind,
            (true, true) => Self::NoAuthority,
        }
    }
}

/// A session's judge: its terms, and the watermark that both sides had when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    /// What the sides are to each other.
    pub terms: Terms,
    /// At or under which that matters.
    pub watermark: Hlc,
}

/// What becomes of data that came in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is taken; so many siblings of it were replaced long ago and are not (H8).
    Take(Delta, usize),
    /// Nothing of it is taken: the key is not held, and all it speaks of is known to everybody (H39).
    Known(usize),
    /// It is left out whole: nobody can say whether a sibling of it was replaced. The session claims nothing (H28).
    LeftOut,
}

/// What becomes of an entry that came as a rumor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What of it is to be merged; a blank entry is nothing.
    pub entry: Entry,
    /// Siblings that are not taken.
    pub refused: usize,
}

/// Judges a rumor at a node that is not behind. `held` is asked for only where something lies at or under the
/// watermark.
///
/// A sibling there that is not held is not taken (H8); of a key that is not held nothing is, where all that the entry
/// speaks of lies there (H39).
///
/// # Errors
/// Those of `held`.
pub fn rumor<E>(
    entry: Entry,
    watermark: Hlc,
    held: impl FnOnce() -> Result<Option<Entry>, E>,
) -> Result<Judged, E> {
    let is_low = |dot: Dot| dot.hlc <= watermark;
    let is_known = entry.context().newest() <= watermark;
    if !is_known && !entry.siblings().iter().any(|sibling| is_low(sibling.dot())) {
        return Ok(Judged { entry, refused: 0 });
    }
    let held = held()?;
    let holds = |dot: Dot| held.as_ref().is_some_and(|entry| entry.sibling(dot).is_some());
    let low: Vec<Dot> =
        entry.siblings().iter().map(model::Sibling::dot).filter(|dot| is_low(*dot) && !holds(*dot)).collect();
    if held.is_none() && is_known {
        return Ok(Judged { entry: Entry::default(), refused: low.len() });
    }
    Ok(Judged { entry: without(&entry, &low), refused: low.len() })
}

impl Judge {
    fn is_low(&self, dot: Dot) -> bool {
        dot.hlc <= self.watermark
    }

    /// Whether [`Judge::rule`] needs to know what is held.
    pub fn needs_held(&self, came: &Delta) -> bool {
        let all_is_low = came.context.newest() <= self.watermark;
        match self.terms {
            Terms::Equal => all_is_low && came.siblings.is_empty(),
            Terms::Authority | Terms::NoAuthority => {
                all_is_low || came.siblings.iter().any(|sibling| self.is_low(sibling.dot()))
            }
            Terms::AllBehind | Terms::Behind => false,
        }
    }

    /// What becomes of data that the other side sent, where this is held.
    pub fn rule(&self, mut came: Delta, held: Option<&Entry>) -> Ruling {
        let holds = |dot: Dot| held.is_some_and(|entry| entry.sibling(dot).is_some());
        let is_unknown = |sibling: &DeltaSibling| self.is_low(sibling.dot()) && !holds(sibling.dot());
        let low = came.siblings.iter().filter(|sibling| is_unknown(sibling)).count();
        let is_known = held.is_none() && came.context.newest() <= self.watermark;
        match self.terms {
            // A tombstone from the other side's grace, of a key that both had named and that has expired here since.
            Terms::Equal if is_known && came.siblings.is_empty() => Ruling::Known(0),
            Terms::Equal | Terms::AllBehind | Terms::Behind => Ruling::Take(came, 0),
            Terms::NoAuthority if low > 0 => Ruling::LeftOut,
            Terms::NoAuthority => Ruling::Take(came, 0),
            Terms::Authority if is_known => Ruling::Known(low),
            Terms::Authority => {
                came.siblings.retain(|sibling| !is_unknown(sibling));
                Ruling::Take(came, low)
            }
        }
    }

    /// Whether data of a key that only the side which is behind has found must be answered with all that the authority
    /// holds of it, were it nothing.
    pub fn must_answer(&self, came: &Delta) -> bool {
        self.terms == Terms::Authority && came.siblings.iter().any(|sibling| self.is_low(sibling.dot()))
    }

    /// Values that an authority will not take are only named to it: it takes what it holds itself, and nothing else.
    pub fn only_names(&self, mut delta: Delta) -> Delta {
        if self.terms == Terms::Behind {
            for sibling in &mut delta.siblings {
                if self.is_low(sibling.dot()) {
                    *sibling = DeltaSibling::Known(sibling.dot());
                }
            }
        }
        delta
    }

    /// What of an entry the side which is behind alone still has, where the authority holds `theirs`: what lies at or
    /// under the watermark, is not held there, and was not replaced there by anything that the authority knows of. It
    /// goes into quarantine.
    pub fn alone(&self, held: &Entry, theirs: &Summary) -> Vec<Dot> {
        if self.terms != Terms::Behind {
            return Vec::new();
        }
        let there = |dot: Dot| theirs.siblings.iter().any(|(other, _)| *other == dot);
        let dots = held.siblings().iter().map(model::Sibling::dot);
        dots.filter(|dot| self.is_low(*dot) && !there(*dot) && !theirs.context.covers(*dot)).collect()
    }
}

/// The entry without these siblings. Its context still covers them: they count as replaced.
pub fn without(entry: &Entry, dots: &[Dot]) -> Entry {
    split(entry, dots).0
}

/// Takes these siblings out of the store, where their dots stay covered: the second half of a quarantine.
///
/// # Errors
/// The store could not be read or written, and has stopped; some may be out already.
pub fn take_out(store: &Store, gone: &[(Key, Entry)]) -> Result<(), StoreError> {
    for (key, gone) in gone {
        let dots: Vec<Dot> = gone.siblings().iter().map(Sibling::dot).collect();
        let left = |held: Entry| Ok::<_, Infallible>(Some(without(&held, &dots)));
        if let Err(UpdateError::Store(error)) = store.update(key, left) {
            return Err(error);
        }
    }
    Ok(())
}

/// The entry without these siblings, and one of these alone.
pub fn split(entry: &Entry, dots: &[Dot]) -> (Entry, Entry) {
    let part = |wanted: bool| {
        let siblings = entry.siblings().iter().filter(|sibling| dots.contains(&sibling.dot()) == wanted);
        // A part of an entry's siblings keeps all of its rules.
        Entry::from_parts(entry.context().clone(), siblings.cloned().collect(), entry.last_expiry())
            .unwrap_or_default()
    };
    (part(false), part(true))
}
