//! The WebSocket handshake: from an HTTP request to a socket's own task.
//!
//! The HTTP server must serve plain `TokioIo<TcpStream>`s: after the handshake the stream itself is taken back, so that
//! nothing stands between a frame's bytes and the system call.

use std::sync::Arc;

use axum::body::Body;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION},
};
use hyper_util::rt::TokioIo;
use rally_protocol::client::codec::Encoding;
use tokio::net::TcpStream;
use tungstenite::{error::ProtocolError, handshake::server::create_response_with_body};

use crate::socket::{Sockets, serve};

/// Why a request is not upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a WebSocket handshake.
    #[error("not a WebSocket handshake: {0}")]
    NotAHandshake(&'static str),
    /// Of another version than 13. The answer names it in `Sec-WebSocket-Version`.
    #[error("only version 13 of the WebSocket protocol is spoken")]
    Version,
    /// Only subprotocols are offered that we do not speak.
    #[error("none of the subprotocols offered is spoken: rally.v1.json, rally.v1.msgpack")]
    Subprotocol,
    /// The connection cannot be upgraded (HTTP/2, or a proxy in between).
    #[error("this connection cannot be upgraded")]
    NotUpgradable,
}

impl HandshakeError {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Version | Self::NotUpgradable => StatusCode::UPGRADE_REQUIRED,
            Self::NotAHandshake(_) | Self::Subprotocol => StatusCode::BAD_REQUEST,
        }
    }

    /// Headers that the answer must have.
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self == Self::Version {
            headers.insert(SEC_WEBSOCKET_VERSION, http::HeaderValue::from_static("13"));
        }
        headers
    }

    /// A fixed label for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAHandshake(_) => "not_a_handshake",
            Self::Version => "version",
            Self::Subprotocol => "subprotocol",
            Self::NotUpgradable => "not_upgradable",
        }
    }
}

/// Upgrades a request to a WebSocket: returns the 101 to answer with; the socket lives on in a task of its own.
///
/// `guard` is kept for as long as the socket lives: whatever counts it.
///
/// # Errors
/// The request is no handshake that we can take.
pub fn upgrade<B>(
    mut request: Request<B>,
    guard: impl Send + 'static,
    sockets: &Arc<Sockets>,
) -> Result<Response<Body>, HandshakeError> {
    let mut response = create_response_with_body(&request, Body::empty).map_err(|error| match error {
        tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => HandshakeError::Version,
        tungstenite::Error::Protocol(error) => HandshakeError::NotAHandshake(what_is_wrong(&error)),
        _ => HandshakeError::NotAHandshake("malformed"),
    })?;
    let (encoding, named) = negotiate(request.headers())?;
    if named {
        let name = http::HeaderValue::from_static(encoding.subprotocol());
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
        return Err(HandshakeError::NotUpgradable);
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let this = sockets.clone();
    sockets.tasks.spawn(async move {
        let _guard = guard;
        let parts = match upgraded.await {
            Ok(upgraded) => upgraded.downcast::<TokioIo<TcpStream>>(),
            // The client went away during the handshake.
            Err(error) => return tracing::debug!(%error, "not upgraded"),
        };
        match parts {
            Ok(parts) => {
                let id = this.next_id();
                serve(id, encoding, parts.io.into_inner(), parts.read_buf, this).await;
            }
            Err(_) => tracing::error!("the server does not serve plain TCP streams"),
        }
    });
    Ok(response)
}

/// The subprotocol, of however many header lines, and whether to name it: where none is offered, none is.
fn negotiate(headers: &HeaderMap) -> Result<(Encoding, bool), HandshakeError> {
    let mut offered = Vec::new();
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let line = line.to_str().map_err(|_| HandshakeError::Subprotocol)?;
        offered.extend(line.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    let named = !offered.is_empty();
    let encoding = Encoding::negotiate(offered).ok_or(HandshakeError::Subprotocol)?;
    Ok((encoding, named))
}

fn what_is_wrong(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::WrongHttpMethod => "the method is not GET",
        ProtocolError::WrongHttpVersion => "HTTP before 1.1",
        ProtocolError::MissingConnectionUpgradeHeader => "Connection: Upgrade is missing",
        ProtocolError::MissingUpgradeWebSocketHeader => "Upgrade: websocket is missing",
        ProtocolError::MissingSecWebSocketKey => "Sec-WebSocket-Key is missing",
        ProtocolError::InvalidSecWebSocketKey => "Sec-WebSocket-Key is not 16 bytes in base64",
        _ => "malformed",
    }
}
