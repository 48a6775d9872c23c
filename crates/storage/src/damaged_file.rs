//! The bytes of damaged records, kept in a file for people to look at. Nothing is ever read back from it.
//!
//! Each record is a line of text that says whose it was, when it was found, what was wrong with it, and how many bytes
//! follow; then those bytes as they lay in the engine; then a line feed. The file is appended to and never replaced.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::durable_fs::sync_parent;
use crate::store::DamagedRecord;

/// No bytes of records are added that would make the file larger than this; their lines still are, up to
/// `LINES_BYTES_MAX` more.
pub const DAMAGED_FILE_BYTES_MAX: u64 = 64 << 20;
/// For the lines of records whose bytes there is no room for.
const LINES_BYTES_MAX: u64 = 1 << 20;

/// Appends these records to the file, which is made if need be; what was appended is durable when this returns. `when`
/// is the time for people. Only the owner may read the file.
///
/// # Errors
/// The file system refused: a part may have been written.
pub fn keep_damaged(path: &Path, when: &str, records: &[DamagedRecord]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.append(true).create(true).open(path)?;
    let mut end = file.metadata()?.len();
    for record in records {
        let out = form(when, record, end);
        if end + out.len() as u64 > DAMAGED_FILE_BYTES_MAX + LINES_BYTES_MAX {
            break;
        }
        file.write_all(&out)?;
        end += out.len() as u64;
    }
    file.sync_all()?;
    sync_parent(path)
}

fn form(when: &str, record: &DamagedRecord, end: u64) -> Vec<u8> {
    let mut line = format!("mangrove: a damaged record, set aside {when}: ");
    match &record.key {
        Some(key) => _ = write!(line, "key {key}"),
        None => {
            line.push_str("of no key, at ");
            record.at.iter().for_each(|byte| _ = write!(line, "{byte:02x}"));
        }
    }
    let (bytes, why) = (record.bytes.len(), record.why.replace(char::is_control, " "));
    let has_room = end + (line.len() + bytes) as u64 <= DAMAGED_FILE_BYTES_MAX;
    let follow = if has_room { "follow" } else { "are not kept, for this file is full" };
    _ = writeln!(line, ": {why}; its {bytes} bytes {follow}");
    let mut out = line.into_bytes();
    if has_room {
        out.extend_from_slice(&record.bytes);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use model::Key;

    use super::*;

    fn record(key: Option<&str>, bytes: &'static [u8]) -> DamagedRecord {
        DamagedRecord {
            at: [0, 1, 0xfe].into(),
            key: key.map(|key| Key::new(key.as_bytes().to_vec()).unwrap()),
            why: "it does not\nmatch".into(),
            bytes: bytes.into(),
        }
    }

    #[test]
    fn each_record_says_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("damaged");
        keep_damaged(&path, "today", &[record(Some("a b"), b"\x00raw\nbytes")]).unwrap();
        keep_damaged(&path, "later", &[record(None, b"")]).unwrap();
        let kept = fs::read(&path).unwrap();
        let expected = "mangrove: a damaged record, set aside today: key a%20b: it does not match; its 10 bytes follow\n\
                        \0raw\nbytes\n\
                        mangrove: a damaged record, set aside later: of no key, at 0001fe: it does not match; its 0 \
                        bytes follow\n\n";
        assert_eq!(String::from_utf8_lossy(&kept), expected);
    }

    #[test]
    fn a_full_file_gets_lines_only_and_then_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("damaged");
        fs::File::create(&path).unwrap().set_len(DAMAGED_FILE_BYTES_MAX).unwrap();
        let one = record(Some("k"), b"secret");
        keep_damaged(&path, "now", std::slice::from_ref(&one)).unwrap();
        let kept = fs::read(&path).unwrap();
        let added = String::from_utf8_lossy(&kept[DAMAGED_FILE_BYTES_MAX as usize..]);
        assert!(added.contains("its 6 bytes are not kept") && !added.contains("secret"), "{added}");
        let full = DAMAGED_FILE_BYTES_MAX + LINES_BYTES_MAX;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(full).unwrap();
        keep_damaged(&path, "now", &[one]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), full);
    }
}
