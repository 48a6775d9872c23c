//! How many connections are kept, by how many files this process may have open: the store and the members come
//! first, and a store that cannot open a file stops for good.

use std::fs;

use http_api::ServeOptions;

/// Files that are left to the store, to members and to everything else.
const KEPT_FREE: usize = 256;

/// The API's limits within this process's limit of open files.
pub fn serve_options() -> ServeOptions {
    let options = ServeOptions::default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        Some(files) => {
            ServeOptions { connections_max: connections(files, options.connections_max), ..options }
        }
        None => options,
    }
}

fn connections(files: usize, wanted: usize) -> usize {
    wanted.min((files / 2).min(files.saturating_sub(KEPT_FREE))).max(8)
}

/// The soft limit of open files, as Linux tells it.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let text = "Limit  Soft  Hard  Units\nMax processes  95 95 processes\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(open_files("Max open files unlimited unlimited files"), None);
        assert_eq!(open_files(""), None);
    }

    #[test]
    fn files_are_left_for_the_store() {
        assert_eq!(connections(1_024, 4_096), 512);
        assert_eq!(connections(300, 4_096), 44);
        assert_eq!(connections(64, 4_096), 8);
        assert_eq!(connections(1_000_000, 4_096), 4_096);
    }
}
