//! What the tick thread asks of the rest of the process, and what it hears back.
//!
//! Both travel through bounded channels. The tick thread never waits for either.

use rally_fabric::Ticket;
use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Side, Skill},
    cluster::v1::{Control, MatchSpec},
};
use rally_room::FinishedMatch;
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SessionId, UserId};
use tokio::sync::oneshot;

/// Something that needs Postgres or Redis, and therefore time.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Record the match, seat its players, and grant the first epoch. Answered by [`Answer::Created`].
    Create(Box<MatchSpec>),
    /// Give an open seat to the user who asks to join. Answered by [`Answer::Claimed`].
    Claim {
        /// The match.
        match_id: MatchId,
        /// Our epoch.
        epoch: Epoch,
        /// The open seat.
        side: Side,
        /// The join to be repeated when the seat is granted.
        join: Box<Joining>,
    },
    /// Note that play has begun.
    Started {
        /// The match.
        match_id: MatchId,
        /// Our epoch.
        epoch: Epoch,
    },
    /// Note the score after a goal.
    Goal {
        /// The match.
        match_id: MatchId,
        /// Our epoch.
        epoch: Epoch,
        /// Left, right.
        score: [u8; 2],
    },
    /// Record the result. Answered by [`Answer::Finished`], however long it takes.
    Finish {
        /// The match.
        match_id: MatchId,
        /// Our epoch.
        epoch: Epoch,
        /// What it leaves behind.
        result: Box<FinishedMatch>,
    },
    /// Record that this match was given up without a result. Answered by [`Answer::Voided`], however long it takes.
    Void {
        /// The match.
        match_id: MatchId,
        /// Our epoch.
        epoch: Epoch,
    },
    /// Ask which of these are still ours, after a lapse of the lease. Answered by [`Answer::Confirmed`], however long
    /// it takes.
    Confirm {
        /// Which lapse.
        lapse: u64,
        /// The matches that are in play.
        matches: Vec<(MatchId, Epoch)>,
    },
    /// Put somebody whose opponent never came back in line, before all others.
    Requeue(Box<Ticket>),
    /// Tell the cluster's cache that these are ours.
    Own(Vec<(MatchId, Epoch)>),
    /// Take this one out of the cache.
    Disown(MatchId, Epoch),
}

impl Effect {
    /// A fixed label for counters.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Claim { .. } => "claim",
            Self::Started { .. } => "start",
            Self::Goal { .. } => "goal",
            Self::Finish { .. } => "finish",
            Self::Void { .. } => "void",
            Self::Confirm { .. } => "confirm",
            Self::Requeue(_) => "requeue",
            Self::Own(_) => "own",
            Self::Disown(..) => "disown",
        }
    }
}

/// A request to join, as it came from an edge.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) edge: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) request: u64,
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) join_as: JoinAs,
    pub(crate) skill: Skill,
}

/// Why something was refused: a code for the client and words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) detail: String,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// What became of a match that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It is this worker's, at this epoch.
    Here { epoch: Epoch, seed: u64 },
    /// It exists already, and another worker has it.
    Elsewhere,
    /// It cannot be.
    Refused(Refused),
    /// Postgres did not answer: it may have been created.
    Unknown(Refused),
}

/// What the tick thread hears.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A match may begin, or may not.
    Created { spec: Box<MatchSpec>, grant: Grant },
    /// A seat was granted, or was not.
    Claimed { match_id: MatchId, side: Side, join: Box<Joining>, granted: Result<(), Refused> },
    /// A result is recorded; ratings before and after, left and right, if the match was rated.
    Finished { match_id: MatchId, ratings: Option<[(i32, i32); 2]> },
    /// Another owner holds the match: its result is not ours to record.
    Fenced { match_id: MatchId },
    /// A match is recorded as abandoned.
    Voided { match_id: MatchId },
    /// Somebody else has called a match off that is still played here.
    CalledOff { match_id: MatchId },
    /// After this lapse, these are not ours any more.
    Confirmed { lapse: u64, lost: Vec<MatchId> },
    /// From a director: have this match hosted by that worker, and say how it went.
    Place { worker: NodeId, spec: Box<MatchSpec>, reply: oneshot::Sender<Result<(), Refused>> },
    /// From a director: tell an edge.
    Tell { edge: NodeId, match_id: MatchId, control: Box<Control> },
    /// No new matches; those that play go on.
    Drain,
    /// The deadline of a drain has come: what still plays is given up.
    GiveUp,
}
