//! The director of a queue: pairs those who wait, oldest first, and has their matches hosted.
//!
//! One worker holds its lease, but the lease is a hint. What keeps a ticket from being paired twice is that pairing is
//! one script in Redis; what keeps a player from two matches is `active_seats` in Postgres. A pair of which it is not known
//! whether its match exists (its director died, a worker or Postgres did not answer) stays `pending`, and whoever
//! holds the lease 2 s later goes on with it under the match id that was chosen for it.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rally_fabric::{Fabric, Pair, Ticket};
use rally_protocol::{
    client::v1::{ErrorCode, MatchFound, Mode, Side, UserInfo},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_service::{clock, drain::Drain, entropy, traces};
use rally_store::Store;
use rally_units::{Instant, MatchId, placement};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::effect::{Answer, Refused};

/// The modes with a queue.
pub(crate) const MODES: [Mode; 3] = [Mode::Ranked, Mode::Casual, Mode::Classic];

/// How often the queue is looked at: what a player waits at least.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the lease is renewed, and pairs of a dead director are looked for.
const RENEW_EVERY: Duration = Duration::from_millis(250);
/// Pairs taken at once. Ten times a second, that is a thousand tickets in half a second.
const PAIRS_MAX: usize = 100;
/// Pairs whose matches are being made. Beyond it the others stay in line.
const IN_HAND_MAX: usize = 1_000;
/// How long a worker may take to host a match.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// No new pairs for this long after one that came to nothing because the cluster is full or Postgres away: it would be
/// put back and taken again ten times a second.
const REST: Duration = Duration::from_secs(1);

/// One mode's director.
pub(crate) struct Matchmaker {
    pub(crate) mode: Mode,
    pub(crate) fabric: Fabric,
    pub(crate) store: Store,
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) drain: Drain,
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// Its match exists, or it was put back.
    Settled,
    /// It was put back or stays pending, and the next one would fare no better.
    NotNow,
}

impl Matchmaker {
    /// Runs until this worker drains.
    pub(crate) async fn run(self) {
        let mut lease = self.fabric.director(&format!("queue:{}", self.mode));
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut renew = tokio::time::interval(RENEW_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut making = FuturesUnordered::new();
        // A stale pair comes up again and again while it is being made.
        let mut in_hand = HashSet::new();
        let mut rests_until = Instant::default();
        let waiting = metrics::gauge!("rally_queue_waiting", "mode" => self.mode.as_str());
        loop {
            let pairs = tokio::select! {
                biased;
                _ = self.drain.begun() => break,
                Some((match_id, made)) = making.next(), if !making.is_empty() => {
                    in_hand.remove(&match_id);
                    if made == Made::NotNow {
                        rests_until = clock::now() + REST;
                    }
                    continue;
                }
                _ = renew.tick() => match lease.try_hold().await {
                    Ok(true) => {
                        self.measure(&waiting).await;
                        self.adopt().await
                    }
                    Ok(false) | Err(_) => {
                        // Whoever holds the lease tells; the sum over workers is to be the queue's length.
                        waiting.set(0.0);
                        continue;
                    }
                },
                _ = look.tick() => {
                    let now = clock::now();
                    if !lease.holds(now) || now < rests_until {
                        continue;
                    }
                    self.pair(PAIRS_MAX.min(IN_HAND_MAX.saturating_sub(in_hand.len()))).await
                }
            };
            for pair in pairs {
                if in_hand.insert(pair.match_id) {
                    let span = traces::in_match("match.pair", pair.match_id);
                    making.push(self.make(pair).instrument(span));
                }
            }
        }
        waiting.set(0.0);
        // Another takes over at once instead of after a second.
        if let Err(error) = lease.release().await {
            tracing::debug!(mode = %self.mode, %error, "a director's lease runs out by itself");
        }
        while making.next().await.is_some() {}
    }

    async fn measure(&self, waiting: &metrics::Gauge) {
        // With Redis away the last figure stands; that it is away is told elsewhere.
        if let Ok(depth) = self.fabric.queue().depth(self.mode).await {
            waiting.set(depth as f64);
        }
    }

    async fn pair(&self, pairs_max: usize) -> Vec<Pair> {
        if pairs_max == 0 || self.fabric.nodes().workers().is_empty() {
            return Vec::new();
        }
        let ids: Vec<_> = (0..pairs_max).map(|_| MatchId::from_uuid(Uuid::now_v7())).collect();
        let pairs = self.fabric.queue().pair(self.mode, &ids).await;
        pairs.inspect_err(|error| tracing::debug!(mode = %self.mode, %error, "cannot pair")).unwrap_or_default()
    }

    /// Pairs that a director before this one began, or this one could not make.
    async fn adopt(&self) -> Vec<Pair> {
        let pairs = self.fabric.queue().stale_pending(self.mode).await;
        pairs
            .inspect_err(|error| tracing::debug!(mode = %self.mode, %error, "cannot look for left-over pairs"))
            .unwrap_or_default()
    }

    async fn make(&self, pair: Pair) -> (MatchId, Made) {
        let match_id = pair.match_id;
        let made = match self.place(&pair).await {
            Ok(()) => {
                self.announce(&pair).await;
                Made::Settled
            }
            Err(refused) => {
                tracing::info!(%match_id, mode = %self.mode, %refused, "a pair came to nothing");
                match refused.code {
                    // The match may exist: whoever goes on with the pair finds out.
                    ErrorCode::Unavailable | ErrorCode::Internal => Made::NotNow,
                    ErrorCode::AtCapacity => {
                        self.undo(&pair, &refused).await;
                        Made::NotNow
                    }
                    _ => {
                        self.undo(&pair, &refused).await;
                        Made::Settled
                    }
                }
            }
        };
        (match_id, made)
    }

    async fn announce(&self, pair: &Pair) {
        let match_id = pair.match_id;
        match self.fabric.queue().finish(self.mode, match_id).await {
            Ok(true) => {}
            // Another director has told them.
            Ok(false) => return,
            // Whatever becomes of this, the match exists: both are told, and find it in `welcome` too.
            Err(error) => tracing::debug!(%match_id, %error, "a pair stays pending"),
        }
        self.tell(&pair.left, &pair.right, match_id, Side::Left).await;
        self.tell(&pair.right, &pair.left, match_id, Side::Right).await;
        metrics::counter!("rally_matchmaker_pairs_total", "mode" => self.mode.as_str()).increment(1);
    }

    async fn undo(&self, pair: &Pair, refused: &Refused) {
        metrics::counter!("rally_matchmaker_reverts_total", "mode" => self.mode.as_str()).increment(1);
        let reverted = self.fabric.queue().revert(self.mode, pair.match_id).await;
        if let Err(error) = reverted {
            return tracing::debug!(match_id = %pair.match_id, %error, "a pair stays pending");
        }
        // Who cannot play must not come up again and again, with a new opponent each time.
        for ticket in [&pair.left, &pair.right] {
            let is_hopeless = match refused.code {
                ErrorCode::AlreadyInMatch => matches!(self.store.active_match(ticket.user).await, Ok(Some(_))),
                // A user that Postgres does not know, for one. Which of the two is not said.
                ErrorCode::InvalidInput => true,
                _ => false,
            };
            if is_hopeless && let Err(error) = self.fabric.queue().leave(ticket.user).await {
                tracing::debug!(user = %ticket.user, %error, "cannot take a player off the queue");
            }
        }
    }

    async fn place(&self, pair: &Pair) -> Result<(), Refused> {
        let workers = self.fabric.nodes().workers();
        let worker = placement::two_choices(&workers, entropy::random_u64())
            .ok_or_else(|| Refused::new(ErrorCode::AtCapacity, "no worker takes matches"))?;
        let spec = MatchSpec {
            id: pair.match_id,
            mode: self.mode,
            classic: self.mode == Mode::Classic,
            private: false,
            seats: [&pair.left, &pair.right].map(|ticket| SeatSpec::User {
                id: ticket.user,
                name: ticket.name.clone(),
                guest: ticket.guest,
                skill: ticket.skill,
            }),
        };
        let (reply, answer) = oneshot::channel();
        let question = Answer::Place { worker, spec: Box::new(spec), reply };
        let silent = || Refused::new(ErrorCode::Unavailable, "the worker did not answer");
        self.answers.send(question).await.map_err(|_| silent())?;
        match tokio::time::timeout(PLACE_TIMEOUT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(silent()),
        }
    }

    async fn tell(&self, whom: &Ticket, opponent: &Ticket, match_id: MatchId, side: Side) {
        let message = MatchFound {
            match_id,
            mode: self.mode,
            side,
            opponent: Some(UserInfo { id: opponent.user, name: opponent.name.clone(), guest: opponent.guest }),
        };
        let control = Control::Found { session: whom.session, message: Box::new(message) };
        let tell = Answer::Tell { edge: whom.edge, match_id, control: Box::new(control) };
        // The tick thread is gone only when the process ends.
        drop(self.answers.send(tell).await);
    }
}
