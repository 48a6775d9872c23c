//! Sponsoring a node that wants to join.
use super::{Core, Env, ReplyId};
use bytes::Bytes;
impl Core {
    pub(super) fn join_asked(&mut self, _reply: ReplyId, _request: &Bytes, _env: Env<'_>) {}
}
