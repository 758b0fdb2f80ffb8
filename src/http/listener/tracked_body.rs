//! Answers on their way to the client: a request is over once its client has taken the last byte of its answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::Either;
use hyper::body::{Body, Frame, SizeHint};

use super::connections::{Busy, Stream};
use crate::http::wire::answers::AnswerBody;

/// The body of an answer that keeps its connection busy.
pub struct Sent {
    body: AnswerBody,
    /// None once the only piece has it.
    busy: Option<Busy>,
    /// Of a body that is made piece by piece.
    _stream: Option<Stream>,
}

/// Bytes of an answer that the client has not taken yet. They keep the connection busy.
pub struct Piece {
    bytes: Bytes,
    busy: Busy,
}

impl Sent {
    /// The body of an answer, and what says that its request goes on.
    pub fn new(body: AnswerBody, busy: Busy) -> Self {
        let stream = matches!(body, Either::Right(_)).then(|| busy.stream());
        Self { body, busy: Some(busy), _stream: stream }
    }

    /// A body in one piece ends with that piece, and a stream with its last.
    fn busy(&mut self) -> Option<Busy> {
        match &self.body {
            Either::Left(_) => self.busy.take(),
            Either::Right(_) => self.busy.as_ref().map(Busy::again),
        }
    }
}

impl Body for Sent {
    type Data = Piece;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            match frame.into_data() {
                Ok(bytes) => self.busy().map(|busy| Ok(Frame::data(Piece::new(bytes, busy)))),
                Err(other) => other.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers))),
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Piece {
    fn new(bytes: Bytes, busy: Busy) -> Self {
        busy.sends();
        Self { bytes, busy }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.busy.sent_some();
        self.bytes.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.busy.sent();
    }
}
