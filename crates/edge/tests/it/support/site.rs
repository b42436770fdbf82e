//! An edge as browsers and programs meet it: everything behind the accept loop, with bounds that the test chooses.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rally_edge::{
    address::Addresses,
    api::Api,
    auth::Tokens,
    background::Background,
    cookie::RefreshCookie,
    hub::{Handle, HubConfig},
    limits::{Limits, LimitsConfig, Rate},
    mail::{Mail, MailConfig},
    oauth::{Oauth, SiteConfig},
    passwords::{PasswordConfig, Passwords},
    revoked::Revoked,
    router::{Http, router},
    serve::{ServeConfig, serve},
    socket::{Sockets, SocketsConfig},
};
use rally_fabric::{Fabric, Role};
use rally_service::{drain::Drain, entropy};
use rally_units::Incarnation;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Cluster, LONG, keys};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The seed of the key that sites sign with.
pub(crate) const SEED: [u8; 32] = *b"the seed that sites sign with...";

/// What a test chooses of an edge.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) limits: LimitsConfig,
    pub(crate) addresses: Addresses,
    pub(crate) serve: ServeConfig,
    pub(crate) public_url: Option<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) passwords: PasswordConfig,
    /// Threads, and jobs that may wait for them.
    pub(crate) background: [usize; 2],
    /// Other sites by which people sign in.
    pub(crate) sites: Vec<SiteConfig>,
    /// Where letters are handed in.
    pub(crate) mail: Option<MailConfig>,
}

/// The cheapest there is: what is tested is not Argon2.
pub(crate) fn cheap_passwords() -> PasswordConfig {
    PasswordConfig { memory_kib: 8, passes: 1 }
}

/// So often that no test meets it.
pub(crate) const OFTEN: Rate = rate(1_000_000, 100_000);

pub(crate) const fn rate(per_minute: u32, burst: u32) -> Rate {
    match (NonZeroU32::new(per_minute), NonZeroU32::new(burst)) {
        (Some(per_minute), Some(burst)) => Rate { per_minute, burst },
        _ => panic!("never at all"),
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            limits: LimitsConfig {
                auth: OFTEN,
                api: OFTEN,
                upgrade: OFTEN,
                page: OFTEN,
                handshakes_per_s: 100_000,
                sockets_max: 1_000,
                connections_per_address_max: 1_000,
                sockets_per_user_max: 10,
            },
            addresses: Addresses::default(),
            serve: ServeConfig::for_sockets(1_000),
            public_url: None,
            allowed_origins: Vec::new(),
            passwords: cheap_passwords(),
            background: [2, 64],
            sites: Vec::new(),
            mail: None,
        }
    }
}

impl Bounds {
    pub(crate) fn limits(&self) -> Arc<Limits> {
        Limits::new(&self.limits, self.addresses.clone())
    }
}

/// A served router.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(router: Router, limits: Arc<Limits>, bounds: ServeConfig, drain: Drain) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, limits, bounds, drain.clone(), stop.clone()));
        Self { addr, drain, stop, task }
    }
}

/// A whole edge.
pub(crate) struct Site {
    pub(crate) served: Served,
    pub(crate) fabric: Fabric,
    pub(crate) tokens: Arc<Tokens>,
    _shutdown: DropGuard,
}

impl Cluster {
    pub(crate) async fn site(&self, bounds: Bounds) -> Site {
        let shutdown = CancellationToken::new();
        let incarnation = Incarnation::from_bits(entropy::random_u64());
        let name = format!("site-{incarnation}");
        let fabric = self.fabric(&name, incarnation, Role::Edge, &shutdown).await;
        let store = self.edge_store.clone();
        let hub_config = HubConfig { incarnation, keys: keys(), fabric: fabric.clone(), store: store.clone() };
        let hub = Handle::start(hub_config, shutdown.clone());
        let tokens = Arc::new(Tokens::new([&SEED[..]]).unwrap());
        let limits = bounds.limits();
        let revoked = Revoked::start(fabric.clone(), shutdown.clone());
        let config = SocketsConfig {
            edge: name,
            incarnation,
            verify: tokens.clone(),
            limits: limits.clone(),
            revoked: revoked.clone(),
            fabric: fabric.clone(),
            store: store.clone(),
        };
        let sockets = Sockets::new(config, hub.clone());
        let drain = Drain::new();
        let [threads, queue_max] = bounds.background.map(|n| NonZeroUsize::new(n).unwrap());
        let background = Background::start(threads, queue_max).unwrap();
        // Where browsers come back to from another site.
        let public_url = bounds.public_url.as_deref().unwrap_or("http://rally.test");
        let oauth = (!bounds.sites.is_empty()).then(|| Arc::new(Oauth::new(bounds.sites, public_url).unwrap()));
        let mail = bounds.mail.map(|mail| Mail::start(&mail, store.clone(), shutdown.clone()).unwrap());
        let router = router(Http {
            api: Api {
                tokens: tokens.clone(),
                store,
                fabric: fabric.clone(),
                hub,
                limits: limits.clone(),
                passwords: Passwords::new(bounds.passwords, background.clone()).unwrap(),
                background,
                cookie: RefreshCookie::new("_test", bounds.public_url.as_deref()),
                revoked,
                oauth,
                mail,
            },
            sockets,
            drain: drain.clone(),
            public_url: bounds.public_url,
            allowed_origins: bounds.allowed_origins,
        });
        let served = Served::start(router, limits, bounds.serve, drain).await;
        Site { served, fabric, tokens, _shutdown: shutdown.drop_guard() }
    }
}

impl Site {
    /// Somebody at 127.0.0.1.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.served.addr, LOCALHOST)
    }

    /// Somebody at another address of this machine.
    pub(crate) fn browser_at(&self, from: [u8; 4]) -> Browser {
        Browser::new(self.served.addr, from.into())
    }
}

/// Asks over HTTP.
pub(crate) struct Browser {
    client: Client<HttpConnector, Body>,
    addr: SocketAddr,
    pub(crate) token: Option<String>,
    headers: HeaderMap,
}

impl Browser {
    pub(crate) fn new(addr: SocketAddr, from: IpAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(from));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, addr, token: None, headers: HeaderMap::new() }
    }

    /// With this header in each request.
    pub(crate) fn saying(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let json = self.headers.get("content-type").is_none().then_some(("content-type", "application/json"));
        self.send_with(Method::POST, path, json, Body::from(body.to_string())).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Body) -> Answer {
        self.send_with(method, path, None, body).await
    }

    pub(crate) async fn send_with<'a>(
        &self,
        method: Method,
        path: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body).unwrap();
        request.headers_mut().extend(self.headers.clone());
        if let Some(token) = &self.token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = timeout(LONG, self.client.request(request)).await.expect("an answer in time").unwrap();
        let (parts, body) = answer.into_parts();
        let body = timeout(LONG, body.collect()).await.expect("a body in time").unwrap().to_bytes().into();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Becomes a guest; returns what the edge says.
    pub(crate) async fn sign_in(&mut self, name: &str) -> Value {
        let answer = self.post("/api/v1/auth/guest", &serde_json::json!({ "username": name })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let signed_in = answer.json();
        self.token = signed_in["access_token"].as_str().map(str::to_owned);
        signed_in
    }
}

/// What the edge answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks that it is a problem of this kind, in the form of RFC 9457; returns its body.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let text = self.text();
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:rally:problem:{code}"));
        assert_eq!(problem["title"], self.status.canonical_reason().unwrap());
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
        let must_wait = matches!(status, 429 | 503);
        let retry_after_s = self.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
        assert_eq!(retry_after_s.is_some_and(|seconds| seconds > 0), must_wait, "Retry-After: {retry_after_s:?}");
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        problem
    }

    /// The fields that a problem names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let problem = self.problem(400, "invalid_input");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// Short enough to wait for.
pub(crate) const SOON: Duration = Duration::from_millis(300);
