//! Which way a search goes, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::width::Width;
use crate::{opening::Opening, sketch::Field};

/// Above this part of the keys of the greater side, the tree takes fewer bytes than the sketch.
const SKETCHED_PART: u64 = 5;

/// Which way a search may go, for its responder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prefer {
    /// The way that takes the fewest bytes.
    #[default]
    Auto,
    /// By the tree alone.
    Tree,
    /// By the sketch wherever both sides have one in the same field, even where much differs.
    Sketch,
}

/// A way to find what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Down the tree, level by level.
    Tree,
    /// By decoding the difference of two sketches.
    Sketch,
}

/// Why a search goes the way it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Little enough differs for the sketch.
    Cheapest {
        /// About how many keys differ.
        estimate: u64,
    },
    /// More than a fifth of the keys differ.
    ManyDiffer,
    /// Settings of either side ask for this way.
    AskedFor,
    /// The two sketches are in different fields, or one has come into another since.
    FieldsDiffer,
    /// The sketch was tried: its cells were used up, or are none that a store makes.
    Undecoded,
    /// One side holds nothing.
    OneSideEmpty,
    /// The search is one at full width, which only the tree has.
    FullWidth,
}

/// The way a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How it searches.
    pub method: Method,
    /// About how many keys differ, told from the openings.
    pub estimate: u64,
    /// Why so.
    pub reason: Reason,
}

impl Choice {
    /// The way that a responder takes; `None` where nothing differs.
    pub(super) fn new(mine: &Opening, theirs: &Opening, width: Width, prefer: Prefer) -> Option<Choice> {
        if mine.root == theirs.root {
            return None;
        }
        let estimate = mine.differing_estimate(theirs);
        let greater = mine.root.count.max(theirs.root.count);
        let (method, reason) = if mine.root.is_zero() || theirs.root.is_zero() {
            (Method::Tree, Reason::OneSideEmpty)
        } else if width == Width::Full {
            (Method::Tree, Reason::FullWidth)
        } else if prefer == Prefer::Tree {
            (Method::Tree, Reason::AskedFor)
        } else if Field::of_leaves(mine.leaf_bits) != Field::of_leaves(theirs.leaf_bits) {
            (Method::Tree, Reason::FieldsDiffer)
        } else if prefer == Prefer::Sketch {
            (Method::Sketch, Reason::AskedFor)
        } else if estimate.saturating_mul(SKETCHED_PART) > greater {
            (Method::Tree, Reason::ManyDiffer)
        } else {
            (Method::Sketch, Reason::Cheapest { estimate })
        };
        Some(Choice { method, estimate, reason })
    }

    /// The way that the peer has taken, as this side explains it.
    pub(super) fn heard(mine: &Opening, theirs: &Opening, width: Width, method: Method) -> Option<Choice> {
        let own = Choice::new(mine, theirs, width, Prefer::Auto)?;
        let as_asked = Choice { method, reason: Reason::AskedFor, ..own };
        Some(if own.method == method { own } else { as_asked })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Method::Tree => "tree",
            Method::Sketch => "sketch",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Cheapest { estimate: 1 } => out.write_str("about 1 key differs: cheapest by sketch"),
            Reason::Cheapest { estimate } => {
                write!(out, "about {estimate} keys differ: cheapest by sketch")
            }
            Reason::ManyDiffer => out.write_str("more than a fifth of the keys differ"),
            Reason::AskedFor => out.write_str("asked for"),
            Reason::FieldsDiffer => out.write_str("the sketches are in different fields"),
            Reason::Undecoded => out.write_str("the sketch did not decode"),
            Reason::OneSideEmpty => out.write_str("one side holds nothing"),
            Reason::FullWidth => out.write_str("searched once more at full width"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::SizeHint;

    fn opening(count: u64, leaf_bits: u8, sum: u128) -> Opening {
        Opening { root: crate::RangeDigest { count, sum }, leaf_bits, hint: SizeHint::default() }
    }

    fn choose(mine: &Opening, theirs: &Opening, prefer: Prefer) -> (Method, Reason) {
        let choice = Choice::new(mine, theirs, Width::Short, prefer).unwrap();
        (choice.method, choice.reason)
    }

    #[test]
    fn each_case_has_its_reason() {
        let (mine, near, far) = (opening(1_000, 8, 1), opening(801, 8, 2), opening(799, 8, 2));
        assert_eq!(Choice::new(&mine, &mine, Width::Short, Prefer::Auto), None);
        assert_eq!(choose(&mine, &near, Prefer::Auto), (Method::Sketch, Reason::Cheapest { estimate: 199 }));
        assert_eq!(choose(&mine, &far, Prefer::Auto), (Method::Tree, Reason::ManyDiffer));
        assert_eq!(choose(&mine, &far, Prefer::Sketch), (Method::Sketch, Reason::AskedFor));
        assert_eq!(choose(&mine, &near, Prefer::Tree), (Method::Tree, Reason::AskedFor));
        let large = opening(1_000, 19, 3);
        assert_eq!(choose(&mine, &large, Prefer::Sketch), (Method::Tree, Reason::FieldsDiffer));
        let empty = Opening::default();
        assert_eq!(choose(&mine, &empty, Prefer::Sketch), (Method::Tree, Reason::OneSideEmpty));
        let full = Choice::new(&mine, &near, Width::Full, Prefer::Sketch).unwrap();
        assert_eq!((full.method, full.reason), (Method::Tree, Reason::FullWidth));
        let heard = Choice::heard(&mine, &near, Width::Short, Method::Tree).unwrap();
        assert_eq!((heard.method, heard.reason, heard.estimate), (Method::Tree, Reason::AskedFor, 199));
    }
}
