//! What was measured, as tables for people and as one JSON document for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use sim::crowd::demers::{Row, TABLE_1987};
use sim::crowd::detection::Detection;

use super::super::super::output::{Coloured, Screen};
use super::{DEATHS, Found, Size};

/// Wrong verdicts that a thousand hours of a member may have.
const WRONG_MAX: f64 = 1.0;
/// A death is known to all within this time.
const DETECTED_MAX: Duration = Duration::from_secs(5);

pub(super) fn text(screen: Screen, found: &Found) -> String {
    let mut text = String::new();
    let loss = f64::from(found.loss) / 10.0;
    let _ = writeln!(text, "{} writes, {loss}% lost: rumors alone, without anti-entropy\n", found.writes);
    text += &rumors(screen, found);
    if found.sizes.iter().any(|size| size.whole.is_some()) {
        let _ = writeln!(text, "\nWhole nodes: rumors, anti-entropy, heartbeats, stores\n");
        text += &whole(screen, found);
    }
    if !found.demers.is_empty() {
        let _ = writeln!(
            text,
            "\nThe rumor beside Demers et al., 1987, table 1: 1,000 sites, push, feedback and counter k, one contact a \
             round.\nTheirs first; then this one, which also says who has been told, on average over {} \
             epidemics.\nThe paper's law for all such rumors: s = e^-m\n",
            found.epidemics
        );
        text += &beside_1987(screen, &found.demers);
    }
    if !found.detection.is_empty() {
        let _ = writeln!(text, "\nFailure detection alone, {loss}% lost; {DEATHS} deaths in each\n");
        text += &detection(screen, found);
    }
    text
}

fn rumors(screen: Screen, found: &Found) -> String {
    let header = [
        "nodes",
        "rounds",
        "mean",
        "last",
        "not reached",
        "rumors a node and write",
        "busiest node",
        "a central one",
    ];
    let row = |size: &Size| {
        let Size { nodes, rumors, .. } = size;
        [
            nodes.to_string(),
            rumors.rounds.to_string(),
            ms(rumors.mean),
            ms(rumors.last),
            share(rumors.residue),
            format!("{:.2}", rumors.traffic),
            rumors.busiest.to_string(),
            central(found, *nodes).to_string(),
        ]
    };
    screen.table(&header, found.sizes.iter().map(|size| cells(row(size))).collect())
}

/// Messages that one node sends which tells all others itself.
pub(super) fn central(found: &Found, nodes: usize) -> u64 {
    nodes.saturating_sub(1) as u64 * u64::from(found.writes)
}

fn whole(screen: Screen, found: &Found) -> String {
    let header = [
        "nodes",
        "mean",
        "all, usually",
        "all, at worst",
        "rumors of the busiest",
        "datagrams/s",
        "frames/s",
        "bytes/s",
        "steps",
        "checks",
    ];
    let row = |size: &Size| {
        let whole = size.whole.as_ref()?;
        Some(cells([
            size.nodes.to_string(),
            ms(whole.mean),
            ms(whole.last_mean),
            ms(whole.last),
            whole.busiest.to_string(),
            format!("{:.1}", whole.datagrams),
            format!("{:.1}", whole.frames),
            format!("{:.0}", whole.bytes),
            whole.count.steps.to_string(),
            whole.count.checks.to_string(),
        ]))
    };
    screen.table(&header, found.sizes.iter().filter_map(row).collect())
}

fn beside_1987(screen: Screen, rows: &[Row]) -> String {
    let header = ["k", "residue s", "", "traffic m", "", "e^-m", "", "t_ave", "", "t_last", ""];
    let row = |(theirs, ours): (&Row, &Row)| {
        cells([
            theirs.k.to_string(),
            format!("{}", theirs.residue),
            format!("{:.4}", ours.residue),
            format!("{}", theirs.traffic),
            format!("{:.2}", ours.traffic),
            format!("{:.4}", (-theirs.traffic).exp()),
            format!("{:.4}", (-ours.traffic).exp()),
            format!("{:.1}", theirs.mean),
            format!("{:.1}", ours.mean),
            format!("{:.1}", theirs.last),
            format!("{:.1}", ours.last),
        ])
    };
    screen.table(&header, TABLE_1987.iter().zip(rows).map(row).collect())
}

fn detection(screen: Screen, found: &Found) -> String {
    let header = [
        "nodes",
        "node-hours",
        "suspected",
        "wrongly down",
        "per 1,000 hours",
        "first knows",
        "all know, mean",
        "at worst",
        "bytes/s",
    ];
    let row = |(nodes, found): &(usize, Detection)| {
        cells([
            nodes.to_string(),
            format!("{:.0}", found.node_hours),
            found.suspicions.to_string(),
            found.wrong.to_string(),
            format!("{:.2}", found.wrong_per_thousand_hours()),
            ms(found.first),
            ms(found.all_mean),
            if found.missed > 0 { format!("{} not seen", found.missed) } else { ms(found.all_last) },
            format!("{:.0}", found.bytes),
        ])
    };
    let mut text = screen.table(&header, found.detection.iter().map(row).collect());
    let kept = found.detection.iter().all(|(_, found)| {
        found.wrong_per_thousand_hours() <= WRONG_MAX && found.missed == 0 && found.all_last <= DETECTED_MAX
    });
    let verdict = if kept { "reached" } else { "missed" };
    let _ = writeln!(
        text,
        "\nwanted: at most {WRONG_MAX} wrongly down in 1,000 node-hours, a death known to all within {} s: {verdict}",
        DETECTED_MAX.as_secs()
    );
    text
}

fn cells<const N: usize>(texts: [String; N]) -> Vec<Coloured> {
    texts.into_iter().map(Coloured::plain).collect()
}

fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn share(share: f64) -> String {
    if share <= 0.0 { "none".to_owned() } else { format!("{:.3}%", share * 100.0) }
}

fn millis(time: Duration) -> Value {
    json!(time.as_micros() as f64 / 1_000.0)
}

pub(super) fn json(found: &Found) -> Value {
    let size = |size: &Size| {
        let rumors = &size.rumors;
        let whole = size.whole.as_ref().map(|whole| {
            json!({
                "mean_ms": millis(whole.mean), "all_mean_ms": millis(whole.last_mean),
                "all_max_ms": millis(whole.last), "busiest_rumors": whole.busiest,
                "datagrams_per_node_second": whole.datagrams, "frames_per_node_second": whole.frames,
                "bytes_per_node_second": whole.bytes, "simulated_ms": millis(whole.time),
                "steps": whole.count.steps, "frames": whole.count.frames, "checks": whole.count.checks,
            })
        });
        json!({
            "nodes": size.nodes, "whole": whole, "central_messages": central(found, size.nodes),
            "rumors": {
                "rounds": rumors.rounds, "mean_ms": millis(rumors.mean), "last_ms": millis(rumors.last),
                "residue": rumors.residue, "traffic": rumors.traffic, "busiest_messages": rumors.busiest,
                "told_max": rumors.told_max,
            },
        })
    };
    let row = |row: &Row| {
        json!({
            "k": row.k, "residue": row.residue, "traffic": row.traffic, "t_ave": row.mean, "t_last": row.last,
        })
    };
    let one = |(nodes, found): &(usize, Detection)| {
        json!({
            "nodes": nodes, "node_hours": found.node_hours, "wrongly_down": found.wrong,
            "wrong_verdicts": found.wrong_verdicts, "suspicions": found.suspicions,
            "wrongly_down_per_1000_node_hours": found.wrong_per_thousand_hours(),
            "first_ms": millis(found.first), "all_mean_ms": millis(found.all_mean),
            "all_max_ms": millis(found.all_last), "deaths": DEATHS, "missed": found.missed,
            "datagrams_per_node_second": found.datagrams, "bytes_per_node_second": found.bytes,
        })
    };
    json!({
        "writes": found.writes, "loss_percent": f64::from(found.loss) / 10.0,
        "sizes": found.sizes.iter().map(size).collect::<Vec<_>>(),
        "table_1987": {
            "theirs": TABLE_1987.iter().map(row).collect::<Vec<_>>(),
            "ours": found.demers.iter().map(row).collect::<Vec<_>>(),
        },
        "failure_detection": found.detection.iter().map(one).collect::<Vec<_>>(),
    })
}
