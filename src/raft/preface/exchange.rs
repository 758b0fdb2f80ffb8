//! The exchange of prefaces: the connector says what for, the acceptor proves itself first, the connector checks that and
//! proves itself, and the acceptor accepts or refuses.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::content::{ConnectionSide, Preface};
use super::credential::CannotProve;
use super::frame::{self, FrameError, FrameType};
use super::hello::{Hello, Purpose};
use super::own::{NoEnd, OwnEnd, OwnPreface};
use super::proof::{SignedPreface, TlsBinding};
use super::refusal::{PrefaceRefusal, RefusalCode};
use crate::policy::Identity;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire;
use crate::store::Noting;

/// How long an exchange may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The node at the other end of a connection, after it has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct ProvenPeer {
    /// What the connection is for.
    pub purpose: Purpose,
    /// What the node said about itself.
    pub preface: Preface,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::raft) enum PrefaceError {
    /// This node refuses the other one, and has said so to it.
    #[error("{0}")]
    Refused(PrefaceRefusal),
    /// This node refuses the other one, and has said so to it: the connection came too early or too late in a start.
    /// Nothing is wrong then.
    #[error("{0}")]
    Untimely(PrefaceRefusal),
    /// The other node refuses this one.
    #[error("it refuses this node: {0}")]
    RefusedByPeer(PrefaceRefusal),
    /// This node cannot prove itself for such a connection.
    #[error("this node cannot connect: {0}")]
    CannotProve(CannotProve),
    /// The other node closed the connection.
    #[error("it closed the connection before it said which node it is")]
    Closed,
    /// It took longer than the limit.
    #[error("it did not say within {TIMEOUT:?} which node it is")]
    Slow,
    /// The connection broke.
    #[error(transparent)]
    Connection(io::Error),
    /// This node cannot write its own start, or that of the other node.
    #[error("this node cannot note the starts of the two nodes: {0}")]
    Starts(#[source] io::Error),
}

impl PrefaceError {
    /// The same error, with nothing in it that the other node wrote, which has proved nothing.
    fn in_own_words(self) -> Self {
        match self {
            Self::RefusedByPeer(refusal) => Self::RefusedByPeer(refusal.in_own_words()),
            other => other,
        }
    }
}

impl From<io::Error> for PrefaceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Connection(error),
        }
    }
}

impl From<NoEnd> for PrefaceError {
    fn from(error: NoEnd) -> Self {
        match error {
            NoEnd::CannotProve(cannot) => Self::CannotProve(cannot),
            NoEnd::Disk(error) => Self::Starts(error),
        }
    }
}

/// One exchange, at this node's end.
struct Exchange<'a, S> {
    stream: &'a mut S,
    binding: &'a TlsBinding,
    own: &'a OwnPreface,
}

/// Exchanges prefaces on a connection that this node accepted, which knows these members.
pub(in crate::raft) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    binding: &TlsBinding,
    own: &OwnPreface,
    members: &BTreeMap<NodeId, Member>,
) -> Result<ProvenPeer, PrefaceError> {
    in_time(Exchange { stream, binding, own }.accept(members)).await
}

/// Exchanges prefaces on a connection that this node made for this purpose.
pub(in crate::raft) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    binding: &TlsBinding,
    own: &OwnPreface,
    purpose: Purpose,
) -> Result<ProvenPeer, PrefaceError> {
    in_time(Exchange { stream, binding, own }.connect(purpose)).await
}

/// Refuses a node with another TLS key than the one to which this node connects, and says why.
pub(in crate::raft) async fn refuse_key(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), own: &OwnPreface) {
    let refusal = PrefaceRefusal::expects_other_key(own.name());
    // The node may be gone. Then it does not learn the reason.
    drop(tokio::time::timeout(TIMEOUT, send_refusal(stream, &refusal)).await);
}

async fn send_refusal(stream: &mut (impl AsyncWrite + Unpin), refusal: &PrefaceRefusal) -> io::Result<()> {
    frame::write(stream, FrameType::Refusal, &refusal.encode()).await?;
    stream.shutdown().await
}

async fn in_time(exchange: impl Future<Output = Result<ProvenPeer, PrefaceError>>) -> Result<ProvenPeer, PrefaceError> {
    tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(PrefaceError::Slow))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    async fn accept(mut self, members: &BTreeMap<NodeId, Member>) -> Result<ProvenPeer, PrefaceError> {
        let is_member = members.values().any(|member| member.key == self.binding.connector);
        let said = self.read(FrameType::Hello, "another frame than a hello").await;
        let said = if is_member { said? } else { said.map_err(PrefaceError::in_own_words)? };
        let Some(hello) = Hello::decode(&said) else {
            return Err(self.malformed("a connection for a purpose that it does not know").await);
        };
        let is_known_store =
            members.values().any(|member| (member.key, member.store_id) == (self.binding.connector, hello.store_id));
        // This saves a proof, and says more than that the admission is for another key.
        let of_another_key = |member: &Member| member.store_id == hello.store_id && !is_member;
        let end = match self.own.end(ConnectionSide::Acceptor, hello.purpose).await {
            Ok(_) if hello.purpose != Purpose::Founder && members.values().any(of_another_key) => {
                return Err(self.refuse(PrefaceRefusal::other_key(self.own.name())).await);
            }
            Ok(end) if is_member || end.affords_stranger() => end,
            Ok(_) => return Err(self.refuse(PrefaceRefusal::too_many_strangers()).await),
            Err(NoEnd::CannotProve(cannot)) => {
                let ends_by_itself = cannot.ends_by_itself(is_known_store);
                let refusal = PrefaceRefusal::cannot_prove(self.own.name(), cannot, is_member);
                let refused = self.refuse(refusal.clone()).await;
                return Err(if ends_by_itself { PrefaceError::Untimely(refusal) } else { refused });
            }
            Err(NoEnd::Disk(error)) => return Err(PrefaceError::Starts(error)),
        };
        let ours = end.preface(hello.store_id);
        let signed = end.sign(&ours, |bytes| self.binding.transcript_of_acceptor(&said, bytes));
        frame::write(self.stream, FrameType::Preface, &signed.encode()).await?;
        let heard = self.read_preface(ConnectionSide::Connector).await;
        let (heard, theirs) = if is_member { heard? } else { heard.map_err(PrefaceError::in_own_words)? };
        if (theirs.node_id, theirs.store_id) != (hello.node_id, hello.store_id) {
            return Err(self.malformed("a preface of another node than the hello before it").await);
        }
        let transcript = self.binding.transcript_of_connector(&said, &signed, &heard.preface);
        let is_proven = end.is_proof(&transcript, &heard.proof);
        self.judge(&end, &ours, &theirs, self.binding.connector, is_proven).await?;
        self.note(&end, &ours, &theirs).await?;
        frame::write(self.stream, FrameType::Accepted, &wire::PrefaceAccepted {}.encode_to_vec()).await?;
        Ok(ProvenPeer { purpose: hello.purpose, preface: theirs })
    }

    async fn connect(mut self, purpose: Purpose) -> Result<ProvenPeer, PrefaceError> {
        let end = self.own.end(ConnectionSide::Connector, purpose).await?;
        let said = self.own.hello(purpose).encode();
        frame::write(self.stream, FrameType::Hello, &said).await?;
        let heard = self.read_preface(ConnectionSide::Acceptor).await;
        // A founder connects to whichever node listens at an address. All others connect to a member's TLS key.
        let is_anybody = purpose == Purpose::Founder;
        let (heard, theirs) = if is_anybody { heard.map_err(PrefaceError::in_own_words)? } else { heard? };
        let ours = end.preface(theirs.store_id);
        let transcript = self.binding.transcript_of_acceptor(&said, &heard.preface);
        let is_proven = end.is_proof(&transcript, &heard.proof);
        self.judge(&end, &ours, &theirs, self.binding.acceptor, is_proven).await?;
        let signed = end.sign(&ours, |bytes| self.binding.transcript_of_connector(&said, &heard, bytes));
        frame::write(self.stream, FrameType::Preface, &signed.encode()).await?;
        // Later versions may add content to this frame.
        self.read(FrameType::Accepted, "a second preface").await?;
        self.note(&end, &ours, &theirs).await?;
        Ok(ProvenPeer { purpose, preface: theirs })
    }

    /// Reads the frame that comes next. A refusal of the other node is an error.
    async fn read(&mut self, expected: FrameType, otherwise: &str) -> Result<Bytes, PrefaceError> {
        match frame::read(self.stream).await {
            Ok((FrameType::Refusal, content)) => match PrefaceRefusal::decode(&content) {
                // This is not proven, so it changes nothing here: the node shows it and tries again.
                Some(refusal) => Err(PrefaceError::RefusedByPeer(refusal)),
                None => Err(self.malformed("a refusal that cannot be decoded").await),
            },
            Ok((frame_type, content)) if frame_type == expected => Ok(content),
            Ok(_) => Err(self.malformed(otherwise).await),
            Err(FrameError::Connection(error)) => Err(error.into()),
            Err(error) => Err(self.malformed(&error.to_string()).await),
        }
    }

    /// Reads the preface of the other node, which is at this end.
    async fn read_preface(&mut self, side: ConnectionSide) -> Result<(SignedPreface, Preface), PrefaceError> {
        let content = self.read(FrameType::Preface, "another frame than a preface").await?;
        let Some(signed) = SignedPreface::decode(content) else {
            return Err(self.malformed("a preface that cannot be decoded").await);
        };
        match Preface::decode(&signed.preface, side) {
            Ok(preface) => Ok((signed, preface)),
            Err(error) => Err(self.malformed(&error.to_string()).await),
        }
    }

    /// Refuses the other node, which has this TLS key, if this one must.
    async fn judge(
        &mut self,
        end: &OwnEnd<'_>,
        ours: &Preface,
        theirs: &Preface,
        key: Identity,
        is_proven: bool,
    ) -> Result<(), PrefaceError> {
        let Some(refusal) = end.refusal_of(ours, theirs, key, is_proven) else { return Ok(()) };
        let (is_copy, reason) = (refusal.is(RefusalCode::OwnCopy), refusal.reason.clone());
        let refused = self.refuse(refusal).await;
        if is_copy {
            end.report_copy(&reason);
        }
        Err(refused)
    }

    /// Notes the start of the other node durably, unless a newer connection was faster.
    async fn note(&mut self, end: &OwnEnd<'_>, ours: &Preface, theirs: &Preface) -> Result<(), PrefaceError> {
        match end.note(ours, theirs).await.map_err(PrefaceError::Starts)? {
            Noting::Known | Noting::Changed => Ok(()),
            Noting::Superseded => Err(self.refuse(PrefaceRefusal::newer_start(ours, theirs)).await),
        }
    }

    async fn malformed(&mut self, what: &str) -> PrefaceError {
        self.refuse(PrefaceRefusal::malformed(self.own.name(), what)).await
    }

    /// Sends a refusal and ends the connection. The other node may be gone: then it does not learn the reason.
    async fn refuse(&mut self, refusal: PrefaceRefusal) -> PrefaceError {
        drop(send_refusal(self.stream, &refusal).await);
        PrefaceError::Refused(refusal)
    }
}
