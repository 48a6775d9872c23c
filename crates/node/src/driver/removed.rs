//! What a node says of itself that was removed by others, or has left by force: above all whether what only it holds is in
//! its quarantine file, since a person may delete its data directory by these words.

use gossip::core::Status;
use gossip::meta::Meta;

use super::member::Member;

impl Member {
    /// What became of a node that was removed by others.
    pub(super) fn removed(&self, status: &Status) -> String {
        removed(status, self.files.quarantine_bytes())
    }
}

/// A node that starts on the data of one that was removed says so in its log: those that it meets need not say it again.
pub(super) fn told_again(meta: Option<&Meta>) {
    let Some(meta) = meta else { return };
    if let Some(removal) = meta.roster.removal(meta.node).filter(|removal| removal.by != meta.node) {
        tracing::error!(
            by = %meta.roster.shown_name(removal.by),
            at = %http_api::rfc3339(removal.at.millis()).unwrap_or_default(),
            "this node was removed from the cluster; it serves nothing any more, its data is kept: to join anew it needs \
             an empty data directory"
        );
    }
}

fn removed(status: &Status, quarantine_bytes: u64) -> String {
    const REMOVED: &str = "this node was removed from the cluster, and serves nothing.";
    if status.unsearched {
        return format!("{REMOVED}{}", unsearched(status));
    }
    let kept = match quarantine_bytes {
        0 => "",
        _ => {
            " Values that no other member is known to have are in its file quarantine (mangrove quarantine list)."
        }
    };
    format!("{REMOVED} Its data directory is kept; start it with an empty one to join anew.{kept}")
}

/// That not everything is in the file yet that belongs there, as sentences behind others; empty once it is.
pub(super) fn unsearched(status: &Status) -> String {
    if !status.unsearched {
        return String::new();
    }
    let more = " Values that no other member is known to have are not all in its file quarantine yet";
    match &status.stopped {
        None => {
            format!(
                "{more}: it is still looking for them. Keep it running, and do not delete its data directory."
            )
        }
        Some(reason) => format!(
            "{more}, and nothing more comes into it, since its store has stopped: {}. Make room on its disk, or mend what \
             is named here, and restart the node: it then goes on. Do not delete its data directory before.",
            reason.trim_end_matches('.')
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::member::status_of_nobody;

    #[test]
    fn nobody_is_told_that_all_is_in_the_file_before_it_is() {
        let mut status = Status { unsearched: true, ..status_of_nobody() };
        let text = removed(&status, 600);
        assert!(text.contains("not all in its file quarantine yet: it is still looking"), "{text}");
        status.stopped = Some("No space left on device".into());
        let text = removed(&status, 600);
        assert!(
            text.contains("stopped: No space left on device. Make room on its disk")
                && text.contains("Do not delete"),
            "{text}"
        );
        status.unsearched = false;
        assert!(removed(&status, 600).ends_with("are in its file quarantine (mangrove quarantine list)."));
        assert!(removed(&status, 0).ends_with("start it with an empty one to join anew."));
    }
}
