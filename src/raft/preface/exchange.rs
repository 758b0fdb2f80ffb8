//! The exchange of prefaces: the acceptor sends its own first, the connector checks it and answers with its own, and the
//! acceptor accepts or refuses.

use std::io;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::content::Preface;
use super::frame::{self, FrameError, FrameType};
use super::refusal::{PrefaceRefusal, refusal_of};
use crate::raft::protocol::wire;

/// How long an exchange may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::raft) enum PrefaceError {
    /// This node refuses the other one, and has said so to it.
    #[error("{0}")]
    Refused(PrefaceRefusal),
    /// The other node refuses this one.
    #[error("it refuses this node: {0}")]
    RefusedByPeer(PrefaceRefusal),
    /// The other node closed the connection.
    #[error("it closed the connection before it said which node it is")]
    Closed,
    /// It took longer than the limit.
    #[error("it did not say within {TIMEOUT:?} which node it is")]
    Slow,
    /// The connection broke.
    #[error(transparent)]
    Connection(io::Error),
}

impl From<io::Error> for PrefaceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Connection(error),
        }
    }
}

/// Exchanges prefaces on a connection that this node accepted, and returns the other one's.
pub(in crate::raft) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    own: &Preface,
) -> Result<Preface, PrefaceError> {
    in_time(async {
        frame::write(stream, FrameType::Preface, &own.encode()).await?;
        let theirs = read_preface(stream, own).await?;
        frame::write(stream, FrameType::Accepted, &wire::PrefaceAccepted {}.encode_to_vec()).await?;
        Ok(theirs)
    })
    .await
}

/// Exchanges prefaces on a connection that this node made, and returns the other one's.
pub(in crate::raft) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    own: &Preface,
) -> Result<Preface, PrefaceError> {
    in_time(async {
        let theirs = read_preface(stream, own).await?;
        frame::write(stream, FrameType::Preface, &own.encode()).await?;
        match read(stream, own).await? {
            // Later versions may add content to this frame.
            (FrameType::Accepted, _) => Ok(theirs),
            (FrameType::Preface | FrameType::Refusal, _) => Err(malformed(stream, own, "a second preface").await),
        }
    })
    .await
}

async fn in_time(exchange: impl Future<Output = Result<Preface, PrefaceError>>) -> Result<Preface, PrefaceError> {
    tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(PrefaceError::Slow))
}

/// Reads the preface of the other node, and refuses that node if this one must.
async fn read_preface(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    own: &Preface,
) -> Result<Preface, PrefaceError> {
    let (FrameType::Preface, content) = read(stream, own).await? else {
        return Err(malformed(stream, own, "another frame than a preface").await);
    };
    match Preface::decode(&content, own.side.other()) {
        Err(error) => Err(malformed(stream, own, &error.to_string()).await),
        Ok(theirs) => match refusal_of(own, &theirs) {
            Some(refusal) => Err(refuse(stream, refusal).await),
            None => Ok(theirs),
        },
    }
}

/// Reads the next frame. A refusal of the other node is an error.
async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    own: &Preface,
) -> Result<(FrameType, bytes::Bytes), PrefaceError> {
    match frame::read(stream).await {
        Ok((FrameType::Refusal, content)) => match PrefaceRefusal::decode(&content) {
            Some(refusal) => Err(PrefaceError::RefusedByPeer(refusal)),
            None => Err(malformed(stream, own, "a refusal that cannot be decoded").await),
        },
        Ok(frame) => Ok(frame),
        Err(FrameError::Connection(error)) => Err(error.into()),
        Err(error) => Err(malformed(stream, own, &error.to_string()).await),
    }
}

async fn malformed(stream: &mut (impl AsyncWrite + Unpin), own: &Preface, what: &str) -> PrefaceError {
    refuse(stream, PrefaceRefusal::malformed(own, what)).await
}

/// Sends a refusal and ends the connection. The other node may be gone: then it does not learn the reason.
async fn refuse(stream: &mut (impl AsyncWrite + Unpin), refusal: PrefaceRefusal) -> PrefaceError {
    if frame::write(stream, FrameType::Refusal, &refusal.encode()).await.is_ok() {
        drop(stream.shutdown().await);
    }
    PrefaceError::Refused(refusal)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::super::content::ConnectionSide;
    use super::super::content::tests::preface;
    use super::super::refusal::RefusalCode;
    use super::*;
    use crate::state::ClusterId;

    fn acceptor() -> Preface {
        preface("a", ConnectionSide::Acceptor)
    }

    fn connector() -> Preface {
        preface("b", ConnectionSide::Connector)
    }

    async fn exchange(
        acceptor: &Preface,
        connector: &Preface,
    ) -> (Result<Preface, PrefaceError>, Result<Preface, PrefaceError>) {
        let (mut near, mut far) = duplex(1 << 16);
        tokio::join!(accept(&mut near, acceptor), connect(&mut far, connector))
    }

    /// Accepts a connection on which the connector sends these bytes and nothing more.
    async fn accept_bytes(bytes: &[u8]) -> PrefaceError {
        let (mut near, mut far) = duplex(1 << 16);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        accept(&mut near, &acceptor()).await.unwrap_err()
    }

    /// Connects to an acceptor that sends these bytes and nothing more.
    async fn connect_to_bytes(bytes: &[u8]) -> PrefaceError {
        let (mut near, mut far) = duplex(1 << 16);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        connect(&mut near, &connector()).await.unwrap_err()
    }

    async fn framed(frame_type: FrameType, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, frame_type, content).await.unwrap();
        bytes
    }

    fn is_refused_for(error: &PrefaceError, code: RefusalCode) -> bool {
        matches!(error, PrefaceError::Refused(refusal) if refusal.code == code as u32)
    }

    #[tokio::test]
    async fn each_node_learns_what_the_other_said_and_the_bytes_after_it_stay() {
        let (mut near, mut far) = duplex(1 << 16);
        let (own, other) = (acceptor(), connector());
        let (at_acceptor, at_connector) = tokio::join!(
            async {
                let theirs = accept(&mut near, &own).await.unwrap();
                near.write_all(b"settings").await.unwrap();
                theirs
            },
            connect(&mut far, &other)
        );
        assert_eq!((at_acceptor, at_connector.unwrap()), (other, own));
        let mut next = [0; 8];
        far.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"settings");
    }

    #[tokio::test]
    async fn the_frames_keep_their_bytes_in_every_version() {
        // Nodes exchange these before they know each other's version, so no level can change them. A field may be added.
        let ids = ["2210", &"02".repeat(16), "2a10", &"01".repeat(16)].concat();
        let preface = format!("003801 0802 1007 1a0161 {ids} 4a05312e302e30 5001 5803 6002");
        let refusal = PrefaceRefusal { code: 2, reason: "r".to_owned(), by: "a".to_owned() };
        for (frame_type, content, expected) in [
            (FrameType::Preface, acceptor().encode(), preface.as_str()),
            (FrameType::Accepted, wire::PrefaceAccepted {}.encode_to_vec(), "000002"),
            (FrameType::Refusal, refusal.encode(), "000803 0802 120172 1a0161"),
        ] {
            assert_eq!(hex::encode(framed(frame_type, &content).await), expected.replace(' ', ""));
        }
    }

    #[tokio::test]
    async fn the_acceptor_speaks_first() {
        let (mut near, mut far) = duplex(1 << 16);
        let own = acceptor();
        let accepting = tokio::spawn(async move { accept(&mut near, &own).await });
        let (frame_type, content) = frame::read(&mut far).await.unwrap();
        assert_eq!(frame_type, FrameType::Preface);
        assert_eq!(Preface::decode(&content, ConnectionSide::Acceptor), Ok(acceptor()));
        drop(far);
        assert!(matches!(accepting.await.unwrap(), Err(PrefaceError::Closed)));
    }

    #[tokio::test]
    async fn the_connector_refuses_a_node_of_another_cluster_and_that_node_learns_why() {
        let other = Preface { cluster: Some(ClusterId([9; 16])), ..acceptor() };
        let (at_acceptor, at_connector) = exchange(&other, &connector()).await;
        let Err(PrefaceError::Refused(refusal)) = at_connector else { panic!("{at_connector:?}") };
        assert_eq!((refusal.code, refusal.by.as_str()), (RefusalCode::AnotherCluster as u32, "b"));
        assert!(matches!(at_acceptor, Err(PrefaceError::RefusedByPeer(heard)) if heard == refusal));
    }

    #[tokio::test]
    async fn the_acceptor_refuses_a_node_that_cannot_read_its_level_and_that_node_learns_why() {
        let mut old = Preface { active_level: None, ..connector() };
        old.version.levels.highest = 1;
        let (at_acceptor, at_connector) = exchange(&acceptor(), &old).await;
        let Err(PrefaceError::Refused(refusal)) = at_acceptor else { panic!("{at_acceptor:?}") };
        assert_eq!((refusal.code, refusal.by.as_str()), (RefusalCode::LevelNotReadable as u32, "a"));
        assert!(matches!(at_connector, Err(PrefaceError::RefusedByPeer(heard)) if heard == refusal));
    }

    #[tokio::test]
    async fn bytes_that_are_not_the_next_frame_are_refused_as_malformed() {
        let preface = framed(FrameType::Preface, &acceptor().encode()).await;
        for bytes in [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            vec![0, 0, 4],
            framed(FrameType::Preface, b"\xff").await,
            framed(FrameType::Accepted, b"").await,
            framed(FrameType::Refusal, b"\xff").await,
            [&preface[..], &preface].concat(),
        ] {
            // The acceptor's own preface, sent back to it, is malformed, too.
            for error in [accept_bytes(&bytes).await, connect_to_bytes(&bytes).await] {
                assert!(is_refused_for(&error, RefusalCode::Malformed), "{bytes:?}: {error:?}");
            }
        }
    }

    #[tokio::test]
    async fn any_bytes_end_in_an_error() {
        for _ in 0..2_000 {
            let mut bytes: Vec<u8> = (0..rand::random_range(0..64)).map(|_| rand::random()).collect();
            if rand::random() {
                // Most random headers name an unknown type. This one is good.
                bytes = framed(FrameType::Preface, &bytes).await;
            }
            let errors = [accept_bytes(&bytes).await, connect_to_bytes(&bytes).await];
            assert!(errors.iter().all(|error| !error.to_string().is_empty()), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_node_is_given_up() {
        let ((mut near, _far), (mut other, _its)) = (duplex(1 << 16), duplex(1 << 16));
        let (own_acceptor, own_connector) = (acceptor(), connector());
        let (accepted, connected) = tokio::join!(accept(&mut near, &own_acceptor), connect(&mut other, &own_connector));
        assert!(matches!((accepted, connected), (Err(PrefaceError::Slow), Err(PrefaceError::Slow))));
    }
}
