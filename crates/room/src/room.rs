//! One match: sessions and their seats, messages in and out, around the [`Referee`].

mod owners;
mod report;

use std::collections::VecDeque;

use rally_protocol::{
    client::v1::{ErrorCode, GameOver, JoinAs, MatchEvent, MatchJoined, Mode, Phase, Place, Side, Skill},
    cluster::v1::{Command, InputRecord, MatchSpec, SnapshotHead},
};
use rally_sim::{Event, PowerUpKind, Rules};
use rally_units::{Epoch, MatchId, SessionId, Tick, UserId};

use crate::{
    Counters, InputRefusal, JoinError, OutEvent, Outputs, Refusal,
    bot::Bot,
    convert::{self, View, side_to_rules, side_to_wire},
    log::Action,
    record::Record,
    referee::{Happening, Referee, Refused, Setup, Stage},
    seats::{Holder, Seats, sides},
};

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
pub struct Room {
    pub(crate) id: MatchId,
    pub(crate) mode: Mode,
    pub(crate) private: bool,
    pub(crate) epoch: Epoch,
    pub(crate) referee: Referee,
    pub(crate) seats: Seats,
    pub(crate) bots: [Option<Bot>; 2],
    pub(crate) record: Record,
    /// The `n` of the last event.
    pub(crate) last_event: u32,
    /// What happened and has not been told: since the last tick, or since a goal that is held back.
    pub(crate) pending: Vec<OutEvent>,
    /// The last events told.
    pub(crate) told: VecDeque<OutEvent>,
    pub(crate) counters: Counters,
    pub(crate) split_by: Option<rally_sim::Side>,
    /// With the goals that have been told.
    pub(crate) shown_score: [u8; 2],
    /// Goals are told once a copy of the match has them.
    pub(crate) holds_goals: bool,
    /// The tick of the newest copy.
    pub(crate) confirmed: Tick,
    /// Inputs of each seat's present generation that the newest copy has.
    pub(crate) durable: [u32; 2],
    pub(crate) ending: Ending,
}

// 5,000 matches on a core, without what they have on the heap (names, log, events), stay below 10 MiB.
const _: () = assert!(size_of::<Room>() <= 2048);

/// Numbers of events that an owner can use up, in a match of an hour.
const EVENTS_PER_OWNER: u32 = 1_000_000;

/// Both sides, in the order of every pair.
const SIDES: [Side; 2] = [Side::Left, Side::Right];

/// How far a match's end has been told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    NotYet,
    /// What the match leaves behind is handed out.
    Told,
    /// `result_pending` is, too.
    Pending,
    Recorded(GameOver),
}

impl Room {
    /// A match that waits for its players. `seed` decides all that is left to chance.
    pub fn new(spec: MatchSpec, seed: u64, epoch: Epoch, settings: RoomSettings) -> Self {
        Self::made(spec, seed, epoch, settings, None)
    }

    /// A match of which nothing is left but what the database knows: it pauses at this score until its players are
    /// back, and goes on with a countdown. Its replay begins here.
    pub fn resumed(spec: MatchSpec, seed: u64, epoch: Epoch, settings: RoomSettings, score: [u8; 2]) -> Self {
        let most = settings.score_to_win.max(1);
        let mut score = score.map(|goals| goals.min(most));
        // One side's last goal ends a match, so this is no score of any match; play decides.
        if score == [most; 2] {
            score = [most - 1; 2];
        }
        let mut room = Self::made(spec, seed, epoch, settings, Some(score));
        // Above all that the owners before can have told.
        room.last_event = epoch.0.saturating_mul(EVENTS_PER_OWNER);
        room.shown_score = score;
        room
    }

    fn made(spec: MatchSpec, seed: u64, epoch: Epoch, settings: RoomSettings, resumed_at: Option<[u8; 2]>) -> Self {
        let MatchSpec { id, mode, classic, private, seats } = spec;
        let seats = Seats::new(seats, mode == Mode::Local);
        let setup = Setup {
            seed,
            rules: Rules {
                classic,
                skills: SIDES.map(|side| convert::skill_to_rules(seats.get(side).skill)),
                score_to_win: settings.score_to_win.max(1),
            },
            seats: seats.kinds(),
            no_show_wins: mode == Mode::Tournament,
            resumed_at,
        };
        let bots = SIDES.map(|side| match seats.get(side).holder {
            Holder::Bot(level) => Some(Bot::new(side_to_rules(side), level, seed)),
            Holder::Open | Holder::User { .. } => None,
        });
        Self {
            id,
            mode,
            private,
            epoch,
            referee: Referee::new(setup),
            seats,
            bots,
            record: Record::new(setup),
            last_event: 0,
            pending: Vec::new(),
            told: VecDeque::new(),
            counters: Counters::default(),
            split_by: None,
            shown_score: [0; 2],
            holds_goals: false,
            confirmed: Tick::default(),
            durable: [0; 2],
            ending: Ending::NotYet,
        }
    }

    /// Lets a session in: on its user's seat, or to watch.
    ///
    /// A seat's generation rises with each of its joins; an older connection loses the seat. The same session may join
    /// again. Finished matches can be joined, too, for their result.
    ///
    /// A seat's name and skill are known since the match was made, or since [`Room::claim`].
    ///
    /// # Errors
    /// `forbidden` for who has no seat, and for spectators of a private match; [`JoinError::NeedsClaim`] where a seat
    /// is open; `rate_limited` after 65,535 joins of one seat.
    pub fn join(&mut self, session: SessionId, user: UserId, join_as: JoinAs) -> Result<Joined, JoinError> {
        match join_as {
            JoinAs::Player => self.join_seat(session, user),
            JoinAs::Spectator if self.private => {
                Err(Refusal::new(ErrorCode::Forbidden, "nobody may watch a private match").into())
            }
            JoinAs::Spectator => {
                self.leave(session);
                self.seats.watch(session);
                Ok(self.joined(Place::Spectator, 0, None))
            }
        }
    }

    fn join_seat(&mut self, session: SessionId, user: UserId) -> Result<Joined, JoinError> {
        let Some(place) = self.seats.place_of_user(user) else {
            return Err(match self.seats.open() {
                Some(side) if !self.is_over() => JoinError::NeedsClaim { side },
                _ => Refusal::new(ErrorCode::Forbidden, "no seat of yours in this match").into(),
            });
        };
        let Some(taken) = self.seats.take(place, session) else {
            return Err(Refusal::new(ErrorCode::RateLimited, "joined too often").into());
        };
        self.counters.inputs_dropped += taken.inputs_lost as u32;
        for side in sides(place) {
            self.durable[side.index()] = 0;
        }
        // What was held by the connection before is not held by this one. In a match that is over, nothing is done.
        if taken.was_empty {
            let _ = self.perform(Action::Attach(side_to_rules(sides(place)[0])));
        } else {
            for side in sides(place) {
                self.release(side_to_rules(*side));
            }
        }
        Ok(self.joined(place, taken.generation, taken.replaced))
    }

    fn release(&mut self, side: rally_sim::Side) {
        if self.referee.world().paddles()[side.index()].dir != rally_sim::Dir::Stay {
            let _ = self.perform(Action::Input { side, dir: rally_sim::Dir::Stay, press: false });
        }
    }

    /// Gives an open seat to a user, once the store has written that down. The user then joins.
    ///
    /// # Errors
    /// `forbidden` if the seat is not open (any more), or the match is over.
    pub fn claim(&mut self, side: Side, user: UserId, name: &str, skill: Skill) -> Result<(), Refusal> {
        if self.seats.place_of_user(user).is_some() {
            return Err(Refusal::new(ErrorCode::Forbidden, "you have the other seat"));
        }
        self.perform(Action::Claim(side_to_rules(side), convert::skill_to_rules(skill)))
            .map_err(|_| Refusal::new(ErrorCode::Forbidden, "the seat is taken"))?;
        self.seats.claim(side, user, name, skill);
        Ok(())
    }

    /// A session has gone, or lost its connection. Returns where it was; `None` if it was not here (any more).
    pub fn leave(&mut self, session: SessionId) -> Option<Place> {
        let (place, inputs_lost) = self.seats.leave(session)?;
        self.counters.inputs_dropped += inputs_lost as u32;
        if let Some(side) = sides(place).first() {
            let _ = self.perform(Action::Detach(side_to_rules(*side)));
        }
        Some(place)
    }

    /// A player's wish. In a local match the connection speaks for the left player: its pauses are the left one's, and
    /// if it gives up, the right one has won.
    ///
    /// To be ready is possible at any time and means something once. A pause is possible in play and in a countdown.
    ///
    /// # Errors
    /// `forbidden` for who is no player here and for a pause too many, `invalid_input` where the wish does not fit the
    /// match's state.
    pub fn command(&mut self, session: SessionId, command: Command) -> Result<(), Refusal> {
        let place = self.seats.place_of_session(session);
        let Some(side) = place.and_then(|place| sides(place).first()).copied().map(side_to_rules) else {
            return Err(Refusal::new(ErrorCode::Forbidden, "you do not play in this match"));
        };
        let action = match command {
            Command::Ready if self.referee.is_ready(side) && !self.is_over() => return Ok(()),
            Command::Ready => Action::Ready(side),
            Command::Pause => Action::Pause(side),
            Command::Resume => Action::Resume(side),
            Command::Forfeit => Action::Forfeit(side),
            Command::Replay { .. } => return Err(Refusal::new(ErrorCode::InvalidInput, "this is no replay")),
        };
        self.perform(action).map_err(|refused| match refused {
            Refused::Over => Refusal::new(ErrorCode::InvalidInput, "the match is over"),
            Refused::NotNow => Refusal::new(ErrorCode::InvalidInput, "not in this state of the match"),
            Refused::Awaiting => Refusal::new(ErrorCode::InvalidInput, "the match waits for an absent player"),
            Refused::NoPauseLeft => Refusal::new(ErrorCode::Forbidden, "no pause is left"),
        })
    }

    /// The match stood still for a reason that is not its own (its worker was cut off, and did not tick it): play goes
    /// on with a countdown of 1 s. Elsewhere than in play this does nothing.
    pub fn interrupted(&mut self) {
        let _ = self.perform(Action::Interrupt);
    }

    /// Takes an input for the next tick. The edge has checked that its sender owns the seat; here (side, generation, n)
    /// are applied in order and once. What comes too early waits for those before it.
    ///
    /// # Errors
    /// The reason, for a counter.
    pub fn input(&mut self, input: InputRecord) -> Result<(), InputRefusal> {
        if self.is_over() {
            return Err(InputRefusal::Over);
        }
        let seat = self.seats.get(input.side);
        if !matches!(seat.holder, Holder::User { .. }) {
            return Err(InputRefusal::NoPlayer);
        }
        match input.generation.cmp(&seat.inbox.generation()) {
            std::cmp::Ordering::Less => Err(InputRefusal::OldGeneration),
            std::cmp::Ordering::Greater => Err(InputRefusal::UnknownGeneration),
            std::cmp::Ordering::Equal if seat.session.is_none() => Err(InputRefusal::Away),
            std::cmp::Ordering::Equal => self.seats.inbox_mut(input.side).offer(input),
        }
    }

    /// Plays 1/60 s. `out` is emptied and then holds what happened since the last call. When the match is over no time
    /// passes any more, and a call only hands out what is left to tell.
    pub fn tick(&mut self, out: &mut Outputs) {
        out.clear();
        if !self.is_over() {
            self.apply_inputs();
            self.let_bots_play();
            self.referee.tick(&mut out.sim_events, &mut out.happenings);
            for happening in out.happenings.drain(..) {
                self.tell(happening);
            }
            if !self.is_over() && self.record.log.wants_hash(self.referee.tick_count()) {
                self.record.log.push_hash(self.referee.world().hash());
            }
        }
        if let Some(outcome) = self.referee.outcome()
            && self.ending == Ending::NotYet
        {
            self.ending = Ending::Told;
            out.finished = Some(Box::new(self.finished(outcome)));
        }
        self.hand_out(&mut out.events);
        out.counters = std::mem::take(&mut self.counters);
    }

    fn apply_inputs(&mut self) {
        for side in SIDES {
            while let Some(input) = self.seats.inbox_mut(side).take() {
                self.counters.inputs_applied += 1;
                let taken = self.perform(convert::input_to_action(input));
                debug_assert!(taken.is_ok(), "only a player who is there has inputs waiting");
            }
        }
    }

    fn let_bots_play(&mut self) {
        if self.referee.stage() != Stage::Playing {
            return;
        }
        for side in rally_sim::Side::ALL {
            let Some(bot) = &mut self.bots[side.index()] else { continue };
            if let Some(rally_sim::Input { dir, press }) = bot.think(self.referee.world()) {
                let taken = self.perform(Action::Input { side, dir, press });
                debug_assert!(taken.is_ok(), "a bot is always there");
            }
        }
    }

    /// Lets the referee take an action, and writes down what it took.
    fn perform(&mut self, action: Action) -> Result<(), Refused> {
        let mut happenings = Vec::new();
        self.referee.act(action, &mut happenings)?;
        self.record.action(self.referee.tick_count(), action, &mut self.counters);
        for happening in happenings {
            self.tell(happening);
        }
        Ok(())
    }

    /// Writes down what happened, and makes an event of it.
    fn tell(&mut self, happening: Happening) {
        let n = self.last_event + 1;
        if let Happening::Played { clock, event } = happening {
            self.record.played(n, clock, event, &mut self.counters);
            if let Event::PowerUpCollected { side, kind: PowerUpKind::Split, .. } = event {
                self.split_by = Some(side);
            }
        }
        let (score, tick) = (self.record.score(), self.referee.tick_count());
        if let Some(event) = convert::event(happening, self.referee.world(), score, self.id, tick, n) {
            self.send(&event);
        }
    }

    fn send(&mut self, event: &MatchEvent) {
        self.last_event = event.n;
        self.pending.push(OutEvent::new(event));
    }

    fn view(&self) -> View<'_> {
        View {
            id: self.id,
            tick: self.referee.tick_count(),
            epoch: self.epoch,
            phase: self.phase(),
            ack: SIDES.map(|side| self.seats.get(side).inbox.ack()),
            split_by: self.split_by,
            score: self.shown_score,
            world: self.referee.world(),
        }
    }

    /// Appends the snapshot as a finished msgpack message. Allocates nothing but `out`'s growth.
    pub fn snapshot_into(&self, out: &mut Vec<u8>) {
        convert::write_snapshot(&self.view(), out);
    }

    /// What stands in front of the snapshot between nodes.
    pub fn snapshot_head(&self) -> SnapshotHead {
        SnapshotHead {
            tick: self.referee.tick_count(),
            generation: SIDES.map(|side| self.seats.get(side).inbox.generation()),
            applied: SIDES.map(|side| self.seats.get(side).inbox.applied()),
            durable: self.durable,
        }
    }

    /// Tells all that the result is being recorded: by a `result_pending` event at the next tick. Only the first call
    /// after the match's end does something.
    pub fn result_pending(&mut self) {
        if self.ending != Ending::Told {
            return;
        }
        self.ending = Ending::Pending;
        let event = convert::result_pending(self.id, self.referee.tick_count(), self.last_event + 1);
        self.send(&event);
    }

    /// The result is committed: what to tell everyone, and from now on each who joins. `ratings` are those of a rated
    /// match, before and after. `None` if nothing can have been committed, because [`FinishedMatch`](crate::FinishedMatch) was not handed
    /// out yet.
    pub fn recorded(&mut self, ratings: Option<[(i32, i32); 2]>) -> Option<GameOver> {
        let outcome = self.referee.outcome().filter(|_| self.ending != Ending::NotYet)?;
        let over = GameOver {
            match_id: self.id,
            winner: outcome.winner.map(side_to_wire),
            score: self.score(),
            reason: convert::reason_to_wire(outcome.reason),
            ratings,
        };
        self.ending = Ending::Recorded(over.clone());
        // The database has all of it now: nothing is held back, and nothing handed out again.
        self.holds_goals = false;
        self.record = Record::new(self.record.log.setup());
        Some(over)
    }

    /// Which match.
    pub fn id(&self) -> MatchId {
        self.id
    }

    /// Its kind.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether only its link leads to it.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Goals, as far as they have been told.
    pub fn shown_score(&self) -> [u8; 2] {
        self.shown_score
    }

    /// Under which owner.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Ticks so far.
    pub fn tick_count(&self) -> Tick {
        self.referee.tick_count()
    }

    /// Its state.
    pub fn phase(&self) -> Phase {
        convert::phase(self.referee.stage())
    }

    /// Goals, left and right.
    pub fn score(&self) -> [u8; 2] {
        self.referee.world().score()
    }

    /// Goals that have been told ([`Room::hold_goals`]).
    pub fn told_score(&self) -> [u8; 2] {
        self.shown_score
    }

    /// The user on a side, if a person has it.
    pub fn user(&self, side: Side) -> Option<UserId> {
        match self.seats.get(side).holder {
            Holder::User { id, .. } => Some(id),
            Holder::Open | Holder::Bot(_) => None,
        }
    }

    /// Spectators.
    pub fn viewers(&self) -> usize {
        self.seats.viewers()
    }

    /// Whether it has ended (its result may not be committed yet).
    pub fn is_over(&self) -> bool {
        self.referee.outcome().is_some()
    }
}
