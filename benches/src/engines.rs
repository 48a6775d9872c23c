//! The engines that benches run on.

use std::sync::Arc;

use storage::{Engine, MemoryEngine, SledEngine, SledOptions};
use tempfile::TempDir;

/// An engine and, if it has one, the folder it lives in, which goes with it.
pub struct Disk {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    _dir: Option<TempDir>,
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineUnderTest {
    /// The engine in memory.
    Memory,
    /// The engine on disk, in a folder under the system's place for temporary files.
    Sled,
}

impl EngineUnderTest {
    /// All of them.
    pub const ALL: [EngineUnderTest; 2] = [EngineUnderTest::Memory, EngineUnderTest::Sled];

    /// As in the names of benches.
    pub fn name(self) -> &'static str {
        match self {
            EngineUnderTest::Memory => "memory",
            EngineUnderTest::Sled => "sled",
        }
    }

    /// An empty engine of this kind.
    pub fn open(self) -> Disk {
        match self {
            EngineUnderTest::Memory => Disk { engine: Arc::new(MemoryEngine::new()), _dir: None },
            EngineUnderTest::Sled => {
                let dir = tempfile::tempdir().unwrap();
                let opened = SledEngine::open(&dir.path().join("engine"), &SledOptions::default()).unwrap();
                Disk { engine: Arc::new(opened.engine), _dir: Some(dir) }
            }
        }
    }
}
