//! Many clients that write a list of keys, as fast as the nodes take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::super::error::CliError;
use super::super::output::harmless;
use super::data::Data;
use super::progress::Progress;
use super::wire::{Fault, Host, Wire};

/// How often a write is tried, with a pause in between, where the node is busy or gone for a moment. A write that
/// is stored twice is only replaced by itself.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// One client's write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    /// To which of the hosts.
    pub(crate) node: usize,
    /// Which key.
    pub(crate) index: u64,
    /// Which of its values.
    pub(crate) version: u64,
}

/// What is done with each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its value is written.
    Put,
    /// The same, to live so many seconds.
    PutFor(u64),
    /// It is deleted.
    Delete,
}

/// Writes `count` keys, each said by `write`, with `clients` connections; returns once all are acknowledged.
pub(crate) async fn fill(
    hosts: &[Arc<Host>],
    data: Data,
    count: u64,
    write: &(dyn Fn(u64) -> Write + Sync),
    clients: usize,
    progress: &Progress,
) -> Result<(), CliError> {
    each(hosts, data, count, (Act::Put, write), clients, progress).await
}

/// Does the same with `count` keys, as [`fill`] does.
pub(crate) async fn each(
    hosts: &[Arc<Host>],
    data: Data,
    count: u64,
    (act, write): (Act, &(dyn Fn(u64) -> Write + Sync)),
    clients: usize,
    progress: &Progress,
) -> Result<(), CliError> {
    let next = AtomicU64::new(0);
    let client = |_| async {
        let mut wires: Vec<Wire> = hosts.iter().cloned().map(Wire::new).collect();
        let mut value = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let write = write(number);
            data.value(write.index, write.version, &mut value);
            let Some(wire) = wires.get_mut(write.node) else {
                return Err(CliError::Failed(format!("there is no node number {}", write.node)));
            };
            tell(wire, act, &data.key(write.index), &value).await?;
            progress.add(1);
        }
    };
    try_join_all((0..clients.max(1)).map(client)).await?;
    Ok(())
}

/// Writes or deletes one key, patiently.
async fn tell(wire: &mut Wire, act: Act, key: &str, value: &[u8]) -> Result<(), CliError> {
    let (method, target, value) = match act {
        Act::Put => ("PUT", format!("/v1/kv/{key}"), value),
        Act::PutFor(seconds) => ("PUT", format!("/v1/kv/{key}?ttl={seconds}s"), value),
        Act::Delete => ("DELETE", format!("/v1/kv/{key}"), &b""[..]),
    };
    let mut why = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        match wire.call(method, &target, value).await {
            Ok(reply) if reply.status < 300 => return Ok(()),
            Ok(reply) => {
                why = refusal(reply.status, reply.body);
                if reply.status != 503 {
                    break;
                }
            }
            Err(fault) => {
                why = fault.word().to_owned();
                if fault == Fault::Strange {
                    break;
                }
            }
        }
    }
    Err(CliError::Failed(format!("a key could not be written: {why}")))
}

/// What a node says of a request that it refused.
pub(crate) fn refusal(status: u16, body: &[u8]) -> String {
    let detail = serde_json::from_slice::<serde_json::Value>(body).ok();
    let detail = detail.as_ref().and_then(|problem| problem.get("detail")).and_then(|detail| detail.as_str());
    match detail {
        Some(detail) => harmless(detail),
        None => format!("answered {status}"),
    }
}
