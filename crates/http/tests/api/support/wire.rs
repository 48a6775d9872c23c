//! A real server on loopback, spoken to in bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_api::{RouterOptions, ServeOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Fake;

pub struct Server {
    pub fake: Arc<Fake>,
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub ended: JoinHandle<usize>,
}

impl Server {
    pub async fn start(router: RouterOptions, options: ServeOptions) -> Self {
        let fake = Arc::new(Fake::default());
        let router = http_api::router(Arc::clone(&fake), router);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let ended = tokio::spawn(http_api::serve(listener, router, options, shutdown));
        Server { fake, address, stop, ended }
    }

    pub async fn plain() -> Self {
        Self::start(RouterOptions::default(), ServeOptions::default()).await
    }

    pub async fn connect(&self) -> Wire {
        Wire { stream: TcpStream::connect(self.address).await.unwrap(), buffer: Vec::new() }
    }

    /// Sends bytes on a connection of their own and reads one response.
    pub async fn ask(&self, bytes: impl AsRef<[u8]>) -> Option<Raw> {
        let mut wire = self.connect().await;
        wire.send(bytes).await;
        wire.answer().await
    }
}

pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub struct Raw {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Raw {
    pub fn is_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{slug}: {}{}", self.head, String::from_utf8_lossy(&self.body));
        super::check_document(&serde_json::from_slice(&self.body).unwrap(), status, slug);
    }
}

impl Wire {
    /// Sends; that the other side has already closed is no failure of the test.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next response, with the body that Content-Length announces; `None` when the connection
    /// is closed without one.
    pub async fn answer(&mut self) -> Option<Raw> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            self.more().await?;
        }
        Some(Raw { status, head, body: self.buffer.drain(..length).collect() })
    }

    /// True when the server closes the connection within the time.
    pub async fn closes_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, async { while self.more().await.is_some() {} }).await.is_ok()
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => None,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Some(())
            }
        }
    }
}
