//! The replay log: every action that changed a match, each with its tick, and the hashes that playing it again must
//! give.

mod encoding;

pub use encoding::LogError;

use rally_sim::{Dir, RULES_VERSION, Side, Skill};
use rally_units::Tick;

use encoding::{VARINT_BYTES_MAX, put_varint};

use crate::{
    limits::{HASH_TICKS, LOG_BYTES_MAX},
    referee::{Outcome, Reason, Setup},
};

/// What changes a match apart from time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A player (or the bot) moves the paddle.
    Input {
        /// Whose.
        side: Side,
        /// Held from now on.
        dir: Dir,
        /// The skill.
        press: bool,
    },
    /// A player is ready.
    Ready(Side),
    /// A player pauses.
    Pause(Side),
    /// A player resumes.
    Resume(Side),
    /// A player gives up.
    Forfeit(Side),
    /// A player is there.
    Attach(Side),
    /// A player is lost.
    Detach(Side),
    /// An open seat is taken by a player with this skill.
    Claim(Side, Skill),
    /// The match stood still for a reason that is not its own.
    Interrupt,
}

/// How a logged match ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) tick: Tick,
    pub(crate) hash: u64,
    pub(crate) reason: Reason,
    pub(crate) winner: Option<Side>,
    pub(crate) score: [u8; 2],
}

impl End {
    pub(crate) fn new(tick: Tick, hash: u64, score: [u8; 2], outcome: Outcome) -> Self {
        Self { tick, hash, reason: outcome.reason, winner: outcome.winner, score }
    }
}

/// The log of one match: at most [`LOG_BYTES_MAX`] of actions and a hash each second.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayLog {
    rules_version: u32,
    setup: Setup,
    /// In their stored form: two bytes for a usual input.
    actions: Vec<u8>,
    last_action: Tick,
    hashes: Vec<u64>,
    cut: Option<Tick>,
    end: Option<End>,
}

impl ReplayLog {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            rules_version: RULES_VERSION,
            setup,
            actions: Vec::new(),
            last_action: Tick(0),
            hashes: Vec::new(),
            cut: None,
            end: None,
        }
    }

    /// As it was, at another owner.
    pub(crate) fn rebuilt(
        rules_version: u32,
        setup: Setup,
        actions: Vec<u8>,
        hashes: Vec<u64>,
        cut: Option<Tick>,
    ) -> Result<Self, LogError> {
        let last_action = encoding::check_actions(&actions)?;
        Ok(Self { rules_version, setup, actions, last_action, hashes, cut, end: None })
    }

    /// The logged actions in their stored form, which only grows.
    pub(crate) fn actions_bytes(&self) -> &[u8] {
        &self.actions
    }

    /// The hash after each 60th tick, which only grow in number.
    pub(crate) fn plain_hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Notes an action that was taken after `tick`. Returns whether the log has just been cut.
    pub(crate) fn push(&mut self, tick: Tick, action: Action) -> bool {
        if self.cut.is_some() {
            return false;
        }
        if self.actions.len() + VARINT_BYTES_MAX + 1 > LOG_BYTES_MAX {
            self.cut = Some(tick);
            return true;
        }
        put_varint(&mut self.actions, tick.0.saturating_sub(self.last_action.0));
        self.actions.push(action.to_byte());
        self.last_action = tick;
        false
    }

    /// Whether the state after this tick is to be hashed.
    pub(crate) fn wants_hash(&self, tick: Tick) -> bool {
        tick.0.is_multiple_of(HASH_TICKS) && self.cut.is_none()
    }

    pub(crate) fn push_hash(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    pub(crate) fn close(&mut self, end: End) {
        self.end = Some(end);
    }

    pub(crate) fn setup(&self) -> Setup {
        self.setup
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// The hash after this tick, if there is one.
    pub(crate) fn hash_after(&self, tick: Tick) -> Option<u64> {
        if tick.0 == 0 || !tick.0.is_multiple_of(HASH_TICKS) {
            return None;
        }
        self.hashes.get((tick.0 / HASH_TICKS) as usize - 1).copied()
    }

    /// What the match's chance was drawn from.
    pub fn seed(&self) -> u64 {
        self.setup.seed
    }

    /// The rules that made it.
    pub fn rules_version(&self) -> u32 {
        self.rules_version
    }

    /// The tick from which on nothing was logged, because the log was full.
    pub fn cut(&self) -> Option<Tick> {
        self.cut
    }

    /// Every action, each with the tick after which it was taken, in order.
    pub fn actions(&self) -> Actions<'_> {
        Actions { rest: &self.actions, tick: 0 }
    }

    /// How far it can be played again: to where it was cut, or to the match's end.
    pub(crate) fn ticks(&self) -> Tick {
        let known = self.cut.or(self.end.map(|end| end.tick));
        known.unwrap_or_else(|| self.last_action.max(Tick(self.hashes.len() as u32 * HASH_TICKS)))
    }

    /// The action behind the cursor, if it was taken after `tick` or before; the cursor passes it.
    pub(crate) fn next_action(&self, cursor: &mut ActionCursor, tick: Tick) -> Option<Action> {
        let mut actions = Actions { rest: self.actions.get(cursor.read_bytes..)?, tick: cursor.tick };
        let (at, action) = actions.next().filter(|(at, _)| *at <= tick)?;
        *cursor = ActionCursor { read_bytes: self.actions.len() - actions.rest.len(), tick: at.0 };
        Some(action)
    }

    /// The state's hash after each of these ticks, in order: every 60th, and the last.
    pub fn hashes(&self) -> impl Iterator<Item = (Tick, u64)> + '_ {
        let regular = self.hashes.iter().zip(1..).map(|(hash, i)| (Tick(i * HASH_TICKS), *hash));
        let end = self.end.map(|end| (end.tick, end.hash));
        // A match can end by an action after a tick that was hashed: then the later hash stands.
        regular.filter(move |(tick, _)| end.is_none_or(|(last, _)| *tick < last)).chain(end)
    }
}

/// How far a log's actions are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ActionCursor {
    read_bytes: usize,
    tick: u32,
}

/// Iterates over a log's actions.
#[derive(Clone, Debug)]
pub struct Actions<'a> {
    rest: &'a [u8],
    tick: u32,
}

impl Iterator for Actions<'_> {
    type Item = (Tick, Action);

    fn next(&mut self) -> Option<(Tick, Action)> {
        // Only checked actions get into a log, so an error is its end.
        if self.rest.is_empty() { None } else { self.read().ok() }
    }
}
