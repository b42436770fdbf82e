//! The life of a match between two sides, without sessions and messages: when it waits, counts down, plays, pauses and
//! ends.
//!
//! A referee changes by [`Referee::act`] and [`Referee::tick`] alone, and neither depends on anything but the setup:
//! the same actions between the same ticks make the same match. The rules are asked for nothing but ticks in play.

mod judge;

use rally_sim::{Event, Events, Input, Rules, Side, World};
use rally_units::{SubStep, TICK_HZ, Tick};

use crate::{
    limits::{
        AWAY_TICKS_MAX, COUNTDOWN_TICKS, INTERRUPTED_COUNTDOWN_TICKS, MATCH_TICKS_MAX, PAUSE_TICKS_MAX, PAUSES_MAX,
    },
    log::Action,
    save::{Reader, RestoreError, Writer},
};

/// Who may sit on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeatKind {
    /// A person with a connection.
    Person,
    /// The bot: always there, always ready.
    Bot,
    /// The second person at the left one's keyboard: there and ready when the left one is.
    Shared,
    /// Nobody yet.
    Open,
}

/// All that a match begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) rules: Rules,
    pub(crate) seats: [SeatKind; 2],
    /// Whether the present one wins if the other does not come (tournaments). Else the match is void.
    pub(crate) no_show_wins: bool,
    /// A match of which nothing is left but its score: play goes on from there, once all are back.
    pub(crate) resumed_at: Option<[u8; 2]>,
}

/// Why a match ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    Score = 0,
    Timeout = 1,
    Forfeit = 2,
    NoShow = 3,
    Abandoned = 4,
}

/// How a match ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) winner: Option<Side>,
    pub(crate) reason: Reason,
    /// Who was there (and, before play, did not let the other wait for too long).
    pub(crate) present: [bool; 2],
}

/// Where a match stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Countdown {
        left_ticks: u32,
    },
    Playing,
    /// By a player, or (`None`) until all are there.
    Paused {
        by: Option<Side>,
    },
    Finished(Outcome),
}

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Happening {
    Ready(Side),
    Countdown { left_s: u32 },
    Go,
    Paused { by: Option<Side>, pauses_left: u8 },
    Resumed { by: Option<Side> },
    Away { side: Side, left_s: u8 },
    Back { side: Side, left_s: u8 },
    Played { clock: SubStep, event: Event },
}

/// Why an action is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Over,
    /// Not in this stage, or not on this seat.
    NotNow,
    NoPauseLeft,
    /// The match pauses until an absent player is back.
    Awaiting,
}

/// One side's standing.
#[derive(Clone, Copy, Debug)]
struct Player {
    there: bool,
    ready: bool,
    /// Not there since the creation, the last leave, or the claim of a seat; in every stage.
    absent_ticks: u32,
    /// From the first attach on while the match waits and the player is not ready; `None` before that attach.
    unready_ticks: Option<u32>,
    pauses_left: u8,
    pause_ticks: u32,
    /// Not there since the first countdown began, in all.
    away_ticks: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Referee {
    setup: Setup,
    world: World,
    tick: Tick,
    stage: Stage,
    players: [Player; 2],
    /// For how long nobody has been there.
    empty_ticks: u32,
    started: Option<Tick>,
}

impl Referee {
    pub(crate) fn new(setup: Setup) -> Self {
        let resumed = setup.resumed_at.is_some();
        let players = setup.seats.map(|seat| Player {
            there: seat == SeatKind::Bot,
            ready: seat == SeatKind::Bot || resumed,
            absent_ticks: 0,
            unready_ticks: resumed.then_some(0),
            pauses_left: PAUSES_MAX,
            pause_ticks: 0,
            away_ticks: 0,
        });
        let world = match setup.resumed_at {
            Some(score) => World::at_score(setup.seed, setup.rules, score),
            None => World::new(setup.seed, setup.rules),
        };
        let stage = match (world.winner(), resumed) {
            // Its last goal was noted, and nothing after it.
            (Some(winner), true) => {
                Stage::Finished(Outcome { winner: Some(winner), reason: Reason::Score, present: [true; 2] })
            }
            (_, true) => Stage::Paused { by: None },
            (_, false) => Stage::Waiting,
        };
        let started = resumed.then_some(Tick::default());
        Self { world, setup, tick: Tick::default(), stage, players, empty_ticks: 0, started }
    }

    pub(crate) fn save(&self, to: &mut Writer<'_>) {
        self.setup.save(to);
        to.world(&self.world);
        to.u32(self.tick.0);
        match self.stage {
            Stage::Waiting => to.byte(0),
            Stage::Countdown { left_ticks } => {
                to.byte(1);
                to.u32(left_ticks);
            }
            Stage::Playing => to.byte(2),
            Stage::Paused { by } => {
                to.byte(3);
                to.side(by);
            }
            Stage::Finished(Outcome { winner, reason, present }) => {
                to.byte(4);
                to.side(winner);
                to.byte(reason as u8);
                present.iter().for_each(|present| to.flag(*present));
            }
        }
        for Player { there, ready, absent_ticks, unready_ticks, pauses_left, pause_ticks, away_ticks } in self.players {
            to.flag(there);
            to.flag(ready);
            to.u32(absent_ticks);
            to.tick_option(unready_ticks.map(Tick));
            to.byte(pauses_left);
            to.u32(pause_ticks);
            to.u32(away_ticks);
        }
        to.u32(self.empty_ticks);
        to.tick_option(self.started);
    }

    pub(crate) fn restore(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let setup = Setup::restore(from)?;
        let world = from.world()?;
        if world.rules() != setup.rules {
            return Err(RestoreError::OutOfRange("rules"));
        }
        let tick = Tick(from.ticks("tick")?);
        let stage = match from.byte("stage", 0, 4)? {
            0 => Stage::Waiting,
            // The last tick of a countdown is play: none is left with nothing.
            1 => match from.ticks("countdown")? {
                0 => return Err(RestoreError::OutOfRange("countdown")),
                left_ticks => Stage::Countdown { left_ticks },
            },
            2 => Stage::Playing,
            3 => Stage::Paused { by: from.side("pause")? },
            _ => Stage::Finished(Outcome {
                winner: from.side("winner")?,
                reason: [Reason::Score, Reason::Timeout, Reason::Forfeit, Reason::NoShow, Reason::Abandoned]
                    [usize::from(from.byte("reason", 0, 4)?)],
                present: [from.flag("present")?, from.flag("present")?],
            }),
        };
        let mut player = || {
            Ok::<_, RestoreError>(Player {
                there: from.flag("there")?,
                ready: from.flag("ready")?,
                absent_ticks: from.ticks("absence")?,
                unready_ticks: from.tick_option("unready")?.map(|tick| tick.0),
                pauses_left: from.byte("pauses", 0, PAUSES_MAX)?,
                pause_ticks: from.ticks("pause")?,
                away_ticks: from.ticks("time away")?,
            })
        };
        let players = [player()?, player()?];
        let empty_ticks = from.ticks("empty")?;
        let started = from.tick_option("started")?;
        if stage == Stage::Playing && world.winner().is_some() {
            return Err(RestoreError::OutOfRange("score"));
        }
        Ok(Self { setup, world, tick, stage, players, empty_ticks, started })
    }

    /// Whether a seat is open.
    pub(crate) fn has_open_seat(&self) -> bool {
        self.setup.seats.contains(&SeatKind::Open)
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn tick_count(&self) -> Tick {
        self.tick
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.stage {
            Stage::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// When play first began.
    pub(crate) fn started(&self) -> Option<Tick> {
        self.started
    }

    pub(crate) fn is_there(&self, side: Side) -> bool {
        self.player(side).there
    }

    pub(crate) fn is_ready(&self, side: Side) -> bool {
        self.player(side).ready
    }

    pub(crate) fn pauses_left(&self, side: Side) -> u8 {
        self.player(side).pauses_left
    }

    pub(crate) fn away_ticks(&self, side: Side) -> u32 {
        self.player(side).away_ticks
    }

    /// Seconds of absence left, rounded up: 0 is reached when the time is.
    pub(crate) fn away_left_s(&self, side: Side) -> u8 {
        let left_ticks = AWAY_TICKS_MAX.saturating_sub(self.away_ticks(side));
        u8::try_from(left_ticks.div_ceil(TICK_HZ)).unwrap_or(u8::MAX)
    }

    /// The side whose connection counts for this one.
    fn holder(&self, side: Side) -> Side {
        if self.setup.seats[side.index()] == SeatKind::Shared { side.opponent() } else { side }
    }

    fn player(&self, side: Side) -> &Player {
        &self.players[self.holder(side).index()]
    }

    /// The sides that a person's connection stands for, and whether it is there.
    fn people(&self) -> impl Iterator<Item = (Side, &Player)> {
        Side::ALL
            .into_iter()
            .filter(|side| self.setup.seats[side.index()] == SeatKind::Person)
            .map(|side| (side, &self.players[side.index()]))
    }

    fn all_there(&self) -> bool {
        self.people().all(|(_, player)| player.there)
    }

    /// Takes an action, or leaves everything as it is.
    ///
    /// What is repeated (ready when ready, attached when attached) is [`Refused::NotNow`]: it changes nothing and must
    /// not fill the log.
    pub(crate) fn act(&mut self, action: Action, out: &mut Vec<Happening>) -> Result<(), Refused> {
        if self.outcome().is_some() {
            return Err(Refused::Over);
        }
        match action {
            Action::Input { side, dir, press } => self.input(side, Input { dir, press }),
            Action::Ready(side) => self.ready(side, out),
            Action::Pause(side) => self.pause(side, out),
            Action::Resume(side) => self.resume(side, out),
            Action::Forfeit(side) => self.forfeit(side),
            Action::Attach(side) => self.attach(side, out),
            Action::Detach(side) => self.detach(side, out),
            Action::Claim(side, skill) => self.claim(side, skill),
            Action::Interrupt => self.interrupt(out),
        }
    }

    /// A direction is held in every stage, so that a key that is down when play begins counts. A press counts in play
    /// alone.
    fn input(&mut self, side: Side, input: Input) -> Result<(), Refused> {
        if !self.is_there(side) {
            return Err(Refused::NotNow);
        }
        let press = input.press && self.stage == Stage::Playing;
        self.world.apply(side, Input { press, ..input });
        Ok(())
    }

    fn ready(&mut self, side: Side, out: &mut Vec<Happening>) -> Result<(), Refused> {
        let player = self.person(side)?;
        if !player.there || player.ready {
            return Err(Refused::NotNow);
        }
        player.ready = true;
        out.push(Happening::Ready(side));
        Ok(())
    }

    fn pause(&mut self, side: Side, out: &mut Vec<Happening>) -> Result<(), Refused> {
        if !matches!(self.stage, Stage::Playing | Stage::Countdown { .. }) {
            return Err(Refused::NotNow);
        }
        let player = self.person(side)?;
        if !player.there {
            return Err(Refused::NotNow);
        }
        if player.pauses_left == 0 || player.pause_ticks >= PAUSE_TICKS_MAX {
            return Err(Refused::NoPauseLeft);
        }
        player.pauses_left -= 1;
        out.push(Happening::Paused { by: Some(side), pauses_left: player.pauses_left });
        self.stage = Stage::Paused { by: Some(side) };
        Ok(())
    }

    fn resume(&mut self, side: Side, out: &mut Vec<Happening>) -> Result<(), Refused> {
        if !self.person(side)?.there {
            return Err(Refused::NotNow);
        }
        match self.stage {
            Stage::Paused { by: Some(_) } => {
                self.end_pause(Some(side), out);
                Ok(())
            }
            Stage::Paused { by: None } => Err(Refused::Awaiting),
            _ => Err(Refused::NotNow),
        }
    }

    /// The reason for a player's pause is gone. If somebody is away, the match goes on pausing for that.
    fn end_pause(&mut self, by: Option<Side>, out: &mut Vec<Happening>) {
        if self.all_there() {
            out.push(Happening::Resumed { by });
            self.count_down(COUNTDOWN_TICKS, out);
        } else {
            out.push(Happening::Paused { by: None, pauses_left: 0 });
            self.stage = Stage::Paused { by: None };
        }
    }

    fn count_down(&mut self, left_ticks: u32, out: &mut Vec<Happening>) {
        self.stage = Stage::Countdown { left_ticks };
        out.push(Happening::Countdown { left_s: left_ticks / TICK_HZ });
    }

    /// Nobody is to be surprised by a ball that flies again without a warning.
    fn interrupt(&mut self, out: &mut Vec<Happening>) -> Result<(), Refused> {
        match self.stage {
            Stage::Playing => {}
            Stage::Countdown { left_ticks } if left_ticks < INTERRUPTED_COUNTDOWN_TICKS => {}
            _ => return Err(Refused::NotNow),
        }
        self.count_down(INTERRUPTED_COUNTDOWN_TICKS, out);
        Ok(())
    }

    fn forfeit(&mut self, side: Side) -> Result<(), Refused> {
        self.person(side)?;
        let opponent = side.opponent();
        if self.setup.seats[opponent.index()] == SeatKind::Open {
            // Nobody is there to win.
            self.finish(None, Reason::Abandoned);
        } else {
            self.finish(Some(opponent), Reason::Forfeit);
        }
        Ok(())
    }

    fn attach(&mut self, side: Side, out: &mut Vec<Happening>) -> Result<(), Refused> {
        let player = self.person(side)?;
        if player.there {
            return Err(Refused::NotNow);
        }
        player.there = true;
        player.absent_ticks = 0;
        self.empty_ticks = 0;
        let player = &mut self.players[side.index()];
        // The first attach is no return.
        if player.unready_ticks.is_some() {
            out.push(Happening::Back { side, left_s: self.away_left_s(side) });
        } else {
            player.unready_ticks = Some(0);
        }
        if self.stage == (Stage::Paused { by: None }) && self.all_there() {
            self.end_pause(None, out);
        }
        Ok(())
    }

    fn detach(&mut self, side: Side, out: &mut Vec<Happening>) -> Result<(), Refused> {
        let player = self.person(side)?;
        if !player.there {
            return Err(Refused::NotNow);
        }
        player.there = false;
        player.absent_ticks = 0;
        for halted in Side::ALL {
            if self.holder(halted) == side {
                self.world.halt(halted);
            }
        }
        out.push(Happening::Away { side, left_s: self.away_left_s(side) });
        Ok(())
    }

    fn claim(&mut self, side: Side, skill: rally_sim::Skill) -> Result<(), Refused> {
        if self.setup.seats[side.index()] != SeatKind::Open {
            return Err(Refused::NotNow);
        }
        self.setup.seats[side.index()] = SeatKind::Person;
        self.setup.rules.skills[side.index()] = skill;
        // Nothing has been played yet, so the world may begin anew with this skill.
        self.world = World::new(self.setup.seed, self.setup.rules);
        for player in &mut self.players {
            player.absent_ticks = 0;
            player.unready_ticks = player.unready_ticks.map(|_| 0);
        }
        Ok(())
    }

    fn person(&mut self, side: Side) -> Result<&mut Player, Refused> {
        if self.setup.seats[side.index()] != SeatKind::Person {
            return Err(Refused::NotNow);
        }
        Ok(&mut self.players[side.index()])
    }

    /// Lets 1/60 s pass. `events` is scratch room.
    pub(crate) fn tick(&mut self, events: &mut Events, out: &mut Vec<Happening>) {
        if self.outcome().is_some() {
            return;
        }
        self.tick = self.tick.next();
        self.count_absences();
        let judged = match self.stage {
            _ if self.tick.0 >= MATCH_TICKS_MAX => Some((None, Reason::Abandoned)),
            Stage::Waiting => self.judge_arrival(),
            _ => self.judge_absence(),
        };
        if let Some((winner, reason)) = judged {
            self.finish(winner, reason);
            return;
        }
        match self.stage {
            Stage::Waiting => {
                let may_begin = Side::ALL.into_iter().all(|side| self.is_there(side) && self.is_ready(side));
                if may_begin {
                    self.count_down(COUNTDOWN_TICKS, out);
                }
            }
            Stage::Countdown { .. } | Stage::Playing if self.someone_is_lost() => {
                self.stage = Stage::Paused { by: None };
                out.push(Happening::Paused { by: None, pauses_left: 0 });
            }
            Stage::Countdown { left_ticks } => self.count(left_ticks - 1, out),
            Stage::Playing => self.play(events, out),
            Stage::Paused { by: Some(side) } => {
                let player = &mut self.players[side.index()];
                player.pause_ticks += 1;
                if player.pause_ticks >= PAUSE_TICKS_MAX {
                    self.end_pause(Some(side), out);
                }
            }
            Stage::Paused { by: None } | Stage::Finished(_) => {}
        }
    }

    fn count(&mut self, left_ticks: u32, out: &mut Vec<Happening>) {
        if left_ticks == 0 {
            self.stage = Stage::Playing;
            self.started.get_or_insert(self.tick);
            out.push(Happening::Go);
            return;
        }
        self.stage = Stage::Countdown { left_ticks };
        if left_ticks.is_multiple_of(TICK_HZ) {
            out.push(Happening::Countdown { left_s: left_ticks / TICK_HZ });
        }
    }

    fn play(&mut self, events: &mut Events, out: &mut Vec<Happening>) {
        self.world.tick(events);
        out.extend(events.iter().map(|(clock, event)| Happening::Played { clock, event }));
        if let Some(winner) = self.world.winner() {
            self.finish(Some(winner), Reason::Score);
        }
    }

    fn finish(&mut self, winner: Option<Side>, reason: Reason) {
        let waiting = self.stage == Stage::Waiting;
        let present = Side::ALL.map(|side| self.is_there(side) && !(waiting && self.is_late(side)));
        self.stage = Stage::Finished(Outcome { winner, reason, present });
    }
}
