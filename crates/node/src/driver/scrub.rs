//! The thread that reads the store again, to find damage before somebody needs what is damaged.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use gossip::core::Event;
use http_api::ScrubView;
use storage::{Scrub, ScrubNext, StoreError};

use super::clock::wall_ms;
use super::member::Member;
use crate::exit::Fatal;

/// The longest sleep in one piece, so that the thread of a member that is no more ends.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Where the scrub of a member has come, for people and for its thread.
#[derive(Debug)]
pub struct Scrubbing {
    bytes_per_second: u64,
    scrub: Option<Mutex<Scrub>>,
}

impl Scrubbing {
    /// None a second: off. `began_ms` is when the store began to be opened.
    pub fn new(bytes_per_second: u64, store: &storage::Store, began_ms: u64) -> Scrubbing {
        let proven_ms = store.opened().verified.then_some(began_ms);
        let scrub = NonZeroU64::new(bytes_per_second)
            .map(|rate| Mutex::new(Scrub::new(rate, store.scrub_noted(), proven_ms)));
        Scrubbing { bytes_per_second, scrub }
    }

    /// Begins the thread, which ends with the member, or with its store.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn begin(member: &Arc<Member>) -> Result<(), Fatal> {
        if member.scrubbing.scrub.is_some() {
            let weak = Arc::downgrade(member);
            let begun = thread::Builder::new().name("scrub".into()).spawn(move || run(&weak));
            begun.map_err(|error| Fatal::Failed(format!("no thread for the scrub: {error}")))?;
        }
        Ok(())
    }

    /// What people see.
    pub fn view(&self, now_ms: u64) -> ScrubView {
        let scrub =
            self.scrub.as_ref().map(|scrub| scrub.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let counts = scrub.as_ref().map(Scrub::counts).unwrap_or_default();
        ScrubView {
            bytes_per_second: self.bytes_per_second,
            running: scrub.as_ref().is_some_and(Scrub::is_running),
            entries: counts.entries,
            bytes: counts.bytes,
            passes: counts.passes,
            oldest_unverified_age_ms: scrub
                .and_then(|scrub| scrub.proven_since_ms())
                .map(|since| now_ms.saturating_sub(since)),
        }
    }
}

fn run(member: &Weak<Member>) {
    while let Some(member) = member.upgrade() {
        let Some(rest) = step(&member) else { return };
        drop(member);
        thread::sleep(rest.min(SLEEP_MAX));
    }
}

/// Reads a little, and says how long to wait then. None: no more is to be read in this life.
fn step(member: &Member) -> Option<Duration> {
    let scrub = member.scrubbing.scrub.as_ref()?;
    let lock = || scrub.lock().unwrap_or_else(PoisonError::into_inner);
    let next = lock().next(wall_ms());
    let (after, bytes_max) = match next {
        ScrubNext::Rest(time) => return Some(time),
        ScrubNext::Read { after, bytes_max } => (after, bytes_max),
    };
    let read = member.store.scrub(after.as_ref(), bytes_max).and_then(|read| {
        let now = wall_ms();
        let mut scrub = lock();
        scrub.has_read(now, read);
        let note = scrub.to_note(now).cloned();
        drop(scrub);
        note.map_or(Ok(()), |progress| member.store.note_scrub(&progress))
    });
    match read {
        Ok(()) => Some(Duration::ZERO),
        Err(error) => {
            tell(member, &error);
            None
        }
    }
}

/// Damage stops the store, as when a client's read meets it; the protocol must know.
fn tell(member: &Member, error: &StoreError) {
    tracing::error!(%error, "the scrub has ended");
    if let Some(reason) = member.store.failure() {
        let _ = member.events.blocking_send(Event::StoreStopped { reason });
    }
}
