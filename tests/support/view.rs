//! What `/v1/cluster` says, as a program would read it.

use jiff::Timestamp;
use serde::Deserialize;

/// The cluster as one node sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct View {
    pub cluster: Option<String>,
    pub node: Itself,
    pub root: String,
    pub keys: u64,
    pub tombstones: u64,
    pub members: Vec<Member>,
}

/// The node that answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Itself {
    pub id: String,
    pub name: String,
    pub version: String,
    pub http: String,
    pub gossip: String,
}

/// One member of the roster.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    pub id: String,
    pub name: String,
    pub liveness: String,
    pub root: Option<String>,
    pub last_identical: Option<Timestamp>,
    pub repair: Option<String>,
    pub gossip: Option<String>,
}

impl View {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Whether all members but the answering node itself are seen as this.
    pub fn others_are(&self, liveness: &str) -> bool {
        self.members
            .iter()
            .filter(|member| member.id != self.node.id)
            .all(|member| member.liveness == liveness)
    }

    /// Names and what is said of them, short enough for a message.
    pub fn summary(&self) -> String {
        let member = |member: &Member| {
            let last = member.last_identical.map_or("never".to_owned(), |at| at.to_string());
            format!("{} {} identical {last}", member.name, member.liveness)
        };
        let members: Vec<String> = self.members.iter().map(member).collect();
        format!(
            "{}: root {} keys {} tombstones {} [{}]",
            self.node.name,
            self.root,
            self.keys,
            self.tombstones,
            members.join("; ")
        )
    }
}
