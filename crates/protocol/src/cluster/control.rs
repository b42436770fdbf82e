//! Control entries: what edges and workers ask and tell each other about a match, each exactly once.

use rally_units::{Incarnation, MatchId, NodeId, SessionId, Tick, UserId};
use serde::{Deserialize, Serialize};

use crate::client::v1::{ErrorCode, JoinAs, Level, MatchFound, MatchJoined, Mode, Place, Side, Skill};

/// Who is to sit on a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeatSpec {
    /// Whoever comes first by the match's link.
    Open,
    /// The bot.
    Bot {
        /// How strong.
        level: Level,
    },
    /// This user.
    User {
        /// The id.
        id: UserId,
        /// The name to show.
        name: String,
        /// Whether it is a guest.
        guest: bool,
        /// The skill chosen; not used in classic mode.
        skill: Skill,
    },
}

/// A match to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchSpec {
    /// Its id, chosen beforehand.
    pub id: MatchId,
    /// Its kind.
    pub mode: Mode,
    /// No skills, no power-ups.
    pub classic: bool,
    /// Whether only its link leads to it.
    pub private: bool,
    /// Left, right. In local matches both are the same user.
    pub seats: [SeatSpec; 2],
}

/// What a player asks of the match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Ready to begin.
    Ready,
    /// A pause.
    Pause,
    /// Its end.
    Resume,
    /// To give up.
    Forfeit,
    /// Of a replay: to go on from elsewhere, or at another speed.
    Replay {
        /// Ticks from its beginning.
        tick: Option<Tick>,
        /// 100 is as it was played.
        speed_percent: Option<u16>,
    },
}

/// How busy a worker is: what placement compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// Matches hosted, or connections held.
    pub items: u32,
    /// 99th percentile of tick lateness over the last second, in microseconds.
    pub tick_lateness_us: u32,
    /// Takes no more.
    pub draining: bool,
}

/// Somebody whom an edge has in a match already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Which connection.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// Where.
    pub place: Place,
    /// By which attachment; 0 for a spectator.
    pub generation: u16,
}

/// The body of a control entry. The match is the entry's own.
///
/// `request` is the asking edge's number of the question; it comes back with the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// To a worker: host this match. Answered by `Created` or `Refused`.
    Create {
        /// The question's number.
        request: u64,
        /// The match.
        spec: Box<MatchSpec>,
    },
    /// To a worker: play this finished match again, for this user alone, under the entry's match. Answered by `Created`
    /// or `Refused`.
    Show {
        /// The question's number.
        request: u64,
        /// The finished match.
        of: MatchId,
        /// Who watches.
        user: UserId,
        /// From where on, in ticks from its beginning; `None`: from where its players were there.
        from: Option<Tick>,
    },
    /// To the asking node: it is hosted here.
    Created {
        /// The question's number.
        request: u64,
    },
    /// To the asking node: no.
    Refused {
        /// The question's number.
        request: u64,
        /// Why, for the client.
        code: ErrorCode,
        /// For people.
        detail: String,
    },
    /// To the owner: this session comes in. Attaches the edge. Answered by `Joined` or `Refused`.
    Join {
        /// The question's number.
        request: u64,
        /// Which connection.
        session: SessionId,
        /// Whose.
        user: UserId,
        /// The user's name.
        name: String,
        /// As what.
        join_as: JoinAs,
        /// The skill for an open seat.
        skill: Skill,
    },
    /// To the edge: come in.
    Joined {
        /// The question's number.
        request: u64,
        /// The seat's generation (both seats' in a local match); 0 for a spectator.
        generation: u16,
        /// What the client is told.
        picture: Box<MatchJoined>,
    },
    /// To the owner: this session has gone, or its connection has been lost.
    Leave {
        /// Which connection.
        session: SessionId,
    },
    /// To the owner: a player's wish.
    Command {
        /// Which connection.
        session: SessionId,
        /// What.
        command: Command,
    },
    /// To the edge: a player's wish was refused.
    CommandRefused {
        /// Which connection.
        session: SessionId,
        /// What.
        command: Command,
        /// Why.
        code: ErrorCode,
        /// For people.
        detail: String,
    },
    /// To an edge: a newer connection took this session's seat. It is closed with 4409.
    SeatTaken {
        /// The older connection.
        session: SessionId,
        /// Whose seat.
        side: Side,
    },
    /// To an edge: this match is not hosted here; look it up again.
    NotHere,
    /// To an edge: the match has left memory.
    Gone,
    /// To an edge (from a director): an opponent is found for this session.
    Found {
        /// The waiting connection.
        session: SessionId,
        /// What the client is told.
        message: Box<MatchFound>,
    },
    /// To an edge (from a director): this session's ticket is in the queue again, first in line.
    Requeued {
        /// The waiting connection.
        session: SessionId,
        /// The queue.
        mode: Mode,
    },
    /// To the owner: these are in the match here already and stay, seats and generations as they are, although the
    /// owner has changed or has not been heard for a while. Answered by `Attached`, or by `Refused`: then each joins
    /// again.
    Attach {
        /// The question's number.
        request: u64,
        /// The last event that this edge has passed on.
        last_event: u32,
        /// Its people, at most [`PRESENT_MAX`](crate::limits::PRESENT_MAX).
        present: Vec<Present>,
    },
    /// To the edge: it is attached.
    Attached {
        /// The question's number.
        request: u64,
        /// The number of the last event told: those after it follow. There may be a jump before it.
        last_event: u32,
        /// Events told that this edge has not passed on, as finished messages, in order.
        missed: Vec<Vec<u8>>,
    },
    /// To an edge that was attached to a match when its last owner was lost: it goes on here, attach.
    Here,
    /// To a worker: take this match over. The entry has the sender's epoch, after which the next is to be taken. Chunks
    /// of the journal follow (`Journal`), and later the state (an entry of its own kind). Answered by `Took` or
    /// `Declined`.
    Offer,
    /// To the same worker: a part of the match's journal, in order.
    Journal {
        /// The part.
        bytes: Vec<u8>,
    },
    /// To the owner: the next epoch, which the entry has, is granted; send the state.
    Took,
    /// To the owner: it keeps the match.
    Declined,
    /// To the former owner: the match, at the entry's epoch, goes on here.
    Landed,
    /// To the present owner from the former one: what an edge said to that one, too late.
    Forwarded {
        /// Which edge.
        edge: NodeId,
        /// In which life.
        incarnation: Incarnation,
        /// What it said.
        control: Box<Control>,
    },
}

/// Bytes that are no control entry.
#[derive(Debug, thiserror::Error)]
#[error("not a control entry: {0}")]
pub struct ControlError(#[from] rmp_serde::decode::Error);

impl Control {
    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to memory cannot fail, and every variant can be written (see the test of all of them).
        rmp_serde::to_vec(self).unwrap_or_default()
    }

    /// Reads one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ControlError> {
        Ok(rmp_serde::from_slice(bytes)?)
    }
}

/// What an operator tells a node to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To the owner of a match: hand it over.
    Move {
        /// Which match.
        match_id: MatchId,
        /// To this worker, or to any.
        to: Option<NodeId>,
    },
    /// To any node: end, as by a signal. Whoever started it starts it again.
    Drain,
}

impl Order {
    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).unwrap_or_default()
    }

    /// Reads one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ControlError> {
        Ok(rmp_serde::from_slice(bytes)?)
    }
}
