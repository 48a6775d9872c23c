//! Dots are unique, and rise with each write of a writer and of a node, over all its lives.

use gossip::meta::Meta;
use model::{ClusterId, Dot, Hlc};

use crate::host::HostId;
use crate::world::World;

impl World {
    /// A write was given this dot.
    pub(crate) fn check_new_dot(&mut self, host: HostId, dot: Dot) {
        let member = self.hosts.get(&host).and_then(|h| h.member());
        let Some((node, cluster)) = member.map(|member| (member.node, member.cluster)) else { return };
        let watermark = self.watermark_over(host, cluster, dot);
        let known = self.ledger.dots.contains_key(&dot);
        let of_writer = self.ledger.last_of_writer.insert(dot.writer, dot.hlc);
        let of_node = self.ledger.last_of_node.insert(node, dot.hlc);
        let found = if known {
            Err(format!("{host} made {dot} a second time"))
        } else if of_writer.is_some_and(|last| last >= dot.hlc) {
            Err(format!("{host} made {dot} after a later one of the same writer"))
        } else if of_node.is_some_and(|last| last >= dot.hlc) {
            Err(format!("{host} made {dot} under a time that it had used in an earlier life"))
        } else if dot.hlc <= watermark {
            Err(format!("{host} made {dot} under a watermark, {watermark}: others take it for long replaced"))
        } else {
            Ok(())
        };
        self.judge("dots", found);
    }

    /// Whether a node makes a dot under a watermark that it has not heard of: it was put back to an old backup, and its
    /// clock is behind, too. The others take what lies there for long replaced. Or every disk was put back that had that
    /// watermark: there are tokens from then still.
    pub(crate) fn lies_under_unknown(&self, host: HostId, dot: Dot) -> bool {
        let Some(own) = self.hosts.get(&host).and_then(|host| host.record()) else { return false };
        let nobody_knows = dot.hlc > self.marks_on_disks(own.cluster, None).watermark;
        let is_under = dot.hlc <= self.watermark_of(own.cluster);
        self.comes_again(&own, dot) || (is_under && (nobody_knows || self.is_unsure(&own)))
    }

    /// Whether a node that was put back takes times once more, since its clock is behind, by which others raise the watermark still.
    fn comes_again(&self, own: &Meta, dot: Dot) -> bool {
        let published = self.ledger.published.get(&(own.cluster, own.node));
        self.ledger.ever_put_back.contains(&own.node) && published.is_some_and(|at| dot.hlc <= *at)
    }

    /// Whether a node's disk was put back, and nobody has told it since what it has missed: who it has met may not have known
    /// how far the watermark is.
    fn is_unsure(&self, own: &Meta) -> bool {
        let knows = || own.stability.watermark >= self.marks_on_disks(own.cluster, None).watermark;
        self.ledger.unaware.contains(&own.node) && (own.stability.unproven.is_some() || !knows())
    }

    /// The greatest watermark under which no dot of this host's may lie any more: of the members that count it as one. A
    /// node put back to an old backup knows of no later one before it has met somebody; what it takes until then may be
    /// quarantined.
    fn watermark_over(&self, host: HostId, cluster: ClusterId, dot: Dot) -> Hlc {
        let Some(own) = self.hosts.get(&host).and_then(|host| host.record()) else { return Hlc::ZERO };
        if self.comes_again(&own, dot) || self.is_unsure(&own) {
            return own.stability.watermark;
        }
        let records = self.hosts.values().filter_map(|host| host.record());
        let counts = records.filter(|meta| meta.cluster == cluster && meta.roster.contains(own.node));
        counts.map(|meta| meta.stability.watermark).max().unwrap_or_default()
    }

    /// A disk was put back to what it was: its times may come again, its writers may not.
    pub(crate) fn forget_times(&mut self, host: HostId) {
        let node = self.hosts.get(&host).and_then(|h| h.disk.small.borrow().node);
        if let Some(node) = node {
            self.ledger.last_of_node.remove(&node);
            self.ledger.put_back.insert(node);
            self.ledger.unaware.insert(node);
            self.ledger.ever_put_back.insert(node);
        }
    }
}
