//! The queue: who waits for an opponent, over all edges.
//!
//! A user waits once, over all modes. Tickets live by their connection's heartbeat: an edge refreshes those of its
//! connections every 2 s, and one not refreshed for 6 s is gone. Pairing takes two tickets off the queue at once and
//! keeps them `pending` under a match id chosen beforehand, until the match exists ([`Queue::finish`]) or cannot be made
//! ([`Queue::revert`]). After `finish` the match can be read by [`Queue::refresh`] and [`Queue::status`] for 60 s.

use rally_protocol::client::v1::{Mode, Skill};
use rally_units::{Incarnation, MatchId, NodeId, SessionId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Fabric, RedisError};

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
    /// Where the connection is.
    pub edge: NodeId,
    /// In which life of that edge.
    pub edge_incarnation: Incarnation,
}

impl Ticket {
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
        let _ = (ticket, &self.fabric);
        todo!()
    }

    /// Gets in line again before all others: for whom the opponent never came.
    pub async fn join_first(&self, ticket: &Ticket) -> Result<Joined, RedisError> {
        let _ = ticket;
        todo!()
    }

    /// Keeps these waiting for another 6 s, and says where each stands, in the same order. Never revives one.
    pub async fn refresh(&self, tickets: &[TicketRef]) -> Result<Vec<QueueStatus>, RedisError> {
        let _ = tickets;
        todo!()
    }

    /// Takes a user out of whatever line it stands in.
    pub async fn leave(&self, user: UserId) -> Result<Left, RedisError> {
        let _ = user;
        todo!()
    }

    /// The connection of this ticket has moved to another edge (the ticket says to which); its place in line stays.
    /// Returns whether it was waiting.
    pub async fn rehome(&self, ticket: &Ticket) -> Result<bool, RedisError> {
        let _ = ticket;
        todo!()
    }

    /// Where a user stands, over all modes.
    pub async fn status(&self, user: UserId) -> Result<QueueStatus, RedisError> {
        let _ = user;
        todo!()
    }
}

/// For the director of a mode.
impl Queue {
    /// Takes up to as many pairs as there are match ids off the front of the line, oldest first, at once.
    pub async fn pair(&self, mode: Mode, match_ids: &[MatchId]) -> Result<Vec<Pair>, RedisError> {
        let _ = (mode, match_ids);
        todo!()
    }

    /// The match exists. Returns whether the pair was pending.
    pub async fn finish(&self, mode: Mode, match_id: MatchId) -> Result<bool, RedisError> {
        let _ = (mode, match_id);
        todo!()
    }

    /// The match cannot be: puts the two back where they stood in line. Returns those who wait again, without any who
    /// left meanwhile.
    pub async fn revert(&self, mode: Mode, match_id: MatchId) -> Result<Vec<Ticket>, RedisError> {
        let _ = (mode, match_id);
        todo!()
    }

    /// Pairs that have been pending for at least 2 s: their director has died. At most 256 at once.
    pub async fn stale_pending(&self, mode: Mode) -> Result<Vec<Pair>, RedisError> {
        let _ = mode;
        todo!()
    }

    /// How many wait.
    pub async fn depth(&self, mode: Mode) -> Result<u64, RedisError> {
        let _ = mode;
        todo!()
    }
}
