//! The clients of one thread: each sends a request, waits for its answer, and counts it.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::super::data::{Dice, mix};
use super::super::wire::Wire;
use super::job::Job;
use super::mix::Operation;
use super::pace::Pace;
use super::tally::{Outcome, Tally};

/// How long a client waits after a request that got no answer, so that a node that is gone is not asked a million
/// times a second.
const AFTER_FAULT: Duration = Duration::from_millis(10);

/// How often the end is looked for while nothing is due.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the clients of one thread to the end of the measurement.
pub(crate) fn all(job: &Job, thread: usize) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let numbers: Vec<usize> = (0..job.clients).filter(|number| number % job.threads == thread).collect();
    let began = Instant::now();
    let tally = RefCell::new(Tally::default());
    let Some(rate) = job.rate else {
        runtime.block_on(join_all(numbers.iter().map(|number| one(job, *number, began, None, &tally))));
        return Ok(tally.into_inner());
    };
    let share = rate as f64 * numbers.len() as f64 / job.clients.max(1) as f64;
    let pace = Pace::new(Duration::from_secs_f64(1.0 / share.max(1e-3)));
    std::thread::scope(|scope| {
        scope.spawn(|| pace.run());
        let clients = join_all(numbers.iter().map(|number| one(job, *number, began, Some(&pace), &tally)));
        let ending = async {
            while !over(job, began) {
                sleep(LOOK_EVERY.min(job.until.time)).await;
            }
            tally.borrow_mut().unsent += pace.end();
        };
        runtime.block_on(async { tokio::join!(clients, ending) });
    });
    Ok(tally.into_inner())
}

fn over(job: &Job, began: Instant) -> bool {
    job.until.is_stopped() || began.elapsed() >= job.until.time
}

async fn one(job: &Job, number: usize, began: Instant, pace: Option<&Pace>, tally: &RefCell<Tally>) {
    let Some(host) = job.hosts.get(number % job.hosts.len().max(1)) else { return };
    let mut wire = Wire::new(host.clone());
    let mut dice = Dice::new(mix(job.data.seed) ^ number as u64);
    let (mut target, mut value) = (String::new(), Vec::new());
    let absent_is_fine = job.mix.has(Operation::Delete);
    while !over(job, began) {
        let due = match pace {
            None => Instant::now(),
            Some(pace) => match pace.next().await {
                Some(due) => due,
                None => return,
            },
        };
        let operation = job.mix.pick(&mut dice);
        let index = dice.below(job.keys);
        target.clear();
        target.push_str("/v1/kv/");
        target.push_str(&job.data.key(index));
        value.clear();
        if operation == Operation::Put {
            job.data.value(index, dice.next(), &mut value);
        }
        let outcome = match wire.call(operation.method(), &target, &value).await {
            Ok(reply) if reply.status < 300 => Outcome::Done,
            Ok(reply) if reply.status == 404 && absent_is_fine => Outcome::Done,
            Ok(reply) => Outcome::Refused(reply.status),
            Err(fault) => Outcome::Fault(fault),
        };
        tally.borrow_mut().note(operation, outcome, due.elapsed());
        if matches!(outcome, Outcome::Fault(_)) {
            sleep(AFTER_FAULT).await;
        }
    }
}
