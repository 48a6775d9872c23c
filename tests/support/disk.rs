//! A small file system of its own, to be filled up.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// One of so many MiB; none where mounting is not allowed.
    pub fn mounted(mib: u32) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("mangrove-disk-").tempdir().unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &size(mib), "mangrove-test"], dir.path());
        mounted.then_some(Self { dir })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes it so many MiB large; what is on it stays.
    #[track_caller]
    pub fn grow(&self, mib: u32) {
        assert!(mount(&["-o", &format!("remount,{}", size(mib))], self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node that a failed test left behind may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).stderr(Stdio::null()).status();
    }
}

fn size(mib: u32) -> String {
    format!("size={mib}m")
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let mounted = Command::new("mount").args(arguments).arg(at).stderr(Stdio::null()).status();
    mounted.is_ok_and(|status| status.success())
}
