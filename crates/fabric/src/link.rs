//! Clients of the library behind us, configured so that nothing in them is unbounded, and replaced when in doubt.
//!
//! A client whose link is suspect is dropped with its sockets, and a new one takes its place: that works whatever state
//! the old one was in, also when its task hangs in a write to a half-open link. For plain disconnects
//! the library reconnects by itself. It never subscribes anything again by itself: its way of doing that sends
//! empty commands, after which answers no longer match their questions.

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike as _, EventInterface as _},
    types::{
        ClientState, ConnectHandle, Message, RespVersion,
        config::{
            Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, TcpConfig, TlsConfig, TlsConnector,
            TlsHostMapping, UnresponsiveConfig,
        },
    },
};
use rustls::ClientConfig;
use tokio::sync::{broadcast, watch};

use crate::ConnectError;

/// Reconnects come after 50 ms, doubling up to 2 s, for ever.
const RECONNECT_MS_MIN: u32 = 50;
const RECONNECT_MS_MAX: u32 = 2_000;
const RECONNECT_JITTER_MS: u32 = 25;
/// A TCP connection, TLS and the greeting have this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection with an unanswered command is closed after this long.
const UNRESPONSIVE: Duration = Duration::from_secs(1);
const UNRESPONSIVE_CHECK_EVERY: Duration = Duration::from_millis(250);
/// Times that a command is written.
const COMMAND_ATTEMPTS_MAX: u32 = 3;
/// Commands that wait within the library.
const COMMANDS_MAX: usize = 8_192;
/// Commands put into one write.
const FEED_MAX: u64 = 128;

/// What a client is for: one task of the library serves all connections of a client, so each purpose has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Subscribes, and nothing else.
    Subscribe,
    /// Publishes bundles, and nothing else.
    Publish,
    /// Everything else.
    Command,
}

/// Whether an address asks for TLS.
pub fn wants_tls(url: &str) -> bool {
    url.starts_with("rediss")
}

/// A host beyond this machine to which an address leads without TLS, if there is one.
///
/// # Errors
/// The address cannot be read.
pub fn plain_host(url: &str) -> Result<Option<String>, ConnectError> {
    if wants_tls(url) {
        return Ok(None);
    }
    let config = read(url, "redis_url")?;
    let is_here = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    Ok(config.server.hosts().into_iter().map(|server| server.host.to_string()).find(|host| !is_here(host)))
}

fn read(url: &str, setting: &'static str) -> Result<Config, ConnectError> {
    // The library would load the machine's authorities for each client that it makes from an address with TLS.
    let plain = url.strip_prefix("rediss").map(|rest| format!("redis{rest}"));
    Config::from_url(plain.as_deref().unwrap_or(url))
        .map_err(|e| ConnectError::Url { setting, reason: e.details().to_owned() })
}

/// Why the last connection of any client failed; empty when none has.
pub(crate) type Faults = watch::Sender<String>;

/// What all clients of a node have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) tls: Option<&'a ClientConfig>,
    pub(crate) command_timeout: Duration,
    pub(crate) faults: &'a Arc<Faults>,
}

/// How to make a client.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    config: Config,
    purpose: Purpose,
    command_timeout: Duration,
    messages_max: usize,
    faults: Arc<Faults>,
}

impl Plan {
    /// `setting` is what the address is called in an error.
    pub(crate) fn new(
        url: &str,
        setting: &'static str,
        terms: Terms<'_>,
        purpose: Purpose,
        messages_max: usize,
    ) -> Result<Self, ConnectError> {
        let mut config = read(url, setting)?;
        if wants_tls(url) {
            let tls = terms.tls.ok_or(ConnectError::NoTls(setting))?;
            // A Cluster's servers tell each other's addresses, mostly without names: they are expected to be in the
            // certificate by the name that we know, where we know one.
            let is_named = config.server.hosts().iter().all(|server| server.host.parse::<IpAddr>().is_err());
            let hostnames = if is_named { TlsHostMapping::DefaultHost } else { TlsHostMapping::None };
            config.tls = Some(TlsConfig { connector: TlsConnector::from(tls.clone()), hostnames });
        }
        config.fail_fast = false;
        config.version = RespVersion::RESP3;
        Ok(Self { config, purpose, command_timeout: terms.command_timeout, messages_max, faults: terms.faults.clone() })
    }

    /// Starts a client, which connects in the background.
    pub(crate) fn start(&self) -> Live {
        let performance = PerformanceConfig {
            default_command_timeout: self.command_timeout,
            max_feed_count: FEED_MAX,
            // The library's default of 32 loses more than half of 60 x 100 messages a second.
            broadcast_channel_capacity: self.messages_max,
        };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: CONNECT_TIMEOUT,
            // A redirection of a Cluster counts as an attempt. What is published is never sent twice.
            max_command_attempts: if self.purpose == Purpose::Command { COMMAND_ATTEMPTS_MAX } else { 1 },
            max_command_buffer_len: COMMANDS_MAX,
            reconnect_on_auth_error: true,
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            unresponsive: UnresponsiveConfig {
                // The others are watched by the probe, which is quicker and costs no timer for each message.
                max_timeout: (self.purpose == Purpose::Command).then_some(UNRESPONSIVE),
                interval: UNRESPONSIVE_CHECK_EVERY,
            },
            ..ConnectionConfig::default()
        };
        let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MS_MIN, RECONNECT_MS_MAX, 2);
        policy.set_jitter(RECONNECT_JITTER_MS);
        let client = Client::new(self.config.clone(), Some(performance), Some(connection), Some(policy));
        let (messages, connects) = (client.message_rx(), client.reconnect_rx());
        tokio::spawn(keep_why(client.error_rx(), self.faults.clone()));
        let task = client.connect();
        Live { client, task, messages, connects }
    }
}

/// Keeps why the last connection failed: without it a node could only say that it waits. Ends with the client.
async fn keep_why(mut errors: broadcast::Receiver<(Error, Option<Server>)>, faults: Arc<Faults>) {
    loop {
        match errors.recv().await {
            Ok((error, Some(server))) => _ = faults.send_replace(format!("{server}: {}", error.details())),
            Ok((error, None)) => _ = faults.send_replace(error.details().to_owned()),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// A client and its task. Dropping it closes its connections at once.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) client: Client,
    task: ConnectHandle,
    /// What comes from subscriptions.
    pub(crate) messages: broadcast::Receiver<Message>,
    /// Each time a connection stands, the first included.
    pub(crate) connects: broadcast::Receiver<Server>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that can be replaced under its users.
#[derive(Debug)]
pub(crate) struct Replaceable {
    plan: Plan,
    live: ArcSwap<Live>,
}

impl Replaceable {
    pub(crate) fn new(plan: Plan) -> Self {
        let live = ArcSwap::from_pointee(plan.start());
        Self { plan, live }
    }

    pub(crate) fn client(&self) -> Client {
        self.live.load().client.clone()
    }

    /// The client, if its connection stands as far as it knows.
    pub(crate) fn connected(&self) -> Option<Client> {
        let client = self.client();
        (client.state() == ClientState::Connected).then_some(client)
    }

    /// Drops the client with its connections; a new one connects.
    pub(crate) fn replace(&self) {
        self.live.store(Arc::new(self.plan.start()));
    }
}

/// Time to wait before the next replacement: each takes its time to connect, and a server that is away is not hammered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    min: Duration,
    now: Duration,
}

impl Patience {
    /// A link that heals is back within this and the time that it takes to connect.
    const MAX: Duration = Duration::from_millis(500);

    pub(crate) const fn new(min: Duration) -> Self {
        Self { min, now: min }
    }

    pub(crate) const fn now(self) -> Duration {
        self.now
    }

    pub(crate) fn lost(&mut self) {
        self.now = (self.now * 2).min(Self::MAX);
    }

    pub(crate) fn regained(&mut self) {
        self.now = self.min;
    }
}
