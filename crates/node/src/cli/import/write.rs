//! Writing one file: read it whole, write it, and try again while the node asks for patience.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::kind;
use super::skipped::Reason;
use super::walk::ToWrite;
use crate::settings::VALUE_BYTES_LIMIT;

/// Waits between attempts, some 30 s in all: longer than a node that starts or joins takes for most data.
const WAITS_MS: [u64; 10] = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 7_000, 7_000];

/// Where files are written to.
pub(crate) trait Target {
    /// Writes one value.
    async fn put(&self, file: &ToWrite, value: Bytes, content_type: &str) -> Result<(), PutError>;
}

/// Why a value was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PutError {
    /// The node cannot now (503, or nobody answers): worth another attempt.
    NotNow(String),
    /// Larger than the cluster's limit.
    TooLarge,
    /// It will not do better next time.
    Failed(String),
}

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written, with this many bytes.
    Written(u64),
    /// Left out.
    Skipped(Reason),
    /// Not written although it should have been.
    Failed(String),
}

/// Writes one file.
pub(crate) async fn write(target: &impl Target, file: &ToWrite) -> Outcome {
    let value = match read(&file.path) {
        Ok(Some(value)) => value,
        Ok(None) => return Outcome::Skipped(Reason::TooLarge),
        Err(error) => return Outcome::Skipped(Reason::unreadable(&error)),
    };
    let bytes = value.len() as u64;
    let content_type = kind::content_type(&file.path);
    let mut waits = WAITS_MS.iter();
    loop {
        match target.put(file, value.clone(), content_type).await {
            Ok(()) => return Outcome::Written(bytes),
            Err(PutError::TooLarge) => return Outcome::Skipped(Reason::TooLarge),
            Err(PutError::Failed(why)) => return Outcome::Failed(why),
            Err(PutError::NotNow(why)) => match waits.next() {
                Some(wait) => tokio::time::sleep(Duration::from_millis(*wait)).await,
                None => return Outcome::Failed(why),
            },
        }
    }
}

/// The file's bytes; `None` when there are more than any cluster takes. The limit holds while reading, since
/// a file may grow and some (in /proc) do not tell their size.
fn read(path: &Path) -> io::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(VALUE_BYTES_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= VALUE_BYTES_LIMIT).map(Bytes::from))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use model::Key;

    use super::*;

    /// Answers with what was put there beforehand, then with success.
    struct Scripted(Mutex<Vec<PutError>>);

    impl Target for Scripted {
        async fn put(&self, _file: &ToWrite, _value: Bytes, _content_type: &str) -> Result<(), PutError> {
            self.0.lock().unwrap().pop().map_or(Ok(()), Err)
        }
    }

    async fn write_with(answers: Vec<PutError>) -> Outcome {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"value").unwrap();
        let file = ToWrite { path: file.path().to_path_buf(), key: Key::new("k").unwrap(), bytes: 5 };
        write(&Scripted(Mutex::new(answers)), &file).await
    }

    #[tokio::test]
    async fn a_node_that_asks_for_patience_gets_it() {
        let not_now = || PutError::NotNow("not joined yet".into());
        assert_eq!(write_with(vec![not_now(), not_now()]).await, Outcome::Written(5));
    }

    #[tokio::test]
    async fn limits_skip_and_refusals_fail() {
        assert_eq!(write_with(vec![PutError::TooLarge]).await, Outcome::Skipped(Reason::TooLarge));
        let failed = PutError::Failed("409".into());
        assert_eq!(write_with(vec![failed]).await, Outcome::Failed("409".into()));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_or_too_large_is_skipped() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("large");
        let file = ToWrite { path: path.clone(), key: Key::new("k").unwrap(), bytes: 0 };
        let target = Scripted(Mutex::new(Vec::new()));
        let gone = Reason::Unreadable("it was removed meanwhile".into());
        assert_eq!(write(&target, &file).await, Outcome::Skipped(gone));
        File::create(&path).unwrap().set_len(VALUE_BYTES_LIMIT + 1).unwrap();
        assert_eq!(write(&target, &file).await, Outcome::Skipped(Reason::TooLarge));
    }
}
