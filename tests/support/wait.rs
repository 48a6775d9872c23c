//! Waiting for what must come, without ever asserting how fast.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a test waits for what takes a second or two on a quiet machine.
pub const SOON: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(40);

/// Asks again and again until there is an answer, and gives it back. `Err` says what was seen instead; after
/// `within` the last of these fails the test.
#[track_caller]
pub fn until<T>(what: impl Display, within: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    let mut waited = false;
    loop {
        match probe() {
            Ok(answer) => {
                if waited {
                    println!("{what}: after {:.2?}", began.elapsed());
                }
                return answer;
            }
            Err(seen) => {
                assert!(began.elapsed() < within, "{what}: not within {within:?}; last seen: {seen}");
            }
        }
        waited = true;
        std::thread::sleep(PAUSE);
    }
}
