//! Everything that an edge serves, and what every request goes through.
//!
//! ```text
//! client's address -> request id -> measured -> security headers -> CORS -> panics caught -> rate limits -> routes
//! ```

use std::{any::Any, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use rally_protocol::client::v1::ErrorCode;
use rally_service::{drain::Drain, traces};
use tower::ServiceBuilder;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate as _,
        predicate::{DefaultPredicate, SizeAbove},
    },
    cors::CorsLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};
use tracing::{Instrument as _, Span};

use crate::{
    admission,
    api::{self, Api},
    error::Problem,
    headers::{Origins, SecurityHeaders, secure},
    limits::{self, Class, Limits},
    serve::{self, Connected},
    socket::Sockets,
    ws,
};

const REQUESTS: &str = "rally_http_requests_total";
const REQUEST_SECONDS: &str = "rally_http_request_seconds";
const PANICS: &str = "rally_http_panics_total";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a request id that a proxy of ours sends.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Smaller answers are not worth compressing.
const COMPRESS_BYTES_MIN: u64 = 512;

/// How long a browser may remember what another origin may do.
const PREFLIGHT_FOR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// What the routes stand on.
pub struct Http {
    /// The API.
    pub api: Api,
    /// WebSockets.
    pub sockets: Arc<Sockets>,
    /// No upgrades once it has begun.
    pub drain: Drain,
    /// What browsers reach this edge by.
    pub public_url: Option<String>,
    /// Other origins that may use it.
    pub allowed_origins: Vec<String>,
}

/// The routes. To be served by [`serve`](crate::serve::serve), which says who is asking.
pub fn router(http: Http) -> Router {
    describe();
    let Http { api, sockets, drain, public_url, allowed_origins } = http;
    let limits = api.limits.clone();
    let origins = Origins::new(public_url.as_deref(), allowed_origins.iter().map(String::as_str));
    let nodes = api.fabric.clone();
    let page =
        rally_web::router_beside(move || nodes.nodes().edge_urls().into_iter().map(str::to_owned).collect::<Vec<_>>());
    // In the middle of a tick's work: what compresses a little less is done sooner.
    let compress = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(COMPRESS_BYTES_MIN)));
    let upgrades = Upgrades { sockets, drain, limits: limits.clone(), origins: origins.clone() };
    let routes = Router::new()
        .route("/ws", get(upgrade).with_state(Arc::new(upgrades)))
        .nest("/api", api::router(api).layer(compress).layer(Extension(origins.clone())))
        .merge(page)
        .fallback(async || Problem::new(ErrorCode::NotFound, "there is no such page"))
        .method_not_allowed_fallback(async || {
            Problem::http(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        });
    wrap(routes, limits, &origins, &SecurityHeaders::new(public_url.as_deref()))
}

fn describe() {
    describe_counter!(REQUESTS, "HTTP requests, by route, method and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "from an HTTP request's headers to its answer's");
    describe_counter!(PANICS, "HTTP handlers that have panicked");
    admission::describe();
    limits::describe();
    serve::describe();
}

/// Puts routes behind what every request goes through.
fn wrap(routes: Router, limits: Arc<Limits>, origins: &Origins, headers: &SecurityHeaders) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(origins.others().collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        // A page whose edge is gone goes on at another one, with its cookie where that is of the same site.
        .allow_credentials(true)
        .expose_headers([header::RETRY_AFTER, X_REQUEST_ID])
        .max_age(PREFLIGHT_FOR);
    routes.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(limits.clone(), identify))
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(from_fn(measure))
            .layer(from_fn_with_state(headers.clone(), secure))
            .layer(cors)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(limits, limit)),
    )
}

/// The address of the client, which is not always that of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) IpAddr);

/// Finds out who asks.
async fn identify(State(limits): State<Arc<Limits>>, mut request: Request, next: Next) -> Response {
    let Some(Connected { peer, .. }) = request.extensions().get() else {
        tracing::error!("a request without a connection");
        return Problem::internal().into_response();
    };
    let peer = *peer;
    let client = limits.addresses.client(peer, request.headers());
    let headers = request.headers_mut();
    // What stands in our log as an id is chosen by us, or by a proxy of ours.
    let id_is_fine = |id: &HeaderValue| id.len() <= REQUEST_ID_BYTES_MAX && id.to_str().is_ok();
    if !limits.addresses.is_trusted(peer) || !headers.get(&X_REQUEST_ID).is_none_or(id_is_fine) {
        headers.remove(&X_REQUEST_ID);
    }
    request.extensions_mut().insert(Client(client));
    next.run(request).await
}

/// Counts and times.
async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let class = class_of(request.uri().path());
    // Of paths that are no route only the kind is said: anybody can think up as many as there are.
    let route = match (class, &route) {
        (Class::Page, _) => "page",
        (Class::Upgrade, _) => "/ws",
        (Class::Api | Class::Auth, Some(path)) => path.as_str(),
        (Class::Api | Class::Auth, None) => "/api",
    };
    let id = request.headers().get(&X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let logged = match class {
        Class::Page => Span::none(),
        Class::Api | Class::Auth | Class::Upgrade => tracing::info_span!("request", request_id = id),
    };
    let traced = traces::request(method, route, id);
    let response = next.run(request).instrument(traced.clone()).instrument(logged.clone()).await;
    let elapsed = started.elapsed();
    let status = response.status();
    traced.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        traced.record("otel.status_code", "ERROR");
    }
    let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.as_str().to_owned())];
    counter!(REQUESTS, &labels).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(elapsed);
    let ms = elapsed.as_secs_f64() * 1_000.0;
    tracing::debug!(parent: &logged, method, route, status = status.as_u16(), ms, "answered");
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class_of(path: &str) -> Class {
    if path == "/ws" {
        Class::Upgrade
    } else if path.starts_with("/api/v1/auth/") {
        Class::Auth
    } else if path.starts_with("/api") {
        Class::Api
    } else {
        Class::Page
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a request's handler has panicked");
    counter!(PANICS).increment(1);
    Problem::internal().into_response()
}

/// Refuses who asks too often.
async fn limit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let Some(Client(client)) = request.extensions().get() else { return Problem::internal().into_response() };
    match limits.request(class_of(request.uri().path()), *client) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What a WebSocket handshake needs.
struct Upgrades {
    sockets: Arc<Sockets>,
    drain: Drain,
    limits: Arc<Limits>,
    origins: Origins,
}

/// Takes a request to a WebSocket, if there is room for one more.
async fn upgrade(State(upgrades): State<Arc<Upgrades>>, request: Request) -> Result<Response<Body>, Problem> {
    let Upgrades { sockets, drain, limits, origins } = &*upgrades;
    let extensions = request.extensions();
    let (Some(connected), Some(Client(client))) = (extensions.get::<Connected>().cloned(), extensions.get()) else {
        return Err(Problem::internal());
    };
    if !origins.admit(request.headers()) {
        return Err(Problem::new(ErrorCode::Forbidden, "this origin may not connect here"));
    }
    let admitted =
        drain.admit().ok_or_else(|| Problem::new(ErrorCode::Unavailable, "this edge is ending; try another"))?;
    let place = limits.socket()?;
    // Whoever came without a proxy has its place since the connection was accepted.
    let place_of_address = if *client == connected.peer { None } else { limits.connection(*client)? };
    limits.handshake().await?;
    let guard = (admitted, place, place_of_address, connected);
    ws::upgrade(request, guard, sockets).map_err(|error| {
        crate::metrics::refused(error.label());
        let status = error.status();
        let code =
            if status == StatusCode::BAD_REQUEST { ErrorCode::InvalidInput.as_str() } else { "upgrade_required" };
        Problem::http(status, code, error.to_string()).with_headers(error.headers())
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        address::Addresses,
        limits::{LimitsConfig, Rate},
    };

    #[tokio::test]
    async fn a_panic_is_an_answer_without_its_reason() {
        const OFTEN: Rate = Rate { per_minute: std::num::NonZeroU32::MAX, burst: std::num::NonZeroU32::MAX };
        let config = LimitsConfig {
            auth: OFTEN,
            api: OFTEN,
            upgrade: OFTEN,
            page: OFTEN,
            handshakes_per_s: 100_000,
            sockets_max: 1,
            connections_per_address_max: 1,
            sockets_per_user_max: 1,
        };
        let limits = Limits::new(&config, Addresses::default());
        let routes = Router::new().route("/", get(async || panic!("of the secret") as &'static str));
        let router = wrap(routes, limits, &Origins::new(None, []), &SecurityHeaders::new(None));
        let request =
            Request::get("/").extension(Connected::of([127, 0, 0, 1].into())).body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("routers do not fail");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
        assert!(answer.headers().contains_key(X_REQUEST_ID));
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let body = std::str::from_utf8(&body).expect("text");
        assert!(body.contains("\"internal\"") && !body.contains("secret"), "{body}");
    }

    #[test]
    fn routes_are_limited_as_they_say() {
        for (method, path, _, class) in api::table() {
            assert_eq!(class_of(&format!("/api/v1{path}")), class, "{method} {path}");
        }
    }

    #[test]
    fn requests_are_limited_as_what_they_are() {
        let classes =
            ["/ws", "/api/v1/auth/guest", "/api/v1/matches", "/api", "/", "/assets/a.js", "/wsx"].map(class_of);
        use Class::{Api, Auth, Page, Upgrade};
        assert_eq!(classes, [Upgrade, Auth, Api, Api, Page, Page, Page]);
    }
}
