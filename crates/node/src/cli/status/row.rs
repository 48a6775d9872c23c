//! One member as `status` and `members` show it: heard of from the asked node, then in its own words.

use client::{ClusterView, DamageView, Forgetting, Liveness, MemberView, NodeView, ScrubView};
use serde::Serialize;

/// In place of liveness: a node that was asked and is no member any more.
pub(super) const REMOVED: &str = "removed";

/// One member.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) liveness: String,
    /// Whether it is leaving the cluster.
    pub(crate) leaving: bool,
    /// Whether it answered: then keys, tombstones and root are its own word.
    pub(crate) answered: bool,
    /// Whether it serves reads and writes, in its own word.
    pub(crate) ready: Option<bool>,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Whether it is the node that was asked for the members.
    pub(crate) asked: bool,
    pub(crate) keys: Option<u64>,
    pub(crate) tombstones: Option<u64>,
    /// Its scrub, in its own word.
    pub(crate) scrub: Option<ScrubView>,
    /// What it has lost of its records, and what became of that, in its own word.
    pub(crate) damage: Option<DamageView>,
    pub(crate) root: Option<String>,
    /// When the asked node last proved it identical to itself; RFC 3339.
    pub(crate) last_identical: Option<String>,
    /// How far its timestamps lie ahead of the asked node's clock, milliseconds; 0 up to 5 s.
    pub(crate) clock_ahead_ms: u64,
    pub(crate) repair: Option<String>,
    /// How, and how far, for people: `bulk 25 %`.
    #[serde(skip)]
    pub(crate) progress: Option<String>,
    pub(crate) http: Option<String>,
    pub(crate) gossip: Option<String>,
    /// How far deletes are forgotten there, in its own word.
    pub(crate) forgetting: Option<Forgetting>,
    /// Members that take no connection of it, and what they say, in its own word.
    #[serde(skip)]
    pub(crate) apart: Vec<(String, String)>,
    /// The program's version, in its own word.
    pub(crate) version: Option<String>,
}

impl Row {
    /// Every member as the asked node has heard of it, and the asked node itself where it is none.
    pub(crate) fn all(view: &ClusterView) -> Vec<Self> {
        let mut rows: Vec<Self> = view.members.iter().map(|member| Self::heard(member, &view.node)).collect();
        if !rows.iter().any(|row| row.asked) {
            rows.push(Self::alone(view));
        }
        rows
    }

    /// What the asked node has heard of a member.
    pub(crate) fn heard(member: &MemberView, asked: &NodeView) -> Self {
        Self {
            id: member.id.to_string(),
            name: member.name.clone(),
            liveness: liveness(member.liveness).to_owned(),
            leaving: member.leaving,
            answered: false,
            ready: None,
            reason: None,
            asked: member.id == asked.id,
            keys: None,
            tombstones: None,
            scrub: None,
            damage: None,
            root: member.root.clone(),
            last_identical: member.last_identical.clone(),
            clock_ahead_ms: member.clock_ahead_ms,
            repair: member.repair.clone(),
            progress: None,
            http: member.http.clone(),
            gossip: member.gossip.clone(),
            forgetting: None,
            apart: Vec::new(),
            version: None,
        }
    }

    /// The asked node before it belongs to a cluster, or after it was removed from one.
    fn alone(view: &ClusterView) -> Self {
        let asked = &view.node;
        Self {
            id: asked.id.to_string(),
            name: asked.name.clone(),
            liveness: if view.cluster.is_none() { "not joined" } else { REMOVED }.to_owned(),
            leaving: false,
            answered: false,
            ready: None,
            reason: None,
            asked: true,
            keys: None,
            tombstones: None,
            scrub: None,
            damage: None,
            root: None,
            last_identical: None,
            clock_ahead_ms: 0,
            repair: None,
            progress: None,
            http: Some(asked.http.clone()),
            gossip: Some(asked.gossip.clone()),
            forgetting: None,
            apart: Vec::new(),
            version: None,
        }
    }

    /// Takes what the member says of itself.
    pub(crate) fn take_word(&mut self, word: &ClusterView) {
        self.answered = true;
        self.ready = word.node.ready;
        self.reason = word.node.reason.clone();
        self.keys = Some(word.keys);
        self.tombstones = Some(word.tombstones);
        self.scrub = word.scrub.clone();
        self.damage = word.damage.clone();
        self.root = Some(word.root.clone());
        self.forgetting = Some(word.forgetting.clone());
        let refused = |member: &MemberView| Some((member.name.clone(), member.refused.clone()?));
        self.apart = word.members.iter().filter_map(refused).collect();
        self.version = Some(word.node.version.clone());
    }
}

/// As people and programs are told.
pub(crate) fn liveness(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Alive => "alive",
        Liveness::Suspect => "suspect",
        Liveness::Down => "down",
        Liveness::Left => "left",
        Liveness::Unknown => "unknown",
    }
}
