//! What is let through of a packet: what is behind believes in everyone it hears of.

use super::packet::{PACKET_BYTES_MAX, PacketRefused};
use super::{Codec, Header, Identity, Liveness, Member, Message, PostcardCodec};

impl Liveness {
    /// Decodes a packet: refuses those that are not between members, and takes out news
    /// about ids that are no members and about earlier epochs of this node.
    pub(super) fn sift(&self, mut body: &[u8]) -> Result<Sifted, PacketRefused> {
        let malformed = |_| PacketRefused::Malformed;
        let mut codec = PostcardCodec;
        let header: Header<Identity> = codec.decode_header(&mut body).map_err(malformed)?;
        self.check_header(&header)?;
        let mut epoch_shown = header.dst.epoch;
        let mut kept: Vec<Member<Identity>> = Vec::new();
        if let Some((count, mut updates)) = body.split_first_chunk::<2>() {
            for _ in 0..u16::from_be_bytes(*count) {
                let member: Member<Identity> = codec.decode_member(&mut updates).map_err(malformed)?;
                let id = *member.id();
                if id.node == self.me {
                    epoch_shown = epoch_shown.max(id.epoch);
                }
                if id == *self.inner.identity() || self.members.contains_key(&id.node) {
                    kept.push(member);
                }
            }
            body = updates;
        }
        if !body.is_empty() || header.message == Message::Broadcast {
            return Err(PacketRefused::Malformed);
        }
        let mut bytes = Vec::with_capacity(PACKET_BYTES_MAX);
        codec.encode_header(&header, &mut bytes).map_err(malformed)?;
        if !kept.is_empty() {
            bytes.extend_from_slice(&u16::try_from(kept.len()).unwrap_or(u16::MAX).to_be_bytes());
            kept.iter().try_for_each(|member| codec.encode_member(member, &mut bytes)).map_err(malformed)?;
        }
        Ok(Sifted { bytes, header, epoch_shown })
    }

    fn check_header(&self, header: &Header<Identity>) -> Result<(), PacketRefused> {
        if header.src.node == self.me {
            return Err(PacketRefused::OurOwnId);
        }
        if header.dst.node != self.me {
            return Err(PacketRefused::NotForUs(header.dst.node));
        }
        let third = match header.message {
            Message::PingReq { target, .. } | Message::IndirectAck { target, .. } => Some(target.node),
            Message::IndirectPing { origin, .. } | Message::ForwardedAck { origin, .. } => Some(origin.node),
            _ => None,
        };
        // A third party is only ever another member: else this node could be made to send to anybody.
        match [Some(header.src.node), third].into_iter().flatten().find(|id| !self.members.contains_key(id)) {
            Some(stranger) => Err(PacketRefused::NotAMember(stranger)),
            None => Ok(()),
        }
    }
}

/// What may be seen of a packet.
pub(super) struct Sifted {
    pub(super) bytes: Vec<u8>,
    pub(super) header: Header<Identity>,
    /// The greatest epoch by which the packet shows that this node is known.
    pub(super) epoch_shown: u64,
}
