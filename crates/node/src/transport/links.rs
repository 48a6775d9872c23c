//! The accepted connections, at most one for each peer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use model::{NodeId, WriterId};
use tokio_util::sync::CancellationToken;

use super::cord::Cord;
use super::incoming::Loss;
use super::shared::lock;

/// Which connection is each peer's present one.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
}

/// One accepted connection.
#[derive(Debug)]
pub(super) struct Link {
    pub peer: NodeId,
    pub life: WriterId,
    pub remote: SocketAddr,
    pub cord: Cord,
    /// Cancelled once the driver has been told of this connection's end.
    done: CancellationToken,
}

impl Links {
    /// Makes a connection its peer's present one. Hands back the one before, which has been told to
    /// end: wait for [`Link::done`] before the driver hears of the new one, so that frames of two
    /// connections never mix.
    pub(super) fn take_place(
        &self,
        peer: NodeId,
        life: WriterId,
        remote: SocketAddr,
        cord: Cord,
    ) -> (Arc<Link>, Option<Arc<Link>>) {
        let link = Arc::new(Link { peer, life, remote, cord, done: CancellationToken::new() });
        let before = lock(&self.links).insert(peer, Arc::clone(&link));
        if let Some(before) = &before {
            let same = before.life == life;
            before.cord.cut(if same { Loss::Replaced } else { Loss::OtherLife });
        }
        (link, before)
    }

    /// Forgets a connection when the guard is dropped, whatever ended it.
    pub(super) fn leave_later<'a>(&'a self, link: &'a Arc<Link>) -> Leaving<'a> {
        Leaving { links: self, link }
    }

    /// Where the peer's connection comes from.
    pub(super) fn remote(&self, peer: NodeId) -> Option<SocketAddr> {
        lock(&self.links).get(&peer).map(|link| link.remote)
    }

    pub(super) fn close(&self, peer: NodeId, why: Loss) {
        if let Some(link) = lock(&self.links).get(&peer) {
            link.cord.cut(why);
        }
    }

    pub(super) fn close_all(&self, why: Loss) {
        lock(&self.links).values().for_each(|link| link.cord.cut(why));
    }

    /// Ends the peer's connection if it is of another life than this one.
    pub(super) fn close_other_life(&self, peer: NodeId, life: WriterId) {
        if let Some(link) = lock(&self.links).get(&peer)
            && link.life != life
        {
            link.cord.cut(Loss::OtherLife);
        }
    }
}

/// Forgets an accepted connection when dropped, and lets the one that takes its place begin.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    links: &'a Links,
    link: &'a Arc<Link>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut links = lock(&self.links.links);
        if links.get(&self.link.peer).is_some_and(|present| Arc::ptr_eq(present, self.link)) {
            links.remove(&self.link.peer);
        }
        self.link.done.cancel();
    }
}

impl Link {
    /// Waits until the driver has been told of this connection's end.
    pub(super) async fn done(&self) {
        self.done.cancelled().await;
    }
}
