//! The `mangrove` program: settings, logging, the driver that runs a node, and the command line.

pub mod cli;
pub mod driver;
pub mod exit;
mod hex;
pub mod logging;
mod named;
pub mod settings;
pub mod transport;
