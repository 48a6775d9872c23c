//! The measurements of a three-node cluster, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::fill::{Write, fill};
use super::super::load::{Durability, Job, Mix, Operation, Until, measure, per_second};
use super::super::nodes::Nodes;
use super::super::progress::Progress;
use super::super::same;
use super::super::wire::{Host, Wire};
use super::{NODES, Plan, Row};
use crate::cli::error::CliError;

/// How many rows a node misses while it is down.
const MISSED: u64 = 100_000;

/// Writes that are followed to every node.
const FOLLOWED: u64 = 500;

/// How often a node that starts is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// How long the nodes may take to hold the same.
const SAME_WITHIN: Duration = Duration::from_secs(600);

/// How long nothing is asked before the idle cost is measured, so that what went before has died away: nodes compare
/// themselves less and less often, until after some fifteen seconds it is every eighth.
const QUIET: Duration = Duration::from_secs(20);

type Show<'a> = &'a mut dyn FnMut(Row) -> Result<(), CliError>;

pub(crate) async fn all(nodes: &mut Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    up(nodes, Durability::Interval).await?;
    let one = nodes.host(0)?;
    written(&one, plan, 0, plan.keys, "writing keys").await?;
    same(nodes).await?;
    show(put_rate(&one, plan, "single PUT, interval durability").await?)?;
    same(nodes).await?;
    for index in 0..NODES {
        nodes.stop(index).await?;
    }
    up(nodes, Durability::Fsync).await?;
    show(put_rate(&one, plan, "single PUT, fsync").await?)?;
    same(nodes).await?;
    visible(nodes, plan, show).await?;
    same(nodes).await?;
    idle(nodes, plan, show).await?;
    caught_up(nodes, plan, show).await?;
    refilled(nodes, show).await
}

async fn up(nodes: &mut Nodes, durability: Durability) -> Result<(), CliError> {
    let settings = ["--durability".to_owned(), durability.word().to_owned()];
    for index in 0..NODES {
        nodes.start(index, &settings)?;
    }
    for index in 0..NODES {
        nodes.ready(index).await?;
    }
    Ok(())
}

async fn written(host: &Arc<Host>, plan: &Plan, from: u64, count: u64, what: &str) -> Result<(), CliError> {
    let write = |number: u64| Write { node: 0, index: from + number, version: 0 };
    let progress = Progress::new(what, count);
    fill(std::slice::from_ref(host), plan.data, count, &write, plan.clients, &progress).await
}

/// Waits until all nodes hold the same and gives back how many keys.
async fn same(nodes: &Nodes) -> Result<u64, CliError> {
    let mut controls = Vec::new();
    for index in 0..NODES {
        controls.push(nodes.host(index)?.remote()?);
    }
    let deadline = Instant::now() + SAME_WITHIN;
    loop {
        if let Some(keys) = same::same(&controls).await? {
            return Ok(keys);
        }
        if Instant::now() >= deadline {
            return Err(CliError::Failed(format!("the nodes did not hold the same within {SAME_WITHIN:?}")));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn put_rate(host: &Arc<Host>, plan: &Plan, name: &'static str) -> Result<Row, CliError> {
    let measured = measure(Job {
        hosts: vec![host.clone()],
        data: plan.data,
        keys: plan.keys,
        mix: Mix::only(Operation::Put),
        clients: plan.clients,
        threads: plan.threads,
        rate: None,
        until: Until::after(Duration::from_secs(plan.seconds)),
    })
    .await?;
    let failed = measured.tally.failed();
    let p99 = measured.tally.kinds().map(|(_, kind)| kind.latencies.value_at_quantile(0.99)).max();
    let note = format!(
        "{} clients on one node, p99 {:.1} ms{}",
        plan.clients,
        p99.unwrap_or_default() as f64 / 1000.0,
        if failed == 0 { String::new() } else { format!(", {failed} failed") }
    );
    Ok(Row::new(name, measured.per_second(), "a second").noted(note))
}

/// Writes single keys to one node and asks the others for each until both have it.
async fn visible(nodes: &Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    let mut writer = Wire::new(nodes.host(0)?);
    let mut others = (Wire::new(nodes.host(1)?), Wire::new(nodes.host(2)?));
    let (mut value, mut times) = (Vec::new(), Vec::new());
    for number in 0..FOLLOWED {
        let index = plan.keys + MISSED + number;
        plan.data.value(index, 0, &mut value);
        let target = format!("/v1/kv/{}", plan.data.key(index));
        let began = Instant::now();
        match writer.call("PUT", &target, &value).await {
            Ok(reply) if reply.status < 300 => {}
            _ => return Err(CliError::Failed("a key could not be written".to_owned())),
        }
        let (one, two) = tokio::join!(appears(&mut others.0, &target), appears(&mut others.1, &target));
        one.and(two)?;
        times.push(began.elapsed());
        sleep(Duration::from_millis(3)).await;
    }
    times.sort_unstable();
    for (name, part) in [("visible on all nodes, p50", 50), ("visible on all nodes, p99", 99)] {
        let at = times.len() * part / 100;
        let time = times.get(at).copied().unwrap_or_default();
        show(Row::new(name, time.as_secs_f64() * 1000.0, "ms").noted("from the start of the write, fsync"))?;
    }
    Ok(())
}

async fn appears(wire: &mut Wire, target: &str) -> Result<(), CliError> {
    let deadline = Instant::now() + SAME_WITHIN;
    while Instant::now() < deadline {
        if wire.call("GET", target, b"").await.is_ok_and(|reply| reply.status == 200) {
            return Ok(());
        }
        // Not at once again: on a small machine the asking would slow down what is waited for.
        sleep(Duration::from_micros(200)).await;
    }
    Err(CliError::Failed("a key did not appear on another node".to_owned()))
}

async fn idle(nodes: &Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    sleep(QUIET).await;
    let time = Duration::from_secs(plan.seconds.max(5));
    let (cpu, bytes, began) = (nodes.cpu(), loopback_bytes(), Instant::now());
    sleep(time).await;
    let (after, time) = (loopback_bytes(), began.elapsed());
    let used = nodes.cpu_since(&cpu).as_secs_f64() * 1000.0 / time.as_secs_f64();
    if let (Some(before), Some(after)) = (bytes, after) {
        let rate = per_second(after.saturating_sub(before), time);
        let note = "all that went over loopback, headers and other programs included";
        show(Row::new("idle, between all nodes", rate, "B a second").noted(note))?;
    }
    show(Row::new("idle, CPU of all nodes", used, "ms a second"))
}

/// Bytes that have arrived over the loopback interface.
fn loopback_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What a node's return looked like from outside.
struct Return {
    first: Duration,
    all: Duration,
    rows: u64,
}

impl Return {
    /// Rows a second from the first that came on; of a single look, from the start on.
    fn rows_per_second(&self) -> f64 {
        let time = self.all.saturating_sub(self.first);
        per_second(self.rows, if time.is_zero() { self.all } else { time })
    }
}

async fn caught_up(nodes: &mut Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    let before = same(nodes).await?;
    let last = NODES - 1;
    nodes.stop(last).await?;
    let one = nodes.host(0)?;
    written(&one, plan, plan.keys, MISSED, "writing what a node misses").await?;
    let seen = returned(nodes, last, before).await?;
    let note = format!("{} rows, {:.2} s after the process started", seen.rows, seen.all.as_secs_f64());
    show(Row::new("catch-up after a node was down", seen.rows_per_second(), "rows a second").noted(note))?;
    show(Row::new("first missing row back", seen.first.as_secs_f64(), "s").noted("after the process started"))
}

async fn refilled(nodes: &mut Nodes, show: Show<'_>) -> Result<(), CliError> {
    let last = NODES - 1;
    nodes.kill(last).await?;
    nodes.wipe(last)?;
    let seen = returned(nodes, last, 0).await?;
    let sessions = nodes.host(last)?.remote()?.repairs().await?.repairs;
    let bytes: u64 = sessions.iter().map(|session| session.bytes_total()).sum();
    let note = format!("{} rows, {:.2} s after the process started", seen.rows, seen.all.as_secs_f64());
    show(Row::new("wiped node refilled", seen.rows_per_second(), "rows a second").noted(note))?;
    let each = bytes as f64 / seen.rows.max(1) as f64;
    show(Row::new("wiped node refilled, on the wire", each, "bytes a row").noted("frames, both directions"))
}

/// Starts a node that held `before` keys and watches it until it holds what the others do.
async fn returned(nodes: &mut Nodes, index: usize, before: u64) -> Result<Return, CliError> {
    let target = nodes.host(0)?.remote()?.cluster().await?;
    let control = nodes.host(index)?.remote()?;
    let settings = ["--durability".to_owned(), Durability::Fsync.word().to_owned()];
    let began = Instant::now();
    nodes.start(index, &settings)?;
    let mut first = None;
    while began.elapsed() < SAME_WITHIN {
        if let Ok(held) = control.cluster().await {
            if held.keys > before {
                first.get_or_insert_with(|| began.elapsed());
            }
            if held.root == target.root {
                let all = began.elapsed();
                return Ok(Return {
                    first: first.unwrap_or(all),
                    all,
                    rows: held.keys.saturating_sub(before),
                });
            }
        }
        sleep(LOOK_EVERY).await;
    }
    Err(CliError::Failed(format!("the node did not hold the same within {SAME_WITHIN:?}")))
}
