//! The body of an answer, which keeps its request in flight until the client has taken the last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::Either;
use hyper::body::{Body, Frame, SizeHint};

use super::connections::{RequestInFlight, StreamInFlight};
use crate::http::wire::answers::AnswerBody;

/// The body of an answer, which keeps its request in flight.
pub struct TrackedBody {
    body: AnswerBody,
    /// `None` once the only piece of the body holds it.
    in_flight: Option<RequestInFlight>,
    /// Held only if the body is a stream.
    _stream: Option<StreamInFlight>,
}

/// Bytes of an answer that the client has not taken yet. They keep the request in flight.
pub struct TrackedPiece {
    bytes: Bytes,
    in_flight: RequestInFlight,
}

impl TrackedBody {
    /// Tracks the body of an answer to this request.
    pub fn new(body: AnswerBody, in_flight: RequestInFlight) -> Self {
        let stream = matches!(body, Either::Right(_)).then(|| in_flight.begin_stream());
        Self { body, in_flight: Some(in_flight), _stream: stream }
    }

    /// A holder of the request for the next piece: the only one if the body has one piece, otherwise one of several.
    fn for_piece(&mut self) -> Option<RequestInFlight> {
        match &self.body {
            Either::Left(_) => self.in_flight.take(),
            Either::Right(_) => self.in_flight.as_ref().map(RequestInFlight::share),
        }
    }
}

impl Body for TrackedBody {
    type Data = TrackedPiece;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedPiece>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            match frame.into_data() {
                Ok(bytes) => self.for_piece().map(|in_flight| Ok(Frame::data(TrackedPiece::new(bytes, in_flight)))),
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

impl TrackedPiece {
    fn new(bytes: Bytes, in_flight: RequestInFlight) -> Self {
        in_flight.piece_waits();
        Self { bytes, in_flight }
    }
}

impl Buf for TrackedPiece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.in_flight.piece_progresses();
        self.bytes.advance(count);
    }
}

impl Drop for TrackedPiece {
    fn drop(&mut self) {
        self.in_flight.piece_ends();
    }
}
