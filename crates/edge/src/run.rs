//! An edge from its first connection to its last.

use std::{sync::Arc, time::Duration};

use rally_fabric::Fabric;
use rally_protocol::cluster::BundleKeys;
use rally_service::{
    drain::Drain,
    env::Origin,
    listen::{ListenError, listen},
    readiness::Readiness,
};
use rally_store::Store;
use rally_units::Incarnation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    auth::{KeyError, Tokens},
    background::Background,
    config::{EdgeConfig, HTTP_ADDR},
    cookie::RefreshCookie,
    hub::{self, HubConfig},
    limits::{FORGET_EVERY, Limits},
    mail::{Mail, MailError},
    oauth::Oauth,
    passwords::{CostError, Passwords},
    revoked::Revoked,
    router::{Http, router},
    serve::{ServeConfig, serve},
    socket::{Sockets, SocketsConfig},
};

/// Between one connection that is sent elsewhere and the next, on average: the edges that take them over verify 200
/// tokens a second without being noticed.
const DRAIN_EACH: Duration = Duration::from_millis(5);
/// Shorter, and the two players of a match would not be apart.
const DRAIN_WITHIN_MIN: Duration = Duration::from_secs(2);
/// Kept of the drain's time for the end: closing handshakes and answers under way.
const DRAIN_RESERVE: Duration = Duration::from_secs(2);
/// How long the hub may take to tell the workers that everybody has left.
const HUB_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// File descriptors beside those of clients: Redis, Postgres, logs, the admin port.
const FILES_BESIDE: u64 = 256;

/// What an edge stands on.
#[derive(Clone)]
pub struct Ports {
    /// The connection to the other nodes.
    pub fabric: Fabric,
    /// This life of the node.
    pub incarnation: Incarnation,
    /// What seals its bundles.
    pub keys: BundleKeys,
    /// The database.
    pub store: Store,
    /// The process's end.
    pub drain: Drain,
    /// Whether it may have traffic.
    pub readiness: Readiness,
}

/// Why an edge stopped before its time.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Its port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Nothing can be signed.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Passwords(#[from] CostError),
    /// Other sites cannot be asked.
    #[error("cannot ask other sites")]
    Tls(#[from] rustls::Error),
    /// Letters cannot be handed in.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The machine has no thread for us.
    #[error("cannot start a background thread")]
    Thread(#[source] std::io::Error),
    /// A bug: its connections are gone with it.
    #[error("the hub has panicked")]
    HubDied,
}

/// Runs an edge until its drain is over: everybody is sent to another edge, up to the drain's deadline.
///
/// # Errors
/// The edge could not start, or its hub has died.
pub async fn run(config: EdgeConfig, ports: Ports) -> Result<(), EdgeError> {
    let Ports { fabric, incarnation, keys, store, drain, readiness } = ports;
    let listening = readiness.condition("listening");
    let tokens = Arc::new(Tokens::new(config.signing_keys.iter().map(|key| key.expose_secret().as_slice()))?);
    let background = Background::start(config.background_threads, config.background_queue_max);
    let background = background.map_err(EdgeError::Thread)?;
    let passwords = Passwords::new(config.passwords, background.clone())?;
    let cookie = RefreshCookie::new(&config.cookie_suffix, config.public_url.as_deref());
    let listener = listen(config.http_addr, &HTTP_ADDR).await?;
    let limits = Limits::new(&config.limits, config.addresses);
    let serving = ServeConfig::for_sockets(config.limits.sockets_max);
    allow_files(serving.connections_max as u64 + FILES_BESIDE);

    // Not the process's own: the hub outlives all sockets, and ends before Redis is left.
    let shutdown = CancellationToken::new();
    let hub_config = HubConfig { incarnation, keys, fabric: fabric.clone(), store: store.clone() };
    let hub = hub::Handle::start(hub_config, shutdown.clone());
    let edge = config.public_url.clone().unwrap_or_else(|| fabric.node().to_string());
    let revoked = Revoked::start(fabric.clone(), shutdown.clone());
    let oauth = match &config.public_url {
        Some(public_url) if !config.sites.is_empty() => Some(Arc::new(Oauth::new(config.sites, public_url)?)),
        _ => None,
    };
    let mail = config.mail.map(|mail| Mail::start(&mail, store.clone(), shutdown.clone())).transpose()?;
    let sockets_config = SocketsConfig {
        edge: edge.clone(),
        incarnation,
        verify: tokens.clone(),
        limits: limits.clone(),
        revoked: revoked.clone(),
        fabric: fabric.clone(),
        store: store.clone(),
    };
    let sockets = Sockets::new(sockets_config, hub.clone());
    let of_forgetting = limits.clone();
    let router = router(Http {
        api: Api {
            tokens,
            store,
            fabric,
            hub: hub.clone(),
            limits: limits.clone(),
            background,
            passwords,
            cookie,
            revoked,
            oauth,
            mail,
        },
        sockets: sockets.clone(),
        drain: drain.clone(),
        public_url: config.public_url,
        allowed_origins: config.allowed_origins.iter().map(Origin::as_str).map(str::to_owned).collect(),
    });
    let stop = CancellationToken::new();
    // Dropped with this future, the tasks end too.
    let _ends = (shutdown.clone().drop_guard(), stop.clone().drop_guard());
    tracing::info!(addr = %config.http_addr, edge, "listening");
    let served = tokio::spawn(serve(listener, router, limits, serving, drain.clone(), stop.clone()));
    let forgetting = tokio::spawn(forget(of_forgetting, stop.clone()));
    listening.latch();

    // The process waits for it.
    let guard = drain.guard();
    let deadline = tokio::select! {
        deadline = drain.begun() => deadline,
        () = hub.ended() => return Err(EdgeError::HubDied),
    };
    tokio::select! {
        () = say_goodbye(&hub, &sockets, deadline) => {}
        () = sleep_until(deadline) => tracing::warn!(left = sockets.len(), "sockets are cut off"),
    }
    stop.cancel();
    // Its own bound is shorter than a drain; what is left when that is over goes with the process.
    let _ = tokio::time::timeout_at(deadline.max(Instant::now()), served).await;
    let _ = forgetting.await;
    shutdown.cancel();
    let _ = timeout(HUB_ENDS_WITHIN, hub.ended()).await;
    drop(guard);
    Ok(())
}

/// Sends everybody elsewhere.
async fn say_goodbye(hub: &hub::Handle, sockets: &Sockets, deadline: Instant) {
    if !sockets.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(DRAIN_RESERVE);
        let sockets = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let within = DRAIN_EACH.saturating_mul(sockets).max(DRAIN_WITHIN_MIN).min(left);
        hub.drain(within).await;
    }
    sockets.closed().await;
}

/// Forgets counts that are as good as new.
async fn forget(limits: Arc<Limits>, stop: CancellationToken) {
    while timeout(FORGET_EVERY, stop.cancelled()).await.is_err() {
        limits.forget();
    }
}

/// Raises the number of files that this process may have open, as far as it may raise it.
fn allow_files(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is without limit.
    let Some(now) = current.filter(|now| *now < needed) else { return };
    let possible = maximum.map_or(needed, |maximum| maximum.min(needed));
    if possible > now
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum })
    {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
    if possible < needed {
        tracing::warn!(possible, needed, "too few open files are allowed for RALLY_CONNECTIONS_MAX");
    }
}
