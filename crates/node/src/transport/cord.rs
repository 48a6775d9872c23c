//! A way to end a connection from elsewhere, with the reason.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::incoming::Loss;

/// Ends one connection when cut, or when what it hangs on ends.
#[derive(Debug)]
pub(super) struct Cord {
    token: CancellationToken,
    why: OnceLock<Loss>,
}

impl Cord {
    /// A cord that ends with `parent` (this node's present life) as well.
    pub(super) fn new(parent: &CancellationToken) -> Cord {
        Cord { token: parent.child_token(), why: OnceLock::new() }
    }

    /// Ends the connection. Only the first reason is kept.
    pub(super) fn cut(&self, why: Loss) {
        let _ = self.why.set(why);
        self.token.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the end and says why.
    pub(super) async fn ended(&self) -> Loss {
        self.token.cancelled().await;
        self.why.get().copied().unwrap_or(Loss::OwnLife)
    }
}
