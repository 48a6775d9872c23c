//! gossip

pub mod clock;
pub mod promise;
pub mod roster;
pub mod time;
