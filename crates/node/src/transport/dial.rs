//! Making a connection: the name, each of its addresses, the first exchange.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use model::NodeId;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::hello::{Answer, Hello, Welcome};
use super::identity::Identity;
use super::limits::Limits;
use super::refusal::Refusal;
use super::stream::{Patient, codec, write_frames};

/// No name is taken to have more addresses than this.
const ADDRESSES_MAX: usize = 16;

/// Why no connection was made.
#[derive(Debug, Error)]
pub(super) enum DialError {
    #[error("{address} cannot be resolved: {source}")]
    Resolve { address: String, source: io::Error },
    #[error("{remote}: {source}")]
    Io { remote: SocketAddr, source: io::Error },
    #[error("{remote} {refusal}")]
    Refused { remote: SocketAddr, refusal: Refusal },
    #[error("{remote} answered what it must not: {what}")]
    BadAnswer { remote: SocketAddr, what: String },
    #[error("a drill holds this node apart")]
    Isolated,
}

pub(super) type FrameReader = FramedRead<Patient<OwnedReadHalf>, LengthDelimitedCodec>;

/// A connection on which frames may be sent.
#[derive(Debug)]
pub(super) struct Dialed {
    pub reader: FrameReader,
    pub writer: OwnedWriteHalf,
    pub welcome: Welcome,
    pub wire: u16,
}

/// All addresses that `host:port` stands for at this moment.
pub(super) async fn resolve(address: &str, time_max: Duration) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::Resolve { address: address.to_owned(), source };
    let looked_up = timeout(time_max, tokio::net::lookup_host(address)).await;
    let found = looked_up.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if found.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}

/// Connects to a peer, trying every address of its name.
pub(super) async fn dial(
    limits: &Limits,
    me: &Identity,
    peer: NodeId,
    address: &str,
) -> Result<Dialed, DialError> {
    let mut first_error = None;
    for remote in resolve(address, limits.resolve_time_max).await? {
        match dial_one(limits, me, peer, remote).await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => keep_better(&mut first_error, error),
        }
    }
    Err(first_error.unwrap_or(DialError::Resolve {
        address: address.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

/// Of several failures a refusal says most, then the first.
pub(super) fn keep_better(kept: &mut Option<DialError>, error: DialError) {
    let says_more = match kept {
        None => true,
        Some(DialError::Refused { .. }) => false,
        Some(_) => matches!(error, DialError::Refused { .. }),
    };
    if says_more {
        *kept = Some(error);
    }
}

async fn dial_one(
    limits: &Limits,
    me: &Identity,
    peer: NodeId,
    remote: SocketAddr,
) -> Result<Dialed, DialError> {
    let hello = Hello {
        cluster: me.cluster,
        from: me.node,
        to: Some(peer),
        life: me.life,
        name: me.name.clone(),
        contact: me.contact.clone(),
    };
    let bad = |what: String| DialError::BadAnswer { remote, what };
    let first = hello.encode(limits.wire_min, limits.wire_max).map_err(|e| bad(e.to_string()))?;
    let answer_max = limits.hello_bytes_max;
    let (reader, writer, answer) = exchange(limits, remote, first, answer_max, limits.hello_time_max).await?;
    match answer {
        Answer::Welcome { welcome, .. } if welcome.from != peer => {
            Err(bad(format!("it is node {}", welcome.from)))
        }
        Answer::Welcome { wire, .. } if wire < limits.wire_min || wire > limits.wire_max => {
            Err(bad(format!("wire version {wire}")))
        }
        Answer::Welcome { wire, welcome } => Ok(Dialed { reader, writer, welcome, wire }),
        Answer::Refused(refusal) => Err(DialError::Refused { remote, refusal }),
        Answer::Joined(_) => Err(bad("the answer to another question".to_owned())),
    }
}

/// Connects to one address, sends the first frame and reads its answer.
pub(super) async fn exchange(
    limits: &Limits,
    remote: SocketAddr,
    first: Bytes,
    answer_bytes_max: usize,
    time_max: Duration,
) -> Result<(FrameReader, OwnedWriteHalf, Answer), DialError> {
    let failed = |source: io::Error| DialError::Io { remote, source };
    let late = |_| failed(io::ErrorKind::TimedOut.into());
    let connected = timeout(limits.connect_time_max, TcpStream::connect(remote)).await;
    let stream = connected.map_err(late)?.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = FramedRead::new(Patient::new(reader, limits.silence_max), codec(answer_bytes_max));
    let asked = async {
        write_frames(&mut writer, &[first], &mut BytesMut::new(), time_max).await?;
        reader.next().await.unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()))
    };
    let answer = timeout(time_max, asked).await.map_err(late)?.map_err(failed)?;
    let answer =
        Answer::decode(answer.freeze()).map_err(|e| DialError::BadAnswer { remote, what: e.to_string() })?;
    Ok((reader, writer, answer))
}
