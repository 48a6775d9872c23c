//! A deterministic simulator of whole clusters. It drives the very core, founding and store that ship, in one thread, over
//! a simulated network, disks, clocks and clients, injects faults, and checks after each step what must always hold.
//!
//! Everything that happens follows from one seed: the same seed gives the same events, byte for byte.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | machines, and one heap of what happens when |
//! | `host`, `disk`, `wall` | a machine: what runs on it, what it keeps, what it takes for the time |
//! | `living`, `looking`, `driver` | what the program does around the core: lives, finding a cluster, doing what the core says |
//! | `links`, `dialing`, `network` | connections and datagrams |
//! | `client`, `ledger` | reads and writes, and what became of each |
//! | [`checks`] | what must hold |
//! | `damage` | what goes wrong with disks |
//! | [`fault`], [`plan`], [`run`] | what goes wrong, a random run, running it and making it smaller |
//! | [`crowd`] | experiments on many nodes, and a story for teaching |
//! | [`scenarios`] | one named run for each hazard whose rule can be switched off |

mod agenda;
pub mod checks;
pub mod client;
pub mod crowd;
mod damage;
mod dialing;
mod dice;
mod disk;
mod driver;
pub mod fault;
mod host;
mod ledger;
mod links;
mod living;
mod looking;
mod network;
pub mod plan;
pub mod run;
pub mod scenarios;
mod trace;
mod wall;
mod world;

pub use disk::Kept;
pub use gossip::rules::{NoSuchRule, Rule, Rules};
pub use host::{HostId, HostSettings};
pub use network::NetworkConfig;
pub use world::{Count, Setting, World};
