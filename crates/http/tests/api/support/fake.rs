//! A service in memory, with the rules of the real one as far as a client can see them, and ways
//! to make it fail.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_api::{
    ClusterView, DeleteRequest, Deleted, Limits, ListItem, ListPage, ListRequest, Liveness, MemberView,
    NodeView, PutRequest, Read, Readiness, RepairView, Service, ServiceError, Version, Written,
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
        let version = state.version(value.to_vec().into(), content_type.map(str::to_owned));
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
    fn version(&mut self, value: bytes::Bytes, content_type: Option<String>) -> Version {
        self.clock += 1;
        let dot = Dot { hlc: Hlc::new(1_700_000_000_000 + self.clock, 0), writer: WriterId(1) };
        Version { value, content_type, etag: format!("e{}", self.clock), dot }
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

impl Service for Fake {
    async fn put(&self, request: PutRequest) -> Result<Written, ServiceError> {
        self.enter().await?;
        let mut state = self.state.lock().unwrap();
        let before = state.entries.get(request.key.as_bytes()).map_or(0, Vec::len);
        state.replace(&request.key, request.context)?;
        let version = state.version(request.value, request.content_type);
        let etag = version.etag.clone();
        let token = state.token(&request.key);
        let siblings = state.entries.entry(request.key.as_bytes().to_vec()).or_default();
        siblings.insert(0, version);
        let siblings = siblings.len();
        Ok(Written { created: before == 0, siblings, etag, context: (siblings == 1).then_some(token) })
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
        });
        let items = items.collect();
        Ok(ListPage { items, next: live.next().map(|(key, _)| Key::new(key.clone()).unwrap()) })
    }

    async fn cluster(&self) -> ClusterView {
        let member = |id, name: &str, liveness, last_identical: Option<u64>, repair| MemberView {
            id: NodeId(id),
            name: name.into(),
            liveness,
            root: last_identical.map(|_| "abcd".into()),
            last_identical,
            repair,
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
                http: "127.0.0.1:7710".into(),
                gossip: "127.0.0.1:7711".into(),
            },
            root: "abcd".into(),
            keys: self.state.lock().unwrap().entries.len() as u64,
            tombstones: 0,
            members: vec![
                member(1, "a", Liveness::Alive, Some(1_700_000_000_123), None),
                member(2, "b", Liveness::Suspect, None, Some(RepairView::Running)),
            ],
        }
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
