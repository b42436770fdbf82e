//! What a connection asks of Redis and Postgres: its session, and its place in a queue.
//!
//! Each ends within the bounds of the fabric and the store. Whatever is away makes the answer poorer or a refusal,
//! never a wait without end.

use std::{pin::Pin, time::Duration};

use rally_fabric::{Fabric, Joined, Left, QueueStatus, Ticket, TicketRef};
use rally_protocol::client::v1::{ErrorCode, ErrorMessage, Mode, Resume, Skill, Welcome};
use rally_service::{clock, entropy, traces};
use rally_store::{Store, StoreError};
use rally_units::{Incarnation, MatchId, SessionId, TICK_HZ, UserId};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::Identity;

/// How long a welcome waits for Postgres to say in which match one is. A client that comes back knows it anyway, and
/// must not lose its match to a database that hangs.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);

/// Redis and Postgres.
#[derive(Clone)]
pub(crate) struct Services {
    /// This edge's name, as `welcome` says it.
    edge: String,
    incarnation: Incarnation,
    fabric: Fabric,
    store: Store,
}

/// A request that cannot be answered at once.
pub(super) enum Slow {
    Open { identity: Box<Identity>, resume: Option<Resume> },
    QueueJoin { identity: Box<Identity>, session: SessionId, mode: Mode, skill: Skill },
    QueueLeave { user: UserId },
}

/// Its answer.
pub(super) enum Answer {
    Opened(Box<Opened>),
    Queued { ticket: TicketRef, wait_s: Option<u32> },
    QueueLeft(Mode),
    Refused { error: ErrorMessage, label: &'static str },
}

/// A session that is found or made.
pub(super) struct Opened {
    pub(super) welcome: Welcome,
    /// The ticket of this session, now this edge's to refresh.
    pub(super) ticket: Option<TicketRef>,
}

/// What is kept of a session, so that another edge can go on with it.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptSession {
    user: UserId,
    /// The skill of its ticket, which travels with the ticket.
    #[serde(default)]
    skill: Option<Skill>,
    /// And its rating.
    #[serde(default)]
    rating: Option<i32>,
}

impl KeptSession {
    /// A session of this user.
    pub(crate) const fn of(user: UserId) -> Self {
        Self { user, skill: None, rating: None }
    }

    /// As it is kept.
    pub(crate) fn to_bytes(&self) -> bytes::Bytes {
        // Writing these fields to memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

impl Services {
    pub(super) fn new(edge: String, incarnation: Incarnation, fabric: Fabric, store: Store) -> Self {
        Self { edge, incarnation, fabric, store }
    }

    /// Starts a request. Boxed, so that connections without one (nearly all) do not keep room for it.
    pub(super) fn perform(&self, slow: Slow) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let this = self.clone();
        match slow {
            Slow::Open { identity, resume } => {
                let open = async move { this.open(&identity, resume).await };
                Box::pin(open.instrument(traces::message("hello")))
            }
            Slow::QueueJoin { identity, session, mode, skill } => {
                let join = async move { this.queue_join(&identity, session, mode, skill).await };
                Box::pin(join.instrument(traces::message("queue_join")))
            }
            Slow::QueueLeave { user } => {
                let leave = async move { this.queue_leave(user).await };
                Box::pin(leave.instrument(traces::message("queue_leave")))
            }
        }
    }

    async fn open(&self, identity: &Identity, resume: Option<Resume>) -> Answer {
        let user = identity.user.id;
        let queue = self.fabric.queue();
        let (kept, seat, waits) = tokio::join!(
            self.resume(user, resume),
            timeout(LOOK_UP_WITHIN, self.store.active_match(user)),
            queue.status(user),
        );
        let waits = waits.unwrap_or_else(|error| {
            tracing::warn!(%error, %user, "cannot look up the queue for a welcome");
            QueueStatus::Gone
        });
        let seat = match seat {
            Ok(Ok(seat)) => seat,
            Ok(Err(error)) => {
                tracing::warn!(%error, %user, "cannot look up the match for a welcome");
                None
            }
            Err(_) => {
                tracing::warn!(%user, "looking up the match for a welcome took too long");
                None
            }
        };
        let resumed = kept.is_some();
        let (session, kept) = kept.unwrap_or_else(|| (new_session(), KeptSession::of(user)));
        if !resumed {
            self.keep(session, &kept).await;
        }
        let (queue, found) = match waits {
            QueueStatus::Waiting { mode } | QueueStatus::Pending { mode, .. } => (Some(mode), None),
            QueueStatus::Found { match_id, .. } => (None, Some(match_id)),
            QueueStatus::Gone => (None, None),
        };
        let ticket = match queue {
            Some(mode) if resumed => Some(self.rehome(self.ticket(identity, session, mode, &kept)).await),
            _ => None,
        };
        let welcome = Welcome {
            session,
            user: identity.user.clone(),
            server_time_ms: clock::wall_ms(),
            tick_hz: TICK_HZ,
            resumed,
            edge: self.edge.clone(),
            edges: self.fabric.nodes().edge_urls().into_iter().map(str::to_owned).collect(),
            token_expires_in_s: 0,
            match_id: seat.map(|seat| seat.match_id).or(found),
            queue,
            channels: Vec::new(),
        };
        Answer::Opened(Box::new(Opened { welcome, ticket }))
    }

    /// The session asked for, if it is known and this user's.
    async fn resume(&self, user: UserId, resume: Option<Resume>) -> Option<(SessionId, KeptSession)> {
        let session = resume?.session;
        let bytes = match self.fabric.sessions().get(session).await {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(%error, %session, "cannot look up a session");
                return None;
            }
        };
        let kept: KeptSession = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(%error, %session, "a kept session cannot be read"))
            .ok()?;
        (kept.user == user).then_some((session, kept))
    }

    async fn keep(&self, session: SessionId, kept: &KeptSession) {
        // Without it the session cannot be resumed elsewhere, which a client survives.
        if let Err(error) = self.fabric.sessions().put(session, kept.to_bytes()).await {
            tracing::warn!(%error, %session, "cannot keep a session");
        }
    }

    /// Takes a ticket over, and refreshes it from now on whatever came of that: it may be on its way to a match, which
    /// only a refresh tells here, or gone, which it tells too.
    async fn rehome(&self, ticket: Ticket) -> TicketRef {
        if let Err(error) = self.fabric.queue().rehome(&ticket).await {
            tracing::warn!(%error, user = %ticket.user, "cannot take a ticket over");
        }
        ticket.reference()
    }

    async fn queue_join(&self, identity: &Identity, session: SessionId, mode: Mode, skill: Skill) -> Answer {
        const OF: &str = "queue_join";
        let user = identity.user.id;
        let (seat, rating) = tokio::join!(self.store.active_match(user), self.rating(user, mode));
        let rating = match (seat, rating) {
            (Ok(None), Ok(rating)) => rating,
            (Ok(Some(seat)), _) => {
                return refused(ErrorCode::AlreadyInMatch, "in a match already", OF, Some(seat.match_id));
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "cannot look up a match before queueing");
                return refused(ErrorCode::Unavailable, "the database is away", OF, None);
            }
        };
        let kept = KeptSession { user, skill: Some(skill), rating };
        let ticket = self.ticket(identity, session, mode, &kept);
        let queue = self.fabric.queue();
        match queue.join(&ticket).await {
            Ok(Joined::Joined) => {
                let ((), waited) = tokio::join!(self.keep(session, &kept), queue.waited(mode));
                // Without Redis there is no estimate.
                let waited = waited.ok().flatten();
                let wait_s = waited.map(|waited| u32::try_from(waited.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX));
                Answer::Queued { ticket: ticket.reference(), wait_s }
            }
            Ok(Joined::AlreadyQueued { mode }) => {
                refused(ErrorCode::AlreadyInQueue, &format!("in the {mode} queue already"), OF, None)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot join a queue");
                refused(ErrorCode::Unavailable, "the queue is away", OF, None)
            }
        }
    }

    async fn queue_leave(&self, user: UserId) -> Answer {
        const OF: &str = "queue_leave";
        match self.fabric.queue().leave(user).await {
            Ok(Left::Left { mode }) => Answer::QueueLeft(mode),
            Ok(Left::Pending { match_id }) => {
                refused(ErrorCode::AlreadyInMatch, "an opponent has been found", OF, Some(match_id))
            }
            Ok(Left::NotQueued) => refused(ErrorCode::NotFound, "in no queue", OF, None),
            Err(error) => {
                tracing::warn!(%error, "cannot leave a queue");
                refused(ErrorCode::Unavailable, "the queue is away", OF, None)
            }
        }
    }

    /// The rating that counts in this mode; `None`: none does, or nothing is known of the user.
    async fn rating(&self, user: UserId, mode: Mode) -> Result<Option<i32>, StoreError> {
        if mode != Mode::Ranked {
            return Ok(None);
        }
        Ok(self.store.profile(user).await?.map(|profile| profile.user.rating.rating.round() as i32))
    }

    fn ticket(&self, identity: &Identity, session: SessionId, mode: Mode, kept: &KeptSession) -> Ticket {
        Ticket {
            session,
            user: identity.user.id,
            name: identity.user.name.clone(),
            guest: identity.user.guest,
            mode,
            skill: kept.skill.unwrap_or(Skill::Smash),
            rating: kept.rating.unwrap_or(Ticket::RATING_OF_NEWCOMERS),
            edge: self.fabric.node(),
            edge_incarnation: self.incarnation,
        }
    }
}

/// Random in all its bits but those that say so: whoever knows it may go on with the session.
fn new_session() -> SessionId {
    SessionId::from_uuid(uuid::Builder::from_random_bytes(entropy::random_bytes()).into_uuid())
}

fn refused(code: ErrorCode, detail: &str, of: &'static str, match_id: Option<MatchId>) -> Answer {
    let error = ErrorMessage { code, detail: detail.into(), of: Some(of.into()), match_id, until: None };
    Answer::Refused { error, label: code.as_str() }
}
