//! A running node: settings in, a member of a cluster that serves clients until it is told to stop.
//!
//! | file | what it holds |
//! |---|---|
//! | `files` | the data directory |
//! | `clock` | the clock and its reservation |
//! | `damage` | what was found damaged, and what became of it |
//! | `drill` | holding the node apart, to practise |
//! | `looking` | a node without a cluster finds one |
//! | `member` | what the node is at the moment |
//! | `leave_evict` | leaving and evicting, in words |
//! | `news` | clients' writes on their way to the protocol |
//! | `opening` | the store, whatever state its folder is in |
//! | `operator` | operators that wait for the protocol's answer |
//! | `protocol` | the thread that runs the protocol |
//! | `greeting` | a member asks its seeds whether they are of its cluster |
//! | `limits` | connections, by the files that may be open |
//! | `repairs` | what people see and ask of repair, and drills |
//! | `removed` | what a node says of itself that was removed |
//! | `refusals` | peers that take no connection |
//! | `requests` | how long clients' requests take |
//! | `scrub` | reading the store again, to find damage |
//! | `service` | what the HTTP API asks of the node |
//! | `shown` | what people see of the node and its cluster |
//! | `wires` | the transport's own thread |

mod clock;
mod damage;
mod drill;
mod files;
mod greeting;
mod leave_evict;
mod limits;
mod looking;
mod member;
mod news;
mod opening;
mod operator;
mod protocol;
mod refusals;
mod removed;
mod repairs;
mod requests;
mod scrub;
mod service;
mod shown;
mod wires;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gossip::coordinator::WriteLimits;
use gossip::core::{Core, CoreConfig, Env, Time};
use gossip::founding::{JoinRequest, WireVersions};
use gossip::meta::Meta;
use gossip::pace::GovernorConfig;
use gossip::roster::Contact;
use gossip::session::{Prefer, SessionConfig};
use gossip::wire::WIRE_VERSION;
use http_api::RouterOptions;
use model::{Hlc, TokenKey, WriterId};
use storage::{Engine, Flusher};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::exit::Fatal;
use crate::settings::{Durability, RepairMethod, Settings};
use crate::transport::{self, DurableGate, Identity, Inbox, Transport};
use clock::{SharedClock, Timeline, wall_ms};
use files::NodeFiles;
use member::{Member, Present, Writes, not_yet};
use protocol::{Back, Protocol};
use service::NodeService;

/// Events from requests and from the greeting of seeds that may wait for the protocol.
const EVENTS_MAX: usize = 1_024;
/// How long frames that wait may take to leave at a stop.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(2);

fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

/// Why a member ended without an error.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// It has left its cluster.
    Left,
    /// It was a cluster of one without keys, and gave way to another cluster.
    Dissolved,
    /// A record was found damaged: a new life begins, in the engine that the store has given up.
    Damaged(Arc<dyn Engine>),
}

/// A node with its sockets open, whatever cluster it is in.
struct Node {
    settings: Settings,
    files: Arc<NodeFiles>,
    clock: Arc<SharedClock>,
    transport: Transport,
    present: Arc<Present>,
    request: JoinRequest,
}

/// Runs a node until `shutdown`: then it stops accepting, says goodbye, makes everything durable and returns.
///
/// # Errors
/// Why it could not start, or could not go on.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<(), Fatal> {
    let files = Arc::new(NodeFiles::open(&settings.data_dir)?);
    let listener = TcpListener::bind(settings.http)
        .await
        .map_err(|error| Fatal::bind("HTTP", settings.http, "--http", &error))?;
    let http = listener.local_addr().unwrap_or(settings.http);
    let meta = files.meta()?;
    let node_id = files.node_id(meta.as_ref())?;
    let name = meta.as_ref().map_or_else(|| settings.name.to_string(), |meta| meta.name.clone());
    if name != settings.name.to_string() {
        tracing::warn!(%name, "this data directory belongs to a node of another name; keeping that");
    }
    let clock = files.open_clock()?;
    let limits = WriteLimits {
        value_bytes_max: usize::try_from(settings.value_bytes_max).unwrap_or(usize::MAX),
        ..WriteLimits::default()
    };
    // The gate and the API look at what the node is at each use; the gossip address is known only once bound.
    let holder: Arc<std::sync::OnceLock<Arc<Present>>> = Arc::default();
    let gate = gate(Arc::clone(&holder));
    let wires = wires::Wires::new()?;
    let wire_limits = transport::Limits { send_delay: settings.transport_delay, ..Default::default() };
    let (transport, mut inbox) = wires.start(settings.gossip, wire_limits, gate).await?;
    let (gossip, http_address) = addresses(&settings, http, transport.local_address());
    let drills = drill::Drills::new(settings.allow_drills, transport.clone());
    let reached = (http_address.clone(), gossip.clone());
    let present = Present::looking(node_id, name.clone(), reached, limits, drills);
    let present = Arc::clone(holder.get_or_init(|| Arc::new(present)));
    let request = JoinRequest {
        node: node_id,
        name,
        gossip,
        http: http_address,
        wire: WireVersions { oldest: WIRE_VERSION, newest: WIRE_VERSION },
        may_found: settings.found,
        cluster: None,
    };
    let node = Node { settings, files, clock, transport, present, request };
    tracing::info!(name = %node.request.name, id = %node_id, http = %http, gossip = %node.transport.local_address(), data = %node.settings.data_dir.display(), "starting");
    let draining = CancellationToken::new();
    let server = tokio::spawn(serve_http(listener, Arc::clone(&node.present), draining.clone()));
    removed::told_again(meta.as_ref());
    let ended = node.live(meta, &mut inbox, &shutdown, &draining).await;
    draining.cancel();
    let _ = server.await;
    node.transport.shutdown(LEAVE_TIME_MAX).await;
    let Some(member) = node.present.member() else { return ended };
    // Nothing is written from here on.
    let flushed = tokio::task::spawn_blocking(move || member.store.note_clean_stop()).await;
    ended.and(match flushed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Fatal::Failed(error.to_string())),
        Err(error) => Err(Fatal::Failed(format!("the last flush did not end: {error}"))),
    })
}

fn gate(holder: Arc<std::sync::OnceLock<Arc<Present>>>) -> DurableGate {
    DurableGate::new(move |seq| {
        let member = holder.get().and_then(|present| present.member());
        async move {
            match member {
                Some(member) => member.flusher.durable(seq).await.map_err(|error| error.to_string()),
                None => Err("there is no store yet".to_owned()),
            }
        }
    })
}

fn addresses(settings: &Settings, http: SocketAddr, gossip: SocketAddr) -> (String, String) {
    (settings.gossip_advertised(gossip), settings.http_advertised(http, gossip))
}

async fn serve_http(listener: TcpListener, present: Arc<Present>, draining: CancellationToken) {
    let router = http_api::router(Arc::new(NodeService::new(present)), RouterOptions::default());
    let cut = http_api::serve(listener, router, limits::serve_options(), draining.cancelled_owned()).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "cut off connections that did not end in time");
    }
}

impl Node {
    /// Finds a cluster if there is none yet, and is a member of it, until it is told to stop.
    async fn live(
        &self,
        mut meta: Option<Meta>,
        inbox: &mut Inbox,
        shutdown: &CancellationToken,
        draining: &CancellationToken,
    ) -> Result<(), Fatal> {
        let (mut with_data, mut engine) = (meta.is_some(), None);
        loop {
            let record = match meta.take() {
                Some(record) => record,
                None => {
                    let found = tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        found = looking::look(self.looking(), inbox) => found?,
                    };
                    self.save(&found)?;
                    found
                }
            };
            match self.be_member(record, engine.take(), with_data, inbox, (shutdown, draining)).await? {
                Ended::Stopped => return Ok(()),
                Ended::Left => {
                    tracing::info!(
                        "this node has left its cluster, and ends; to join again it needs an empty data directory"
                    );
                    return Ok(());
                }
                Ended::Dissolved => self.files.forget_cluster()?,
                Ended::Damaged(given_up) => (meta, engine) = (self.files.meta()?, Some(given_up)),
            }
            // Which cluster it is of was settled at the start.
            with_data = false;
        }
    }

    fn looking(&self) -> looking::Looking<'_> {
        looking::Looking {
            request: self.request.clone(),
            seeds: self.settings.join.clone(),
            present: &self.present,
            transport: &self.transport,
            clock: &self.clock,
        }
    }

    fn save(&self, meta: &Meta) -> Result<(), Fatal> {
        self.files
            .save_meta(meta)
            .map_err(|error| Fatal::DataDirUnusable { path: self.files.path(), reason: error.to_string() })
    }

    async fn be_member(
        &self,
        meta: Meta,
        engine: Option<Arc<dyn Engine>>,
        with_data: bool,
        inbox: &mut Inbox,
        tokens: (&CancellationToken, &CancellationToken),
    ) -> Result<Ended, Fatal> {
        let opening::Opened { store, meta, began_ms } = self.open_store(meta, engine).await?;
        self.start_above_own_past(&meta);
        let life = WriterId(rand::random());
        let stamp = self.stamp()?;
        let contact = Contact { stamp, gossip: self.request.gossip.clone(), http: self.request.http.clone() };
        self.identify(&meta, life, &contact)?;

        let (events, mailbox) = mpsc::channel(EVENTS_MAX);
        let (status, seen) = watch::channel(not_yet(&meta));
        let flusher = Flusher::spawn(Arc::clone(&store))
            .map_err(|error| Fatal::Failed(format!("no thread for the flusher: {error}")))?;
        let scrubbing = scrub::Scrubbing::new(self.settings.scrub_bytes_per_second, &store, began_ms);
        let member = Arc::new(Member {
            cluster: meta.cluster,
            digest_key: meta.digest_key.clone(),
            token_key: TokenKey::derive(&meta.digest_key),
            life,
            limits: self.present.limits,
            store,
            flusher,
            acknowledge_early: self.settings.durability == Durability::Interval,
            clock: Arc::clone(&self.clock),
            events,
            news: news::News::default(),
            status: seen,
            writes: Writes::default(),
            operators: Default::default(),
            scrubbing,
            refusals: Default::default(),
            files: Arc::clone(&self.files),
        });
        scrub::Scrubbing::begin(&member)?;
        let line = Timeline::start();
        let env = Env { now: line.now(), store: &member.store, time: &*self.clock };
        let (core, first) = Core::start(self.core_config(), meta, contact, rand::random(), env);
        let protocol = Protocol {
            core,
            member: Arc::clone(&member),
            present: Arc::clone(&self.present),
            transport: self.transport.clone(),
            files: Arc::clone(&self.files),
            status,
            line,
            replies: BTreeMap::new(),
            left: false,
        };
        self.run_protocol(protocol, first, inbox, mailbox, with_data, tokens).await
    }

    /// All times of this life lie above its own addition and what it has said of itself.
    fn start_above_own_past(&self, meta: &Meta) {
        if let Some(add) = meta.roster.added(meta.node) {
            let told = meta.roster.contact(meta.node).map_or(add.at, |contact| contact.stamp);
            self.clock.start_above(add.at.max(told));
        }
    }

    /// The protocol on its thread, and the greeting of seeds beside it, until one of them or `shutdown` ends it.
    async fn run_protocol(
        &self,
        protocol: Protocol,
        first: Vec<gossip::core::Action>,
        inbox: &mut Inbox,
        mailbox: mpsc::Receiver<gossip::core::Event>,
        with_data: bool,
        (shutdown, draining): (&CancellationToken, &CancellationToken),
    ) -> Result<Ended, Fatal> {
        let member = Arc::clone(&protocol.member);
        self.present.set_member(Arc::clone(&member));
        damage::Damage::follow(&self.present, &member);
        let stop = CancellationToken::new();
        let taken = std::mem::replace(inbox, Inbox::closed());
        let (tell, mut told) = oneshot::channel();
        let stopping = stop.clone();
        std::thread::Builder::new()
            .name("protocol".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let ended = match runtime {
                    Ok(runtime) => runtime.block_on(protocol.run(first, taken, mailbox, stopping)),
                    Err(error) => Err(error.to_string()),
                };
                let _ = tell.send(ended);
            })
            .map_err(|error| Fatal::Failed(format!("no thread for the protocol: {error}")))?;
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(Ended::Stopped),
            engine = until_damaged(&member) => Ok(Ended::Damaged(engine)),
            greeted = greeting::until_dissolved(self, &member, with_data) => greeted.map(|()| Ended::Dissolved),
            ended = &mut told => return has_left(ended),
        };
        // Clients' requests first: what they write is still told on.
        if matches!(ended, Ok(Ended::Stopped)) {
            draining.cancel();
            let _ = tokio::time::timeout(LEAVE_TIME_MAX, member.writes.close()).await;
        }
        stop.cancel();
        match told.await {
            Ok(Ok(back)) => *inbox = back.inbox,
            other => return has_left(other),
        }
        ended
    }

    fn core_config(&self) -> CoreConfig {
        let settings = &self.settings;
        let sessions = SessionConfig {
            enabled: settings.anti_entropy,
            interval: settings.repair_interval,
            prefer: match settings.repair_method {
                RepairMethod::Auto => Prefer::Auto,
                RepairMethod::Tree => Prefer::Tree,
                RepairMethod::Sketch => Prefer::Sketch,
            },
            ..SessionConfig::default()
        };
        let fanout = if settings.rumors { settings.fanout } else { 0 };
        let governor = GovernorConfig {
            max_bytes_per_second: settings.repair_max_bytes_per_second,
            adaptive: settings.repair_governor,
        };
        let forgets_deletes = settings.forget_deletes;
        let grace = settings.forget_grace;
        CoreConfig { fanout, sessions, governor, forgets_deletes, grace, ..CoreConfig::default() }
    }

    fn identify(&self, meta: &Meta, life: WriterId, contact: &Contact) -> Result<(), Fatal> {
        let identity = Identity {
            cluster: meta.cluster,
            node: meta.node,
            life,
            name: meta.name.clone(),
            contact: transport::Contact {
                gossip: contact.gossip.clone(),
                http: contact.http.clone(),
                stamp: contact.stamp.as_u64(),
            },
        };
        self.transport.set_identity(identity).map_err(|error| Fatal::Settings(error.to_string()))
    }

    fn stamp(&self) -> Result<Hlc, Fatal> {
        let stamp = gossip::core::Time::tick(&*self.clock, wall_ms());
        stamp.ok_or_else(|| Fatal::DataDirUnusable {
            path: self.files.path(),
            reason: "the clock's reservation cannot be written".into(),
        })
    }
}

/// Waits until the store has stopped, and resolves if that was for damaged records alone. Otherwise the protocol learns
/// of it, and this never ends.
async fn until_damaged(member: &Arc<Member>) -> Arc<dyn Engine> {
    let stopped = CancellationToken::new();
    let tell = stopped.clone();
    member.store.on_stop(Box::new(move || tell.cancel()));
    stopped.cancelled().await;
    let store = Arc::clone(&member.store);
    // Waits for a flush, perhaps.
    if let Ok(Some(engine)) = tokio::task::spawn_blocking(move || store.give_up()).await
        && member.store.opened().is_sound()
    {
        return engine;
    }
    let reason = member.store.failure().unwrap_or_default();
    let _ = member.events.send(gossip::core::Event::StoreStopped { reason }).await;
    std::future::pending().await
}

/// The protocol has ended by itself: this node has left its cluster, or cannot go on.
fn has_left(how: Result<Result<Back, String>, oneshot::error::RecvError>) -> Result<Ended, Fatal> {
    match how {
        Ok(Ok(Back { left: true, .. })) => Ok(Ended::Left),
        Ok(Err(reason)) => Err(Fatal::Failed(reason)),
        _ => Err(Fatal::Failed("the protocol's thread ended".into())),
    }
}
