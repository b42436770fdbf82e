//! A WebSocket that speaks messages instead of frames.

use std::{net::IpAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rally_protocol::{
    client::{
        codec::{DecodeError, Encoding, Messages},
        v1::{ClientMessage, ServerMessage},
    },
    limits::SERVER_MESSAGE_BYTES_MAX,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{ConnectError, EdgeUrl, http1};

/// A close frame that does not get out within this time is given up; the connection is dropped anyway.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(500);

pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

/// What came over a socket.
pub(crate) enum Received {
    /// A message.
    Message(Box<ServerMessage>),
    /// Something that shows life and says nothing.
    Noise,
    /// A message that cannot be read: of a later version, or broken.
    Unreadable(DecodeError),
    /// The end. No code where the connection broke.
    Closed { code: Option<u16>, detail: String },
}

impl Socket {
    pub(crate) async fn open(edge: &EdgeUrl, encoding: Encoding, source: Option<IpAddr>) -> Result<Self, ConnectError> {
        let (stream, early) = http1::connect_upgraded(edge, encoding, source).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(SERVER_MESSAGE_BYTES_MAX))
            .max_frame_size(Some(SERVER_MESSAGE_BYTES_MAX));
        let stream = WebSocketStream::from_partially_read(stream, early.into(), Role::Client, Some(config)).await;
        Ok(Self { stream, encoding })
    }

    /// Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Received {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) if self.encoding == Encoding::Json => self.read(text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) if self.encoding == Encoding::Msgpack => self.read(&bytes),
            Some(Ok(Message::Close(frame))) => Received::Closed {
                code: frame.as_ref().map(|frame| frame.code.into()),
                detail: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
            },
            Some(Ok(_)) => Received::Noise,
            Some(Err(error)) => Received::Closed { code: None, detail: error.to_string() },
            None => Received::Closed { code: None, detail: "the connection ended".into() },
        }
    }

    fn read(&self, bytes: &[u8]) -> Received {
        match ServerMessage::decode(self.encoding, bytes) {
            Ok(message) => Received::Message(Box::new(message)),
            Err(error) => Received::Unreadable(error),
        }
    }

    pub(crate) async fn send(&mut self, message: &ClientMessage) -> Result<(), tungstenite::Error> {
        let bytes =
            message.encode(self.encoding).map_err(|error| tungstenite::Error::Io(std::io::Error::other(error)))?;
        let frame = match self.encoding {
            Encoding::Msgpack => Message::Binary(bytes.into()),
            Encoding::Json => Message::Text(String::from_utf8(bytes).map_err(std::io::Error::other)?.into()),
        };
        self.stream.send(frame).await
    }

    /// Says goodbye and is gone, whether the edge answers or not.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(CLOSE_TIME_MAX, self.stream.close(Some(frame))).await;
    }
}
