//! `mangrove evict`: a member that is down is removed for ever.

use clap::Args;
use client::{ClusterView, Evicted};
use jiff::Timestamp;

use super::endpoint::{self, Endpoints};
use super::error::CliError;
use super::output::{self, harmless};
use super::status::{liveness, since};

/// Remove a member for ever that is down and will not come back; deletes then wait for it no longer
#[derive(Debug, Args)]
pub(crate) struct Evict {
    /// The member: its name, or its id
    #[arg(value_name = "NAME")]
    member: String,

    /// Ask no other member for its promise, and remove it even if it answers
    #[arg(long)]
    force: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Evict) -> Result<(), CliError> {
    // What was asked of one node must not be done by another, which may see the member otherwise.
    let (remote, view) = arguments.endpoints.member().await?;
    // A node that knows no members says why itself.
    if !view.members.is_empty() {
        let what = question(&view, &arguments, Timestamp::now())?;
        if arguments.force && arguments.yes {
            output::say(&what);
        }
        output::confirm(arguments.yes, arguments.force, &what)?;
    }
    let evicted = remote.evict(&arguments.member, arguments.force).await?;
    if arguments.json {
        return output::print_json(&evicted);
    }
    output::print(told(&evicted) + "\n")
}

/// What is to be done, to whom, and what may be lost by it.
fn question(view: &ClusterView, arguments: &Evict, now: Timestamp) -> Result<String, CliError> {
    let wanted = &arguments.member;
    let member = endpoint::member(view, wanted)?;
    let asked = harmless(&view.node.name);
    let (state, lost) = if member.id == view.node.id {
        ("the node asked itself".to_owned(), "it leaves, handing nothing over".to_owned())
    } else {
        let lost = match &member.last_identical {
            Some(at) => format!(
                "what it took since it was last proven identical to {asked}, {}, and told nobody is lost to the others",
                since(at, now)
            ),
            None => {
                format!("it was never proven identical to {asked}: what it told nobody is lost to the others")
            }
        };
        (liveness(member.liveness).to_owned(), lost)
    };
    let how = if arguments.force { ", without asking the other members" } else { "" };
    let name = harmless(&member.name);
    Ok(format!("{name} ({state}) is removed from the cluster for ever{how}; {lost}"))
}

fn told(evicted: &Evicted) -> String {
    let promised = match (evicted.promised, evicted.needed) {
        (Some(promised), Some(needed)) => format!(" {promised} members promised it, {needed} were needed."),
        _ if evicted.forced => " Nobody was asked.".to_owned(),
        _ => String::new(),
    };
    let identical = evicted.last_identical.as_ref();
    let identical =
        identical.map_or_else(String::new, |at| format!(" It was last proven identical at {at}."));
    harmless(&format!("{}{promised}{identical}", evicted.detail))
}

#[cfg(test)]
mod tests {
    use client::{Liveness, MemberView, NodeView};

    use super::*;

    fn member(id: &str, name: &str, liveness: Liveness, last_identical: Option<&str>) -> MemberView {
        MemberView {
            id: id.parse().unwrap(),
            name: name.into(),
            liveness,
            leaving: false,
            root: None,
            last_identical: last_identical.map(str::to_owned),
            clock_ahead_ms: 0,
            repair: None,
            refused: None,
            http: None,
            gossip: None,
        }
    }

    #[test]
    fn the_question_says_to_whom_and_what_may_be_lost() {
        let node = NodeView {
            ready: Some(true),
            reason: None,
            id: "0000000000000001".parse().unwrap(),
            name: "n1".into(),
            version: String::new(),
            uptime_ms: 0,
            http: String::new(),
            gossip: String::new(),
        };
        let at = "2026-01-02T03:04:05Z";
        let members = vec![
            member("0000000000000001", "n1", Liveness::Alive, Some(at)),
            member("0000000000000002", "n2", Liveness::Down, Some(at)),
            member("0000000000000003", "n3", Liveness::Alive, None),
        ];
        let view = ClusterView {
            cluster: None,
            node,
            root: String::new(),
            keys: 0,
            tombstones: 0,
            tree_bytes: 0,
            forgetting: Default::default(),
            scrub: None,
            damage: None,
            quarantine_bytes: 0,
            members,
            removed: Vec::new(),
        };
        let asked = |member: &str, force| {
            let endpoints = Endpoints::default();
            let evict = Evict { member: member.into(), force, yes: false, json: false, endpoints };
            question(&view, &evict, "2026-01-02T03:04:08Z".parse().unwrap())
                .map_err(|error| error.message().unwrap())
        };
        insta::assert_snapshot!(asked("n2", false).unwrap(), @"n2 (down) is removed from the cluster for ever; what it took since it was last proven identical to n1, 3 s ago (2026-01-02T03:04:05Z), and told nobody is lost to the others");
        insta::assert_snapshot!(asked("0000000000000003", true).unwrap(), @"n3 (alive) is removed from the cluster for ever, without asking the other members; it was never proven identical to n1: what it told nobody is lost to the others");
        insta::assert_snapshot!(asked("n1", true).unwrap(), @"n1 (the node asked itself) is removed from the cluster for ever, without asking the other members; it leaves, handing nothing over");
        insta::assert_snapshot!(asked("n9", true).unwrap_err(), @"no member is called n9; the members are: n1, n2, n3");
    }
}
