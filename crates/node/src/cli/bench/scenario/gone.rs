//! What a cluster gives back: after its keys were deleted, and after they have expired while a node is down.

use std::sync::Arc;
use std::time::Duration;

use client::ClusterView;
use tokio::time::{Instant, sleep};

use super::super::fill::{Act, Write, each};
use super::super::nodes::Nodes;
use super::super::progress::Progress;
use super::super::wire::Host;
use super::{NODES, Plan, Row};
use crate::cli::error::CliError;

/// The shortest that a node takes.
const GRACE_MINUTES: u64 = 6;
/// From the last write on, or from the last expiry: much longer than it takes.
const GONE_WITHIN: Duration = Duration::from_secs(1_800);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Keys live so long that most are there at once, where this many are written a second.
const KEYS_A_SECOND: u64 = 5_000;
const TTL_SECONDS_MIN: u64 = 5;

type Show<'a> = &'a mut dyn FnMut(Row) -> Result<(), CliError>;

/// Three nodes, or what is left of them.
struct Cluster<'a> {
    nodes: &'a mut Nodes,
    hosts: Vec<Arc<Host>>,
    plan: &'a Plan,
}

impl<'a> Cluster<'a> {
    async fn start(nodes: &'a mut Nodes, plan: &'a Plan) -> Result<Cluster<'a>, CliError> {
        let mut cluster = Cluster { nodes, hosts: Vec::new(), plan };
        for index in 0..NODES {
            cluster.begin(index)?;
        }
        for index in 0..NODES {
            cluster.nodes.ready(index).await?;
            cluster.hosts.push(cluster.nodes.host(index)?);
        }
        Ok(cluster)
    }

    fn begin(&mut self, index: usize) -> Result<(), CliError> {
        let grace = format!("{GRACE_MINUTES}m");
        let settings = ["--durability", "interval", "--forget-deletes", "on", "--forget-grace", &grace];
        self.nodes.start(index, &settings.map(str::to_owned))
    }

    /// Does the same with every key, at all nodes in turn.
    async fn each(&self, act: Act, what: &str) -> Result<(), CliError> {
        let (plan, count) = (self.plan, self.hosts.len() as u64);
        let write = |number: u64| Write { node: (number % count) as usize, index: number, version: 0 };
        let progress = Progress::new(what, plan.keys);
        each(&self.hosts, plan.data, plan.keys, (act, &write), plan.clients, &progress).await
    }

    async fn views(&self) -> Result<Vec<ClusterView>, CliError> {
        let mut views = Vec::new();
        for host in &self.hosts {
            views.push(host.remote()?.cluster().await?);
        }
        Ok(views)
    }

    /// Waits until every node's view is as wanted and all roots are equal, and says how long it took since `from`.
    async fn until(
        &self,
        what: &str,
        from: Instant,
        wanted: impl Fn(&ClusterView) -> bool,
    ) -> Result<Duration, CliError> {
        loop {
            let views = self.views().await?;
            let equal = views.windows(2).all(|two| matches!(two, [one, other] if one.root == other.root));
            if equal && views.iter().all(&wanted) {
                return Ok(from.elapsed());
            }
            if from.elapsed() >= GONE_WITHIN {
                let seen: Vec<String> = views.iter().map(summary).collect();
                let seen = seen.join("; ");
                return Err(CliError::Failed(format!("{what}: not within {GONE_WITHIN:?}: {seen}")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Shows what the nodes hold at this moment: tree and sketch, rows on disk, memory, files.
    async fn weigh(&self, when: &str, show: Show<'_>) -> Result<(), CliError> {
        let views = self.views().await?;
        let sum = |of: fn(&ClusterView) -> u64| views.iter().map(of).sum::<u64>() as f64;
        let note = |what: &str| format!("{when}; {what}, all nodes");
        let each = views.len() as f64;
        show(Row::new("rows a node has on disk", sum(rows) / each, "").noted(when))?;
        let tree = Row::new("tree and sketch", sum(|view| view.tree_bytes) / 1_024.0, "KiB");
        show(tree.noted(note("memory")))?;
        if let Some(resident) = self.nodes.resident() {
            let row = Row::new("processes", mib(resident as f64), "MiB");
            show(row.noted(note("resident memory, the engines' caches included")))?;
        }
        let files = Row::new("files", mib(self.nodes.on_disk() as f64), "MiB");
        show(files.noted(note("the engine reuses room rather than give it back")))
    }
}

fn rows(view: &ClusterView) -> u64 {
    view.keys + view.tombstones + view.forgetting.waiting.purged
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

fn summary(view: &ClusterView) -> String {
    let waits = view.forgetting.waits_for.as_ref().map_or("nobody", |waits| &waits.name);
    format!(
        "{}: {} keys, {} tombstones, {} more on disk, waits for {waits}",
        view.node.name, view.keys, view.tombstones, view.forgetting.waiting.purged
    )
}

pub(super) async fn deletes(nodes: &mut Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    let cluster = Cluster::start(nodes, plan).await?;
    cluster.weigh("empty", show).await?;
    cluster.each(Act::Put, "writing keys").await?;
    cluster.until("all nodes hold all keys", Instant::now(), |view| view.keys == plan.keys).await?;
    cluster.weigh("all keys written", show).await?;
    let began = Instant::now();
    cluster.each(Act::Delete, "deleting them").await?;
    let deleted = Instant::now();
    let rate = plan.keys as f64 / deleted.duration_since(began).as_secs_f64().max(0.001);
    show(Row::new("deletes", rate, "a second").noted(format!("{} of them", plan.keys)))?;
    let told = cluster.until("all nodes know all deletes", deleted, |view| view.keys == 0).await?;
    show(Row::new("known to all nodes", told.as_secs_f64(), "s").noted("after the last delete"))?;
    let gone = |view: &ClusterView| view.keys + view.tombstones == 0;
    let left = cluster.until("tombstones leave the trees", deleted, gone).await?;
    show(
        Row::new("tombstones out of tree and count", left.as_secs_f64(), "s").noted("after the last delete"),
    )?;
    cluster.weigh("tombstones out of the trees", show).await?;
    let left = cluster.until("tombstones leave the disks", deleted, |view| rows(view) == 0).await?;
    let note = format!("after the last delete; the grace is {GRACE_MINUTES} min");
    show(Row::new("tombstones off the disks", left.as_secs_f64(), "s").noted(note))?;
    cluster.weigh("tombstones off the disks", show).await
}

pub(super) async fn expiry(nodes: &mut Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    let mut cluster = Cluster::start(nodes, plan).await?;
    let last = NODES - 1;
    cluster.nodes.stop(last).await?;
    cluster.hosts.truncate(last);
    cluster.weigh("empty, one node down", show).await?;
    let ttl = (plan.keys / KEYS_A_SECOND).max(TTL_SECONDS_MIN);
    cluster.each(Act::PutFor(ttl), "writing keys that expire").await?;
    let written = Instant::now();
    cluster.weigh("all keys written", show).await?;
    let expired = written + Duration::from_secs(ttl);
    let left = cluster.until("keys vanish", written, |view| rows(view) == 0).await?;
    let after = left.saturating_sub(expired.duration_since(written));
    let note = format!("after the last of {} expired, {ttl} s after its write; one node is down", plan.keys);
    show(Row::new("nothing left of any key", after.as_secs_f64(), "s").noted(note))?;
    cluster.weigh("all expired", show).await?;
    cluster.begin(last)?;
    let began = Instant::now();
    cluster.nodes.ready(last).await?;
    cluster.hosts.push(cluster.nodes.host(last)?);
    let back = cluster.until("the third node is back", began, |view| rows(view) == 0).await?;
    show(
        Row::new("the third node back, as empty", back.as_secs_f64(), "s").noted("after its process started"),
    )
}
