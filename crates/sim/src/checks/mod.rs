//! What must always hold, checked after each step on what the step touched, and in full at the end. Each checker says why
//! in a sentence.
//!
//! | file | what it checks | DESIGN section 14 |
//! |---|---|---|
//! | `covered` | what a context covers is there, was replaced, or was lost with its only disks | 1 |
//! | `acknowledged` | what a client was told is kept is on some disk | 2 |
//! | `tree` | root and counts are those of the data, after a reopening too | 6 |
//! | `vectors` | what a summary vector claims is on its node's disk | 3 |
//! | `watermark` | it never falls, lies under its node's own stable, and all under it is known there | 4 |
//! | `purged` | what a tombstone replaced that was taken off a disk is nowhere, and is taken in nowhere | 5 |
//! | `dots` | dots are unique and rise, above every watermark; contexts stay within bounds | 4, 7 |
//! | `roster` | a member is removed by promises only, a name is given to one | |
//! | `knowing` | who answers knows what everyone knew when it came | |
//! | `expired` | values expire at a time that the members agree on, and not before they are written | 1, 2 |
//! | `returned` | nothing is back that an acknowledged write has replaced | 5 |
//! | `quarantined` | nothing goes to quarantine that a member still owes somebody | 1 |
//! | `quiet`, `forgotten` | once faults stop all become one, and deletes are forgotten | the last part |

mod acknowledged;
mod covered;
mod dots;
mod expired;
mod forgotten;
mod knowing;
mod purged;
mod quarantined;
mod quiet;
mod returned;
mod roster;
mod tree;
mod vectors;
mod watermark;

use std::fmt;
use std::time::Duration;

pub(crate) use expired::Agreed;
pub use quiet::QUIET_MAX;
pub(crate) use vectors::Holdings;

use crate::host::HostId;
use crate::world::World;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which checker found it.
    pub check: &'static str,
    /// What, and why it must not be: a sentence.
    pub why: String,
    /// When, since the beginning.
    pub at: Duration,
    /// How far the run was.
    pub step: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, why, at, step } = self;
        write!(f, "{check}: {why} (after {:.3} s, step {step})", at.as_secs_f64())
    }
}

impl World {
    /// Notes what a checker found.
    pub(crate) fn judge(&mut self, check: &'static str, found: Result<(), String>) {
        self.count.checks += 1;
        if let Err(why) = found {
            let violation = Violation { check, why, at: self.now, step: self.count.steps };
            self.fail(violation);
        }
    }

    /// One dot came with two contents.
    pub(crate) fn clash(&mut self, host: HostId) {
        let why = format!("{host} was sent a dot that it holds, with another content");
        self.judge("dots", Err(why));
    }

    /// Everything, at every host.
    ///
    /// # Errors
    /// The first thing found.
    pub fn check_all(&mut self) -> Result<(), Violation> {
        for host in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.check_store(host);
            self.check_whole_vector(host);
            self.check_all_returned(host);
        }
        self.check_acknowledged();
        self.broken.clone().map_or(Ok(()), Err)
    }
}
