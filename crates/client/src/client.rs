//! The handle to a client that lives in a task of its own, its configuration and its events.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rally_protocol::client::{
    codec::Encoding,
    v1::{ClientMessage, Dir, InputMessage, ServerMessage, Welcome},
};
use rally_units::MatchId;
use tokio::sync::{mpsc, watch};

use crate::{EdgeUrl, Identity, Tokens, driver::Driver, inbox::Inbox};

/// How a client connects. The defaults suit a player.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to begin, at least one. Others are learnt from each `welcome`.
    pub edges: Vec<EdgeUrl>,
    /// Msgpack by default.
    pub encoding: Encoding,
    /// The local address to come from; any by default.
    pub source: Option<IpAddr>,
    /// The wait before the first new attempt; doubled by each failure. 100 ms by default.
    pub backoff_first: Duration,
    /// The longest wait between two attempts. 10 s by default.
    pub backoff_max: Duration,
    /// Messages that wait to be sent; more are refused with [`SendError::Full`]. 64 by default.
    pub commands_max: usize,
    /// Events that wait to be read, at least 64. 256 by default.
    pub events_max: usize,
}

impl Config {
    /// The defaults with these edges.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(edges: impl IntoIterator<Item = EdgeUrl>) -> Self {
        let edges: Vec<_> = edges.into_iter().collect();
        assert!(!edges.is_empty(), "a client needs an edge to begin with");
        Self {
            edges,
            encoding: Encoding::Msgpack,
            source: None,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            commands_max: 64,
            events_max: 256,
        }
    }
}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most events are messages: a box each would cost more than the room")]
pub enum Event {
    /// It is connected and known. What it had joined is being joined again.
    Connected {
        /// Where.
        edge: EdgeUrl,
        /// What the edge said: who and where one is.
        welcome: Box<Welcome>,
    },
    /// A message, other than those that the SDK deals with itself (`pong`, `authenticated`, `reconnect`).
    Message(ServerMessage),
    /// A ping came back after this time.
    RoundTrip(Duration),
    /// There are new tokens: whoever keeps them must keep these, the old ones are spent.
    Refreshed(Tokens),
    /// The connection is gone, or an attempt at one failed; another follows.
    Disconnected {
        /// The close code, if the edge gave one.
        code: Option<u16>,
        /// For people.
        detail: String,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// It stays away. Nothing follows.
    Closed(CloseReason),
}

/// Why a client stays away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Its token was refused or could not be refreshed (4401): sign in again.
    #[error("not signed in: {0}")]
    Unauthenticated(String),
    /// A newer connection of the same player took its seat (4409).
    #[error("the seat was taken by a newer connection")]
    SeatTaken,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not connected now. Messages are not kept for later: by then they are stale.
    #[error("not connected")]
    NotConnected,
    /// [`Config::commands_max`] messages wait already.
    #[error("too many messages wait to be sent")]
    Full,
    /// `hello`, `auth` and `ping` are the SDK's own.
    #[error("the SDK sends this by itself")]
    Reserved,
}

/// Sends messages for a [`Client`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    commands: mpsc::Sender<ClientMessage>,
    connected: Arc<AtomicBool>,
}

impl Sender {
    /// Hands a message over to be sent; does not wait. What the edge refuses comes back as
    /// [`ServerMessage::ErrorMessage`].
    pub fn send(&self, message: impl Into<ClientMessage>) -> Result<(), SendError> {
        let message = message.into();
        if matches!(message, ClientMessage::Hello(_) | ClientMessage::Auth(_) | ClientMessage::Ping(_)) {
            return Err(SendError::Reserved);
        }
        if !self.connected.load(Ordering::Acquire) {
            return Err(SendError::NotConnected);
        }
        self.commands.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
        })
    }

    /// Moves one's paddle. The SDK numbers inputs; one for a match that is not joined is dropped.
    pub fn input(&self, match_id: MatchId, dir: Dir, press: bool) -> Result<(), SendError> {
        self.send(InputMessage { match_id, seq: 0, dir, press, side: None })
    }
}

/// A player's connection to the cluster, over whichever edge lives. Dropping it closes the socket.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    inbox: Arc<Inbox>,
    welcomed: watch::Receiver<bool>,
}

impl Client {
    /// Starts connecting. Must be called within a Tokio runtime.
    pub fn start(config: Config, identity: Identity) -> Self {
        let (commands, command_queue) = mpsc::channel(config.commands_max.max(1));
        let connected = Arc::new(AtomicBool::new(false));
        let inbox = Arc::new(Inbox::new(config.events_max));
        let (welcomes, welcomed) = watch::channel(false);
        let driver =
            Driver::new(config, identity.tokens, command_queue, Arc::clone(&inbox), Arc::clone(&connected), welcomes);
        tokio::spawn(driver.run());
        Self { sender: Sender { commands, connected }, inbox, welcomed }
    }

    /// The next event; `None` after [`Event::Closed`]. Cancel-safe. Read them: see the crate's bounds.
    pub async fn next(&mut self) -> Option<Event> {
        self.inbox.take().await
    }

    /// Waits until the client is connected; `false` if it stays away instead. Takes no event.
    pub async fn connected(&mut self) -> bool {
        self.welcomed.wait_for(|connected| *connected).await.is_ok()
    }

    /// [`Sender::send`].
    pub fn send(&self, message: impl Into<ClientMessage>) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// [`Sender::input`].
    pub fn input(&self, match_id: MatchId, dir: Dir, press: bool) -> Result<(), SendError> {
        self.sender.input(match_id, dir, press)
    }

    /// A handle that sends, for other tasks. It does not keep the client alive.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Snapshots that gave way to newer ones because events were not read in time.
    pub fn snapshots_replaced(&self) -> u64 {
        self.inbox.snapshots_replaced()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}
