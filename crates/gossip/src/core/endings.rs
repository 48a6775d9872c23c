//! What becomes of a session's end: evidence, another session, or leaving a peer alone for a while.

use std::time::Duration;

use model::NodeId;
use rand::RngExt;

use super::{Action, Core, Env};
use crate::session::{AbortReason, Ending, Failure, Outcome, Report, Session, SessionId, SessionPhase};

/// A session that named no more than this is not worth a line in the log, unless the peer has just returned.
const FEW_KEYS: u64 = 16;
/// A peer that was busy is asked again after this time, and twice as long each more time, up to 16 times. A node that
/// is behind asks as often as this.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// After watermark and horizon were made equal a session is opened again after this time: the store follows first.
const MARKS_PAUSE: Duration = Duration::from_millis(5);

/// In a large cluster two members whose rosters differed meet again after this time.
const ROSTER_PAUSE: Duration = Duration::from_secs(1);

impl Core {
    pub(super) fn end_session(&mut self, id: SessionId, ending: &Ending, env: Env<'_>) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.release(env.store);
        if !session.is_check() {
            self.governor.ended(env.now.mono);
        }
        self.changed = true;
        let (peer, tally) = (session.peer(), session.tally());
        self.forgetting.blocked += tally.refused;
        if !matches!(ending, Ending::Identical | Ending::More | Ending::Withheld | Ending::MarksFirst) {
            self.forget_told(peer);
        }
        let ms = (env.now.mono.saturating_sub(session.started().mono)).as_millis() as u64;
        if let Some(root) = session.peer_root() {
            self.heard_of(peer, session.peer_behind(), root);
        }
        let busy = matches!(ending, Ending::Busy | Ending::Aborted(AbortReason::Busy));
        let check = matches!(ending, Ending::Identical) && session.is_check() && !session.peer_behind();
        if check && session.peer_root() == Some(env.store.root()) {
            self.schedule.identical(peer);
        } else if !check && !busy && !matches!(ending, Ending::MarksFirst) {
            self.sessions_needed(env);
        }
        match ending {
            Ending::Identical => {
                // A few keys are writes that were under way as the views were frozen, but for one that came back.
                let returned = std::mem::take(&mut self.peers.entry(peer).or_default().returned);
                if tally.named > if returned { 0 } else { FEW_KEYS } {
                    tracing::info!(peer = %self.meta.roster.shown_name(peer), named = tally.named, sent = tally.sent, received = tally.received, ms, "repaired");
                }
                self.proven(&session, env);
            }
            Ending::More => {
                tracing::info!(peer = %self.meta.roster.shown_name(peer), named = tally.named, sent = tally.sent, received = tally.received, ms, "repaired in part, going on");
                self.schedule.soon(peer, env.now.mono);
            }
            Ending::Withheld => {
                tracing::info!(peer = %self.meta.roster.shown_name(peer), named = tally.named, received = tally.received, ms,
                    "repaired in part: of some entries neither side can say whether they were replaced");
            }
            Ending::RosterFirst(roster) => self.roster_first(peer, roster, env),
            Ending::MarksFirst => self.marks_first(peer, env),
            Ending::Busy | Ending::Aborted(AbortReason::Busy) => self.try_again(peer, env),
            Ending::Aborted(reason) => {
                tracing::info!(peer = %self.meta.roster.shown_name(peer), %reason, "the peer ended the session");
                self.aborted(peer, *reason, env);
            }
            Ending::Failed(failure @ (Failure::PeerGone | Failure::Stopping)) => {
                tracing::debug!(peer = %self.meta.roster.shown_name(peer), %failure, "session ended");
            }
            Ending::Failed(failure) => {
                tracing::warn!(peer = %self.meta.roster.shown_name(peer), %failure, ms, "session ended");
                match failure {
                    Failure::Overlong => self.schedule.soon(peer, env.now.mono),
                    Failure::ViewLost | Failure::Find(merkle::FindError::View(_)) | Failure::Store(_) => {
                        self.repairs.back_off(peer, env.now.mono, false);
                    }
                    _ => self.repairs.back_off(peer, env.now.mono, true),
                }
            }
        }
        self.remember(&session, ending, env);
        if matches!(ending, Ending::Identical) {
            self.may_have_handed_over(&session, env);
        }
    }

    /// The peer, or this node itself, is repairing with somebody else.
    fn try_again(&mut self, peer: NodeId, env: Env<'_>) {
        let times = self.repairs.was_busy(peer);
        let longer = if self.meta.caught_up { 1 << times.min(4) } else { 1 };
        let jitter = self.rng.random_range(0.75..1.5);
        let at = env.now.mono + (BUSY_PAUSE * longer).mul_f64(jitter);
        if self.asked_for.contains(&peer) {
            self.schedule.wanted(peer, at);
        } else {
            self.schedule.soon(peer, at);
        }
    }

    fn aborted(&mut self, peer: NodeId, reason: AbortReason, env: Env<'_>) {
        match reason {
            AbortReason::NotMember => self.tell_roster(peer),
            AbortReason::Busy => self.try_again(peer, env),
            AbortReason::Overlong => self.schedule.soon(peer, env.now.mono),
            AbortReason::ViewLost | AbortReason::Stopped => {
                self.repairs.back_off(peer, env.now.mono, false);
            }
            AbortReason::Protocol | AbortReason::TimedOut | AbortReason::Unequal => {
                self.repairs.back_off(peer, env.now.mono, true);
            }
        }
    }

    /// Counts a session that has ended, and keeps its report if it tells anything.
    fn remember(&mut self, session: &Session, ending: &Ending, env: Env<'_>) {
        let outcome = match ending {
            Ending::Identical => Outcome::Identical,
            Ending::More => Outcome::More,
            Ending::Busy | Ending::Aborted(AbortReason::Busy) => Outcome::Busy,
            Ending::Aborted(reason) => {
                self.repairs.failed(format!("peer_{}", reason.kind()));
                Outcome::Aborted(*reason)
            }
            Ending::Failed(failure) => {
                self.repairs.failed(failure.kind().to_owned());
                Outcome::Failed(failure.to_string())
            }
            Ending::Withheld => Outcome::Withheld,
            Ending::RosterFirst(_) | Ending::MarksFirst => return,
        };
        let check = outcome == Outcome::Identical && session.tally().searches == 0;
        self.repairs.checks += u64::from(check);
        if matches!(outcome, Outcome::Identical | Outcome::More | Outcome::Withheld) {
            self.repairs.went_well(session.peer());
        }
        let report = session.report(env.now.mono);
        self.repairs.count(&report);
        if outcome == Outcome::Busy {
            return;
        }
        if matches!(ending, Ending::Failed(Failure::PeerGone)) && session.is_opening() {
            // It was over before it began; what was asked for still is.
            if session.is_initiated() && self.asked_for.contains(&session.peer()) {
                self.schedule.wanted(session.peer(), env.now.mono + BUSY_PAUSE);
            }
            return;
        }
        let asked_for = session.id().initiator == self.meta.node && self.asked_for.remove(&session.peer());
        if check && !asked_for {
            return;
        }
        self.repairs.ended(Report {
            phase: SessionPhase::Ended,
            outcome: Some(outcome),
            remaining_ms: None,
            ..report
        });
    }

    /// The two were identical as of the session's start.
    fn proven(&mut self, session: &Session, env: Env<'_>) {
        let peer = session.peer();
        self.meta.identical.insert(peer, session.started().wall_ms);
        self.evidence_unsaved_since.get_or_insert(env.now.mono);
        self.merge_vector(session, env);
    }

    fn roster_first(&mut self, peer: NodeId, roster: &crate::roster::Roster, env: Env<'_>) {
        let changed = self.merge_roster(roster, env);
        self.tell_roster(peer);
        // Equal after one exchange. Were it not, the pause keeps two nodes from spinning.
        let pause = match (changed, self.is_large()) {
            (true, false) => Duration::ZERO,
            (false, false) => Duration::from_millis(250),
            // Where a thousand members start, the roster is another again and again for a moment.
            (_, true) => ROSTER_PAUSE.mul_f64(self.rng.random_range(1.0..2.0)),
        };
        self.schedule.soon(peer, env.now.mono + pause);
        if self.asked_for.contains(&peer) {
            self.schedule.wanted(peer, env.now.mono + pause);
        }
    }

    /// The peer's watermark or horizon was another: both have the greater now, and open again.
    fn marks_first(&mut self, peer: NodeId, env: Env<'_>) {
        let pause = MARKS_PAUSE.mul_f64(self.rng.random_range(1.0..2.0));
        self.schedule.soon(peer, env.now.mono + pause);
        if self.asked_for.contains(&peer) {
            self.schedule.wanted(peer, env.now.mono + pause);
        }
    }

    pub(super) fn heard_of(&mut self, peer: NodeId, behind: bool, root: merkle::RangeDigest) {
        let known = self.peers.entry(peer).or_default();
        if known.root != Some(root) || known.behind != Some(behind) {
            self.changed = true;
        }
        (known.root, known.behind) = (Some(root), Some(behind));
    }

    pub(super) fn save_evidence(&mut self, env: Env<'_>, after: Duration) {
        if self.evidence_unsaved_since.is_some_and(|since| env.now.mono >= since + after) {
            self.evidence_unsaved_since = None;
            self.out.push_back(Action::Keep(Box::new(self.meta.clone())));
        }
    }
}
