//! The same load without and with a repair beside it, and with and without the governor.
//!
//! The repair is the largest there is: a node that joins with nothing and is filled by the one that the load is on.

use std::time::Duration;

use client::{RepairOutcome, RepairSession};
use tokio::time::{Instant, sleep};

use super::job::{self, Measured, per_second};
use super::shown::{Beside, Phase, rounded};
use super::{Durability, Load};
use crate::cli::bench::nodes::Nodes;
use crate::cli::endpoint::Remote;
use crate::cli::error::CliError;
use crate::cli::output;

/// The node under load; one filled without a load; one filled beside it; one without the governor.
pub(crate) const NODES: usize = 4;

/// How often the repair is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest time that a fill without a load may take.
const FILL_WITHIN: Duration = Duration::from_secs(900);

/// How long the first session may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(nodes: &mut Nodes, load: &Load) -> Result<(), CliError> {
    nodes.start(0, &settings("on", load.durability))?;
    nodes.ready(0).await?;
    let hosts = vec![nodes.host(0)?];
    load.prepare(&hosts).await?;

    let unhindered = filled_alone(nodes, load).await?;
    output::say(&format!("repair alone: {unhindered:.0} entries a second"));
    let rate = match load.rate {
        Some(rate) => rate,
        None => {
            let fastest = job::measure(load.job(hosts.clone(), None)).await?;
            load.show(&Phase::new("full speed, no repair", &fastest))?;
            ((fastest.per_second() / 2.0) as u64).max(1)
        }
    };
    let alone = job::measure(load.job(hosts.clone(), Some(rate))).await?;
    load.show(&Phase::new("fixed rate, no repair", &alone))?;
    for (index, governor) in [(2, "on"), (3, "off")] {
        if governor == "off" {
            nodes.stop(0).await?;
            nodes.start(0, &settings(governor, load.durability))?;
            nodes.ready(0).await?;
        }
        let (measured, mut beside) = filled_beside(nodes, load, index, governor, rate).await?;
        beside.of_unhindered = rounded(beside.entries_per_second / unhindered.max(1e-9));
        let name = format!("fixed rate, repair, governor {governor}");
        load.show(&Phase::new(&name, &measured).beside(beside))?;
        nodes.kill(index).await?;
    }
    Ok(())
}

fn settings(governor: &str, durability: Durability) -> Vec<String> {
    let said = ["--anti-entropy", "off", "--rumors", "off", "--repair-governor", governor, "--durability"];
    let mut settings: Vec<String> = said.map(str::to_owned).to_vec();
    settings.push(durability.word().to_owned());
    settings
}

/// Entries a second of a fill without a load.
async fn filled_alone(nodes: &mut Nodes, load: &Load) -> Result<f64, CliError> {
    nodes.start(1, &settings("on", load.durability))?;
    let control = nodes.host(0)?.remote()?;
    let name = nodes.name(1)?;
    begun(&control, &name).await?;
    let began = Instant::now();
    while !begun(&control, &name).await?.iter().any(identical) {
        if began.elapsed() > FILL_WITHIN {
            return Err(CliError::Failed(format!("{name} was not filled within {FILL_WITHIN:?}")));
        }
        sleep(LOOK_EVERY).await;
    }
    let sessions = begun(&control, &name).await?;
    let entries: u64 = sessions.iter().map(|session| session.sent).sum();
    let millis: u64 = sessions.iter().map(|session| session.elapsed_ms).sum();
    nodes.kill(1).await?;
    Ok(per_second(entries, Duration::from_millis(millis.max(1))))
}

fn identical(session: &RepairSession) -> bool {
    session.outcome == Some(RepairOutcome::Identical)
}

/// The sessions with this member, once there is one.
async fn begun(control: &Remote, peer: &str) -> Result<Vec<RepairSession>, CliError> {
    let deadline = Instant::now() + BEGIN_WITHIN;
    loop {
        let mut sessions = control.repairs().await?.repairs;
        sessions.retain(|session| session.peer == peer && session.sent + session.found > 0);
        if !sessions.is_empty() {
            return Ok(sessions);
        }
        if Instant::now() >= deadline {
            return Err(CliError::Failed(format!("no repair with {peer} began within {BEGIN_WITHIN:?}")));
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// The load while a node is filled; both end with whichever is through first.
async fn filled_beside(
    nodes: &mut Nodes,
    load: &Load,
    index: usize,
    governor: &'static str,
    rate: u64,
) -> Result<(Measured, Beside), CliError> {
    nodes.start(index, &settings(governor, load.durability))?;
    let (control, name) = (nodes.host(0)?.remote()?, nodes.name(index)?);
    let before = totals(&begun(&control, &name).await?);
    let job = load.job(vec![nodes.host(0)?], Some(rate));
    let until = job.until.clone();
    let began = Instant::now();
    let watching = async {
        loop {
            sleep(LOOK_EVERY).await;
            let sessions = begun(&control, &name).await?;
            let (now, ended) = (totals(&sessions), sessions.iter().any(identical));
            if ended || until.is_stopped() || began.elapsed() >= until.time {
                until.stop();
                return Ok::<_, CliError>((now, began.elapsed(), ended));
            }
        }
    };
    let (measured, seen) = tokio::join!(job::measure(job), watching);
    let (after, time, ended) = seen?;
    let entries = after.0.saturating_sub(before.0);
    let beside = Beside {
        governor,
        entries,
        entries_per_second: rounded(per_second(entries, time)),
        bytes_per_second: rounded(per_second(after.1.saturating_sub(before.1), time)),
        of_unhindered: 0.0,
        ended,
    };
    Ok((measured?, beside))
}

/// Entries sent and bytes of frames, over all of these sessions.
fn totals(sessions: &[RepairSession]) -> (u64, u64) {
    let entries = sessions.iter().map(|session| session.sent).sum();
    (entries, sessions.iter().map(RepairSession::bytes_total).sum())
}
