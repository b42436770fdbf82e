//! What the tick thread asks of the rest of the process, and what it hears back.
//!
//! Both travel through bounded channels. The tick thread never waits for either.

use bytes::Bytes;
use rally_fabric::Ticket;
use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Side, Skill},
    cluster::v1::{Control, MatchSpec},
};
use rally_room::{FinishedMatch, Showing};
use rally_store::Owner;
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SessionId, Tick, UserId};
use tokio::sync::oneshot;

use crate::host::{Copied, Copy};

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
    /// Read what a finished match can be played again from, and tell the cluster's cache that it is shown here under this
    /// id. Answered by [`Answer::Replay`].
    FindReplay {
        /// The showing.
        showing: MatchId,
        /// The match.
        of: MatchId,
        /// From where on.
        from: Option<Tick>,
    },
    /// Tell the cluster's cache that these are ours.
    Own(Vec<(MatchId, Epoch)>),
    /// Take this one out of the cache.
    Disown(MatchId, Epoch),
    /// The same, and its checkpoint with it: its end is recorded.
    Forget(MatchId, Epoch),
    /// Keep these copies. Answered by [`Answer::Copied`].
    Copy(Vec<Copy>),
    /// Ask whose matches live. Answered by [`Answer::Owners`].
    FindOwners,
    /// Ask for the matches of a worker that is gone. Answered by [`Answer::Orphans`].
    FindOrphans(Owner),
    /// Take these matches, each from the owner of this epoch. Answered by [`Answer::Taken`], however long it takes.
    Take {
        /// What for.
        why: TakeFor,
        /// The matches, at the epochs of their owners.
        expected: Vec<(MatchId, Epoch)>,
    },
    /// Take a match back that was offered to another worker, whether or not that one has taken it. Answered by
    /// [`Answer::TakenBack`], however long it takes.
    TakeBack {
        /// The match.
        match_id: MatchId,
        /// Our epoch, before.
        epoch: Epoch,
    },
    /// Ask how matches stand that have been taken. Each is answered by [`Answer::Fetched`], however long it takes.
    Fetch {
        /// The matches, at our epochs.
        matches: Vec<(MatchId, Epoch)>,
        /// From where.
        from: Fetch,
    },
}

/// What a match is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeFor {
    /// Its owner is gone.
    Recovery,
    /// Its owner hands it over.
    Move,
}

impl TakeFor {
    /// What it is called in traces.
    pub(crate) const fn span_name(self) -> &'static str {
        match self {
            Self::Recovery => "match.recover",
            Self::Move => "match.move",
        }
    }
}

/// Where to look for how a match stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// In Redis; if it has nothing, in Postgres.
    Checkpoint,
    /// In Postgres.
    Score,
}

/// How a match stands.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// As its last owner left it.
    Copy {
        /// The state.
        state: Bytes,
        /// The journal that goes with it.
        journal: Bytes,
        /// Who had written it.
        by: Epoch,
        /// Goals that have been told, by Postgres.
        told: [u8; 2],
    },
    /// Only this is known.
    Score {
        /// The match.
        spec: Box<Known>,
        /// Of its random stream.
        seed: u64,
        /// Goals, if play had begun.
        score: Option<[u8; 2]>,
    },
    /// It has ended, or is another's by now.
    Over,
}

/// What Postgres knows of a match.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) spec: MatchSpec,
    pub(crate) score_to_win: u8,
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
            Self::FindReplay { .. } => "find_replay",
            Self::Own(_) => "own",
            Self::Disown(..) => "disown",
            Self::Forget(..) => "forget",
            Self::Copy(_) => "copy",
            Self::FindOwners => "find_owners",
            Self::FindOrphans(_) => "find_orphans",
            Self::Take { .. } => "take",
            Self::TakeBack { .. } => "take_back",
            Self::Fetch { .. } => "fetch",
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
    Fenced { match_id: MatchId, epoch: Epoch },
    /// That play has begun, or the score, could not be written.
    NotNoted { match_id: MatchId },
    /// A match is recorded as abandoned.
    Voided { match_id: MatchId },
    /// Somebody else has called a match off that is still played here.
    CalledOff { match_id: MatchId },
    /// After this lapse, these are not ours any more.
    Confirmed { lapse: u64, lost: Vec<(MatchId, Epoch)> },
    /// What became of copies.
    Copied(Vec<(MatchId, Epoch, Tick, Copied)>),
    /// The owners of live matches; `None` if Postgres did not say.
    Owners(Option<Vec<Owner>>),
    /// The live matches of a worker, with their epochs; `None` if Postgres did not say.
    Orphans { owner: Owner, matches: Option<Vec<(MatchId, Epoch)>> },
    /// Of the matches that were to be taken from these epochs, those that were, with ours.
    Taken { why: TakeFor, expected: Vec<(MatchId, Epoch)>, taken: Vec<(MatchId, Epoch)> },
    /// A match of ours, at the epoch before, is ours again at the other one; `None` if another has it, or it has ended.
    TakenBack { match_id: MatchId, before: Epoch, epoch: Option<Epoch> },
    /// How a match that was taken stands.
    Fetched { match_id: MatchId, epoch: Epoch, found: Found },
    /// What was found to be shown.
    Replay { showing: MatchId, found: Result<Box<Showing>, Refused> },
    /// From a director: have this match hosted by that worker, and say how it went.
    Place { worker: NodeId, spec: Box<MatchSpec>, reply: oneshot::Sender<Result<(), Refused>> },
    /// From a director: tell an edge.
    Tell { edge: NodeId, match_id: MatchId, control: Box<Control> },
    /// From an operator: this match shall move, to this worker or to any.
    Move { match_id: MatchId, to: Option<NodeId> },
    /// No new matches; those that play move to other workers, if there are any.
    Drain,
    /// The deadline of a drain has come: what still plays is given up.
    GiveUp,
}
