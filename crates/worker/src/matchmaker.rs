//! The director of a queue: pairs those who wait, oldest first, and has their matches hosted.
//!
//! One worker holds its lease, but the lease is a hint. What keeps a ticket from being paired twice is that pairing is
//! one script in Redis; what keeps a player from two matches is `active_seats` in Postgres. A pair whose director died
//! stays `pending`, and whoever holds the lease next finishes it under the match id that was chosen for it.

use std::time::Duration;

use rally_fabric::{Fabric, Pair, Ticket};
use rally_protocol::{
    client::v1::{ErrorCode, MatchFound, Mode, Side, UserInfo},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_service::{clock, drain::Drain, entropy};
use rally_store::Store;
use rally_units::{MatchId, placement};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
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
/// How long a worker may take to host a match before the pair is put back.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);

/// One mode's director.
pub(crate) struct Matchmaker {
    pub(crate) mode: Mode,
    pub(crate) fabric: Fabric,
    pub(crate) store: Store,
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) drain: Drain,
}

impl Matchmaker {
    /// Runs until this worker drains.
    pub(crate) async fn run(self) {
        let mut lease = self.fabric.director(&format!("queue:{}", self.mode));
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut renew = tokio::time::interval(RENEW_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = self.drain.begun() => break,
                _ = renew.tick() => {
                    if matches!(lease.try_hold().await, Ok(true)) {
                        self.adopt().await;
                    }
                }
                _ = look.tick() => {
                    if lease.holds(clock::now()) {
                        self.pair().await;
                    }
                }
            }
        }
        // Another takes over at once instead of after a second.
        if let Err(error) = lease.release().await {
            tracing::debug!(mode = %self.mode, %error, "a director's lease runs out by itself");
        }
    }

    /// Takes the pairs off the queue and sees each to its match, all at once.
    async fn pair(&self) {
        if self.fabric.nodes().workers().is_empty() {
            return;
        }
        let ids: Vec<_> = (0..PAIRS_MAX).map(|_| MatchId::from_uuid(Uuid::now_v7())).collect();
        match self.fabric.queue().pair(self.mode, &ids).await {
            Ok(pairs) => self.see_to(pairs).await,
            Err(error) => tracing::debug!(mode = %self.mode, %error, "cannot pair"),
        }
    }

    /// Finishes what a director before this one began.
    async fn adopt(&self) {
        match self.fabric.queue().stale_pending(self.mode).await {
            Ok(pairs) => self.see_to(pairs).await,
            Err(error) => tracing::debug!(mode = %self.mode, %error, "cannot look for left-over pairs"),
        }
    }

    async fn see_to(&self, pairs: Vec<Pair>) {
        futures_util::future::join_all(pairs.into_iter().map(|pair| self.make(pair))).await;
    }

    async fn make(&self, pair: Pair) {
        let match_id = pair.match_id;
        match self.place(&pair).await {
            Ok(()) => {
                // Whatever becomes of this answer, the match exists: both are told, and find it in `welcome` too.
                if let Err(error) = self.fabric.queue().finish(self.mode, match_id).await {
                    tracing::debug!(%match_id, %error, "a pair stays pending");
                }
                self.tell(&pair.left, &pair.right, match_id, Side::Left).await;
                self.tell(&pair.right, &pair.left, match_id, Side::Right).await;
                metrics::counter!("rally_matchmaker_pairs_total", "mode" => self.mode.as_str()).increment(1);
            }
            Err(refused) => {
                tracing::info!(%match_id, mode = %self.mode, %refused, "a pair came to nothing");
                metrics::counter!("rally_matchmaker_reverts_total", "mode" => self.mode.as_str()).increment(1);
                self.undo(&pair, &refused).await;
            }
        }
    }

    async fn undo(&self, pair: &Pair, refused: &Refused) {
        let reverted = self.fabric.queue().revert(self.mode, pair.match_id).await;
        if let Err(error) = reverted {
            return tracing::debug!(match_id = %pair.match_id, %error, "a pair stays pending");
        }
        // Who is in another match must not come up again and again, with a new opponent each time.
        if refused.code == ErrorCode::AlreadyInMatch {
            for ticket in [&pair.left, &pair.right] {
                if matches!(self.store.active_match(ticket.user).await, Ok(Some(_)))
                    && let Err(error) = self.fabric.queue().leave(ticket.user).await
                {
                    tracing::debug!(user = %ticket.user, %error, "cannot take a player off the queue");
                }
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
