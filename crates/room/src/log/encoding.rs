//! A log as bytes and back.
//!
//! As stored (integers little-endian, "varint" is LEB128 of at most 5 bytes):
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of this layout: 1 |
//! | 4 | version of the rules |
//! | 8 | seed |
//! | 1, 1 | score to win; flags: bit 0 classic, bit 1 the present one wins a no-show, bit 2 resumed at a score |
//! | 1, 1 | that score, left and right, if it is resumed: all but this was lost, and this log begins anew |
//! | 2, 2 | left and right: kind of seat (0 person, 1 bot, 2 shared, 3 open); skill (0 smash, 1 dash) |
//! | varint, n | bytes of actions; the actions: varint of ticks since the one before, then one byte |
//! | varint, 8 each | count of hashes; the hash after each 60th tick |
//! | 1, 4 | 1 and the tick from which on nothing was logged, or 0 alone |
//! | 1, 4 + 8 + 4 | 1, then the tick of the end, the hash, reason, winner (0 none, 1 left, 2 right) and score; or 0 alone |
//!
//! The byte of an action: bits 0 to 3 kind, bit 4 side (1 is right), bits 5 to 7 argument (of an input: dir + 1, and 4
//! for a press; of a claim: the skill).

use rally_sim::{Dir, Rules, Side, Skill};
use rally_units::Tick;

use super::{Action, Actions, End, ReplayLog};
use crate::{
    limits::{HASH_TICKS, LOG_BYTES_MAX, MATCH_TICKS_MAX},
    referee::{Reason, SeatKind, Setup},
};

const VERSION: u8 = 1;

/// Why bytes are no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Of a version that we do not know.
    #[error("unknown version {0}")]
    Version(u8),
    /// They end too soon.
    #[error("truncated")]
    Truncated,
    /// A field holds what it never can.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// They go on after the log.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

impl Action {
    pub(super) fn to_byte(self) -> u8 {
        let (kind, side, argument) = match self {
            Self::Input { side, dir, press } => (0, side, (i8::from(dir) + 1) as u8 | u8::from(press) << 2),
            Self::Ready(side) => (1, side, 0),
            Self::Pause(side) => (2, side, 0),
            Self::Resume(side) => (3, side, 0),
            Self::Forfeit(side) => (4, side, 0),
            Self::Attach(side) => (5, side, 0),
            Self::Detach(side) => (6, side, 0),
            Self::Claim(side, skill) => (7, side, skill as u8),
            Self::Interrupt => (8, Side::Left, 0),
        };
        kind | (side as u8) << 4 | argument << 5
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let side = if byte & 0x10 == 0 { Side::Left } else { Side::Right };
        let argument = byte >> 5;
        Some(match (byte & 0x0f, argument) {
            (0, _) => {
                let dir = Dir::try_from((argument & 3) as i8 - 1).ok()?;
                Self::Input { side, dir, press: argument & 4 != 0 }
            }
            (1, 0) => Self::Ready(side),
            (2, 0) => Self::Pause(side),
            (3, 0) => Self::Resume(side),
            (4, 0) => Self::Forfeit(side),
            (5, 0) => Self::Attach(side),
            (6, 0) => Self::Detach(side),
            (7, 0) => Self::Claim(side, Skill::Smash),
            (7, 1) => Self::Claim(side, Skill::Dash),
            (8, 0) if side == Side::Left => Self::Interrupt,
            _ => return None,
        })
    }
}

impl ReplayLog {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.actions.len() + self.hashes.len() * 8);
        let Setup { seed, rules, seats, no_show_wins, resumed_at } = self.setup;
        out.push(VERSION);
        out.extend_from_slice(&self.rules_version.to_le_bytes());
        out.extend_from_slice(&seed.to_le_bytes());
        let flags = u8::from(rules.classic) | u8::from(no_show_wins) << 1 | u8::from(resumed_at.is_some()) << 2;
        out.extend_from_slice(&[rules.score_to_win, flags]);
        out.extend(resumed_at.into_iter().flatten());
        for (seat, skill) in seats.into_iter().zip(rules.skills) {
            out.extend_from_slice(&[seat as u8, skill as u8]);
        }
        put_varint(&mut out, self.actions.len() as u32);
        out.extend_from_slice(&self.actions);
        put_varint(&mut out, self.hashes.len() as u32);
        for hash in &self.hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        match self.cut {
            None => out.push(0),
            Some(tick) => {
                out.push(1);
                out.extend_from_slice(&tick.0.to_le_bytes());
            }
        }
        match self.end {
            None => out.push(0),
            Some(End { tick, hash, reason, winner, score }) => {
                out.push(1);
                out.extend_from_slice(&tick.0.to_le_bytes());
                out.extend_from_slice(&hash.to_le_bytes());
                out.extend_from_slice(&[reason as u8, winner.map_or(0, |side| side as u8 + 1), score[0], score[1]]);
            }
        }
        out
    }

    /// Reads what [`ReplayLog::encode`] wrote. Never panics, whatever the bytes, and allocates no more than they are
    /// long.
    ///
    /// # Errors
    /// If the bytes are no log.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let mut from = Reader(bytes);
        let [version] = from.take()?;
        if version != VERSION {
            return Err(LogError::Version(version));
        }
        let rules_version = u32::from_le_bytes(from.take()?);
        let seed = u64::from_le_bytes(from.take()?);
        let score_to_win = from.byte("score to win", 1, u8::MAX)?;
        let flags = from.byte("flags", 0, 7)?;
        let resumed_at = match flags & 4 {
            0 => None,
            _ => Some([from.byte("score", 0, score_to_win)?, from.byte("score", 0, score_to_win)?]),
        };
        if resumed_at == Some([score_to_win; 2]) {
            return Err(LogError::OutOfRange("score"));
        }
        let mut seats = [SeatKind::Open; 2];
        let mut skills = [Skill::Smash; 2];
        for i in 0..2 {
            seats[i] = match from.byte("seat", 0, 3)? {
                0 => SeatKind::Person,
                1 => SeatKind::Bot,
                2 => SeatKind::Shared,
                _ => SeatKind::Open,
            };
            skills[i] = if from.byte("skill", 0, 1)? == 0 { Skill::Smash } else { Skill::Dash };
        }
        if seats == [SeatKind::Shared; 2] {
            return Err(LogError::OutOfRange("seat"));
        }
        let actions_bytes = from.varint()? as usize;
        if actions_bytes > LOG_BYTES_MAX {
            return Err(LogError::OutOfRange("actions"));
        }
        let actions = from.slice(actions_bytes)?;
        let last_action = check_actions(actions)?;
        let count = from.varint()? as usize;
        let (hashes, _) = from.slice(count.saturating_mul(8))?.as_chunks::<8>();
        if count > (MATCH_TICKS_MAX / HASH_TICKS) as usize {
            return Err(LogError::OutOfRange("hashes"));
        }
        let cut = match from.byte("cut", 0, 1)? {
            0 => None,
            _ => Some(from.tick()?),
        };
        let end = match from.byte("end", 0, 1)? {
            0 => None,
            _ => Some(End {
                tick: from.tick()?,
                hash: u64::from_le_bytes(from.take()?),
                reason: match from.byte("reason", 0, 4)? {
                    0 => Reason::Score,
                    1 => Reason::Timeout,
                    2 => Reason::Forfeit,
                    3 => Reason::NoShow,
                    _ => Reason::Abandoned,
                },
                winner: [None, Some(Side::Left), Some(Side::Right)][usize::from(from.byte("winner", 0, 2)?)],
                score: from.take()?,
            }),
        };
        if !from.0.is_empty() {
            return Err(LogError::LeftOver(from.0.len()));
        }
        Ok(Self {
            rules_version,
            setup: Setup {
                seed,
                rules: Rules { classic: flags & 1 != 0, skills, score_to_win },
                seats,
                no_show_wins: flags & 2 != 0,
                resumed_at,
            },
            actions: actions.to_vec(),
            last_action,
            hashes: hashes.iter().copied().map(u64::from_le_bytes).collect(),
            cut,
            end,
        })
    }
}

impl Actions<'_> {
    pub(super) fn read(&mut self) -> Result<(Tick, Action), LogError> {
        let mut from = Reader(self.rest);
        let tick = self.tick.saturating_add(from.varint()?);
        if tick > MATCH_TICKS_MAX {
            return Err(LogError::OutOfRange("tick"));
        }
        let [byte] = from.take()?;
        let action = Action::from_byte(byte).ok_or(LogError::OutOfRange("action"))?;
        self.rest = from.0;
        self.tick = tick;
        Ok((Tick(tick), action))
    }
}

/// Checks every action; returns the tick of the last.
pub(super) fn check_actions(bytes: &[u8]) -> Result<Tick, LogError> {
    let mut actions = Actions { rest: bytes, tick: 0 };
    while !actions.rest.is_empty() {
        actions.read()?;
    }
    Ok(Tick(actions.tick))
}

pub(super) const VARINT_BYTES_MAX: usize = 5;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes checked fields off the front of untrusted bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(LogError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn slice(&mut self, bytes: usize) -> Result<&'a [u8], LogError> {
        let (head, rest) = self.0.split_at_checked(bytes).ok_or(LogError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self, what: &'static str, low: u8, high: u8) -> Result<u8, LogError> {
        let [byte] = self.take()?;
        if (low..=high).contains(&byte) { Ok(byte) } else { Err(LogError::OutOfRange(what)) }
    }

    fn tick(&mut self) -> Result<Tick, LogError> {
        let tick = u32::from_le_bytes(self.take()?);
        if tick <= MATCH_TICKS_MAX { Ok(Tick(tick)) } else { Err(LogError::OutOfRange("tick")) }
    }

    fn varint(&mut self) -> Result<u32, LogError> {
        let mut value = 0_u64;
        for i in 0..VARINT_BYTES_MAX {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| LogError::OutOfRange("varint"));
            }
        }
        Err(LogError::OutOfRange("varint"))
    }
}
