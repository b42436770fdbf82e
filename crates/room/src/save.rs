//! A match as bytes and back, for its next owner.
//!
//! What a match is has two parts. The **state** is small (some hundred bytes) and written whole: world, phases, timers,
//! seats, generations, inputs that wait, the bots' doubts, what has been told. The **journal** only grows: logged
//! actions, hashes and events that the match leaves behind. It is written in chunks, each from a [`JournalMark`] on,
//! so that whoever keeps copies sends only what is new. A match restored from the state and all chunks up to it runs
//! the same tick next and tells the same events.
//!
//! Spectators are not saved: their edges name them again. Integers are little-endian, a "varint" is LEB128 of at most
//! 5 bytes. The first byte is the version of this layout. Bytes come from elsewhere: every field is checked, and none
//! makes a match that the rules could not play on with.

use bytes::Bytes;
use rally_protocol::client::v1::{EventKind, Level, Mode, PowerUp, Side, Skill};
use rally_sim::{Rules, World};
use rally_units::{Epoch, MatchId, SubStep, Tick};

use crate::{
    Counters, OutEvent, PlayerStats, RecordedEvent, RecordedKind,
    bot::Bot,
    convert::{side_to_rules, skill_to_rules, skill_to_wire},
    limits::{EVENT_BYTES_MAX, LOG_BYTES_MAX, MATCH_TICKS_MAX, RECORDED_EVENTS_MAX, TOLD_EVENTS_MAX},
    log::{LogError, ReplayLog},
    record::Record,
    referee::{Referee, SeatKind, Setup},
    room::{Ending, Room},
    seats::{Holder, Seats},
};

/// Version of the layout.
const LAYOUT: u8 = 1;

/// Events that may wait to be told: those of a few ticks, and what a goal holds back.
const PENDING_MAX: u32 = 4_096;

/// Events kept beyond the bound, all goals.
const EVENTS_MAX: usize = RECORDED_EVENTS_MAX + 512;

/// Why bytes are no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another layout, probably of another version of this program.
    #[error("saved in layout {0}, and this is layout {LAYOUT}")]
    Layout(u8),
    /// They end too soon.
    #[error("the bytes end before the match does")]
    Truncated,
    /// They go on after the match.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    /// A field holds what it never can.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The world in it does not restore.
    #[error("the world: {0}")]
    World(#[from] rally_sim::RestoreError),
    /// The actions in the journal do not read.
    #[error("the journal: {0}")]
    Log(#[from] LogError),
    /// The journal is another one than the state was saved with.
    #[error("the journal does not go with the state")]
    Journal,
}

/// How far a match's journal has been copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalMark {
    /// Bytes of logged actions.
    actions: u32,
    /// State hashes.
    hashes: u32,
    /// Events that the match leaves behind.
    events: u32,
}

impl Room {
    /// Appends the state.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut to = Writer(out);
        to.byte(LAYOUT);
        to.bytes(self.id.as_bytes());
        to.byte(self.mode.number());
        to.flag(self.private);
        self.referee.save(&mut to);
        self.seats.save(&mut to);
        for bot in self.bots.iter().flatten() {
            bot.save(&mut to);
        }
        self.record.save(&mut to);
        to.u32(self.last_event);
        to.side(self.split_by);
        to.bytes(&self.shown_score);
        to.u32(self.confirmed.0);
        to.flag(self.holds_goals);
        for events in [self.pending.iter().collect::<Vec<_>>(), self.told.iter().collect()] {
            to.varint(events.len() as u32);
            for event in events {
                event.save(&mut to);
            }
        }
    }

    /// How far the journal goes now.
    pub fn journal_mark(&self) -> JournalMark {
        JournalMark {
            actions: self.record.log.actions_bytes().len() as u32,
            hashes: self.record.log.plain_hashes().len() as u32,
            events: self.record.events.len() as u32,
        }
    }

    /// Appends what has come to the journal since `from`, and returns how far it goes now. Nothing is appended if
    /// nothing has come.
    pub fn journal_since(&self, from: JournalMark, out: &mut Vec<u8>) -> JournalMark {
        let now = self.journal_mark();
        if now == from {
            return now;
        }
        let mut to = Writer(out);
        let actions = &self.record.log.actions_bytes()[(from.actions.min(now.actions)) as usize..];
        let hashes = &self.record.log.plain_hashes()[(from.hashes.min(now.hashes)) as usize..];
        let events = &self.record.events[(from.events.min(now.events)) as usize..];
        to.varint(actions.len() as u32);
        to.bytes(actions);
        to.varint(hashes.len() as u32);
        hashes.iter().for_each(|hash| to.u64(*hash));
        to.varint(events.len() as u32);
        events.iter().for_each(|event| event.save(&mut to));
        now
    }

    /// The match that was saved as these bytes, under its next owner. `journal` holds the chunks that
    /// [`Room::journal_since`] wrote from the beginning up to the state, one after the other.
    ///
    /// # Errors
    /// If they are not what some match wrote. It never panics, and what it returns can be played on.
    pub fn restore(state: &[u8], journal: &[u8], epoch: Epoch) -> Result<Self, RestoreError> {
        let mut from = Reader(state);
        let layout = from.byte("layout", 0, u8::MAX)?;
        if layout != LAYOUT {
            return Err(RestoreError::Layout(layout));
        }
        let id = MatchId::from_bytes(from.take()?);
        let mode = Mode::from_number(from.byte("mode", 0, u8::MAX)?).ok_or(RestoreError::OutOfRange("mode"))?;
        let private = from.flag("private")?;
        let referee = Referee::restore(&mut from)?;
        let seats = Seats::restore(&mut from, mode == Mode::Local)?;
        let mut bots = [None, None];
        for side in Side::ALL {
            if let Holder::Bot(level) = seats.get(*side).holder {
                bots[side.index()] = Some(Bot::restore(&mut from, side_to_rules(*side), level)?);
            }
        }
        let record = Record::restore(&mut from, journal)?;
        let last_event = from.u32()?;
        let split_by = from.side("split")?;
        let shown_score = from.take()?;
        let confirmed = Tick(from.u32()?);
        let holds_goals = from.flag("holds goals")?;
        let pending = from.events(PENDING_MAX)?;
        let told = from.events(TOLD_EVENTS_MAX as u32)?;
        from.end()?;
        if referee.has_open_seat() != seats.open().is_some() {
            return Err(RestoreError::OutOfRange("seats"));
        }
        Ok(Self {
            id,
            mode,
            private,
            epoch,
            referee,
            seats,
            bots,
            record,
            last_event,
            pending,
            told: told.into(),
            counters: Counters::default(),
            split_by,
            shown_score,
            confirmed,
            holds_goals,
            durable: [0; 2],
            // What had been handed out may not have been recorded: it is handed out again, and recorded once.
            ending: Ending::NotYet,
        })
    }
}

impl OutEvent {
    fn save(&self, to: &mut Writer<'_>) {
        to.u32(self.n);
        to.u32(self.tick.0);
        to.byte(self.kind.number());
        match self.score {
            None => to.byte(0),
            Some(score) => {
                to.byte(1);
                to.bytes(&score);
            }
        }
        to.varint(self.message.len() as u32);
        to.bytes(&self.message);
    }

    fn restore(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let n = from.u32()?;
        let tick = Tick(from.u32()?);
        let kind = EventKind::from_number(from.byte("event", 0, u8::MAX)?).ok_or(RestoreError::OutOfRange("event"))?;
        let score = if from.flag("score")? { Some(from.take()?) } else { None };
        let message = Bytes::copy_from_slice(from.counted("message", EVENT_BYTES_MAX)?);
        Ok(Self { n, tick, kind, score, message })
    }
}

impl RecordedEvent {
    fn save(&self, to: &mut Writer<'_>) {
        to.u32(self.n);
        to.u32(self.clock.0);
        to.byte(self.side.number());
        match self.kind {
            RecordedKind::Goal { y, score } => {
                to.byte(0);
                to.float(y);
                to.bytes(&score);
            }
            RecordedKind::PowerUp(kind) => to.bytes(&[1, kind.number()]),
            RecordedKind::Skill(skill) => to.bytes(&[2, skill.number()]),
        }
    }

    fn restore(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let n = from.u32()?;
        let clock = SubStep(from.u32()?);
        let side = Side::from_number(from.byte("side", 0, 1)?).ok_or(RestoreError::OutOfRange("side"))?;
        let kind = match from.byte("event", 0, 2)? {
            0 => RecordedKind::Goal { y: from.float("goal")?, score: from.take()? },
            1 => RecordedKind::PowerUp(
                PowerUp::from_number(from.byte("power-up", 0, u8::MAX)?).ok_or(RestoreError::OutOfRange("power-up"))?,
            ),
            _ => RecordedKind::Skill(from.skill()?),
        };
        Ok(Self { n, clock, side, kind })
    }
}

impl Record {
    fn save(&self, to: &mut Writer<'_>) {
        for PlayerStats { paddle_hits, fastest_ball, power_ups, skills_used, skills_successful, disconnected_ms: _ } in
            &self.stats
        {
            to.u32(*paddle_hits);
            to.float(*fastest_ball);
            power_ups.iter().for_each(|n| to.u32(*n));
            to.u32(*skills_used);
            to.u32(*skills_successful);
        }
        to.bytes(&self.score());
        self.log.setup().save(to);
        to.u32(self.log.rules_version());
        to.tick_option(self.log.cut());
        to.u32(self.log.actions_bytes().len() as u32);
        to.u32(self.log.plain_hashes().len() as u32);
        to.u32(self.events.len() as u32);
    }

    fn restore(from: &mut Reader<'_>, journal: &[u8]) -> Result<Self, RestoreError> {
        let mut stats = [PlayerStats::default(); 2];
        for stats in &mut stats {
            *stats = PlayerStats {
                paddle_hits: from.u32()?,
                fastest_ball: from.float("fastest ball")?,
                power_ups: [from.u32()?, from.u32()?, from.u32()?],
                skills_used: from.u32()?,
                skills_successful: from.u32()?,
                disconnected_ms: 0,
            };
        }
        let score = from.take()?;
        let setup = Setup::restore(from)?;
        let rules_version = from.u32()?;
        let cut = from.tick_option("cut")?;
        let lengths = [from.u32()? as usize, from.u32()? as usize, from.u32()? as usize];

        let (mut actions, mut hashes, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let mut chunks = Reader(journal);
        while !chunks.0.is_empty() {
            actions.extend_from_slice(chunks.counted("actions", LOG_BYTES_MAX)?);
            for _ in 0..chunks.varint()? {
                hashes.push(u64::from_le_bytes(chunks.take()?));
            }
            for _ in 0..chunks.varint()? {
                events.push(RecordedEvent::restore(&mut chunks)?);
            }
            if actions.len() > LOG_BYTES_MAX || events.len() > EVENTS_MAX {
                return Err(RestoreError::Journal);
            }
        }
        if [actions.len(), hashes.len(), events.len()] != lengths {
            return Err(RestoreError::Journal);
        }
        let log = ReplayLog::rebuilt(rules_version, setup, actions, hashes, cut)?;
        Ok(Self::rebuilt(stats, events, log, score))
    }
}

impl Setup {
    pub(crate) fn save(&self, to: &mut Writer<'_>) {
        let Self { seed, rules, seats, no_show_wins, resumed_at } = self;
        to.u64(*seed);
        to.byte(rules.score_to_win);
        to.flag(rules.classic);
        rules.skills.iter().for_each(|skill| to.byte(skill_to_wire(*skill).number()));
        seats.iter().for_each(|seat| to.byte(*seat as u8));
        to.flag(*no_show_wins);
        match resumed_at {
            None => to.byte(0),
            Some(score) => {
                to.byte(1);
                to.bytes(score);
            }
        }
    }

    pub(crate) fn restore(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let seed = from.u64()?;
        let score_to_win = from.byte("score to win", 1, u8::MAX)?;
        let classic = from.flag("classic")?;
        let skills = [skill_to_rules(from.skill()?), skill_to_rules(from.skill()?)];
        let seats = [from.seat_kind()?, from.seat_kind()?];
        if seats == [SeatKind::Shared; 2] {
            return Err(RestoreError::OutOfRange("seat"));
        }
        let no_show_wins = from.flag("no show")?;
        let resumed_at = if from.flag("resumed")? { Some(from.take()?) } else { None };
        Ok(Self { seed, rules: Rules { classic, skills, score_to_win }, seats, no_show_wins, resumed_at })
    }
}

/// Appends fields.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn side(&mut self, side: Option<rally_sim::Side>) {
        self.byte(side.map_or(0, |side| side.index() as u8 + 1));
    }

    pub(crate) fn tick_option(&mut self, tick: Option<Tick>) {
        self.flag(tick.is_some());
        self.u32(tick.unwrap_or_default().0);
    }

    pub(crate) fn world(&mut self, world: &World) {
        let at = self.0.len();
        self.u16(0);
        world.save(self.0);
        let bytes = (self.0.len() - at - 2) as u16;
        self.0[at..at + 2].copy_from_slice(&bytes.to_le_bytes());
    }
}

/// Takes checked fields off the front of bytes from elsewhere.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RestoreError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn slice(&mut self, bytes: usize) -> Result<&'a [u8], RestoreError> {
        let (head, rest) = self.0.split_at_checked(bytes).ok_or(RestoreError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// A varint, and as many bytes.
    pub(crate) fn counted(&mut self, what: &'static str, bytes_max: usize) -> Result<&'a [u8], RestoreError> {
        let bytes = self.varint()? as usize;
        if bytes > bytes_max {
            return Err(RestoreError::OutOfRange(what));
        }
        self.slice(bytes)
    }

    pub(crate) fn byte(&mut self, what: &'static str, low: u8, high: u8) -> Result<u8, RestoreError> {
        let [byte] = self.take()?;
        if (low..=high).contains(&byte) { Ok(byte) } else { Err(RestoreError::OutOfRange(what)) }
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, RestoreError> {
        self.byte(what, 0, 1).map(|byte| byte == 1)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RestoreError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RestoreError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RestoreError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// Ticks that something has lasted, or will.
    pub(crate) fn ticks(&mut self, what: &'static str) -> Result<u32, RestoreError> {
        let ticks = self.u32()?;
        if ticks <= MATCH_TICKS_MAX { Ok(ticks) } else { Err(RestoreError::OutOfRange(what)) }
    }

    pub(crate) fn float(&mut self, what: &'static str) -> Result<f64, RestoreError> {
        let value = f64::from_bits(self.u64()?);
        if value.is_finite() { Ok(value) } else { Err(RestoreError::OutOfRange(what)) }
    }

    pub(crate) fn varint(&mut self) -> Result<u32, RestoreError> {
        let mut value = 0_u64;
        for i in 0..5 {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| RestoreError::OutOfRange("varint"));
            }
        }
        Err(RestoreError::OutOfRange("varint"))
    }

    pub(crate) fn side(&mut self, what: &'static str) -> Result<Option<rally_sim::Side>, RestoreError> {
        Ok([None, Some(rally_sim::Side::Left), Some(rally_sim::Side::Right)][usize::from(self.byte(what, 0, 2)?)])
    }

    pub(crate) fn skill(&mut self) -> Result<Skill, RestoreError> {
        Skill::from_number(self.byte("skill", 0, u8::MAX)?).ok_or(RestoreError::OutOfRange("skill"))
    }

    pub(crate) fn level(&mut self) -> Result<Level, RestoreError> {
        Level::from_number(self.byte("level", 0, u8::MAX)?).ok_or(RestoreError::OutOfRange("level"))
    }

    pub(crate) fn seat_kind(&mut self) -> Result<SeatKind, RestoreError> {
        Ok([SeatKind::Person, SeatKind::Bot, SeatKind::Shared, SeatKind::Open][usize::from(self.byte("seat", 0, 3)?)])
    }

    pub(crate) fn tick_option(&mut self, what: &'static str) -> Result<Option<Tick>, RestoreError> {
        let is_some = self.flag(what)?;
        let tick = Tick(self.ticks(what)?);
        Ok(is_some.then_some(tick))
    }

    pub(crate) fn world(&mut self) -> Result<World, RestoreError> {
        let bytes = self.u16()?;
        Ok(World::restore(self.slice(bytes.into())?)?)
    }

    fn events(&mut self, len_max: u32) -> Result<Vec<OutEvent>, RestoreError> {
        let len = self.varint()?;
        if len > len_max {
            return Err(RestoreError::OutOfRange("events"));
        }
        (0..len).map(|_| OutEvent::restore(self)).collect()
    }

    fn end(&self) -> Result<(), RestoreError> {
        if self.0.is_empty() { Ok(()) } else { Err(RestoreError::LeftOver(self.0.len())) }
    }
}
