//! Opening a member's store, whatever has become of it: what is damaged is put beside and never deleted, and a node that
//! has lost something notes that it is behind before it goes on without it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gossip::meta::Meta;
use storage::{DamagedRecord, Engine, OpenedSled, SledEngine, SledOptions, Store, Unreadable, move_aside};

use super::files::NodeFiles;
use super::member::Present;
use super::{Node, wall_ms};
use crate::exit::Fatal;

/// A store, and the record of the member that it belongs to, which may have been changed on disk by opening it.
pub struct Opened {
    pub store: Arc<Store>,
    pub meta: Meta,
    /// When opening it began, in milliseconds since 1970.
    pub began_ms: u64,
}

/// What opening needs, on a thread that may wait for the disk.
struct Opening {
    files: Arc<NodeFiles>,
    present: Arc<Present>,
    meta: Meta,
}

impl Node {
    /// Opens the store, saying how far it is; in this engine if it was given up by a store that met damaged records.
    ///
    /// # Errors
    /// The data directory cannot be used.
    pub(super) async fn open_store(
        &self,
        meta: Meta,
        engine: Option<Arc<dyn Engine>>,
    ) -> Result<Opened, Fatal> {
        let (files, present) = (Arc::clone(&self.files), Arc::clone(&self.present));
        let mut opening = Opening { files, present, meta };
        let opened = tokio::task::spawn_blocking(move || {
            let began_ms = wall_ms();
            opening.present.set_looking("opening the store".into());
            let store = match engine {
                Some(engine) => opening.open_in(engine)?,
                None => opening.open()?,
            };
            Ok(Opened { store: Arc::new(store), meta: opening.meta, began_ms })
        });
        opened.await.map_err(|error| Fatal::Failed(format!("the store could not be opened: {error}")))?
    }
}

impl Opening {
    fn unusable(&self, reason: impl ToString) -> Fatal {
        Fatal::DataDirUnusable { path: self.files.path(), reason: reason.to_string() }
    }

    /// Notes, durably, that records are lost. A cluster of one has nobody to be behind of, unless it hears of others.
    fn note_lost(&mut self) -> Result<(), Fatal> {
        if self.meta.counts_losses() {
            if self.meta.caught_up && self.meta.has_others() {
                tracing::warn!(
                    "records were lost; this node is behind until a session with another member completes"
                );
            }
            self.meta.lost_records();
            self.files.save_meta(&self.meta).map_err(|error| self.unusable(error))?;
        }
        Ok(())
    }

    /// Opens the engine's folder. One that cannot be read is moved aside, to be filled anew by the others; if there are
    /// none it stays, and the store takes no writes.
    fn open(&mut self) -> Result<Store, Fatal> {
        // Noted before the engine makes its folder anew: a node killed in between must not forget that it is behind.
        if !self.files.has_engine() {
            self.note_lost()?;
        }
        let store = self.open_folder()?;
        let Some(why) = unreadable(&store).filter(|_| self.meta.has_others()) else { return Ok(store) };
        // Its threads and files must be gone before the folder is; an engine in that state may panic on its way.
        if catch_unwind(AssertUnwindSafe(|| drop(store))).is_err() {
            tracing::warn!("the engine panicked as it was closed");
        }
        let to = move_aside(&self.files.engine(), &why).map_err(|error| self.unusable(error))?;
        tracing::error!(%why, to = %to.display(), "the engine cannot be read: its folder was moved aside");
        self.open_folder()
    }

    fn open_folder(&mut self) -> Result<Store, Fatal> {
        let dir = self.files.engine();
        let sled = SledEngine::open(&dir, &SledOptions::default()).map_err(|error| self.unusable(error))?;
        let OpenedSled { engine, losses, created } = sled;
        if let Some(losses) = &losses {
            tracing::error!(%losses, "records were lost");
            self.present.damage.lost(losses);
        }
        if created || losses.is_some() {
            self.note_lost()?;
        }
        storage::forget_losses(&dir).map_err(|error| self.unusable(error))?;
        self.open_in(Arc::new(engine))
    }

    /// Opens the store in an engine, without the records that are damaged.
    fn open_in(&mut self, engine: Arc<dyn Engine>) -> Result<Store, Fatal> {
        let (key, marks) = (self.meta.digest_key.clone(), self.meta.stability.marks());
        let (present, file) = (Arc::clone(&self.present), self.files.damaged());
        let mut progress = |entries: u64| {
            present.set_looking(format!("opening the store: {entries} entries read"));
        };
        let mut noted = false;
        let mut set_aside = |records: &[DamagedRecord]| {
            if !std::mem::replace(&mut noted, true) {
                self.note_lost().map_err(|error| error.to_string())?;
            }
            self.present
                .damage
                .set_aside(&file, records)
                .map_err(|error| format!("{}: {error}", file.display()))
        };
        let opened = Store::open_healing(engine, key, marks, &mut progress, &mut set_aside);
        opened.map_err(|error| self.unusable(error))
    }
}

/// Why the engine of this store cannot be read, if what is on disk is at fault.
fn unreadable(store: &Store) -> Option<String> {
    let report = store.opened();
    match &report.unreadable {
        Some(Unreadable { why, is_damage: true }) => Some(why.clone()),
        Some(Unreadable { is_damage: false, .. }) => None,
        None => store.failure(),
    }
}
