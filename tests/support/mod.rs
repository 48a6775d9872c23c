//! What the whole-system tests share: nodes as real processes, plain HTTP to them, and waiting that says what
//! it saw last.

#![allow(dead_code, unused_imports)]

mod cluster;
mod command;
mod disk;
mod folder;
mod http;
mod inputs;
mod ledger;
mod node;
mod ports;
mod process;
mod view;
mod wait;
mod workload;

pub use cluster::Cluster;
pub use command::{ask, fails, json, quarantine, quarantined};
pub use disk::SmallDisk;
pub use folder::copy_folder;
pub use http::{Answer, Api, Siblings, encoded};
pub use inputs::{Input, noise, real_files};
pub use ledger::Ledger;
pub use node::{Node, QUICK};
pub use ports::Ports;
pub use process::{Killed, Ran, is_running, mangrove, run, signal};
pub use view::{Member, View};
pub use wait::{SOON, until};
pub use workload::Workload;
