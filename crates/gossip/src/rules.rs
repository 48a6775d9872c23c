//! Rules without which data is lost or comes back, each named by the hazard that it prevents, and a way to take one
//! away.
//!
//! In a node all of them hold, always: nothing that a node is told can change that. The simulator takes one away to
//! show that its checkers then find what goes wrong, so that their silence means something.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $says:literal,)*) => {
        /// A rule that can be switched off in the simulator, by the name of its hazard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// All of them, in the order of their hazards.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name of its hazard.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What it says.
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)*
                }
            }
        }
    };
}

rules! {
    /// Acts where a delete is coordinated.
    H1 = "a delete makes a dot, so that it stays until everyone knows of it",
    /// Acts in the driver: the writer id of a life, and the gate that frames pass.
    H2 = "each life is a new writer, and nothing leaves a node before it is durable there",
    /// Acts where a write is coordinated.
    H3 = "a context is a floor and the greatest time of each writer; only the watermark makes it shorter, never a guess",
    /// Acts where a read is answered.
    H4 = "a read that did not show every sibling gives no context token",
    /// Acts where a member's entries are taken in.
    H5 = "limits act where a client's write is accepted and never when members merge",
    /// Acts at the end of a session.
    H6 = "a session is judged on the roots that were frozen when it began",
    /// Acts at the closing of a session.
    H7 = "a session whose closing is unequal searches again, by the tree and at full width",
    /// Acts where a rumor is taken in.
    H8 = "of a rumor no sibling is taken that lies under the watermark and is not held",
    /// Acts where tombstones are taken off the disk.
    H9 = "a tombstone that has left the tree stays on the disk for the grace, and while an older session is open",
    /// Acts at the end of a session, and where a node publishes.
    H10 = "vectors merge, and are published, once what they speak of is durable",
    /// Acts where a node takes up its clock.
    H11 = "a member's times lie above its addition and above the watermark",
    /// Acts where rosters are compared.
    H12 = "a roster's version is the hash of all that is in it",
    /// Acts where another roster is adopted.
    H13 = "the watermark counts only once all have exchanged whole states since the roster last changed",
    /// Acts where a node leaves.
    H14 = "a node leaves once a session, begun after its last write, has completed",
    /// Acts where a member is removed.
    H15 = "a member is removed only by the promises of more than half of the members",
    /// Acts in the driver: the id of a new cluster.
    H16 = "a cluster's id is random, and clusters of different ids never merge",
    /// Acts where records are found lost.
    H17 = "a node that has lost records claims nothing any more of what others held",
    /// Acts where a member's entries are taken in.
    H19 = "a wrong clock is kept from moving other clocks, and never keeps data out",
    /// Acts where the expiry horizon is reckoned.
    H20 = "values leave by the horizon that a majority agrees on, and by no single clock",
    /// Acts in the driver: the record of a node that was let in.
    H21 = "the digest key is made at founding, handed over in a join, and never another",
    /// Acts where a client is answered.
    H22 = "a node that is behind answers no client",
    /// Acts where a node is let in.
    H23 = "a node that joins under the name of a member that is down takes its place",
    /// Acts in the driver: what follows when a record is found lost.
    H24 = "a node that finds a record lost begins a new life",
    /// Acts where a node begins a life.
    H25 = "until a session has completed a node's own component is what its disk says was last published",
    /// Acts where members learn of another's new life.
    H26 = "a new life is an adoption, not for its own node alone, but for all that learn of it",
    /// Acts where rumors are taken and sent.
    H27 = "a node that is behind neither takes, sends nor passes rumors",
    /// Acts in a session of two nodes that are behind.
    H28 = "what neither side can judge is left out whole, and such a session proves nothing",
    /// Acts at the opening of a session.
    H29 = "where every member is behind they merge as usual",
    /// Acts where a node tests whether it is behind.
    H30 = "a node whose own watermark lies above what it holds is behind, too",
    /// Acts where a delete is coordinated.
    H31 = "a delete with a context token makes a dot, whatever is held",
    /// Acts where rosters are merged.
    H32 = "an addition at or under a node's own watermark is answered by a removal",
    /// Acts where a member is removed.
    H33 = "a removal needs the promises of most of those, too, whose additions everybody knows",
    /// Acts where a node is let in.
    H34 = "taking the place of a member is an eviction, with its promises",
    /// Acts where a write is coordinated.
    H35 = "an entry carries the last expiry of all that it ever held",
    /// Acts where a write is coordinated.
    H36 = "a value expires no sooner after the horizon than after the clock of its coordinator",
    /// Acts where the expiry horizon is reckoned.
    H37 = "of two members the horizon is the lesser time, and moves by elapsed time while one is down",
    /// Acts where a node leaves.
    H38 = "a node that is leaving is no partner for another that leaves",
    /// Acts where a rumor is taken in.
    H39 = "a rumor that tells only what lies under the watermark, of a key that is not held, is not taken",
    /// Acts where a write is coordinated.
    H40 = "a token's floor counts for the same members only, and up to the node's own watermark",
}

/// Which rules hold: all, but for those taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    off: u64,
}

impl Rules {
    /// All but this one.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { off: self.off | bit(rule) }
    }

    /// Whether this one holds.
    pub fn hold(self, rule: Rule) -> bool {
        self.off & bit(rule) == 0
    }

    /// Those that do not hold.
    pub fn off(self) -> impl Iterator<Item = Rule> {
        Rule::ALL.iter().copied().filter(move |rule| !self.hold(*rule))
    }
}

fn bit(rule: Rule) -> u64 {
    1 << rule as u32
}

/// A name that no rule has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no rule {0:?} to switch off; there are {names}", names = names())]
pub struct NoSuchRule(pub String);

fn names() -> String {
    Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Rule {
    type Err = NoSuchRule;

    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        let found = Self::ALL.iter().find(|rule| rule.name().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| NoSuchRule(text.to_owned()))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hold_until_one_is_taken_away() {
        assert!(Rule::ALL.iter().all(|rule| Rules::default().hold(*rule)));
        for rule in Rule::ALL {
            let rules = Rules::default().without(*rule);
            assert_eq!(rules.off().collect::<Vec<_>>(), [*rule]);
            assert_eq!(rule.name().parse(), Ok(*rule));
        }
        assert_eq!("h31".parse(), Ok(Rule::H31));
        assert!("H99".parse::<Rule>().unwrap_err().to_string().contains("H1, H2"));
    }
}
