//! gossip

pub mod clock;
pub mod liveness;
pub mod promise;
pub mod roster;
pub mod time;
