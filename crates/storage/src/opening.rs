//! Opening the engine on disk, whatever state its folder is in.

use std::path::Path;
use std::time::Duration;

use crate::engine::EngineError;
use crate::loss::{add_loss, losses, move_aside};
use crate::sled::{SledEngine, Unopened};
use crate::small_file::SmallFileError;

/// An engine in use is tried again so often before that is an error: for about two seconds.
const LOCK_TRIES_MAX: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How the engine on disk is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// About how much memory pages may take, in bytes. 8 MiB or more; less is raised to that.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions { cache_bytes: 256 << 20 }
    }
}

/// What opening gave.
#[derive(Debug)]
pub struct OpenedSled {
    /// The engine, ready for use; empty if what was there could not be opened.
    pub engine: SledEngine,
    /// Which records were lost, in words, by this opening or an earlier one, until
    /// [`crate::forget_losses`] is called. The node must come up behind.
    pub losses: Option<String>,
    /// The folder was not there before. On a node that has run before, all of its records are gone.
    pub created: bool,
}

/// How far an engine fell back: it opened, but without flushes that had been durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RolledBack {
    /// How many flushes the engine holds.
    pub(crate) flushes_held: u64,
    /// How many it had held.
    pub(crate) flushes_made: u64,
}

impl SledEngine {
    /// Opens the engine in `dir`, which it has to itself, creating it if need be. A folder whose contents
    /// cannot be opened is moved aside, never deleted, and an empty engine takes its place.
    ///
    /// # Errors
    /// When the folder is in use elsewhere (for two seconds, since an engine just dropped lets go of its
    /// files only when its threads are done), cannot be written, or the disk fails. Whatever is there
    /// stays as it is.
    pub fn open(dir: &Path, options: &SledOptions) -> Result<OpenedSled, EngineError> {
        let created = !dir.exists();
        let engine = match open_patiently(dir, options) {
            Ok((engine, None)) => engine,
            Ok((engine, Some(RolledBack { flushes_held, flushes_made }))) => {
                let lost = flushes_made - flushes_held;
                let what =
                    format!("the newest records were lost: {lost} of {flushes_made} flushes are not there");
                add_loss(dir, &what).map_err(|e| not_noted(&e))?;
                engine
            }
            Err(Unopened::Refused(error)) => return Err(error),
            Err(Unopened::Damaged(why)) => open_anew(dir, options, &why)?,
        };
        Ok(OpenedSled { engine, losses: losses(dir).map_err(|e| not_noted(&e))?, created })
    }
}

fn open_patiently(dir: &Path, options: &SledOptions) -> Result<(SledEngine, Option<RolledBack>), Unopened> {
    for _ in 0..LOCK_TRIES_MAX {
        match SledEngine::open_once(dir, options) {
            Err(Unopened::Refused(EngineError::InUse { .. })) => std::thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
    SledEngine::open_once(dir, options)
}

fn open_anew(dir: &Path, options: &SledOptions, why: &str) -> Result<SledEngine, EngineError> {
    let to = move_aside(dir, why).map_err(|e| not_noted(&e))?;
    tracing::error!(why, to = %to.display(), "the engine's folder is damaged and was moved aside");
    match SledEngine::open_once(dir, options) {
        Ok((engine, _)) => Ok(engine),
        Err(Unopened::Refused(error)) => Err(error),
        Err(Unopened::Damaged(why)) => Err(EngineError::Damaged { doing: "open a new folder", why }),
    }
}

fn not_noted(error: &SmallFileError) -> EngineError {
    let kind = match error {
        SmallFileError::Io { source, .. } => source.kind(),
        _ => std::io::ErrorKind::InvalidData,
    };
    EngineError::Io { doing: "note that records were lost", kind, why: error.to_string() }
}
