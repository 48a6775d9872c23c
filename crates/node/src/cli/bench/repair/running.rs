//! The measurement on a cluster that runs already: one member is held apart, the two sides are written to, and
//! their becoming equal again is timed from outside.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ask::{ISOLATE_MAX, Plan};
use super::differ::{Keys, Shape};
use super::row::{Cell, Row, Sample};
use super::session::Repaired;
use crate::cli::bench::fill::{Write, fill};
use crate::cli::bench::progress::Progress;
use crate::cli::bench::same::same;
use crate::cli::bench::wire::Host;
use crate::cli::endpoint::Remote;
use crate::cli::error::CliError;
use crate::cli::output;

/// How long the nodes may take to answer at all, and to hold the same before anything is measured.
const READY_WITHIN: Duration = Duration::from_secs(60);
const SAME_WITHIN: Duration = Duration::from_secs(900);

/// Between two lines that say what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(8);

/// How often roots are asked for; the times measured are as exact as this.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The least time apart: that much is needed for the others to notice.
const APART_MIN: Duration = Duration::from_secs(8);

type Show<'a> = &'a mut dyn FnMut(Row) -> Result<(), CliError>;

/// Measures all cells.
pub(crate) async fn run(urls: &[String], plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    let mut hosts = Vec::new();
    for url in urls {
        hosts.push(Arc::new(Host::find(url.trim()).await?));
    }
    let controls: Vec<Remote> = hosts.iter().map(|host| host.remote()).collect::<Result<_, _>>()?;
    wait_same(&controls, READY_WITHIN).await?;
    may_drill(&hosts, &controls).await?;
    let progress = Progress::new("writing keys", plan.keys);
    let count = hosts.len() as u64;
    let write = |number: u64| Write { node: (number % count) as usize, index: number, version: 0 };
    let began = Instant::now();
    fill(&hosts, plan.data, plan.keys, &write, plan.clients, &progress).await?;
    let rate = plan.keys as f64 / began.elapsed().as_secs_f64().max(1e-3);
    drop(progress);
    wait_same(&controls, SAME_WITHIN).await?;
    let mut keys = Keys::new(plan.data, plan.keys);
    for shape in &plan.shapes {
        for differ in &plan.differ {
            let mut samples = Vec::new();
            for _ in 0..plan.repeat {
                let apart = plan.isolate.unwrap_or_else(|| apart(*differ, rate));
                let cluster = Cluster { hosts: &hosts, controls: &controls, plan };
                samples.push(cluster.measured(&mut keys, *differ, *shape, apart).await?);
            }
            show(Row { cell: cell(plan, hosts.len(), *differ, *shape), samples })?;
        }
    }
    Ok(())
}

/// Long enough for the writes at a quarter of the rate at which the cluster took the first ones.
fn apart(differ: u64, rate: f64) -> Duration {
    let writing = Duration::from_secs_f64((differ as f64 * 4.0 / rate.max(1.0)).min(600.0));
    (APART_MIN + writing).min(ISOLATE_MAX)
}

fn cell(plan: &Plan, nodes: usize, differ: u64, shape: Shape) -> Cell {
    Cell {
        keys: plan.keys,
        differ,
        shape: shape.word(),
        method: "auto",
        nodes,
        rtt: None,
        key_bytes: plan.data.key_bytes,
        value_bytes: plan.data.value_bytes,
    }
}

/// Waits until all nodes answer and show the same root; says what it waits for, now and then.
async fn wait_same(controls: &[Remote], within: Duration) -> Result<(), CliError> {
    let deadline = Instant::now() + within;
    let mut say_at = Instant::now() + SAY_EVERY / 4;
    loop {
        let outcome = same(controls).await;
        if matches!(outcome, Ok(Some(_))) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let unequal = || CliError::Failed(format!("the nodes do not hold the same after {within:?}"));
            return Err(outcome.err().unwrap_or_else(unequal));
        }
        if Instant::now() >= say_at {
            say_at += SAY_EVERY;
            let left = deadline.duration_since(Instant::now()).as_secs();
            let why = match &outcome {
                Err(error) => error.message().unwrap_or_default(),
                Ok(_) => "they do not hold the same yet".to_owned(),
            };
            output::say(&format!("waiting for the nodes, for up to {left} s more: {why}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Asks the member that will be held apart whether it lets itself be, before a million keys are written.
async fn may_drill(hosts: &[Arc<Host>], controls: &[Remote]) -> Result<(), CliError> {
    let (Some(host), Some(last)) = (hosts.last(), controls.last()) else { return Ok(()) };
    if last.drills().await?.allowed {
        return Ok(());
    }
    Err(CliError::Refused(format!(
        "{} takes no drills: start that node with --allow-drills (MANGROVE_ALLOW_DRILLS=on), or name another last",
        host.url
    )))
}

struct Cluster<'a> {
    hosts: &'a [Arc<Host>],
    controls: &'a [Remote],
    plan: &'a Plan,
}

impl Cluster<'_> {
    /// Holds the last member apart, makes it and the first differ, and times how they become equal.
    async fn measured(
        self,
        keys: &mut Keys,
        differ: u64,
        shape: Shape,
        apart: Duration,
    ) -> Result<Sample, CliError> {
        let (held, writes) = (keys.count(), keys.differ(differ, shape, 2)?);
        let sides: Vec<Arc<Host>> =
            self.hosts.first().into_iter().chain(self.hosts.last()).cloned().collect();
        let Some(last) = self.controls.last() else {
            return Err(CliError::Failed("there is no node to hold apart".to_owned()));
        };
        let left = last.drill_isolate(apart).await?.remaining_ms.map_or(apart, Duration::from_millis);
        let ends = Instant::now() + left;
        let progress = Progress::new(format!("making {differ} keys differ"), writes.len() as u64);
        let nothing = Write { node: 0, index: 0, version: 0 };
        let write = |number: u64| writes.get(number as usize).copied().unwrap_or(nothing);
        fill(&sides, self.plan.data, writes.len() as u64, &write, self.plan.clients, &progress).await?;
        drop(progress);
        if Instant::now() >= ends {
            return Err(CliError::Failed(format!(
                "writing {differ} keys took longer than the {apart:?} that the member was held apart: choose a \
                 longer --isolate"
            )));
        }
        sleep_until(ends).await;
        let since = last.repairs().await?.now_ms;
        let wall = loop {
            if same(self.controls).await?.is_some() {
                break ends.elapsed();
            }
            if ends.elapsed() > SAME_WITHIN {
                let text =
                    format!("{differ} keys differed and the nodes did not become equal in {SAME_WITHIN:?}");
                return Err(CliError::Failed(text));
            }
            sleep(LOOK_EVERY).await;
        };
        let mut repaired = Repaired::default();
        // The session that made them equal may still have to say so to the other side.
        sleep(Duration::from_millis(300)).await;
        let sessions = match self.controls.last() {
            Some(last) => last.repairs().await?.repairs,
            None => Vec::new(),
        };
        let of_this = sessions.iter().filter(|session| session.started_ms >= since && session.found > 0);
        of_this.for_each(|session| repaired.add(session));
        Ok(Sample { repaired, wall, cpu: None, held })
    }
}
