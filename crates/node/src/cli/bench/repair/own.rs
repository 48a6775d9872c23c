//! The measurement on nodes of its own.

use std::time::Duration;

use client::Liveness;
use tokio::time::{Instant, sleep};

use super::ask::{Method, Plan};
use super::differ::{Keys, Shape};
use super::row::{Cell, Row, Sample};
use super::session::{Repaired, repair};
use crate::cli::bench::fill::{Write, fill};
use crate::cli::bench::nodes::Nodes;
use crate::cli::bench::progress::Progress;
use crate::cli::bench::same::same;
use crate::cli::endpoint::Remote;
use crate::cli::error::CliError;

/// In how many rounds nodes must have become equal. Of more than two, the first round brings everything to the
/// first node and the second one back to all.
const ROUNDS_MAX: usize = 4;

/// How long nodes may take to see each other.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// Between writing and measuring, so that what the writes left to do is done.
const SETTLE: Duration = Duration::from_millis(1_500);

type Show<'a> = &'a mut dyn FnMut(Row) -> Result<(), CliError>;

/// Measures all cells.
pub(crate) async fn run(nodes: &mut Nodes, plan: &Plan, show: Show<'_>) -> Result<(), CliError> {
    loaded(nodes, plan).await?;
    let mut keys = Keys::new(plan.data, plan.keys);
    let mut fresh = true;
    for method in &plan.methods {
        for rtt in &plan.rtts {
            let settings = settings(*method, *rtt, "fsync");
            for index in 0..plan.nodes {
                nodes.stop(index).await?;
            }
            if fresh {
                show(filled(nodes, plan, *method, *rtt, &settings).await?)?;
            } else {
                for index in 0..plan.nodes {
                    nodes.start(index, &settings)?;
                }
            }
            fresh = false;
            let controls = up(nodes, plan).await?;
            for shape in &plan.shapes {
                for differ in &plan.differ {
                    let cell = cell(plan, *differ, shape.word(), *method, *rtt);
                    let samples = cell_measured(nodes, plan, &controls, &mut keys, (*differ, *shape)).await?;
                    show(Row { cell, samples })?;
                }
            }
        }
    }
    Ok(())
}

fn cell(plan: &Plan, differ: u64, shape: &'static str, method: Method, rtt: Duration) -> Cell {
    Cell {
        keys: plan.keys,
        differ,
        shape,
        method: method.word(),
        nodes: plan.nodes,
        rtt: Some(rtt),
        key_bytes: plan.data.key_bytes,
        value_bytes: plan.data.value_bytes,
    }
}

/// Nothing but what is asked for: no sessions of their own, no rumors.
fn settings(method: Method, rtt: Duration, durability: &str) -> Vec<String> {
    let one_way = format!("{}us", (rtt / 2).as_micros());
    let said = [
        ["--anti-entropy", "off"],
        ["--rumors", "off"],
        ["--repair-method", method.word()],
        ["--transport-delay", &one_way],
        ["--durability", durability],
    ];
    said.iter().flatten().map(|word| (*word).to_owned()).collect()
}

/// All keys by clients into the first node; nothing is measured, so it need not wait for the disk.
async fn loaded(nodes: &mut Nodes, plan: &Plan) -> Result<(), CliError> {
    nodes.start(0, &settings(Method::Auto, Duration::ZERO, "interval"))?;
    nodes.ready(0).await?;
    let progress = Progress::new("writing keys", plan.keys);
    let write = |number: u64| Write { node: 0, index: number, version: 0 };
    fill(&[nodes.host(0)?], plan.data, plan.keys, &write, plan.clients, &progress).await
}

/// The nodes without anything are filled: the repair of everything. The row is of the second node.
async fn filled(
    nodes: &mut Nodes,
    plan: &Plan,
    method: Method,
    rtt: Duration,
    settings: &[String],
) -> Result<Row, CliError> {
    nodes.start(0, settings)?;
    nodes.ready(0).await?;
    sleep(SETTLE).await;
    let (cpu, name) = (nodes.cpu(), nodes.name(1)?);
    nodes.start(1, settings)?;
    nodes.ready(1).await?;
    // The second node's whole life, and what the first one did meanwhile.
    let used = nodes.cpu_since(&[cpu, vec![Default::default()]].concat());
    let controls = vec![nodes.host(0)?.remote()?, nodes.host(1)?.remote()?];
    let held = match same(&controls).await? {
        Some(held) => held,
        None => return Err(CliError::Failed(format!("{name} is ready and does not hold what n1 holds"))),
    };
    let sessions = match controls.last() {
        Some(control) => control.repairs().await?.repairs,
        None => Vec::new(),
    };
    let mut repaired = Repaired::default();
    sessions.iter().filter(|session| session.found + session.received > 0).for_each(|s| repaired.add(s));
    let wall = repaired.costs.wall;
    for index in 2..plan.nodes {
        nodes.start(index, settings)?;
        nodes.ready(index).await?;
    }
    let cell = cell(plan, plan.keys, "empty", method, rtt);
    Ok(Row { cell, samples: vec![Sample { repaired, wall, cpu: Some(used), held }] })
}

/// Waits until all nodes serve and see each other, and checks that they hold the same.
async fn up(nodes: &mut Nodes, plan: &Plan) -> Result<Vec<Remote>, CliError> {
    let mut controls = Vec::new();
    for index in 0..plan.nodes {
        nodes.ready(index).await?;
        controls.push(nodes.host(index)?.remote()?);
    }
    let deadline = Instant::now() + SEEN_WITHIN;
    for (index, control) in controls.iter().enumerate() {
        loop {
            let members = control.cluster().await?.members;
            let alive = members.iter().filter(|member| member.liveness == Liveness::Alive).count();
            if alive >= plan.nodes {
                break;
            }
            if Instant::now() >= deadline {
                return Err(CliError::Failed(format!("{} does not see all others", nodes.host(index)?.url)));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    if same(&controls).await?.is_none() {
        return Err(CliError::Failed(
            "the nodes do not hold the same before anything is measured".to_owned(),
        ));
    }
    Ok(controls)
}

/// All repeats of one cell. A repeat after which roots are not equal is an error, never a number.
async fn cell_measured(
    nodes: &Nodes,
    plan: &Plan,
    controls: &[Remote],
    keys: &mut Keys,
    (differ, shape): (u64, Shape),
) -> Result<Vec<Sample>, CliError> {
    let mut samples = Vec::new();
    let hosts = (0..plan.nodes).map(|index| nodes.host(index)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..plan.repeat {
        let held = keys.count();
        let writes = keys.differ(differ, shape, plan.nodes)?;
        let progress = Progress::new(format!("making {differ} keys differ"), writes.len() as u64);
        let nothing = Write { node: 0, index: 0, version: 0 };
        let write = |number: u64| writes.get(number as usize).copied().unwrap_or(nothing);
        fill(&hosts, plan.data, writes.len() as u64, &write, plan.clients, &progress).await?;
        drop(progress);
        sleep(SETTLE).await;
        let cpu = nodes.cpu();
        let repaired = repaired(nodes, plan, controls).await?;
        let used = nodes.cpu_since(&cpu);
        let equal = same(controls).await?;
        if equal != Some(keys.count()) {
            return Err(CliError::Failed(format!(
                "{differ} keys differed and the nodes did not become equal with {} keys: {equal:?}",
                keys.count()
            )));
        }
        samples.push(Sample { wall: repaired.costs.wall, repaired, cpu: Some(used), held });
    }
    Ok(samples)
}

/// Rounds of repairs between the first node and each other one, until all roots are equal.
async fn repaired(nodes: &Nodes, plan: &Plan, controls: &[Remote]) -> Result<Repaired, CliError> {
    let mut total = Repaired::default();
    for round in 0..ROUNDS_MAX {
        if round > 0 && same(controls).await?.is_some() {
            break;
        }
        for index in 1..plan.nodes {
            let name = nodes.name(index)?;
            if let Some(first) = controls.first() {
                repair(first, &name, &mut total).await?;
            }
        }
    }
    Ok(total)
}
