//! A finished match shown again: its log is played at the pace that its watcher likes, from wherever he likes.
//!
//! A watcher sees by the same messages what those saw who looked on. Ticks and numbers of events in them are the
//! showing's own and only rise, whatever is shown: whoever passes them on need not know that nobody plays. A showing is
//! ticked 60 times a second, stands or goes; a seek takes as many of these as its caller grants it steps for.

use rally_protocol::{
    client::v1::{ErrorCode, Level, MatchJoined, Mode, Phase, Place, Player, ReplayState, Side},
    cluster::v1::SnapshotHead,
};
use rally_sim::{Event, PowerUpKind, RULES_VERSION};
use rally_units::{Epoch, MatchId, Tick, UserId};

use crate::{
    OutEvent, Outputs, Refusal,
    convert::{self, View, side_to_rules},
    limits::{REPLAY_SPEED_PERCENT_MAX, REPLAY_STATE_TICKS},
    log::{ActionCursor, ReplayLog},
    referee::{Happening, Referee, Stage},
    replay::Mismatch,
};

/// As it was played.
const SPEED_PERCENT: u16 = 100;
/// From one kept state to the next: a seek plays less than this again. An hour's match keeps 360, of 2 KiB each.
const MARK_TICKS: u32 = 600;
/// The one owner that a showing ever has.
const EPOCH: Epoch = Epoch::FIRST;

/// Which match is shown to whom.
#[derive(Clone, Debug)]
pub struct Programme {
    /// The showing's own id: that of a match, for all who pass it on.
    pub id: MatchId,
    /// The finished match.
    pub of: MatchId,
    /// Its kind.
    pub mode: Mode,
    /// Who played, left and right.
    pub players: [Option<Shown>; 2],
}

/// Somebody who played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whose account it was, if any.
    pub user: Option<UserId>,
    /// The name to show.
    pub name: String,
    /// How strong the bot was, if it was one.
    pub bot: Option<Level>,
}

/// One replay on its way to its watcher.
#[derive(Debug)]
pub struct Showing {
    programme: Programme,
    segments: Vec<Segment>,
    now: Mark,
    /// The state after each [`MARK_TICKS`], as far as it was played.
    marks: Vec<Mark>,
    tick: Tick,
    speed_percent: u16,
    /// What is due of the next step, in percent of one.
    owed_percent: u16,
    seeks: Option<Target>,
    last_event: u32,
    /// Whether the watcher has yet to be told where it stands.
    is_untold: bool,
}

#[derive(Debug)]
struct Segment {
    log: ReplayLog,
    ticks: u32,
}

/// A state, and how far its log is read.
#[derive(Clone, Debug)]
struct Mark {
    segment: usize,
    /// Ticks of the segments before.
    before: u32,
    referee: Referee,
    cursor: ActionCursor,
    split_by: Option<rally_sim::Side>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    /// So many ticks after the beginning.
    Position(u32),
    /// Where both were there.
    Players,
}

impl Mark {
    fn new(segment: usize, before: u32, log: &ReplayLog) -> Self {
        let referee = Referee::new(log.setup());
        Self { segment, before, referee, cursor: ActionCursor::default(), split_by: None }
    }

    fn position(&self) -> u32 {
        self.before + self.referee.tick_count().0
    }
}

impl Showing {
    /// Shows these segments one after another, from this tick on; `None`: from where both players were there. Up to there
    /// it has yet to be played: [`Showing::prepare`].
    ///
    /// # Errors
    /// There is nothing to show, or other rules made it.
    pub fn new(programme: Programme, logs: Vec<ReplayLog>, from: Option<Tick>) -> Result<Self, Mismatch> {
        if let Some(other) = logs.iter().find(|log| log.rules_version() != RULES_VERSION) {
            return Err(Mismatch::Rules(other.rules_version()));
        }
        let segments: Vec<_> = logs.into_iter().map(|log| Segment { ticks: log.ticks().0, log }).collect();
        let Some(first) = segments.first() else { return Err(Mismatch::End { tick: Tick(0) }) };
        let now = Mark::new(0, 0, &first.log);
        let mut showing = Self {
            programme,
            marks: vec![now.clone()],
            segments,
            now,
            tick: Tick(0),
            speed_percent: SPEED_PERCENT,
            owed_percent: 0,
            seeks: None,
            last_event: 0,
            is_untold: true,
        };
        match from {
            Some(from) => showing.seek(from),
            None => showing.seeks = Some(Target::Players),
        }
        Ok(showing)
    }

    /// Plays so many ticks at most of what comes before that which is to be shown. Returns whether that is done. The ticks
    /// that are left are played when it is ticked.
    pub fn prepare(&mut self, mut steps: u32) -> bool {
        self.go_on_seeking(&mut steps, &mut Outputs::new());
        self.seeks.is_none()
    }

    /// Goes on from there. The end is as far as one gets.
    pub fn seek(&mut self, to: Tick) {
        let to = to.0.min(self.ticks().0);
        let position = self.now.position();
        let mark = (to / MARK_TICKS) as usize;
        let nearest = &self.marks[mark.min(self.marks.len() - 1)];
        if to < position || nearest.position() > position {
            self.now = nearest.clone();
        }
        (self.seeks, self.owed_percent) = (Some(Target::Position(to)), 0);
    }

    /// Goes on at this speed: 100 is as it was played, 0 stands still.
    ///
    /// # Errors
    /// `invalid_input` for more than [`REPLAY_SPEED_PERCENT_MAX`].
    pub fn set_speed(&mut self, speed_percent: u16) -> Result<(), Refusal> {
        if speed_percent > REPLAY_SPEED_PERCENT_MAX {
            return Err(Refusal::new(ErrorCode::InvalidInput, "speed_percent: from 0 to 800"));
        }
        self.speed_percent = speed_percent;
        self.is_untold = true;
        Ok(())
    }

    /// 1/60 s of the watcher's time. `out` is emptied and then holds what happened meanwhile; what a seek passes over is
    /// not told. `steps` is what seeks may play now, and loses what this one has played.
    pub fn tick(&mut self, steps: &mut u32, out: &mut Outputs) {
        out.clear();
        self.tick = self.tick.next();
        if self.seeks.is_some() {
            return self.go_on_seeking(steps, out);
        }
        if self.is_still() {
            return;
        }
        self.owed_percent += self.speed_percent;
        while self.owed_percent >= SPEED_PERCENT {
            self.owed_percent -= SPEED_PERCENT;
            self.step(out);
            out.events.extend(out.happenings.drain(..).filter_map(|happening| self.event(happening)));
        }
        self.is_untold |= self.is_at_end();
    }

    fn go_on_seeking(&mut self, steps: &mut u32, out: &mut Outputs) {
        let Some(target) = self.seeks else { return };
        while !self.has_reached(target) && *steps > 0 {
            *steps -= 1;
            self.step(out);
            out.happenings.clear();
        }
        if self.has_reached(target) {
            (self.seeks, self.is_untold) = (None, true);
        }
    }

    fn has_reached(&self, target: Target) -> bool {
        self.is_at_end()
            || match target {
                Target::Position(position) => self.now.position() >= position,
                Target::Players => self.now.referee.stage() != Stage::Waiting,
            }
    }

    fn is_at_end(&self) -> bool {
        let is_over = self.now.referee.outcome().is_some() && self.now.segment + 1 == self.segments.len();
        is_over || self.now.position() >= self.ticks().0
    }

    /// Plays the next tick of the log, if there is one; with the last one, also what was done after it.
    fn step(&mut self, out: &mut Outputs) {
        if self.is_at_end() {
            return;
        }
        if self.now.referee.tick_count().0 >= self.segments[self.now.segment].ticks {
            let (segment, before) = (self.now.segment + 1, self.now.position());
            self.now = Mark::new(segment, before, &self.segments[segment].log);
        }
        let Segment { log, ticks } = &self.segments[self.now.segment];
        let Mark { referee, cursor, split_by, .. } = &mut self.now;
        let mut act = |referee: &mut Referee, happenings: &mut Vec<Happening>| {
            while let Some(action) = log.next_action(cursor, referee.tick_count()) {
                // What was possible once is possible again.
                let _ = referee.act(action, happenings);
            }
        };
        act(referee, &mut out.happenings);
        referee.tick(&mut out.sim_events, &mut out.happenings);
        if referee.tick_count().0 >= *ticks {
            act(referee, &mut out.happenings);
        }
        for happening in &out.happenings {
            if let Happening::Played { event: Event::PowerUpCollected { side, kind: PowerUpKind::Split, .. }, .. } =
                happening
            {
                *split_by = Some(*side);
            }
        }
        if self.now.position() as usize == self.marks.len() * MARK_TICKS as usize {
            self.marks.push(self.now.clone());
        }
    }

    fn event(&mut self, happening: Happening) -> Option<OutEvent> {
        let world = self.now.referee.world();
        let n = self.last_event + 1;
        let event = convert::event(happening, world, world.score(), self.programme.id, self.tick, n)?;
        self.last_event = n;
        Some(OutEvent::new(&event))
    }

    fn view(&self) -> View<'_> {
        View {
            id: self.programme.id,
            tick: self.tick,
            epoch: EPOCH,
            phase: self.phase(),
            ack: [0; 2],
            split_by: self.now.split_by,
            score: self.now.referee.world().score(),
            world: self.now.referee.world(),
        }
    }

    /// Play that stands still is paused, so that nobody lets the balls fly on.
    fn phase(&self) -> Phase {
        match convert::phase(self.now.referee.stage()) {
            Phase::Playing if self.is_still() => Phase::Paused,
            phase => phase,
        }
    }

    /// Whether the next tick shows what this one does.
    pub fn is_still(&self) -> bool {
        self.seeks.is_none() && (self.speed_percent == 0 || self.is_at_end())
    }

    /// Appends the snapshot as a finished msgpack message.
    pub fn snapshot_into(&self, out: &mut Vec<u8>) {
        convert::write_snapshot(&self.view(), out);
    }

    /// What stands in front of the snapshot between nodes. Nobody has a seat.
    pub fn snapshot_head(&self) -> SnapshotHead {
        SnapshotHead { tick: self.tick, ..SnapshotHead::default() }
    }

    /// A watcher has come in: the whole picture. Where it stands is told with the next tick.
    pub fn watched(&mut self) -> MatchJoined {
        self.is_untold = true;
        let rules = self.now.referee.world().rules();
        MatchJoined {
            match_id: self.programme.id,
            side: Place::Spectator,
            players: [Side::Left, Side::Right].map(|side| self.player(side)),
            mode: self.programme.mode,
            phase: self.phase(),
            snapshot: convert::snapshot(&self.view()),
            classic: rules.classic,
            score_to_win: rules.score_to_win,
            private: false,
            last_event: self.last_event,
            over: None,
        }
    }

    fn player(&self, side: Side) -> Option<Player> {
        let Shown { user, name, bot } = self.programme.players[side.index()].clone()?;
        let (referee, rules_side) = (&self.now.referee, side_to_rules(side));
        let rules = referee.world().rules();
        Some(Player {
            user,
            name,
            bot,
            skill: (!rules.classic).then(|| convert::skill_to_wire(rules.skills[side.index()])),
            connected: bot.is_some() || referee.is_there(rules_side),
            ready: referee.is_ready(rules_side),
            pauses_left: referee.pauses_left(rules_side),
            away_left_s: referee.away_left_s(rules_side),
        })
    }

    /// Where it stands, if that is to be told now: twice a second while it goes on, after a seek, a change of speed, and at
    /// the end.
    pub fn take_state(&mut self) -> Option<ReplayState> {
        // On the way it would tell of places where nobody wants to be.
        if self.seeks.is_some() {
            return None;
        }
        let is_due = !self.is_still() && self.tick.0.is_multiple_of(REPLAY_STATE_TICKS);
        (std::mem::take(&mut self.is_untold) || is_due).then(|| self.state())
    }

    /// Where it stands.
    pub fn state(&self) -> ReplayState {
        ReplayState {
            match_id: self.programme.id,
            of: self.programme.of,
            tick: Tick(self.now.position()),
            ticks: self.ticks(),
            speed_percent: self.speed_percent,
        }
    }

    fn ticks(&self) -> Tick {
        Tick(self.segments.iter().map(|segment| segment.ticks).sum())
    }

    /// How long it has been shown: the tick of its newest snapshot.
    pub fn tick_count(&self) -> Tick {
        self.tick
    }

    /// Under which id it is shown.
    pub fn id(&self) -> MatchId {
        self.programme.id
    }

    /// At which epoch: the only one.
    pub fn epoch(&self) -> Epoch {
        EPOCH
    }
}
