//! The replication protocol as state machines: events in, actions out.
//!
//! Nothing here has a clock, a socket or a task. [`core::Core`] is one member of a cluster; a driver hands
//! it what happened, the instant and the store to read from, and does what it returns, in order. The same
//! code runs under tokio and under a simulator. Algorithms are named where they stand.
//!
//! | module | what it holds |
//! |---|---|
//! | [`core`] | one member: the entry point, what comes in and what goes out |
//! | [`session`] | anti-entropy between two members |
//! | [`rumor`] | spreading news at once |
//! | [`coordinator`] | what becomes of a client's write |
//! | [`liveness`] | who answers (SWIM) |
//! | [`roster`] | who belongs |
//! | [`founding`] | how a node without a cluster comes to one |
//! | [`pace`] | how fast repair may go |
//! | [`stability`] | what every member is known to hold, and what may be forgotten |
//! | [`promise`] | removing a member that is down, by promises |
//! | [`clock`] | the hybrid logical clock |
//! | [`rules`] | what the simulator can switch off, and nobody else |
//! | [`meta`] | what a node must remember of itself and its cluster |
//! | [`wire`] | what members send one another |

pub mod clock;
pub mod coordinator;
pub mod core;
pub mod founding;
pub mod liveness;
pub mod meta;
pub mod pace;
pub mod promise;
pub mod roster;
pub mod rules;
pub mod rumor;
pub mod session;
pub mod stability;
pub mod time;
pub mod wire;
