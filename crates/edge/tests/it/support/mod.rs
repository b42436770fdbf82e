//! What most tests begin with.

mod client;
pub(crate) mod provider;
pub(crate) mod site;
mod worker;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rally_edge::{
    address::Addresses,
    hub::{Handle, HubConfig},
    limits::{Limits, LimitsConfig, Rate},
    revoked::Revoked,
    socket::{Identity, Sockets, SocketsConfig, TokenRefused, VerifyToken},
    ws,
};
use rally_fabric::{Fabric, FabricConfig, Role};
use rally_protocol::{client::v1::UserInfo, cluster::BundleKeys};
use rally_service::{clock, entropy};
use rally_store::{Store, StoreConfig};
use rally_testkit::{Postgres, Redis, TestDb};
use rally_units::{Incarnation, MatchId, NodeId, UserId};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use client::{Client, handshake};
pub(crate) use worker::{Said, Worker, event};

/// Longer than anything here takes, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A cluster without nodes.
pub(crate) struct Cluster {
    pub(crate) redis: Redis,
    /// May do everything: what workers and operators do, for the test.
    pub(crate) store: Store,
    /// May do what an edge may.
    pub(crate) edge_store: Store,
    db: Option<TestDb>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        recorder();
        let db = Postgres::shared().await.fresh_database().await;
        let store = Store::new(&StoreConfig::new(db.url())).unwrap();
        store.migrate().await.unwrap();
        let edge_store = Store::new(&StoreConfig::new(db.url_as("rally_edge"))).unwrap();
        Self { redis: Redis::start().await, store, edge_store, db: Some(db) }
    }

    /// One whose Postgres is away.
    pub(crate) async fn without_database() -> Self {
        recorder();
        let config = StoreConfig {
            acquire_timeout: Duration::from_millis(200),
            ..StoreConfig::new("postgres://nobody@127.0.0.1:1/none")
        };
        let store = Store::new(&config).unwrap();
        Self { redis: Redis::start().await, edge_store: store.clone(), store, db: None }
    }

    pub(crate) async fn edge(&self, name: &str) -> Edge {
        self.edge_at(name, None).await
    }

    /// One that clients are told of.
    pub(crate) async fn edge_at(&self, name: &str, public_url: Option<&str>) -> Edge {
        let shutdown = CancellationToken::new();
        let incarnation = Incarnation::from_bits(entropy::random_u64());
        let mut config = self.fabric_config(name, incarnation, Role::Edge);
        config.public_url = public_url.map(str::to_owned);
        let fabric = Fabric::connect(config, shutdown.clone()).unwrap();
        fabric.ready().await.unwrap();
        let hub = Handle::start(
            HubConfig { incarnation, keys: keys(), fabric: fabric.clone(), store: self.edge_store.clone() },
            shutdown.clone(),
        );
        let config = SocketsConfig {
            edge: name.into(),
            incarnation,
            verify: Arc::new(Names),
            limits: limits(),
            revoked: Revoked::start(fabric.clone(), shutdown.clone()),
            fabric: fabric.clone(),
            store: self.edge_store.clone(),
        };
        let sockets = Sockets::new(config, hub.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, sockets.clone()));
        Edge { addr, sockets, hub, fabric, _shutdown: shutdown.drop_guard() }
    }

    pub(crate) async fn worker(&self, name: &str) -> Worker {
        let shutdown = CancellationToken::new();
        let incarnation = Incarnation::from_bits(entropy::random_u64());
        let fabric = self.fabric(name, incarnation, Role::Worker, &shutdown).await;
        Worker::new(fabric, incarnation, keys(), shutdown.drop_guard())
    }

    pub(crate) async fn fabric(
        &self,
        name: &str,
        incarnation: Incarnation,
        role: Role,
        shutdown: &CancellationToken,
    ) -> Fabric {
        let fabric = Fabric::connect(self.fabric_config(name, incarnation, role), shutdown.clone()).unwrap();
        fabric.ready().await.unwrap();
        fabric
    }

    fn fabric_config(&self, name: &str, incarnation: Incarnation, role: Role) -> FabricConfig {
        FabricConfig::new(self.redis.url_as(&format!("rally-{}", role.as_str())), name, incarnation, role, clock::now)
    }

    pub(crate) async fn guest(&self, name: &str) -> UserId {
        self.store.create_guest(name).await.unwrap().id
    }

    /// Somebody who can sign in again.
    pub(crate) async fn account(&self, name: &str) {
        let sql = self.db.as_ref().unwrap().connect().await;
        let id = entropy::random_bytes::<16>();
        let id = uuid::Uuid::from_bytes(id);
        let insert = format!("INSERT INTO users (id, kind, name) VALUES ('{id}', 'account', '{name}')");
        sql.batch_execute(&insert).await.unwrap();
    }
}

pub(crate) struct Edge {
    pub(crate) addr: SocketAddr,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) hub: Handle,
    pub(crate) fabric: Fabric,
    _shutdown: DropGuard,
}

impl Edge {
    /// Ends its link to the cluster, while its sockets know nothing of it: as if the process had been killed.
    pub(crate) async fn dies(self) {
        let fabric = self.fabric.clone();
        drop(self);
        fabric.finished().await;
    }

    pub(crate) fn node(&self) -> NodeId {
        self.fabric.node()
    }
}

/// The least that an HTTP server needs to do for us.
async fn accept(listener: TcpListener, sockets: Arc<Sockets>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        // Or the kernel takes in megabytes before a reader is a slow one.
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, 16 * 1024).unwrap();
        let sockets = sockets.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = ws::upgrade(request, (), &sockets).unwrap_or_else(|error| {
                let mut answer = Response::new(Body::from(error.to_string()));
                *answer.status_mut() = error.status();
                answer.headers_mut().extend(error.headers());
                answer
            });
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

/// None that these tests meet.
fn limits() -> Arc<Limits> {
    let rate = Rate { per_minute: NonZeroU32::MAX, burst: NonZeroU32::MAX };
    let config = LimitsConfig {
        auth: rate,
        api: rate,
        upgrade: rate,
        page: rate,
        handshakes_per_s: 100_000,
        sockets_max: 1_000,
        connections_per_address_max: 1_000,
        sockets_per_user_max: 10,
    };
    Limits::new(&config, Addresses::default())
}

pub(crate) fn keys() -> BundleKeys {
    BundleKeys::derive([[7; 32].as_slice()]).unwrap()
}

/// Tokens that say what they are: `user:UUID:NAME:SECONDS`, `expired`, or anything else, which is forged.
struct Names;

impl VerifyToken for Names {
    fn verify(&self, token: &str) -> Result<Identity, TokenRefused> {
        match token.split(':').collect::<Vec<_>>()[..] {
            ["user", id, name, seconds] => Ok(Identity {
                user: UserInfo { id: id.parse().unwrap(), name: name.into(), guest: true },
                login: None,
                expires_in: Duration::from_secs(seconds.parse().unwrap()),
            }),
            ["expired"] => Err(TokenRefused::Expired),
            _ => Err(TokenRefused::Invalid),
        }
    }
}

/// The token of a user, good for 15 minutes.
pub(crate) fn token(user: UserId) -> String {
    format!("user:{user}:ada:900")
}

/// A user whom Postgres does not know.
pub(crate) fn somebody() -> UserId {
    UserId::from_bytes(entropy::random_bytes())
}

pub(crate) fn new_match() -> MatchId {
    MatchId::from_bytes(entropy::random_bytes())
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// The value of a counter, by the start of its line: `name{label="value"}`. All tests of the process count together.
pub(crate) fn counted(line: &str) -> u64 {
    let text = recorder().render();
    let value = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}
