//! `/metrics`: what a node counts and measures, in the text that Prometheus reads (OpenMetrics 1.0).
//!
//! Nothing is kept here. Each scrape asks the service what people are shown, too, and writes it down as it is then: so no
//! label of a member that is gone outlives it, and the two never disagree. Each subject has a function of its own below;
//! what cannot be read off a view, such as how long requests took, needs a registry that lives as long as the router, to
//! be encoded behind this one.

use std::fmt;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Metric, Registry};

use crate::app::App;
use crate::problem::Problem;
use crate::repair_view::RepairsView;
use crate::service::Service;
use crate::target::Query;
use crate::view::{ClusterView, Liveness, MemberView};

const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Label names and values of one series.
type Labels = Vec<(&'static str, String)>;

/// Gauges of one name, one for each set of labels.
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Everything of this moment.
pub(crate) async fn metrics<S: Service>(app: &App<S>, parts: &Parts) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let (cluster, repairs) = (app.service.cluster().await, app.service.repairs().await);
    let text =
        render(&cluster, &repairs).map_err(|error| Problem::internal(format!("writing metrics: {error}")))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Ok(response)
}

/// The text of one scrape.
pub(crate) fn render(cluster: &ClusterView, repairs: &RepairsView) -> Result<String, fmt::Error> {
    let mut page = Page(Registry::with_prefix("mangrove"));
    page.node(cluster);
    page.forgetting(cluster, repairs.now_ms);
    page.damage(cluster);
    page.members(cluster, repairs.now_ms);
    page.repair(repairs);
    let mut text = String::new();
    encode(&mut text, &page.0)?;
    Ok(text)
}

/// One scrape's metrics.
struct Page(Registry);

impl Page {
    /// The registry puts a full stop behind each help text.
    fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help.trim_end_matches('.'), metric);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.register(name, help, ConstGauge::new(value));
    }

    /// Without the series where the value is not known.
    fn known(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }

    /// `_total` is put behind the name.
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.register(name, help, ConstCounter::new(value));
    }

    fn gauges(&mut self, name: &str, help: &str, each: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Gauges::default();
        for (labels, value) in each {
            family.get_or_create(&labels).set(value);
        }
        self.register(name, help, family);
    }

    fn node(&mut self, cluster: &ClusterView) {
        let version = vec![("version", cluster.node.version.clone())];
        self.gauges("build_info", "The program's version.", [(version, 1.0)]);
        self.gauge("serving", "Whether the node serves reads and writes.", flag(cluster.node.ready));
        let behind = cluster.forgetting.behind.is_some();
        self.gauge("behind", "Whether the node waits for a session before it answers clients.", flag(behind));
        self.gauge("keys", "Keys with one value or more.", cluster.keys as f64);
        self.gauge("tombstones", "Tombstones in the tree.", cluster.tombstones as f64);
        self.gauge("tree_bytes", "Memory that the tree and the sketch take.", cluster.tree_bytes as f64);
    }

    fn forgetting(&mut self, cluster: &ClusterView, now_ms: u64) {
        let forgetting = &cluster.forgetting;
        self.gauge(
            "forgets_deletes",
            "Whether the node forgets deletes; while one member does not, none goes further than to where that one began its life.",
            flag(forgetting.on),
        );
        self.known(
            "watermark_lag_seconds",
            "How long ago the watermark lies: deletes older than that are forgotten.",
            forgetting.watermark_lag_ms.map(seconds),
        );
        let waits = forgetting.waits_for.iter().map(|waits| {
            let since = waited_seconds(waits.since, now_ms, cluster.node.uptime_ms);
            (vec![("member", waits.name.clone())], since)
        });
        self.gauges(
            "watermark_waits_seconds",
            "The member that holds the watermark where it is, and the age of what is known of it.",
            waits,
        );
        let waiting = forgetting.waiting;
        let by_what = |watermark: u64, grace: u64| {
            [("watermark", watermark), ("grace", grace)]
                .map(|(what, count)| (vec![("for", what.to_owned())], count as f64))
        };
        self.gauges(
            "tombstones_waiting",
            "Tombstones that wait: for the watermark to pass them, then for the grace to end.",
            by_what(waiting.tombstones, waiting.purged),
        );
        self.gauges(
            "tombstone_waiting_bytes",
            "Bytes of their keys and records.",
            by_what(waiting.tombstone_bytes, waiting.purged_bytes),
        );
        self.counter(
            "resurrections_blocked",
            "Values not taken from other members, because they had been replaced or deleted long ago.",
            forgetting.resurrections_blocked,
        );
        self.counter("quarantined", "Values put into the quarantine file.", forgetting.quarantined);
        self.gauge(
            "quarantine_bytes",
            "Bytes of the values in the quarantine file.",
            cluster.quarantine_bytes as f64,
        );
    }

    fn damage(&mut self, cluster: &ClusterView) {
        if let Some(scrub) = &cluster.scrub {
            self.known(
                "oldest_unverified_age_seconds",
                "For how long, at most, an entry has not been proven by the scrub.",
                scrub.oldest_unverified_age_ms.map(seconds),
            );
            self.counter("scrub_entries", "Entries proven by the scrub.", scrub.entries);
            self.counter("scrub_bytes", "Bytes that it has read.", scrub.bytes);
            self.counter("scrub_passes", "Passes of it that came to their end.", scrub.passes);
        }
        let damage = cluster.damage.as_ref();
        let count = |of: fn(&crate::DamageView) -> u64| damage.map_or(0, of);
        self.counter("records_damaged", "Damaged records taken out of the store.", count(|it| it.records));
        self.counter(
            "records_held_again",
            "Of these, those whose keys hold something again, from other members.",
            count(|it| it.held_again),
        );
        self.counter(
            "records_held_by_none",
            "Of these, those under whose keys no other member held anything.",
            count(|it| it.held_by_none),
        );
        let unhealed = damage.is_some_and(|damage| !damage.healed);
        self.gauge("damage_unhealed", "Whether records were lost and are not healed yet.", flag(unhealed));
    }

    fn members(&mut self, cluster: &ClusterView, now_ms: u64) {
        let others: Vec<&MemberView> =
            cluster.members.iter().filter(|member| member.id != cluster.node.id).collect();
        let each = |value: &dyn Fn(&MemberView) -> Option<f64>| -> Vec<(Labels, f64)> {
            let of = |member: &&MemberView| Some((vec![("member", member.name.clone())], value(member)?));
            others.iter().filter_map(of).collect()
        };
        self.gauges(
            "members",
            "Members by what they are, and nodes that were removed or have left.",
            by_state(cluster),
        );
        self.gauges(
            "member_up",
            "Whether another member answers.",
            each(&|member| Some(flag(matches!(member.liveness, Liveness::Alive | Liveness::Suspect)))),
        );
        self.gauges(
            "member_identical_age_seconds",
            "How long ago the session began that last proved the two identical.",
            each(&|member| member.last_identical.map(|at| seconds(now_ms.saturating_sub(at)))),
        );
        self.gauges(
            "member_clock_ahead_seconds",
            "How far its timestamps lay ahead of this node's clock when that was last noticed; 0 up to 5 s.",
            each(&|member| Some(seconds(member.clock_ahead_ms))),
        );
    }

    fn repair(&mut self, repairs: &RepairsView) {
        let totals = repairs.totals;
        self.counter("repair_checks", "Sessions that found equal roots.", repairs.checks);
        self.counter("repair_sessions", "Sessions that have ended.", totals.sessions);
        let failures: Family<Labels, prometheus_client::metrics::counter::Counter> = Family::default();
        for (reason, count) in &repairs.failures {
            failures.get_or_create(&vec![("reason", reason.clone())]).inc_by(*count);
        }
        self.register("repair_failures", "Sessions that failed.", failures);
        self.counter("repair_keys", "Keys that ended sessions named as differing.", totals.found);
        self.counter("repair_entries_sent", "Entries that they sent.", totals.sent);
        self.counter("repair_entries_received", "Entries that they received.", totals.received);
        self.counter("repair_bytes_sent", "Bytes of whole frames that they sent.", totals.bytes_sent);
        self.counter(
            "repair_bytes_received",
            "Bytes of whole frames that they received.",
            totals.bytes_received,
        );
    }
}

/// A member that is leaving counts as that, whether it answers or not.
fn by_state(cluster: &ClusterView) -> [(Labels, f64); 5] {
    let count = |is: &dyn Fn(&MemberView) -> bool| cluster.members.iter().filter(|member| is(member)).count();
    let stays = |liveness: Liveness| count(&|member| !member.leaving && member.liveness == liveness);
    [
        ("alive", stays(Liveness::Alive)),
        ("suspect", stays(Liveness::Suspect)),
        ("down", stays(Liveness::Down)),
        ("leaving", count(&|member| member.leaving)),
        ("removed", cluster.removed.len()),
    ]
    .map(|(state, count)| (vec![("state", state.to_owned())], count as f64))
}

/// How old the last is that is known of a member; where nothing is, all that this process can say is how long it has run.
fn waited_seconds(since: Option<u64>, now_ms: u64, uptime_ms: u64) -> f64 {
    seconds(since.map_or(uptime_ms, |since| now_ms.saturating_sub(since)))
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_was_never_heard_is_waited_for_since_the_process_began() {
        assert_eq!(waited_seconds(Some(4_000), 9_000, 60_000), 5.0);
        assert_eq!(waited_seconds(None, 9_000, 60_000), 60.0);
    }
}
