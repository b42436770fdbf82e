//! Playing a log again.

use rally_sim::{Events, RULES_VERSION};
use rally_units::Tick;

use crate::{
    log::{End, ReplayLog},
    referee::Referee,
};

/// Where a match played again differs from its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Made by other rules: only the program of that version can play it.
    #[error("made by version {0} of the rules, these are version {RULES_VERSION}")]
    Rules(u32),
    /// The state differs.
    #[error("after tick {tick} the state's hash is {got:016x}, the log says {expected:016x}")]
    Hash {
        /// After which tick.
        tick: Tick,
        /// What the log says.
        expected: u64,
        /// What came out.
        got: u64,
    },
    /// An action that was accepted is not possible, or comes after the end.
    #[error("after tick {tick} an action is not possible")]
    Action {
        /// After which tick.
        tick: Tick,
    },
    /// The match ends at another tick, or otherwise, or a hash is missing.
    #[error("after tick {tick} the match ends otherwise")]
    End {
        /// After which tick.
        tick: Tick,
    },
}

/// Plays the log again from its seed and compares every hash and the result. A log that was cut is verified up to
/// there; one of a match that has not ended, up to its last action or hash.
///
/// # Errors
/// The first difference.
pub fn verify(log: &ReplayLog) -> Result<(), Mismatch> {
    if log.rules_version() != RULES_VERSION {
        return Err(Mismatch::Rules(log.rules_version()));
    }
    let mut referee = Referee::new(log.setup());
    let mut actions = log.actions().peekable();
    let mut events = Events::new();
    let mut happenings = Vec::new();
    let last_hash = log.hashes().last().map_or(Tick(0), |(tick, _)| tick);
    let last = log.cut().or(log.end().map(|end| end.tick));
    // A referee ends every match within `MATCH_TICKS_MAX`, and so ends this loop.
    loop {
        let tick = referee.tick_count();
        while let Some((_, action)) = actions.next_if(|(at, _)| *at <= tick) {
            referee.act(action, &mut happenings).map_err(|_| Mismatch::Action { tick })?;
        }
        if referee.outcome().is_some() || last == Some(tick) {
            break;
        }
        if last.is_none() && actions.peek().is_none() && last_hash <= tick {
            return Ok(());
        }
        happenings.clear();
        referee.tick(&mut events, &mut happenings);
        let tick = referee.tick_count();
        // The tick that ends a match is hashed as its end.
        if referee.outcome().is_none() {
            let got = referee.world().hash();
            match log.hash_after(tick) {
                Some(expected) if got != expected => return Err(Mismatch::Hash { tick, expected, got }),
                None if log.wants_hash(tick) && last.is_some() => return Err(Mismatch::End { tick }),
                _ => {}
            }
        }
    }
    let tick = referee.tick_count();
    if log.cut() == Some(tick) {
        return Ok(());
    }
    match (referee.outcome(), log.end()) {
        (Some(outcome), Some(end)) if actions.next().is_none() => {
            let hash = referee.world().hash();
            if hash != end.hash {
                return Err(Mismatch::Hash { tick, expected: end.hash, got: hash });
            }
            let got = End::new(tick, hash, referee.world().score(), outcome);
            if got == end { Ok(()) } else { Err(Mismatch::End { tick }) }
        }
        (Some(_), Some(_)) => Err(Mismatch::Action { tick }),
        _ => Err(Mismatch::End { tick }),
    }
}
