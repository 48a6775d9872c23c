//! Nothing leaves a node before it is durable there: the gate a frame passes before it is written.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use storage::Seq;

type Waiting = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Waits until a write of the store, and all before it, are durable.
#[derive(Clone)]
pub struct DurableGate {
    durable: Arc<dyn Fn(Seq) -> Waiting + Send + Sync>,
}

impl DurableGate {
    /// A gate from a function whose future ends when all writes up to and with the given one are
    /// durable, or with the reason why they never will be. A frame behind such a failure is never
    /// written: its connection ends.
    pub fn new<F, R, E>(durable: F) -> DurableGate
    where
        F: Fn(Seq) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let durable = move |seq| -> Waiting {
            let waiting = durable(seq);
            Box::pin(async move { waiting.await.map_err(|e| e.to_string()) })
        };
        DurableGate { durable: Arc::new(durable) }
    }

    /// A gate that lets everything through at once, for nodes that store nothing.
    pub fn open() -> DurableGate {
        DurableGate::new(|_| std::future::ready(Ok::<(), String>(())))
    }

    pub(super) async fn pass(&self, seq: Seq) -> Result<(), String> {
        (self.durable)(seq).await
    }
}

impl fmt::Debug for DurableGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableGate")
    }
}
