//! Records of this node that turned out to be damaged or lost: what was found since the process began, and what became
//! of it, for people.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip::core::Serving;
use http_api::DamageView;
use jiff::Timestamp;
use model::Key;
use storage::{DamagedRecord, keep_damaged};

use super::clock::wall_ms;
use super::member::{Member, Present};

/// What this node has lost since its process began.
#[derive(Debug, Default)]
pub struct Damage(Mutex<Option<Found>>);

#[derive(Debug, Clone, Default)]
struct Found {
    at_ms: u64,
    /// The last of it, in words.
    what: String,
    records: u64,
    /// Whose records they were, until that was looked into.
    keys: BTreeSet<Key>,
    held_again: u64,
    held_by_none: u64,
    kept_in: Option<String>,
    healed: bool,
}

impl Damage {
    fn lock(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Found)) {
        let mut found = self.lock();
        let found = found.get_or_insert_default();
        (found.at_ms, found.healed) = (wall_ms(), false);
        note(found);
    }

    /// A whole folder is gone, or the newest of what it held.
    pub fn lost(&self, what: &str) {
        self.note(|found| what.clone_into(&mut found.what));
    }

    /// Keeps the bytes of damaged records in this file, durably, and remembers whose they were.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_aside(&self, file: &Path, records: &[DamagedRecord]) -> std::io::Result<()> {
        let when = Timestamp::now().to_string();
        keep_damaged(file, &when, records)?;
        for DamagedRecord { at, key, why, .. } in records {
            let key =
                key.as_ref().map_or_else(|| format!("{} bytes that are no key", at.len()), Key::to_string);
            tracing::error!(%key, %why, kept = %file.display(), "a record is damaged, and taken out of the store");
        }
        self.note(|found| {
            found.records += records.len() as u64;
            found.keys.extend(records.iter().filter_map(|record| record.key.clone()));
            found.kept_in = Some(file.display().to_string());
            if let Some(DamagedRecord { key, why, .. }) = records.first() {
                let key = key.as_ref().map_or("one of no key".to_owned(), Key::to_string);
                found.what = match found.records {
                    1 => format!("the record of {key} was damaged: {why}"),
                    n => format!("{n} records were damaged, among them {key}: {why}"),
                };
            }
        });
        Ok(())
    }

    /// What was lost and is not healed yet, as a sentence's end.
    pub fn unhealed(&self) -> Option<String> {
        self.lock().as_ref().filter(|found| !found.healed).map(|found| found.what.clone())
    }

    /// What people see.
    pub fn view(&self) -> Option<DamageView> {
        self.lock().clone().map(|found| DamageView {
            found_at: Some(found.at_ms),
            what: found.what,
            records: found.records,
            held_again: found.held_again,
            held_by_none: found.held_by_none,
            healed: found.healed,
            kept_in: found.kept_in,
        })
    }

    /// Looks, once the member serves again, what has become of what was lost, and says so. Ends with the member.
    pub fn follow(present: &Arc<Present>, member: &Arc<Member>) {
        if present.damage.unhealed().is_none() {
            return;
        }
        let (present, mut status, member) =
            (Arc::clone(present), member.status.clone(), Arc::downgrade(member));
        tokio::spawn(async move {
            let serves = status.wait_for(|status| status.serving == Serving::Yes).await.is_ok();
            let Some(member) = member.upgrade().filter(|_| serves) else { return };
            let looked = tokio::task::spawn_blocking(move || present.damage.look(&member)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "what became of lost records could not be looked into");
            }
        });
    }

    fn look(&self, member: &Member) {
        let keys = self.lock().as_mut().map(|found| std::mem::take(&mut found.keys)).unwrap_or_default();
        let (mut again, mut none) = (0, 0);
        for key in &keys {
            match member.store.get(key) {
                Ok(Some(_)) => again += 1,
                Ok(None) => {
                    none += 1;
                    tracing::warn!(%key, "no other member holds anything under the key of a lost record");
                }
                // The store has stopped again, which another life looks into.
                Err(_) => return self.note(|found| found.keys.extend(keys.iter().cloned())),
            }
        }
        let mut found = self.lock();
        let Some(found) = found.as_mut() else { return };
        found.held_again += again;
        found.held_by_none += none;
        found.healed = true;
        let alone = member.status.borrow().members.len() == 1;
        let what = if alone { "going on with what is left: there is no other member" } else { "healed" };
        tracing::warn!(found = %found.what, held_again = again, held_by_none = none, "{what}");
    }
}
