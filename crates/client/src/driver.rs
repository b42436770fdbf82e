//! The task behind a client: one socket after another, never two, until it is dropped or told to stay away.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rally_protocol::{
    Text,
    client::v1::{Auth, ClientMessage, Hello, Ping, Reconnect, ServerMessage, Welcome, close},
};
use tokio::{
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    Api, ApiError, CloseReason, Config, Event, Tokens,
    backoff::Backoff,
    edges::Edges,
    inbox::{Gone, Inbox},
    place::Place,
    socket::{Received, Socket},
};

/// An edge that does not answer `hello` within this time is no edge.
const WELCOME_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection that held this long counts as a success: the next failure begins with the shortest wait again.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Between pings, in a match and otherwise.
const PING_EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Without any frame for this long the link is dead, in a match and otherwise.
const SILENCE_MAX: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];
/// Tokens are refreshed this long before they expire, or when half their life is over if that is later.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// Between attempts at a refresh.
const REFRESH_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// After 4429 (too many connections) an attempt sooner than this would only add to the trouble.
const CROWDED_WAIT: Duration = Duration::from_secs(5);
/// An edge may not send us away for longer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A refresh under way.
type Refreshing = Pin<Box<dyn Future<Output = Result<Tokens, ApiError>> + Send>>;

/// How a connection, or an attempt at one, ended.
enum Ended {
    /// The client was dropped.
    Dropped,
    /// For good.
    Stay(CloseReason),
    /// Try again after this time, or after the backoff's, whichever is longer.
    Again { code: Option<u16>, detail: String, at_least: Duration },
    /// The edge asked us to come back after this time.
    Moved { detail: String, after: Duration },
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Dropped
    }
}

fn again(code: Option<u16>, detail: impl Into<String>) -> Ended {
    Ended::Again { code, detail: detail.into(), at_least: Duration::ZERO }
}

pub(crate) struct Driver {
    config: Config,
    edges: Edges,
    tokens: Tokens,
    expires: Instant,
    refresh_at: Instant,
    commands: mpsc::Receiver<ClientMessage>,
    inbox: Arc<Inbox>,
    connected: Arc<AtomicBool>,
    /// Its receiver lives in the client: when that is gone, so are we.
    welcomed: watch::Sender<bool>,
    place: Place,
    born: Instant,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        tokens: Tokens,
        commands: mpsc::Receiver<ClientMessage>,
        inbox: Arc<Inbox>,
        connected: Arc<AtomicBool>,
        welcomed: watch::Sender<bool>,
    ) -> Self {
        let now = Instant::now();
        let mut driver = Self {
            edges: Edges::new(config.edges.clone(), 0),
            config,
            expires: now,
            refresh_at: now,
            tokens,
            commands,
            inbox,
            connected,
            welcomed,
            place: Place::default(),
            born: now,
        };
        driver.expires_in(driver.tokens.expires_in_s);
        driver
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.config.backoff_first, self.config.backoff_max);
        loop {
            let began = Instant::now();
            let ended = self.connect_and_stay().await.unwrap_or_else(|ended| ended);
            self.connected.store(false, Ordering::Release);
            self.welcomed.send_replace(false);
            self.place.disconnected();
            // What was meant for the connection that is gone would be stale at the next.
            while self.commands.try_recv().is_ok() {}
            if began.elapsed() >= SETTLED_AFTER {
                backoff.reset();
            }
            let (code, detail, retry_in) = match ended {
                Ended::Dropped => break,
                Ended::Stay(reason) => {
                    let _ = self.inbox.put(Event::Closed(reason)).await;
                    break;
                }
                Ended::Moved { detail, after } => (Some(close::RESTART), detail, after),
                Ended::Again { code, detail, at_least } => (code, detail, backoff.next(random()).max(at_least)),
            };
            self.edges.advance();
            let retry_in = retry_in.min(WAIT_MAX);
            tracing::debug!(?code, detail, retry_in_ms = retry_in.as_millis() as u64, "disconnected");
            if self.inbox.put(Event::Disconnected { code, detail, retry_in }).await.is_err() {
                break;
            }
            select! {
                () = sleep(retry_in) => {}
                () = self.welcomed.closed() => break,
            }
        }
        self.inbox.finish();
    }

    /// One connection from its beginning to its end. `Err` is the same as `Ok`: it lets `?` end it early.
    async fn connect_and_stay(&mut self) -> Result<Ended, Ended> {
        if Instant::now() >= self.refresh_at {
            let refreshed = self.refresh().await;
            self.refreshed(refreshed).await?;
        }
        let edge = self.edges.current().clone();
        let opening = Socket::open(&edge, self.config.encoding, self.config.source);
        let mut socket = select! {
            opened = opening => opened.map_err(|error| Ended::Again {
                code: None,
                at_least: error.retry_after().unwrap_or_default(),
                detail: format!("{edge}: {error}"),
            })?,
            () = self.welcomed.closed() => return Err(Ended::Dropped),
        };
        let welcome = self.greet(&mut socket).await?;
        self.expires_in(welcome.token_expires_in_s);
        self.edges.learn(&welcome.edges, random);
        let again = self.place.welcomed(&welcome);
        self.inbox.put(Event::Connected { edge, welcome: Box::new(welcome) }).await?;
        self.connected.store(true, Ordering::Release);
        self.welcomed.send_replace(true);
        for message in again {
            send(&mut socket, &message).await?;
        }
        let ended = self.stay(&mut socket).await;
        // Closed before the next one is opened, whatever the reason.
        socket.close().await;
        ended
    }

    async fn greet(&mut self, socket: &mut Socket) -> Result<Welcome, Ended> {
        let token = Text::try_from(self.tokens.access.as_str())
            .map_err(|error| Ended::Stay(CloseReason::Unauthenticated(format!("the token is unusable: {error}"))))?;
        send(socket, &Hello { token, resume: self.place.resume() }.into()).await?;
        let deadline = Instant::now() + WELCOME_TIME_MAX;
        loop {
            let received = select! {
                received = timeout_at(deadline, socket.receive()) => received,
                () = self.welcomed.closed() => return Err(Ended::Dropped),
            };
            match received.map_err(|_| again(None, "no welcome in time"))? {
                Received::Message(message) => match *message {
                    ServerMessage::Welcome(welcome) => return Ok(welcome),
                    ServerMessage::Reconnect(reconnect) => return Err(moved(&reconnect)),
                    other => self.inbox.put(Event::Message(other)).await?,
                },
                Received::Closed { code, detail } => return Err(closed(code, detail)),
                Received::Noise | Received::Unreadable(_) => {}
            }
        }
    }

    /// From the `welcome` until the connection ends.
    async fn stay(&mut self, socket: &mut Socket) -> Result<Ended, Ended> {
        let mut heard = Instant::now();
        let mut pinged = heard;
        let mut leave: Option<(Instant, Ended)> = None;
        let mut refreshing: Option<Refreshing> = None;
        loop {
            let calm = usize::from(!self.place.in_match());
            let (ping_at, dead_at) = (pinged + PING_EVERY[calm], heard + SILENCE_MAX[calm]);
            let mut wake_at = ping_at.min(dead_at);
            if refreshing.is_none() {
                wake_at = wake_at.min(self.refresh_at);
            }
            if let Some((at, _)) = &leave {
                wake_at = wake_at.min(*at);
            }
            select! {
                received = socket.receive() => {
                    heard = Instant::now();
                    match received {
                        Received::Message(message) => match *message {
                            ServerMessage::Reconnect(reconnect) => {
                                let ended = moved(&reconnect);
                                let after = Duration::from_millis(reconnect.after_ms.into()).min(WAIT_MAX);
                                leave.get_or_insert((heard + after, ended));
                            }
                            message => self.received(message).await?,
                        },
                        Received::Noise => {}
                        Received::Unreadable(error) => tracing::debug!(%error, "skipped a message that cannot be read"),
                        Received::Closed { code, detail } => {
                            return Ok(match (leave, closed(code, detail)) {
                                // It said when to come back: what is left of that.
                                (Some((at, Ended::Moved { detail, .. })), Ended::Again { .. }) => {
                                    Ended::Moved { detail, after: at.saturating_duration_since(heard) }
                                }
                                (_, ended) => ended,
                            });
                        }
                    }
                }
                command = self.commands.recv() => {
                    // Senders may outlive the client; then `closed` below ends this.
                    let Some(mut message) = command else { return Ok(Ended::Dropped) };
                    if self.place.sending(&mut message) {
                        send(socket, &message).await?;
                    }
                }
                refreshed = next_of(&mut refreshing) => {
                    refreshing = None;
                    if self.refreshed(refreshed).await? {
                        let token = Text::try_from(self.tokens.access.as_str())
                            .map_err(|error| again(None, format!("the new token is unusable: {error}")))?;
                        send(socket, &Auth { token }.into()).await?;
                    }
                }
                () = self.welcomed.closed() => return Ok(Ended::Dropped),
                () = sleep_until(wake_at) => {
                    let now = Instant::now();
                    if now >= dead_at {
                        return Ok(again(None, "nothing came for too long"));
                    }
                    if let Some((_, Ended::Moved { detail, .. })) = leave.take_if(|(at, _)| now >= *at) {
                        return Ok(Ended::Moved { detail, after: Duration::ZERO });
                    }
                    if now >= ping_at {
                        pinged = now;
                        send(socket, &Ping { t: self.age_us() }.into()).await?;
                    }
                    if refreshing.is_none() && now >= self.refresh_at {
                        refreshing = Some(Box::pin(self.refresh()));
                    }
                }
            }
        }
    }

    async fn received(&mut self, message: ServerMessage) -> Result<(), Ended> {
        self.place.received(&message);
        let event = match message {
            ServerMessage::Pong(pong) => Event::RoundTrip(Duration::from_micros(self.age_us().saturating_sub(pong.t))),
            ServerMessage::Authenticated(authenticated) => {
                self.expires_in(authenticated.token_expires_in_s);
                return Ok(());
            }
            other => Event::Message(other),
        };
        Ok(self.inbox.put(event).await?)
    }

    fn age_us(&self) -> u64 {
        self.born.elapsed().as_micros() as u64
    }

    fn expires_in(&mut self, seconds: u32) {
        let left = Duration::from_secs(seconds.into());
        self.expires = Instant::now() + left;
        self.refresh_at = Instant::now() + left.saturating_sub(REFRESH_BEFORE).max(left / 2);
    }

    /// A refresh at the current edge, to be polled beside everything else.
    fn refresh(&self) -> impl Future<Output = Result<Tokens, ApiError>> + Send + use<> {
        let api = Api::new(self.edges.current().clone()).from_address(self.config.source);
        let token = self.tokens.refresh.clone();
        async move { api.refresh(&token).await }
    }

    /// Takes over new tokens: whether there are any. Without, the old ones serve until they expire.
    async fn refreshed(&mut self, outcome: Result<Tokens, ApiError>) -> Result<bool, Ended> {
        match outcome {
            Ok(tokens) => {
                self.expires_in(tokens.expires_in_s);
                self.tokens = tokens;
                self.inbox.put(Event::Refreshed(self.tokens.clone())).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::debug!(%error, "cannot refresh the token");
                let now = Instant::now();
                // Any no of this kind stands, whether the token is spent or this cluster refreshes none.
                let refused =
                    matches!(&error, ApiError::Refused(problem) if matches!(problem.status, 400 | 401 | 403 | 404));
                if now >= self.expires {
                    return Err(if refused {
                        Ended::Stay(CloseReason::Unauthenticated(error.to_string()))
                    } else {
                        again(None, error.to_string())
                    });
                }
                self.refresh_at = (now + REFRESH_AGAIN_AFTER).min(self.expires);
                Ok(false)
            }
        }
    }
}

fn moved(reconnect: &Reconnect) -> Ended {
    Ended::Moved {
        detail: format!("asked to reconnect: {}", reconnect.reason),
        after: Duration::from_millis(reconnect.after_ms.into()),
    }
}

fn closed(code: Option<u16>, detail: String) -> Ended {
    match code {
        Some(close::UNAUTHENTICATED) => Ended::Stay(CloseReason::Unauthenticated(detail)),
        Some(close::SEAT_TAKEN) => Ended::Stay(CloseReason::SeatTaken),
        Some(close::TOO_MANY) => Ended::Again { code, detail, at_least: CROWDED_WAIT },
        _ => again(code, detail),
    }
}

async fn send(socket: &mut Socket, message: &ClientMessage) -> Result<(), Ended> {
    socket.send(message).await.map_err(|error| again(None, error.to_string()))
}

/// The output of a future that may not be there.
async fn next_of<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// Jitter need not be secret: without entropy it is the middle.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
