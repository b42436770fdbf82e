//! The queue: who waits for an opponent, over all edges.
//!
//! A user waits once, over all modes. Tickets live by their connection's heartbeat: an edge refreshes those of its
//! connections every 2 s, and one not refreshed for 6 s is gone. Pairing takes two tickets off the queue at once and
//! keeps them `pending` under a match id chosen beforehand, until the match exists ([`Queue::finish`]) or cannot be made
//! ([`Queue::revert`]). After `finish` the match can be read by [`Queue::refresh`] and [`Queue::status`] for 60 s.

//!
//! All keys of a mode are in one slot, and each step is one script. In which mode a user waits stands in a key of the
//! user's own, in another slot: see [`claim`].

mod by_rating;
mod claim;
mod scripts;

use std::time::Duration;

use rally_protocol::client::v1::{Mode, Skill};
use rally_units::{Incarnation, MatchId, NodeId, SessionId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Fabric, RedisError, commands::malformed};
use claim::{Claim, Held};
use scripts::State;

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The waiting connection.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// Whether it is a guest.
    pub guest: bool,
    /// In which queue.
    pub mode: Mode,
    /// The skill chosen.
    pub skill: Skill,
    /// How strong the player is, which counts in `ranked`.
    #[serde(default = "rating_of_newcomers")]
    pub rating: i32,
    /// Where the connection is.
    pub edge: NodeId,
    /// In which life of that edge.
    pub edge_incarnation: Incarnation,
}

const fn rating_of_newcomers() -> i32 {
    Ticket::RATING_OF_NEWCOMERS
}

impl Ticket {
    /// The rating of somebody of whom nothing is known.
    pub const RATING_OF_NEWCOMERS: i32 = 1_500;

    /// What a refresh needs of it.
    pub const fn reference(&self) -> TicketRef {
        TicketRef { mode: self.mode, user: self.user, session: self.session }
    }
}

/// Which ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TicketRef {
    /// In which queue.
    pub mode: Mode,
    /// Whose.
    pub user: UserId,
    /// The waiting connection: a ticket of another session of the same user is not this one.
    pub session: SessionId,
}

/// The answer to a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Waits from now on.
    Joined,
    /// Waits already, perhaps in another mode.
    AlreadyQueued {
        /// In which.
        mode: Mode,
    },
}

/// The answer to a leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Waits no more.
    Left {
        /// In which mode it was.
        mode: Mode,
    },
    /// An opponent has been found; should the match come to nothing, the ticket does not come back.
    Pending {
        /// The match to be.
        match_id: MatchId,
    },
    /// Did not wait.
    NotQueued,
}

/// Where a ticket, or a user, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueStatus {
    /// Waits for an opponent.
    Waiting {
        /// In which mode.
        mode: Mode,
    },
    /// An opponent is found, the match is being made.
    Pending {
        /// In which mode.
        mode: Mode,
        /// The match to be.
        match_id: MatchId,
    },
    /// The match exists. Said for 60 s.
    Found {
        /// In which mode.
        mode: Mode,
        /// The match.
        match_id: MatchId,
    },
    /// Nothing is known: it never was, has expired, or Redis has forgotten.
    Gone,
}

/// Two who shall play each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The match to be.
    pub match_id: MatchId,
    /// Who came first.
    pub left: Ticket,
    /// Who came second.
    pub right: Ticket,
}

/// The queues of all modes.
#[derive(Clone, Debug)]
pub struct Queue {
    fabric: Fabric,
}

impl Fabric {
    /// The queues.
    pub fn queue(&self) -> Queue {
        Queue { fabric: self.clone() }
    }
}

/// For edges.
impl Queue {
    /// Gets in line.
    pub async fn join(&self, ticket: &Ticket) -> Result<Joined, RedisError> {
        self.join_at(ticket, false).await
    }

    /// Gets in line again before all others: for whom the opponent never came.
    pub async fn join_first(&self, ticket: &Ticket) -> Result<Joined, RedisError> {
        self.join_at(ticket, true).await
    }

    async fn join_at(&self, ticket: &Ticket, first: bool) -> Result<Joined, RedisError> {
        let mine = Claim { mode: ticket.mode, session: ticket.session };
        if let Some(mode) = self.claim(ticket.user, mine).await? {
            return Ok(Joined::AlreadyQueued { mode });
        }
        let json = serde_json::to_string(ticket).map_err(|_| malformed("queue_join", "own ticket"))?;
        // Should this fail halfway: what is not refreshed ends by itself.
        let before = self.script_join(ticket, &json, first).await?;
        if before != State::Gone {
            // Of an earlier session, whose claim has lapsed. Ours lapses, too.
            self.release(ticket.user, mine).await?;
            return Ok(Joined::AlreadyQueued { mode: ticket.mode });
        }
        if let Some(mode) = self.lost_to(ticket.user, mine).await? {
            self.script_leave(ticket.mode, ticket.user, Some(ticket.session)).await?;
            return Ok(Joined::AlreadyQueued { mode });
        }
        Ok(Joined::Joined)
    }

    /// Keeps these waiting for another 6 s, and says where each stands, in the same order. Never revives one.
    pub async fn refresh(&self, tickets: &[TicketRef]) -> Result<Vec<QueueStatus>, RedisError> {
        let mut answers = vec![QueueStatus::Gone; tickets.len()];
        let mut ours = Vec::new();
        for (i, (ticket, held)) in tickets.iter().zip(self.renew_claims(tickets).await?).enumerate() {
            match held {
                Held::Waiting(claim) if claim == Claim::from(*ticket) => ours.push(i),
                // The user waits in another mode by now, or as another session.
                Held::Waiting(_) => {
                    self.script_leave(ticket.mode, ticket.user, Some(ticket.session)).await?;
                }
                Held::Found { mode, match_id } => answers[i] = QueueStatus::Found { mode, match_id },
            }
        }
        for &mode in Mode::ALL {
            let of_mode: Vec<usize> = ours.iter().copied().filter(|&i| tickets[i].mode == mode).collect();
            let mut over = Vec::new();
            for indexes in of_mode.chunks(scripts::REFRESH_MAX) {
                let some: Vec<TicketRef> = indexes.iter().map(|&i| tickets[i]).collect();
                for (&i, state) in indexes.iter().zip(self.script_refresh(mode, &some).await?) {
                    answers[i] = state.status(mode);
                    match state {
                        State::Gone => over.push((tickets[i], None)),
                        State::Found(match_id) => over.push((tickets[i], Some(match_id))),
                        State::Waiting | State::Pending(_) => {}
                    }
                }
            }
            self.settle(&over).await?;
        }
        Ok(answers)
    }

    /// How long the last ones waited until their match was there, the newest counting most; `None`: nobody has for ten
    /// minutes.
    pub async fn waited(&self, mode: Mode) -> Result<Option<Duration>, RedisError> {
        Ok(self.script_waited(mode).await?.map(Duration::from_millis))
    }

    /// Takes a user out of whatever line it stands in.
    pub async fn leave(&self, user: UserId) -> Result<Left, RedisError> {
        let Some(claim) = self.claim_of(user).await?.and_then(Held::waiting) else {
            return Ok(Left::NotQueued);
        };
        let left = match self.script_leave(claim.mode, user, None).await? {
            State::Pending(match_id) => return Ok(Left::Pending { match_id }),
            State::Waiting => Left::Left { mode: claim.mode },
            State::Found(_) | State::Gone => Left::NotQueued,
        };
        self.release(user, claim).await?;
        Ok(left)
    }

    /// The connection of this ticket has moved to another edge (the ticket says to which); its place in line stays.
    /// Returns whether it was waiting.
    pub async fn rehome(&self, ticket: &Ticket) -> Result<bool, RedisError> {
        let json = serde_json::to_string(ticket).map_err(|_| malformed("queue_rehome", "own ticket"))?;
        let waiting = self.script_rehome(ticket, &json).await?;
        let claim = Claim::from(ticket.reference());
        Ok(waiting && self.renew_claims(&[ticket.reference()]).await? == [Held::Waiting(claim)])
    }

    /// Where a user stands, over all modes.
    pub async fn status(&self, user: UserId) -> Result<QueueStatus, RedisError> {
        match self.claim_of(user).await? {
            None => Ok(QueueStatus::Gone),
            Some(Held::Found { mode, match_id }) => Ok(QueueStatus::Found { mode, match_id }),
            Some(Held::Waiting(claim)) => Ok(self.script_status(claim.mode, user).await?.status(claim.mode)),
        }
    }
}

/// For the director of a mode.
impl Queue {
    /// Takes up to as many pairs as there are match ids off the line at once: those who wait longest first, each with
    /// the next in line or, in `ranked`, with the nearest by rating of those in reach.
    pub async fn pair(&self, mode: Mode, match_ids: &[MatchId]) -> Result<Vec<Pair>, RedisError> {
        let mut pairs = Vec::new();
        for some in match_ids.chunks(scripts::PAIRS_MAX) {
            let new = match mode {
                Mode::Ranked => self.script_pair_by_rating(mode, some).await?,
                _ => self.script_pair(mode, some).await?,
            };
            let is_last = new.len() < some.len();
            pairs.extend(new);
            if is_last {
                break;
            }
        }
        Ok(pairs)
    }

    /// The match exists. Returns whether the pair was pending.
    pub async fn finish(&self, mode: Mode, match_id: MatchId) -> Result<bool, RedisError> {
        let Some(pair) = self.script_finish(mode, match_id).await? else { return Ok(false) };
        let over = [pair.left.reference(), pair.right.reference()].map(|ticket| (ticket, Some(match_id)));
        self.settle(&over).await?;
        Ok(true)
    }

    /// The match cannot be: puts the two back where they stood in line. Returns those who wait again, without any who
    /// left meanwhile.
    pub async fn revert(&self, mode: Mode, match_id: MatchId) -> Result<Vec<Ticket>, RedisError> {
        let (waiting, left) = self.script_revert(mode, match_id).await?;
        let over: Vec<_> = left.iter().map(|ticket| (ticket.reference(), None)).collect();
        self.settle(&over).await?;
        Ok(waiting)
    }

    /// Pairs that have been pending for at least 2 s: their director has died. At most 256 at once.
    pub async fn stale_pending(&self, mode: Mode) -> Result<Vec<Pair>, RedisError> {
        self.script_stale(mode).await
    }

    /// How many wait.
    pub async fn depth(&self, mode: Mode) -> Result<u64, RedisError> {
        self.script_depth(mode).await
    }
}
