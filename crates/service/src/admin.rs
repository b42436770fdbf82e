//! The admin port: `/metrics`, `/healthz`, `/readyz`, `/version`. Never public.
//!
//! Answers for as long as the process lives, also while it drains: an orchestrator must see that it is not ready. One
//! request per connection, so that nobody can hold a place here.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    env::{Env, Unit, Var},
    readiness::Readiness,
    telemetry::Metrics,
};

/// Where the admin port is.
pub const ADMIN_ADDR: Var = Var::new(
    "RALLY_ADMIN_ADDR",
    Unit::Address,
    "Where /metrics, /healthz, /readyz and /version are. Never make it public.",
)
.or("0.0.0.0:9090");

/// The variables of this concern.
pub const VARS: &[Var] = &[ADMIN_ADDR];

/// Reads [`VARS`].
pub fn read_addr(env: &mut Env<'_>) -> Option<SocketAddr> {
    env.get(&ADMIN_ADDR)
}

/// A request's headers must have come by then.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// A connection is over by then, whatever it does.
const CONNECTION_WITHIN: Duration = Duration::from_secs(30);

/// Connections at the same time; more are closed at once. Probes and a few scrapers need less.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a request, at most.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// What `/version` tells.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `edge` or `worker`.
    pub role: &'static str,
    /// The id of this node.
    pub node: String,
    /// The version of the program.
    pub version: &'static str,
}

#[derive(Clone)]
struct Admin {
    identity: Identity,
    readiness: Readiness,
    metrics: Metrics,
}

/// The routes of the admin port. A role may merge its own.
pub fn router(identity: Identity, readiness: Readiness, metrics: Metrics) -> Router {
    metrics::gauge!("rally_build_info", "version" => identity.version, "role" => identity.role).set(1.0);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/version", get(version))
        .with_state(Admin { identity, readiness, metrics })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let unmet = admin.readiness.unmet();
    if unmet.is_empty() {
        match &*admin.readiness.missed() {
            [] => "ready\n".into_response(),
            missed => format!("ready, without: {}\n", missed.join(", ")).into_response(),
        }
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", unmet.join(", "))).into_response()
    }
}

async fn metrics_text(State(admin): State<Admin>) -> impl IntoResponse {
    metrics::gauge!("rally_ready").set(if admin.readiness.is_ready() { 1.0 } else { 0.0 });
    metrics::gauge!("rally_degraded").set(admin.readiness.missed().len() as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render())
}

async fn version(State(admin): State<Admin>) -> impl IntoResponse {
    let Identity { role, node, version } = &admin.identity;
    Json(serde_json::json!({ "name": "rally", "version": version, "role": role, "node": node }))
}

/// Serves `router` on `listener` for ever: abort its task to end it.
pub async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of file descriptors, most likely: trying at once would only burn time.
                tracing::warn!(error = %e, "the admin port cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics::counter!("rally_admin_connections_refused_total").increment(1);
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_WITHIN, serve_one(stream, router)).await;
            drop(place);
        });
    }
}

async fn serve_one(stream: TcpStream, router: Router) {
    // What goes wrong here is the peer's affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(REQUEST_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
