//! One WebSocket connection on a bare non-blocking socket.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use rally_protocol::client::{
    codec::{Encoding, Messages},
    v1::ClientMessage,
};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::frame::{self, BadFrame, Frame};

/// What the edge did not take yet. An edge that takes less reads nothing any more: the connection is given up.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    encoding: Encoding,
    /// The beginning of a frame whose rest has not come. Almost always empty, and then without memory.
    partial: Vec<u8>,
    unsent: Vec<u8>,
    scratch: Vec<u8>,
}

/// Why a connection is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The edge closed it, with this code if any.
    Closed(Option<u16>),
    /// The edge sent what it must not.
    Bad(&'static str),
}

impl From<BadFrame> for Lost {
    fn from(bad: BadFrame) -> Self {
        Self::Bad(bad.0)
    }
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadSome {
    pub(crate) bytes: usize,
    /// Whether more may wait.
    pub(crate) again: bool,
}

impl Conn {
    /// `early` are bytes that came together with the handshake's answer.
    pub(crate) fn new(stream: TcpStream, encoding: Encoding, early: &[u8]) -> Self {
        Self { stream, encoding, partial: early.to_vec(), unsent: Vec::new(), scratch: Vec::new() }
    }

    /// Reads once into `buffer` (shared by all connections) and hands every whole frame on.
    pub(crate) fn read(&mut self, buffer: &mut [u8], mut on: impl FnMut(Frame<'_>)) -> Result<ReadSome, Lost> {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        let got = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(Lost::Closed(None)),
            Ok(got) => got,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => return Err(Lost::Closed(None)),
        };
        let mut rest = &buffer[..kept + got];
        // Edge-triggered: a read that fills the buffer leaves something behind. A frame is smaller than the buffer.
        let again = kept + got == buffer.len();
        while let Some((frame, len)) = frame::parse(rest)? {
            if let Frame::Close(code) = frame {
                return Err(Lost::Closed(code));
            }
            on(frame);
            rest = &rest[len..];
        }
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        Ok(ReadSome { bytes: got, again })
    }

    pub(crate) fn send(&mut self, message: &ClientMessage) -> Result<(), Lost> {
        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        // What we build ourselves can be written.
        let encoded = message.encode_into(self.encoding, &mut payload);
        let opcode = match self.encoding {
            Encoding::Msgpack => OpCode::Data(Data::Binary),
            Encoding::Json => OpCode::Data(Data::Text),
        };
        let sent = encoded.map_err(|_| Lost::Bad("encode")).and_then(|()| self.send_frame(opcode, &payload));
        self.scratch = payload;
        sent
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<(), Lost> {
        self.send_frame(OpCode::Control(Control::Pong), payload)
    }

    /// Says goodbye; whether it arrives does not matter.
    pub(crate) fn close(&mut self) {
        let _ = self.send_frame(OpCode::Control(Control::Close), &1000_u16.to_be_bytes());
    }

    fn send_frame(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), Lost> {
        frame::write(opcode, payload, &mut self.unsent);
        let written = match self.stream.write(&self.unsent) {
            Ok(written) => written,
            Err(error) if would_block(&error) => 0,
            Err(_) => return Err(Lost::Closed(None)),
        };
        if written == self.unsent.len() {
            self.unsent.clear();
            return Ok(());
        }
        self.unsent.drain(..written);
        if self.unsent.len() > UNSENT_BYTES_MAX { Err(Lost::Bad("edge_does_not_read")) } else { Ok(()) }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
