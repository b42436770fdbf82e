//! One match: sessions and their seats, messages in and out, around the [`Referee`].

use rally_protocol::{
    client::v1::{GameOver, JoinAs, MatchJoined, Phase, Place, Side, Skill},
    cluster::v1::{Command, InputRecord, MatchSpec, SnapshotHead},
};
use rally_units::{Epoch, MatchId, SessionId, Tick, UserId};

use crate::{InputRefusal, JoinError, Outputs, Refusal};

/// What all matches of a cluster agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// Goals that win, at least 1.
    pub score_to_win: u8,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self { score_to_win: 11 }
    }
}

/// A session that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Where it is.
    pub place: Place,
    /// The seat's new generation (both seats' in a local match); 0 for a spectator.
    pub generation: u16,
    /// What the client is told. Events from `last_event + 1` on follow in [`Outputs`].
    pub picture: MatchJoined,
    /// The connection whose seat this one took over.
    pub replaced: Option<Replaced>,
}

/// An older connection of the same player, which has no seat any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The older connection.
    pub session: SessionId,
    /// Whose seat (left in a local match).
    pub side: Side,
}

/// One match.
#[derive(Debug)]
pub struct Room {}

impl Room {
    /// A match that waits for its players. `seed` decides all that is left to chance.
    pub fn new(spec: MatchSpec, seed: u64, epoch: Epoch, settings: RoomSettings) -> Self {
        let _ = (spec, seed, epoch, settings);
        unimplemented!()
    }

    /// Lets a session in: on its user's seat, or to watch.
    ///
    /// A seat's generation rises with each of its joins; an older connection loses the seat. The same session may join
    /// again. Finished matches can be joined, too, for their result.
    ///
    /// # Errors
    /// `forbidden` for who has no seat, and for spectators of a private match; [`JoinError::NeedsClaim`] where a seat
    /// is open.
    pub fn join(
        &mut self,
        session: SessionId,
        user: UserId,
        name: &str,
        join_as: JoinAs,
        skill: Skill,
    ) -> Result<Joined, JoinError> {
        let _ = (session, user, name, join_as, skill);
        unimplemented!()
    }

    /// Gives an open seat to a user, once the store has written that down. The user then joins.
    ///
    /// # Errors
    /// `forbidden` if the seat is not open (any more), or the match is over.
    pub fn claim(&mut self, side: Side, user: UserId, name: &str, skill: Skill) -> Result<(), Refusal> {
        let _ = (side, user, name, skill);
        unimplemented!()
    }

    /// A session has gone, or lost its connection. Returns where it was; `None` if it was not here (any more).
    pub fn leave(&mut self, session: SessionId) -> Option<Place> {
        let _ = session;
        unimplemented!()
    }

    /// A player's wish.
    ///
    /// # Errors
    /// `forbidden` for who is no player here and for a pause too many, `invalid_input` where the wish does not fit the
    /// match's state, `unavailable` for a rematch.
    pub fn command(&mut self, session: SessionId, command: Command) -> Result<(), Refusal> {
        let _ = (session, command);
        unimplemented!()
    }

    /// Takes an input for the next tick. The edge has checked that its sender owns the seat; here (side, generation, n)
    /// are applied in order and once. What comes too early waits for those before it.
    ///
    /// # Errors
    /// The reason, for a counter.
    pub fn input(&mut self, input: InputRecord) -> Result<(), InputRefusal> {
        let _ = input;
        unimplemented!()
    }

    /// Plays 1/60 s. `out` is emptied and then holds what happened since the last call. When the match is over no time
    /// passes any more, and a call only hands out what is left to tell.
    pub fn tick(&mut self, out: &mut Outputs) {
        let _ = out;
        unimplemented!()
    }

    /// Appends the snapshot as a finished msgpack message. Allocates nothing but `out`'s growth.
    pub fn snapshot_into(&self, out: &mut Vec<u8>) {
        let _ = out;
        unimplemented!()
    }

    /// What stands in front of the snapshot between nodes.
    pub fn snapshot_head(&self) -> SnapshotHead {
        unimplemented!()
    }

    /// Tells all that the result is being recorded: by a `result_pending` event at the next tick. Only the first call
    /// after the match's end does something.
    pub fn result_pending(&mut self) {
        unimplemented!()
    }

    /// The result is committed: what to tell everyone, and from now on each who joins. `ratings` are those of a rated
    /// match, before and after. `None` if the match is not over.
    pub fn recorded(&mut self, ratings: Option<[(i32, i32); 2]>) -> Option<GameOver> {
        let _ = ratings;
        unimplemented!()
    }

    /// Which match.
    pub fn id(&self) -> MatchId {
        unimplemented!()
    }

    /// Under which owner.
    pub fn epoch(&self) -> Epoch {
        unimplemented!()
    }

    /// Ticks so far.
    pub fn tick_count(&self) -> Tick {
        unimplemented!()
    }

    /// Its state.
    pub fn phase(&self) -> Phase {
        unimplemented!()
    }

    /// Goals, left and right.
    pub fn score(&self) -> [u8; 2] {
        unimplemented!()
    }

    /// Spectators.
    pub fn viewers(&self) -> usize {
        unimplemented!()
    }

    /// Whether it has ended (its result may not be committed yet).
    pub fn is_over(&self) -> bool {
        unimplemented!()
    }
}
