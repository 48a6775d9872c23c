//! What clients do at a member, and what is looked at there.

use super::*;

impl Cluster {
    /// A client's PUT, acknowledged.
    pub fn put(&mut self, at: NodeId, k: &Key, value: &str, seen: Option<&Context>) {
        self.put_unheard(at, k, value, seen);
        self.event(at, Event::Wrote { keys: vec![k.clone()] });
    }

    /// A client's PUT whose client went away before it was acknowledged: nobody tells the core of it.
    pub fn put_unheard(&mut self, at: NodeId, k: &Key, value: &str, seen: Option<&Context>) {
        self.put_to_expire(at, k, value, seen, None);
    }

    /// The same of a value that lives so long.
    pub fn put_to_expire(
        &mut self,
        at: NodeId,
        k: &Key,
        value: &str,
        seen: Option<&Context>,
        ttl: Option<Duration>,
    ) {
        let dot = self.dot(at);
        let horizon = self.nodes[&at].store.marks().horizon;
        let expiry = coordinator::expiry(ttl, dot.hlc.millis(), horizon, self.config.rules).unwrap();
        let new = NewValue { value: Bytes::from(value.to_owned()), content_type: None, expiry };
        let limits = WriteLimits { value_bytes_max: 16 << 20, ..WriteLimits::default() };
        let store = &self.nodes[&at].store;
        let watermark = self.watermark(at);
        store.update(k, |held| coordinator::put(held, seen, dot, new, watermark, &limits).map(Some)).unwrap();
        store.flush().unwrap();
    }

    /// A client's DELETE, acknowledged.
    pub fn delete(&mut self, at: NodeId, k: &Key) {
        let dot = self.dot(at);
        let watermark = self.watermark(at);
        let store = &self.nodes[&at].store;
        store
            .update(k, |held| coordinator::delete(held, None, dot, watermark, &WriteLimits::default()))
            .unwrap();
        store.flush().unwrap();
        self.event(at, Event::Wrote { keys: vec![k.clone()] });
    }

    pub fn get(&self, at: NodeId, k: &Key) -> Option<Entry> {
        self.nodes[&at].store.get(k).unwrap()
    }

    pub fn values(&self, at: NodeId, k: &Key) -> Vec<String> {
        let entry = self.get(at, k).unwrap_or_default();
        entry.siblings().iter().map(|s| String::from_utf8_lossy(s.value()).into_owned()).collect()
    }

    pub fn roots_equal(&self) -> bool {
        let roots: BTreeSet<(u64, u128)> = self
            .nodes
            .values()
            .filter(|n| n.up)
            .map(|n| (n.store.root().count, n.store.root().sum))
            .collect();
        roots.len() == 1
    }

    pub fn assert_equal(&self) {
        let roots: Vec<_> = self.nodes.iter().map(|(i, n)| (*i, n.store.root(), n.store.counts())).collect();
        assert!(self.roots_equal(), "roots differ: {roots:?}");
    }
}
