//! One HTTP/1.1 exchange on a connection of its own, and the upgrade to a WebSocket.
//!
//! Requests are rare in a client's life (sign-in, a refresh each quarter of an hour), so that no pool is kept.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rally_protocol::client::codec::Encoding;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::EdgeUrl;

/// Connect, ask and read the answer within this time.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// A handshake takes no longer: an edge whose machine is gone answers nothing, and others do.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why an edge was not reached, or did not answer as one.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be resolved, or nobody listens.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection failed in the middle.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is too large, or was cut off.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    /// The upgrade was refused.
    #[error("refused with status {}", status.as_u16())]
    Refused {
        /// The status.
        status: StatusCode,
        /// When to come back, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// The answer is not that of a WebSocket server that speaks our subprotocol.
    #[error("not a WebSocket of ours: {0}")]
    NotOurs(&'static str),
}

impl ConnectError {
    /// A fixed label for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Http(_) => "http",
            Self::Timeout => "timeout",
            Self::Answer(_) => "answer",
            Self::Refused { status, .. } => match status.as_u16() {
                401 => "refused_401",
                403 => "refused_403",
                429 => "refused_429",
                503 => "refused_503",
                _ => "refused",
            },
            Self::NotOurs(_) => "not_ours",
        }
    }

    /// How long the edge asked us to stay away.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The seconds of a `Retry-After`; its other form, a date, is not used by edges.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn connect(edge: &EdgeUrl, source: Option<IpAddr>) -> Result<TcpStream, ConnectError> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((edge.host(), edge.port())).await.map_err(ConnectError::Connect)? {
        match connect_to(address, source).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(ConnectError::Connect(failure))
}

async fn connect_to(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(address).await?;
    // Inputs are small and must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request and reads the whole answer.
pub(crate) async fn exchange(
    edge: &EdgeUrl,
    source: Option<IpAddr>,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Vec<u8>,
) -> Result<Response<Bytes>, ConnectError> {
    let work = async {
        let stream = connect(edge, source).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, edge.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| ConnectError::Answer(e.to_string()))?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| ConnectError::Answer(error.to_string()))?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        // The connection moves the bytes; it ends by itself once the answer is complete.
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = connection => {
                ended?;
                answer.await
            }
        }
    };
    timeout(EXCHANGE_TIME_MAX, work).await.map_err(|_| ConnectError::Timeout)?
}

/// Opens a WebSocket at `edge` and returns the bare connection after the handshake, with the bytes that came behind
/// it: for those who read frames themselves (the load generator). Everyone else wants [`crate::Client`].
///
/// `source` is the local address to come from. Must be called within a Tokio runtime.
pub async fn connect_upgraded(
    edge: &EdgeUrl,
    encoding: Encoding,
    source: Option<IpAddr>,
) -> Result<(TcpStream, Bytes), ConnectError> {
    timeout(HANDSHAKE_TIME_MAX, upgrade(edge, encoding, source)).await.map_err(|_| ConnectError::Timeout)?
}

async fn upgrade(
    edge: &EdgeUrl,
    encoding: Encoding,
    source: Option<IpAddr>,
) -> Result<(TcpStream, Bytes), ConnectError> {
    let key = generate_key();
    let request = Request::builder()
        .uri("/ws")
        .header(header::HOST, edge.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, encoding.subprotocol())
        .body(Full::<Bytes>::default())
        .map_err(|error| ConnectError::Answer(error.to_string()))?;
    let stream = connect(edge, source).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the upgrade, or when `sender` is dropped.
    tokio::spawn(connection.with_upgrades());
    let mut answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Refused { status: answer.status(), retry_after: retry_after(answer.headers()) });
    }
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    if header(header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(ConnectError::NotOurs("Sec-WebSocket-Accept does not fit"));
    }
    if header(header::SEC_WEBSOCKET_PROTOCOL) != Some(encoding.subprotocol()) {
        return Err(ConnectError::NotOurs("another subprotocol was chosen"));
    }
    let parts = hyper::upgrade::on(&mut answer)
        .await?
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| ConnectError::NotOurs("the connection is not the one that was opened"))?;
    Ok((parts.io.into_inner(), parts.read_buf))
}
