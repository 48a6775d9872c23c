//! A service in memory, with the rules of the real one as far as a client can see them, and ways
//! to make it fail.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_api::{
    ActRefused, Brake, ClusterView, DamageView, DeleteRequest, Deleted, DrillsView, EvictView,
    ForgettingView, GovernorView, LeaveState, LeaveView, Limits, ListItem, ListPage, ListRequest, Liveness,
    MemberView, NodeView, PutRequest, Read, Readiness, RemovedView, RepairBegun, RepairMethod, RepairOutcome,
    RepairPhase, RepairView, RepairsView, ScrubView, Service, ServiceError, SessionView, TotalsView, Version,
    WaitingView, WaitsView, WaitsWhy, Written,
};
use model::{ClusterId, Dot, Hlc, Key, NodeId, WriterId};

pub const VALUE_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub struct Fake {
    pub state: Mutex<State>,
    pub not_ready: AtomicBool,
    /// Calls that reached the service.
    pub calls: AtomicUsize,
}

#[derive(Default)]
pub struct State {
    pub entries: BTreeMap<Vec<u8>, Vec<Version>>,
    clock: u64,
    pub fail: Option<Failure>,
    /// What was asked for by POST: peers, and times of isolation.
    pub repairs: Vec<String>,
    pub drills: Vec<Duration>,
    pub drills_refused: bool,
}

#[derive(Clone)]
pub enum Failure {
    Error(ServiceError),
    Panic,
    Hang,
}

impl Fake {
    pub fn fail(&self, failure: Failure) {
        self.state.lock().unwrap().fail = Some(failure);
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().unwrap().entries.is_empty()
    }

    /// A concurrent write, as if it came from a peer.
    pub fn add_sibling(&self, key: &[u8], value: &[u8], content_type: Option<&str>) {
        let mut state = self.state.lock().unwrap();
        let version = state.version(value.to_vec().into(), content_type.map(str::to_owned), None);
        state.entries.entry(key.to_vec()).or_default().insert(0, version);
    }

    pub fn values(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let state = self.state.lock().unwrap();
        state.entries.get(key).into_iter().flatten().map(|version| version.value.to_vec()).collect()
    }

    async fn enter(&self) -> Result<(), ServiceError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.not_ready.load(Ordering::SeqCst) {
            return Err(ServiceError::NotReady { reason: "This node has not joined a cluster yet.".into() });
        }
        let failure = self.state.lock().unwrap().fail.clone();
        match failure {
            None => Ok(()),
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic) => panic!("as the test asked"),
            Some(Failure::Hang) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            }
        }
    }
}

impl State {
    fn version(
        &mut self,
        value: bytes::Bytes,
        content_type: Option<String>,
        ttl: Option<Duration>,
    ) -> Version {
        self.clock += 1;
        let expires_ms = ttl.map(|ttl| 1_700_000_000_000 + self.clock + ttl.as_millis() as u64);
        let dot = Dot { hlc: Hlc::new(1_700_000_000_000 + self.clock, 0), writer: WriterId(1) };
        Version { value, content_type, etag: format!("e{}", self.clock), dot, expires_ms }
    }

    fn token(&self, key: &Key) -> String {
        format!("t:{}:{}", key.token().0, self.clock)
    }

    /// Removes what the token covers, or all.
    fn replace(&mut self, key: &Key, token: Option<String>) -> Result<(), ServiceError> {
        let upto = match token {
            None => self.clock,
            Some(token) => {
                let bound = token.strip_prefix(&format!("t:{}:", key.token().0));
                bound.and_then(|clock| clock.parse().ok()).ok_or(ServiceError::BadContext {
                    reason: "This token was not made for this key.".into(),
                })?
            }
        };
        let covered = 1_700_000_000_000 + upto;
        let siblings = self.entries.entry(key.as_bytes().to_vec()).or_default();
        siblings.retain(|version| version.dot.hlc.millis() > covered);
        Ok(())
    }
}

fn forgetting() -> ForgettingView {
    ForgettingView {
        on: true,
        watermark: Some(1_700_000_000_000),
        watermark_lag_ms: Some(21_500),
        waits_for: Some(WaitsView {
            id: NodeId(2),
            name: "b".into(),
            since: Some(1_700_000_003_250),
            why: WaitsWhy::Slow,
        }),
        horizon: None,
        behind: None,
        resurrections_blocked: 3,
        quarantined: 0,
        waiting: WaitingView { tombstones: 4, tombstone_bytes: 400, purged: 5, purged_bytes: 500 },
    }
}

fn leave_view(state: LeaveState) -> LeaveView {
    LeaveView {
        node: "a".into(),
        node_id: NodeId(1),
        state,
        detail: "It waits for b to answer.".into(),
        waits_for: vec!["b".into()],
        keys_alone: Some(7),
    }
}

impl Service for Fake {
    async fn put(&self, request: PutRequest) -> Result<Written, ServiceError> {
        self.enter().await?;
        let mut state = self.state.lock().unwrap();
        let before = state.entries.get(request.key.as_bytes()).map_or(0, Vec::len);
        if request.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(ServiceError::BadTtl { reason: "a value cannot live for 0s".into() });
        }
        if !request.add {
            state.replace(&request.key, request.context)?;
        }
        let version = state.version(request.value, request.content_type, request.ttl);
        let (etag, expires_ms) = (version.etag.clone(), version.expires_ms);
        let token = state.token(&request.key);
        let siblings = state.entries.entry(request.key.as_bytes().to_vec()).or_default();
        siblings.insert(0, version);
        let siblings = siblings.len();
        let context = (siblings == 1).then_some(token);
        Ok(Written { created: before == 0, siblings, etag, context, expires_ms })
    }

    async fn get(&self, key: Key) -> Result<Option<Read>, ServiceError> {
        self.enter().await?;
        let state = self.state.lock().unwrap();
        let found = state.entries.get(key.as_bytes());
        Ok(found.map(|siblings| Read { siblings: siblings.clone(), context: Some(state.token(&key)) }))
    }

    async fn delete(&self, request: DeleteRequest) -> Result<Deleted, ServiceError> {
        self.enter().await?;
        let mut state = self.state.lock().unwrap();
        state.replace(&request.key, request.context)?;
        let siblings = state.entries.get(request.key.as_bytes()).map_or(0, Vec::len);
        Ok(Deleted { siblings, context: (siblings == 0).then(|| state.token(&request.key)) })
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, ServiceError> {
        self.enter().await?;
        let state = self.state.lock().unwrap();
        let start = request.start.unwrap_or_default();
        let mut live = state.entries.iter().filter(|(key, siblings)| {
            !siblings.is_empty() && key.starts_with(&request.prefix) && **key >= start
        });
        let items = live.by_ref().take(request.limit).map(|(key, siblings)| ListItem {
            key: Key::new(key.clone()).unwrap(),
            size: siblings[0].value.len() as u64,
            etag: siblings[0].etag.clone(),
            content_type: siblings[0].content_type.clone(),
            dot: siblings[0].dot,
            siblings: siblings.len(),
            expires_ms: siblings[0].expires_ms,
        });
        let items = items.collect();
        Ok(ListPage { items, next: live.next().map(|(key, _)| Key::new(key.clone()).unwrap()) })
    }

    async fn cluster(&self) -> ClusterView {
        let member = |id, name: &str, liveness, last_identical: Option<u64>, repair| MemberView {
            id: NodeId(id),
            name: name.into(),
            liveness,
            leaving: name == "b",
            root: last_identical.map(|_| "abcd".into()),
            last_identical,
            clock_ahead_ms: if id == 2 { 7_500 } else { 0 },
            repair,
            refused: (id == 2).then(|| "wire versions 1 to 2 were offered, this node speaks 3 to 4".into()),
            http: None,
            gossip: Some("127.0.0.1:7711".into()),
        };
        ClusterView {
            cluster: Some(ClusterId([7; 16])),
            node: NodeView {
                ready: true,
                reason: None,
                id: NodeId(1),
                name: "a".into(),
                version: "0.1.0".into(),
                uptime_ms: 5_000,
                http: "127.0.0.1:7710".into(),
                gossip: "127.0.0.1:7711".into(),
            },
            root: "abcd".into(),
            keys: self.state.lock().unwrap().entries.len() as u64,
            tombstones: 0,
            tree_bytes: 4_096,
            forgetting: forgetting(),
            scrub: Some(ScrubView {
                bytes_per_second: 2 << 20,
                running: true,
                entries: 12,
                bytes: 3_456,
                passes: 1,
                oldest_unverified_age_ms: Some(7_000),
            }),
            damage: Some(DamageView {
                found_at: Some(1_700_000_000_000),
                what: "the record of a was damaged: it does not match its digest".into(),
                records: 1,
                held_again: 1,
                held_by_none: 0,
                healed: true,
                kept_in: Some("/data/damaged".into()),
            }),
            quarantine_bytes: 600,
            removed: vec![RemovedView {
                id: NodeId(3),
                name: "c".into(),
                at: Some(1_700_000_000_500),
                by: "a".into(),
            }],
            members: vec![
                member(1, "a", Liveness::Alive, Some(1_700_000_000_123), None),
                member(2, "b", Liveness::Suspect, None, Some(RepairView::Running)),
            ],
        }
    }

    async fn repairs(&self) -> RepairsView {
        let governor = GovernorView {
            limit_bytes_per_second: Some(50_000_000),
            brake: Brake::Cap,
            reason: "the operator's limit".into(),
            rate_bytes_per_second: 108_000,
            p99_us: Some(900),
            baseline_p99_us: None,
        };
        RepairsView {
            node: "a".into(),
            node_id: NodeId(1),
            now_ms: 1_700_000_001_000,
            repairs: vec![running(), ended()],
            checks: 7,
            failures: BTreeMap::from([("timed out".to_owned(), 2)]),
            totals: TotalsView {
                sessions: 9,
                found: 30,
                sent: 20,
                received: 10,
                bytes_sent: 4_000,
                bytes_received: 2_000,
            },
            governor: Some(governor),
        }
    }

    async fn repair(&self, peer: String) -> Result<RepairBegun, ServiceError> {
        self.enter().await?;
        self.state.lock().unwrap().repairs.push(peer.clone());
        match peer.as_str() {
            "a" => Err(ServiceError::NotAPeer { name: peer }),
            "b" => Ok(RepairBegun { peer, peer_id: NodeId(2), since_ms: 1_700_000_000_000 }),
            "c" => Err(ServiceError::MemberDown { name: peer }),
            _ => Err(ServiceError::NoSuchMember {
                name: peer,
                members: vec!["a".into(), "b".into()],
                removed: None,
            }),
        }
    }

    async fn leaving(&self) -> Result<LeaveView, ServiceError> {
        self.enter().await?;
        Ok(leave_view(LeaveState::Member))
    }

    async fn leave(&self, force: bool) -> Result<LeaveView, ServiceError> {
        self.enter().await?;
        Ok(leave_view(if force { LeaveState::Left } else { LeaveState::Leaving }))
    }

    async fn evict(&self, member: String, force: bool) -> Result<EvictView, ServiceError> {
        self.enter().await?;
        if !force {
            let detail = format!("{member} answers. Stop it first.");
            return Err(ServiceError::ActRefused { why: ActRefused::MemberAnswers, detail });
        }
        Ok(EvictView {
            member,
            member_id: NodeId(2),
            forced: true,
            promised: None,
            needed: None,
            last_identical: Some(1_700_000_000_000),
            detail: "It is gone.".into(),
        })
    }

    fn drills(&self) -> DrillsView {
        let state = self.state.lock().unwrap();
        let time = state.drills.last().map(|time| u64::try_from(time.as_millis()).unwrap());
        DrillsView {
            node: "a".into(),
            allowed: !state.drills_refused,
            isolated_until_ms: time.map(|time| 1_700_000_000_000 + time),
            remaining_ms: time,
        }
    }

    fn isolate(&self, time: Duration) -> Result<DrillsView, ServiceError> {
        if self.state.lock().unwrap().drills_refused {
            return Err(ServiceError::DrillsNotAllowed);
        }
        self.state.lock().unwrap().drills.push(time);
        Ok(self.drills())
    }

    fn ready(&self) -> Readiness {
        if self.not_ready.load(Ordering::SeqCst) {
            return Readiness::no("This node has not joined a cluster yet.");
        }
        Readiness::yes()
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes_max: VALUE_BYTES_MAX }
    }
}

fn running() -> SessionView {
    SessionView {
        id: "0000000000000001-9".into(),
        peer: "b".into(),
        peer_id: NodeId(2),
        initiated: true,
        started_ms: 1_700_000_000_500,
        elapsed_ms: 500,
        elapsed_us: 500_250,
        phase: RepairPhase::Exchanging,
        outcome: None,
        failure: None,
        method: Some(RepairMethod::Sketch),
        reason: "about 900 keys differ: cheapest by sketch".into(),
        estimate: 900,
        found: 880,
        sent: 200,
        received: 20,
        bytes_sent: 40_000,
        bytes_received: 14_000,
        bytes_find: 12_000,
        bytes_names: 9_000,
        bytes_ideal: 30_000,
        round_trips: 2,
        frames: 40,
        rate_bytes_per_second: 108_000,
        remaining_ms: Some(1_500),
    }
}

fn ended() -> SessionView {
    SessionView {
        id: "0000000000000002-4".into(),
        initiated: false,
        started_ms: 1_700_000_000_000,
        elapsed_ms: 300,
        phase: RepairPhase::Ended,
        outcome: Some(RepairOutcome::Aborted),
        failure: Some("the peer lost its frozen view".into()),
        method: None,
        reason: String::new(),
        rate_bytes_per_second: 0,
        remaining_ms: None,
        ..running()
    }
}
