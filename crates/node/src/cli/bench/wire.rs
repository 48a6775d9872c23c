//! HTTP/1.1 with one kept connection, as cheap as it gets: the load must be the node's, not the client's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::endpoint::Remote;
use super::super::error::CliError;

/// Longest time for one request, connecting included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Longest answer, in bytes: values may be 16 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;

const HEADERS_MAX: usize = 48;
const READ_BYTES: usize = 16 * 1024;

/// A node's HTTP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// As it was given, for people.
    pub(crate) url: String,
    authority: String,
    /// In front of every path; without a slash at its end.
    base: String,
    address: SocketAddr,
}

impl Host {
    /// The node at this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            url: format!("http://{address}"),
            authority: address.to_string(),
            base: String::new(),
            address,
        }
    }

    /// For questions beside the load, whose cost does not matter.
    pub(crate) fn remote(&self) -> Result<Remote, CliError> {
        Remote::to(&self.url, REQUEST_TIME_MAX)
    }

    /// From `host:port` or `http://host:port`; the name is looked up once.
    pub(crate) async fn find(given: &str) -> Result<Self, CliError> {
        let (authority, base) = parts(given).ok_or_else(|| {
            CliError::Refused(format!("{given:?} is no node's address: write one like http://127.0.0.1:7710"))
        })?;
        let found = tokio::net::lookup_host(&authority).await;
        let address = found.ok().and_then(|mut addresses| addresses.next());
        let address = address
            .ok_or_else(|| CliError::Failed(format!("the host of {given} is not known: correct its name")))?;
        Ok(Self { url: given.to_owned(), authority, base, address })
    }
}

/// `host:port` and the path in front of all others.
fn parts(given: &str) -> Option<(String, String)> {
    let rest = match given.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => given,
    };
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\\"<>".contains(&byte);
    if rest.is_empty() || !rest.bytes().all(allowed) {
        return None;
    }
    let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let named = authority.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty());
    named.then(|| (authority, base.trim_end_matches('/').to_owned()))
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// Nothing came in time.
    Timeout,
    /// What came is no answer that is understood here.
    Strange,
}

impl Fault {
    /// The word that stands for it in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Strange => "strange",
        }
    }
}

/// An answer; its body lies in the connection's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A connection to one node, made when it is needed and kept.
#[derive(Debug)]
pub(crate) struct Wire {
    host: Arc<Host>,
    stream: Option<TcpStream>,
    out: Vec<u8>,
    input: Vec<u8>,
}

/// Where the parts of an answer lie.
struct Head {
    status: u16,
    body_from: usize,
    body_bytes: usize,
    close: bool,
}

impl Wire {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host, stream: None, out: Vec::new(), input: Vec::new() }
    }

    /// One request and its answer. `target` is a path as it stands in the request.
    pub(crate) async fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Result<Reply<'_>, Fault> {
        self.write_request(method, target, body);
        let head = match timeout(REQUEST_TIME_MAX, self.exchange()).await {
            Ok(Ok(head)) => head,
            Ok(Err(fault)) => {
                self.stream = None;
                return Err(fault);
            }
            Err(_) => {
                self.stream = None;
                return Err(Fault::Timeout);
            }
        };
        if head.close {
            self.stream = None;
        }
        let body = self.input.get(head.body_from..head.body_from + head.body_bytes).unwrap_or_default();
        Ok(Reply { status: head.status, body })
    }

    fn write_request(&mut self, method: &str, target: &str, body: &[u8]) {
        self.out.clear();
        for part in [method, " ", &self.host.base, target, " HTTP/1.1\r\nhost: ", &self.host.authority] {
            self.out.extend_from_slice(part.as_bytes());
        }
        if method != "GET" {
            if method == "POST" {
                self.out.extend_from_slice(b"\r\ncontent-type: application/json");
            }
            self.out.extend_from_slice(format!("\r\ncontent-length: {}", body.len()).as_bytes());
        }
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
    }

    async fn exchange(&mut self) -> Result<Head, Fault> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.host.address).await.map_err(|_| Fault::Connect)?;
                let _ = stream.set_nodelay(true);
                stream
            }
        };
        self.input.clear();
        stream.write_all(&self.out).await.map_err(|_| Fault::Closed)?;
        let head = loop {
            read_more(&mut stream, &mut self.input).await?;
            if let Some(head) = head(&self.input)? {
                break head;
            }
        };
        while self.input.len() < head.body_from + head.body_bytes {
            read_more(&mut stream, &mut self.input).await?;
        }
        self.stream = Some(stream);
        Ok(head)
    }
}

async fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    if input.len() > ANSWER_BYTES_MAX {
        return Err(Fault::Strange);
    }
    input.reserve(READ_BYTES);
    match stream.read_buf(input).await {
        Ok(0) | Err(_) => Err(Fault::Closed),
        Ok(_) => Ok(()),
    }
}

/// The head of an answer, once it is there whole.
fn head(input: &[u8]) -> Result<Option<Head>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let body_from = match parsed.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::Strange),
    };
    let status = parsed.code.unwrap_or_default();
    let (mut body_bytes, mut close) = (None, false);
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Fault::Strange)?;
            body_bytes = Some(text.trim().parse::<usize>().map_err(|_| Fault::Strange)?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let none = matches!(status, 204 | 304);
    let body_bytes = if none { 0 } else { body_bytes.ok_or(Fault::Strange)? };
    if body_bytes > ANSWER_BYTES_MAX {
        return Err(Fault::Strange);
    }
    Ok(Some(Head { status, body_from, body_bytes, close }))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_read_in_both_forms() {
        let of = |given: &str| parts(given);
        let both = |authority: &str, base: &str| Some((authority.to_owned(), base.to_owned()));
        assert_eq!(of("http://n1:7710/"), both("n1:7710", ""));
        assert_eq!(of("127.0.0.1:1"), both("127.0.0.1:1", ""));
        assert_eq!(of("HTTP://n1"), both("n1:80", ""));
        assert_eq!(of("http://n1:7710/below/it"), both("n1:7710", "/below/it"));
        for bad in ["", "https://n1", "http://", "http://:80", "http://a b", "http://u@n1", "http://n1?x"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    /// Answers each request on one connection with the next of these bytes, then closes it.
    async fn serve(answers: Vec<&'static [u8]>) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Host::at(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut asked = [0; 4096];
                assert!(stream.read(&mut asked).await.unwrap() > 0);
                for part in answer.chunks(7) {
                    stream.write_all(part).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        Wire::new(Arc::new(host))
    }

    #[tokio::test]
    async fn answers_in_pieces_are_put_together_on_one_connection() {
        let mut wire = serve(vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nhello",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ])
        .await;
        let reply = wire.call("GET", "/v1/kv/a", b"").await.unwrap();
        assert_eq!((reply.status, reply.body), (200, b"hello".as_slice()));
        assert_eq!(wire.call("PUT", "/v1/kv/a", b"x").await.unwrap().status, 204);
        assert_eq!(wire.call("GET", "/v1/kv/b", b"").await.unwrap().status, 404);
        // It said that it would close: the next request needs a connection of its own, and nobody listens.
        assert_eq!(wire.call("GET", "/v1/kv/b", b"").await.unwrap_err(), Fault::Connect);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_by_kind() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut wire = Wire::new(Arc::new(Host::at(nobody)));
        assert_eq!(wire.call("GET", "/", b"").await.unwrap_err(), Fault::Connect);
        for (bad, fault) in [
            (b"SSH-2.0-OpenSSH\r\n\r\n".as_slice(), Fault::Strange),
            (b"HTTP/1.1 200 OK\r\n\r\n", Fault::Strange),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Fault::Strange),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Fault::Closed),
        ] {
            let mut wire = serve(vec![bad]).await;
            assert_eq!(wire.call("GET", "/", b"").await.unwrap_err(), fault);
        }
    }
}
