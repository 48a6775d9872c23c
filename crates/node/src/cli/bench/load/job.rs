//! A measurement: threads, each with a runtime and some of the clients, so that what they share is little.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::data::Data;
use super::super::wire::Host;
use super::client;
use super::mix::Mix;
use super::tally::Tally;
use crate::cli::error::CliError;

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) hosts: Vec<Arc<Host>>,
    pub(crate) data: Data,
    pub(crate) keys: u64,
    pub(crate) mix: Mix,
    pub(crate) clients: usize,
    pub(crate) threads: usize,
    /// Requests a second, or as many as there are answers.
    pub(crate) rate: Option<u64>,
    pub(crate) until: Until,
}

/// When a measurement ends: after a time, or earlier when it is told to.
#[derive(Debug, Clone)]
pub(crate) struct Until {
    pub(crate) time: Duration,
    stopped: Arc<AtomicBool>,
}

impl Until {
    pub(crate) fn after(time: Duration) -> Self {
        Self { time, stopped: Arc::default() }
    }

    /// Ends it now.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    pub(crate) tally: Tally,
    /// How long requests were sent.
    pub(crate) time: Duration,
}

impl Measured {
    /// Answered requests a second.
    pub(crate) fn per_second(&self) -> f64 {
        per_second(self.tally.done(), self.time)
    }
}

/// So many in such a time, a second.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Runs a measurement. Where this is dropped early, its threads end at the next request.
pub(crate) async fn measure(job: Job) -> Result<Measured, CliError> {
    /// Stops the threads when nobody waits for them any more.
    struct Guard(Until);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    let guard = Guard(job.until.clone());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let shared = job.clone();
    std::thread::spawn(move || {
        // Nobody waiting is no error: the measurement was given up.
        let _ = sender.send(blocking(&shared));
    });
    let outcome = receiver.await.map_err(|_| CliError::Failed("a client's thread ended".to_owned()))?;
    drop(guard);
    let (tally, time) = outcome?;
    Ok(Measured { job, tally, time })
}

fn blocking(job: &Job) -> Result<(Tally, Duration), CliError> {
    let began = Instant::now();
    let tallies = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..job.threads).map(|thread| scope.spawn(move || client::all(job, thread))).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let time = began.elapsed();
    let mut all = Tally::default();
    for tally in tallies {
        let failed = || CliError::Failed("a client's thread ended".to_owned());
        all.add(tally.map_err(|_| failed())?.map_err(|error| CliError::Failed(error.to_string()))?);
    }
    Ok((all, time))
}
