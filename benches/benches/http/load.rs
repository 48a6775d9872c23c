//! The load: one thread, so many connections, each with one request under way at a time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Each key once, written.
    Fill,
    /// Keys at random, read.
    Get,
    /// Keys at random, written.
    Put,
    /// The same, by etcd's JSON gateway.
    EtcdPut,
}

/// One run of the load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// What is asked for.
    pub kind: Kind,
    /// Where.
    pub address: SocketAddr,
    /// Connections.
    pub clients: u64,
    /// Keys, numbered from 0 on.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// For how long, a fill aside.
    pub millis: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests answered as they should be.
    pub requests: u64,
    /// Requests answered in any other way.
    pub refused: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Of the time to an answer, in microseconds.
    pub p50_us: u64,
    /// The same.
    pub p99_us: u64,
}

impl Outcome {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// Runs a load.
pub fn run(load: Load) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let begun = Instant::now();
        let clients: Vec<_> =
            (0..load.clients).map(|number| tokio::task::spawn_local(client(load, number, begun))).collect();
        let (mut all, mut times) = (Outcome::default(), Vec::new());
        for client in clients {
            let (requests, refused, took) = client.await.unwrap().unwrap();
            all.requests += requests;
            all.refused += refused;
            times.extend(took);
        }
        all.seconds = begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0).into();
        (all.p50_us, all.p99_us) = (at(50), at(99));
        all
    }))
}

async fn client(load: Load, number: u64, begun: Instant) -> io::Result<(u64, u64, Vec<u32>)> {
    let stream = TcpStream::connect(load.address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, held: Vec::with_capacity(4_096) };
    let mut rng = StdRng::seed_from_u64(number);
    let value: Vec<u8> = (0..load.value_bytes).map(|at| b'a' + (at % 26) as u8).collect();
    let (mut requests, mut refused, mut times, mut request) = (0, 0, Vec::new(), Vec::new());
    let mut next = number;
    loop {
        let over = match load.kind {
            Kind::Fill => next >= load.keys,
            _ => begun.elapsed() >= Duration::from_millis(load.millis),
        };
        if over {
            return Ok((requests, refused, times));
        }
        let key = if load.kind == Kind::Fill { next } else { rng.random_range(0..load.keys) };
        next += load.clients;
        request.clear();
        write_request(&mut request, &load, key, &value);
        let sent = Instant::now();
        connection.stream.write_all(&request).await?;
        let status = connection.answer().await?;
        times.push(sent.elapsed().as_micros() as u32);
        if (200..300).contains(&status) { requests += 1 } else { refused += 1 }
    }
}

fn write_request(request: &mut Vec<u8>, load: &Load, key: u64, value: &[u8]) {
    use std::io::Write;
    let host = load.address;
    let written = match load.kind {
        Kind::Get => write!(request, "GET /v1/kv/bench/{key:08} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        Kind::Put | Kind::Fill => {
            let length = value.len();
            write!(
                request,
                "PUT /v1/kv/bench/{key:08} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
            )
            .map(|()| request.extend_from_slice(value))
        }
        Kind::EtcdPut => {
            let (key, value) = (STANDARD.encode(format!("bench/{key:08}")), STANDARD.encode(value));
            let body = format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}");
            let length = body.len();
            write!(
                request,
                "POST /v3/kv/put HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
        }
    };
    written.unwrap();
}

struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Connection {
    /// The status of the next answer, which is read whole.
    async fn answer(&mut self) -> io::Result<u16> {
        self.held.clear();
        loop {
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(&self.held).map_err(io::Error::other)?;
            if let httparse::Status::Complete(head) = parsed {
                let length = response
                    .headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                    .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
                let status = response.code.unwrap_or(0);
                let length = match (status, length) {
                    (_, Some(length)) => length,
                    (204 | 304, None) => 0,
                    (_, None) => return Err(io::Error::other("an answer without a length")),
                };
                return self.rest(head + length).await.map(|()| status);
            }
        }
    }

    async fn rest(&mut self, whole: usize) -> io::Result<()> {
        while self.held.len() < whole {
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
