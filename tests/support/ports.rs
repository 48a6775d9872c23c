//! Ports that no other test uses.
//!
//! They lie below the range from which systems choose ports for outgoing connections, in blocks; whoever
//! listens on the first port of a block owns the rest of it, across processes, until it ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const BLOCK: u16 = 40;
const BLOCKS: u16 = 500;

static NEXT_BLOCK: AtomicU16 = AtomicU16::new(0);

/// A block of ports.
#[derive(Debug)]
pub struct Ports {
    _owned: TcpListener,
    next: u16,
    end: u16,
}

impl Ports {
    /// Takes a block that nobody owns.
    pub fn reserve() -> Self {
        let start = std::process::id().wrapping_mul(37) % u32::from(BLOCKS);
        for _ in 0..BLOCKS {
            let step = u32::from(NEXT_BLOCK.fetch_add(1, Ordering::Relaxed));
            let block = u16::try_from((start + step) % u32::from(BLOCKS)).unwrap();
            let first = FIRST + block * BLOCK;
            if let Ok(owned) = TcpListener::bind(loopback(first)) {
                return Self { _owned: owned, next: first + 1, end: first + BLOCK };
            }
        }
        panic!("no block of free ports from {FIRST} on");
    }

    /// An address on which neither TCP nor UDP is in use.
    pub fn address(&mut self) -> SocketAddr {
        while self.next < self.end {
            let address = loopback(self.next);
            self.next += 1;
            if is_free(address) {
                return address;
            }
        }
        panic!("the block of ports up to {} is used up", self.end);
    }

    /// The first port for a `dev` of three nodes, which steps by ten and takes two each.
    pub fn dev_base(&mut self) -> u16 {
        while self.next + 22 < self.end {
            let base = self.next;
            self.next += 1;
            let mut wanted = [0, 1, 10, 11, 20, 21].map(|step| loopback(base + step)).into_iter();
            if wanted.all(is_free) {
                self.next = base + 22;
                return base;
            }
        }
        panic!("no room for three nodes below {}", self.end);
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
