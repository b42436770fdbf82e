//! A match in the hands of a test: says what happens, and checks at every tick what must always hold.

use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{Dir, ErrorCode, EventKind, JoinAs, Level, MatchEvent, Mode, Phase, ServerMessage, Side, Skill, Snapshot},
    },
    cluster::v1::{Command, InputRecord, MatchSpec, SeatSpec},
};
use rally_room::{Counters, FinishedMatch, InputRefusal, JoinError, Joined, Outputs, Room, RoomSettings, replay};
use rally_units::{Epoch, MatchId, SessionId, UserId};

pub(crate) use Side::{Left, Right};

pub(crate) const S: u32 = 60;
/// A wish that is for replays only.
pub(crate) const ANOTHER_SPEED: Command = Command::Replay { tick: None, speed_percent: Some(200) };

pub(crate) fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

fn person(n: u8, skill: Skill) -> SeatSpec {
    SeatSpec::User { id: user(n), name: format!("player{n}"), guest: true, skill }
}

/// A match about to be made. The players are users 1 and 2.
pub(crate) struct Builder {
    pub(crate) spec: MatchSpec,
    seed: u64,
    score_to_win: u8,
}

pub(crate) fn a_match(mode: Mode) -> Builder {
    let right = if mode == Mode::Local { person(1, Skill::Smash) } else { person(2, Skill::Smash) };
    let spec = MatchSpec {
        id: MatchId::from_bytes([7; 16]),
        mode,
        classic: mode == Mode::Classic,
        private: false,
        seats: [person(1, Skill::Smash), right],
    };
    Builder { spec, seed: 1, score_to_win: 11 }
}

impl Builder {
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    pub(crate) fn score_to_win(self, score_to_win: u8) -> Self {
        Self { score_to_win, ..self }
    }

    pub(crate) fn bot(self, side: Side, level: Level) -> Self {
        self.seat(side, SeatSpec::Bot { level })
    }

    pub(crate) fn skill(self, side: Side, skill: Skill) -> Self {
        self.seat(side, person(side as u8 + 1, skill))
    }

    pub(crate) fn classic(mut self) -> Self {
        self.spec.classic = true;
        self
    }

    /// Private, with an open right seat.
    pub(crate) fn private(mut self) -> Self {
        self.spec.private = true;
        self.seat(Right, SeatSpec::Open)
    }

    fn seat(mut self, side: Side, seat: SeatSpec) -> Self {
        self.spec.seats[side.index()] = seat;
        self
    }

    pub(crate) fn made(self) -> Scene {
        let settings = RoomSettings { score_to_win: self.score_to_win };
        Scene {
            room: Room::new(self.spec, self.seed, Epoch::FIRST, settings),
            out: Outputs::new(),
            events: Vec::new(),
            finished: None,
            counters: Counters::default(),
            generations: [0; 2],
            n: [0; 2],
        }
    }
}

pub(crate) struct Scene {
    pub(crate) room: Room,
    out: Outputs,
    pub(crate) events: Vec<MatchEvent>,
    pub(crate) finished: Option<FinishedMatch>,
    pub(crate) counters: Counters,
    generations: [u16; 2],
    n: [u32; 2],
}

impl Scene {
    /// A session's try to come in.
    pub(crate) fn join(&mut self, session_n: u8, user_n: u8, join_as: JoinAs) -> Result<Joined, JoinError> {
        self.room.join(session(session_n), user(user_n), join_as)
    }

    /// The player of a side comes, with the session of the same number as the user.
    pub(crate) fn attach(&mut self, side: Side) -> Joined {
        let n = side as u8 + 1;
        self.attach_as(side, n)
    }

    /// The player of a side comes by this session.
    pub(crate) fn attach_as(&mut self, side: Side, session_n: u8) -> Joined {
        let joined = self.join(session_n, side as u8 + 1, JoinAs::Player).expect("a player has a seat");
        self.note(side, &joined);
        joined
    }

    /// Remembers from which generation on a side's inputs count.
    pub(crate) fn note(&mut self, side: Side, joined: &Joined) {
        self.generations[side.index()] = joined.generation;
        self.n[side.index()] = 0;
    }

    pub(crate) fn lose(&mut self, side: Side) {
        assert!(self.room.leave(session(side as u8 + 1)).is_some(), "the player was there");
    }

    pub(crate) fn command(&mut self, side: Side, command: Command) {
        self.try_command(side, command).expect("the command fits");
    }

    pub(crate) fn try_command(&mut self, side: Side, command: Command) -> Result<(), ErrorCode> {
        self.room.command(session(side as u8 + 1), command).map_err(|refusal| refusal.code)
    }

    pub(crate) fn record(&self, side: Side, n: u32, dir: Dir, press: bool) -> InputRecord {
        InputRecord { side, generation: self.generations[side.index()], n, seq: n, dir, press }
    }

    pub(crate) fn input(&mut self, side: Side, dir: Dir, press: bool) -> Result<(), InputRefusal> {
        let record = self.record(side, self.n[side.index()] + 1, dir, press);
        self.room.input(record)?;
        self.n[side.index()] += 1;
        Ok(())
    }

    pub(crate) fn hold(&mut self, side: Side, dir: Dir) {
        self.input(side, dir, false).expect("the player is there");
    }

    pub(crate) fn press(&mut self, side: Side) {
        let dir = self.snapshot().paddles[side.index()].1;
        self.input(side, dir, true).expect("the player is there");
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut bytes = Vec::new();
        self.room.snapshot_into(&mut bytes);
        match ServerMessage::decode(Encoding::Msgpack, &bytes) {
            Ok(ServerMessage::Snapshot(snapshot)) => snapshot,
            other => panic!("not a snapshot: {other:?}"),
        }
    }

    pub(crate) fn tick(&mut self) {
        let (phase, score, tick) = (self.room.phase(), self.room.score(), self.room.tick_count());
        let was_over = self.room.is_over();
        self.room.tick(&mut self.out);

        for event in &self.out.events {
            let Ok(ServerMessage::MatchEvent(message)) = ServerMessage::decode(Encoding::Msgpack, &event.message)
            else {
                panic!("not an event: {event:?}");
            };
            assert_eq!((message.n, message.event), (event.n, event.kind));
            assert_eq!(message.n, self.events.last().map_or(0, |last| last.n) + 1, "without holes");
            assert!(self.events.last().is_none_or(|last| last.tick <= message.tick), "in order");
            self.events.push(message);
        }
        let counters = self.out.counters;
        self.counters.inputs_applied += counters.inputs_applied;
        self.counters.inputs_dropped += counters.inputs_dropped;

        let after = self.room.phase();
        assert!(may_follow(phase, after), "{phase} to {after}");
        assert!((0..2).all(|i| self.room.score()[i] >= score[i]), "scores only rise");
        if was_over {
            assert_eq!(self.room.tick_count(), tick, "no time passes any more");
        } else {
            assert_eq!(self.room.tick_count(), tick.next());
        }
        if let Some(finished) = self.out.finished.take() {
            assert!(self.finished.is_none(), "a match is finished once");
            assert_eq!(after, Phase::Finished);
            replay::verify(&finished.replay).expect("the replay is true");
            self.finished = Some(*finished);
        }
        assert_eq!(self.finished.is_some(), self.room.is_over());
    }

    pub(crate) fn run(&mut self, ticks: u32) -> &mut Self {
        for _ in 0..ticks {
            self.tick();
        }
        self
    }

    /// Runs until something is so, at most for `ticks_max`.
    pub(crate) fn run_until(&mut self, ticks_max: u32, mut is_so: impl FnMut(&Self) -> bool) -> u32 {
        for ticks in 0..ticks_max {
            if is_so(self) {
                return ticks;
            }
            self.tick();
        }
        assert!(is_so(self), "still not so after {ticks_max} ticks; the match is {}", self.room.phase());
        ticks_max
    }

    pub(crate) fn run_to(&mut self, phase: Phase) -> u32 {
        self.run_until(600 * S, |scene| scene.room.phase() == phase)
    }

    /// Both come and are ready; runs until play begins.
    pub(crate) fn begun(mut self) -> Self {
        for side in [Left, Right] {
            if self.room.user(side).is_some() {
                self.attach(side);
                self.command(side, Command::Ready);
            }
        }
        self.run_to(Phase::Playing);
        self
    }

    /// A local match, begun by its one connection.
    pub(crate) fn begun_locally(mut self) -> Self {
        let joined = self.attach(Left);
        self.note(Right, &joined);
        self.command(Left, Command::Ready);
        self.run_to(Phase::Playing);
        self
    }

    /// Events told so far, each as its kind and side.
    pub(crate) fn told(&self) -> Vec<(EventKind, Option<Side>)> {
        self.events.iter().map(|event| (event.event, event.side)).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.events.iter().map(|event| event.event).collect()
    }

    pub(crate) fn last(&self, kind: EventKind) -> &MatchEvent {
        self.events.iter().rev().find(|event| event.event == kind).unwrap_or_else(|| panic!("no {kind} was told"))
    }

    pub(crate) fn forget_events(&mut self) {
        // The last stays, for the order of `n`.
        let keep = self.events.len().saturating_sub(1);
        self.events.drain(..keep);
    }

    pub(crate) fn result(&self) -> &FinishedMatch {
        self.finished.as_ref().expect("the match is over")
    }
}

fn may_follow(before: Phase, after: Phase) -> bool {
    use Phase::{Countdown, Finished, Paused, Playing, Waiting};
    before == after
        || matches!(
            (before, after),
            (Waiting, Countdown)
                | (Countdown, Playing | Paused)
                | (Playing, Paused | Countdown)
                | (Paused, Countdown)
                | (Waiting | Countdown | Playing | Paused, Finished)
        )
}
