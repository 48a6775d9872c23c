//! gossip

pub mod clock;
pub mod roster;
pub mod time;
