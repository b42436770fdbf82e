//! The accept loop: HTTP/1.1 on plain TCP, with a bound on everything that a client can hold.
//!
//! A connection has a place on the node and one of its address, for as long as it lives, also as a WebSocket. Headers
//! must come within a time, and so must the whole of a plain HTTP connection's life: a client that reads slowly, or
//! says something every few seconds, ends there. Who finds no place is told so in one answer and let go.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rally_protocol::client::v1::ErrorCode;
use rally_service::drain::Drain;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    address::Net,
    error::Problem,
    limits::{Limits, Place, limited},
};

/// The bounds of plain HTTP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// Connections of all kinds.
    pub connections_max: usize,
    /// A request's headers have come by then; a connection on which nothing is asked ends then too.
    pub headers_within: Duration,
    /// Bytes of a request's line and headers, and what is buffered of a connection at most. At least 8 KiB.
    pub headers_bytes_max: usize,
    /// A connection is asked to end by then.
    pub connection_within: Duration,
    /// And is cut off by so much later.
    pub finish_within: Duration,
}

impl ServeConfig {
    /// The usual bounds, for so many WebSockets and an eighth more.
    pub fn for_sockets(sockets_max: usize) -> Self {
        Self {
            connections_max: sockets_max + (sockets_max / 8).max(64),
            headers_within: Duration::from_secs(10),
            headers_bytes_max: 16 * 1024,
            // Long enough for a proxy that keeps connections; a slow reader holds nothing for longer.
            connection_within: Duration::from_secs(300),
            finish_within: Duration::from_secs(10),
        }
    }
}

/// Answers to who finds no place that may be under way at once; beyond it connections are closed without a word.
const FAREWELLS_MAX: usize = 128;
/// How long one may take.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait after the machine refused a connection: out of file descriptors, most likely.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The connection that a request came by: an extension of each request.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    /// The other end: a client, or a proxy.
    pub(crate) peer: IpAddr,
    /// Held for as long as anything of the connection lives.
    _place: Option<Arc<ConnectionPlace>>,
}

#[cfg(test)]
impl Connected {
    /// One that holds no place.
    pub(crate) fn of(peer: IpAddr) -> Self {
        Self { peer, _place: None }
    }
}

#[derive(Debug)]
struct ConnectionPlace {
    _node: OwnedSemaphorePermit,
    _address: Option<Place<Net>>,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        metrics::gauge!(CONNECTIONS).decrement(1.0);
    }
}

const CONNECTIONS: &str = "rally_http_connections";
const ACCEPTED: &str = "rally_http_connections_total";
const ACCEPT_ERRORS: &str = "rally_http_accept_errors_total";
const CUT: &str = "rally_http_connections_cut_total";

pub(crate) fn describe() {
    metrics::describe_gauge!(CONNECTIONS, "connections open, WebSockets among them");
    metrics::describe_counter!(ACCEPTED, "connections that found a place");
    metrics::describe_counter!(ACCEPT_ERRORS, "connections that the machine did not give us");
    metrics::describe_counter!(CUT, "HTTP connections cut off since they did not end in time");
}

/// Serves until `stop`, then waits a little for what is being answered. Once the drain has begun, each connection ends
/// with the answer that it waits for.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Arc<Limits>,
    config: ServeConfig,
    drain: Drain,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let server = Server {
        router,
        limits,
        config,
        drain,
        connections: Arc::new(Semaphore::new(config.connections_max)),
        farewells: Arc::new(Semaphore::new(FAREWELLS_MAX)),
    };
    let server = Arc::new(server);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => server.clone().accept(&tasks, stream, peer.ip().to_canonical()),
            Err(error) => {
                metrics::counter!(ACCEPT_ERRORS).increment(1);
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if timeout(config.finish_within, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections are cut off");
    }
}

struct Server {
    router: Router,
    limits: Arc<Limits>,
    config: ServeConfig,
    drain: Drain,
    connections: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
}

impl Server {
    fn accept(self: Arc<Self>, tasks: &TaskTracker, stream: TcpStream, peer: IpAddr) {
        match self.place(peer) {
            Ok(place) => {
                metrics::counter!(ACCEPTED).increment(1);
                metrics::gauge!(CONNECTIONS).increment(1.0);
                let connected = Connected { peer, _place: Some(Arc::new(place)) };
                tasks.spawn(self.connection(stream, connected));
            }
            Err(problem) => {
                let Ok(permit) = self.farewells.clone().try_acquire_owned() else { return };
                tasks.spawn(async move {
                    // What goes wrong here is the peer's affair.
                    let _ = timeout(FAREWELL_WITHIN, farewell(stream, &problem)).await;
                    drop(permit);
                });
            }
        }
    }

    fn place(&self, peer: IpAddr) -> Result<ConnectionPlace, Problem> {
        let node = self.connections.clone().try_acquire_owned().map_err(|_| {
            limited("connections_node");
            Problem::new(ErrorCode::AtCapacity, "this edge is full").retry_after_s(10)
        })?;
        // A proxy's connections are everybody's.
        let address = if self.limits.addresses.is_trusted(peer) { None } else { self.limits.connection(peer)? };
        Ok(ConnectionPlace { _node: node, _address: address })
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, connected: Connected) {
        // Fails only when the connection is gone.
        let _ = stream.set_nodelay(true);
        let router = self.router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(connected.clone());
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.headers_within)
            .max_buf_size(self.config.headers_bytes_max)
            .keep_alive(!self.drain.has_begun())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // Who comes while this edge ends gets one answer: a connection that is asked to end before its first request
        // would get none.
        let came_late = self.drain.has_begun();
        // Whatever goes wrong on a connection is the peer's affair, and is over with it.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = self.drain.begun(), if !came_late => {}
            () = sleep(self.config.connection_within) => {}
        }
        connection.as_mut().graceful_shutdown();
        if timeout(self.config.finish_within, connection).await.is_err() {
            metrics::counter!(CUT).increment(1);
        }
    }
}

/// Says why not: after something has been asked, since clients take an answer without a question for an error. Then
/// waits for the other end to close, since a reset could overtake the answer.
async fn farewell(mut stream: TcpStream, problem: &Problem) -> std::io::Result<()> {
    let mut scratch = [0; 1024];
    if stream.read(&mut scratch).await? == 0 {
        return Ok(());
    }
    stream.write_all(&problem.to_http1()).await?;
    stream.shutdown().await?;
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}
