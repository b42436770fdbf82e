//! Between the room's values and the store's, which do not know each other.

use jiff::{Timestamp, ToSpan};
use rally_protocol::client::v1 as wire;
use rally_room::{FinishedMatch, FinishedPlayer, RecordedKind};
use rally_store as store;
use rally_units::{TICK_HZ, Tick};
use serde_json::json;

pub(crate) fn mode(mode: wire::Mode) -> store::Mode {
    match mode {
        wire::Mode::Ranked => store::Mode::Ranked,
        wire::Mode::Casual => store::Mode::Casual,
        wire::Mode::Classic => store::Mode::Classic,
        wire::Mode::Duel => store::Mode::Duel,
        wire::Mode::Practice => store::Mode::Practice,
        wire::Mode::Local => store::Mode::Local,
        wire::Mode::Tournament => store::Mode::Tournament,
    }
}

pub(crate) fn mode_to_wire(mode: store::Mode) -> wire::Mode {
    match mode {
        store::Mode::Ranked => wire::Mode::Ranked,
        store::Mode::Casual => wire::Mode::Casual,
        store::Mode::Classic => wire::Mode::Classic,
        store::Mode::Duel => wire::Mode::Duel,
        store::Mode::Practice => wire::Mode::Practice,
        store::Mode::Local => wire::Mode::Local,
        store::Mode::Tournament => wire::Mode::Tournament,
    }
}

pub(crate) fn level_to_wire(level: store::BotLevel) -> wire::Level {
    match level {
        store::BotLevel::Easy => wire::Level::Easy,
        store::BotLevel::Normal => wire::Level::Normal,
        store::BotLevel::Hard => wire::Level::Hard,
    }
}

pub(crate) fn side(side: wire::Side) -> store::Side {
    match side {
        wire::Side::Left => store::Side::Left,
        wire::Side::Right => store::Side::Right,
    }
}

pub(crate) fn level(level: wire::Level) -> store::BotLevel {
    match level {
        wire::Level::Easy => store::BotLevel::Easy,
        wire::Level::Normal => store::BotLevel::Normal,
        wire::Level::Hard => store::BotLevel::Hard,
    }
}

fn reason(reason: wire::EndReason) -> store::EndReason {
    match reason {
        wire::EndReason::Score => store::EndReason::Score,
        wire::EndReason::Timeout => store::EndReason::Timeout,
        wire::EndReason::Forfeit => store::EndReason::Forfeit,
        wire::EndReason::NoShow => store::EndReason::NoShow,
        wire::EndReason::Abandoned => store::EndReason::Abandoned,
    }
}

/// Ratings as clients see them: whole points, before and after.
pub(crate) fn rating(change: store::RatingChange) -> (i32, i32) {
    (change.before.round() as i32, change.after.round() as i32)
}

/// What the room leaves behind, as the store records it. `now_ms` is the wall clock at the match's end.
pub(crate) fn result(finished: FinishedMatch, now_ms: u64) -> store::MatchResult {
    let ended_at = Timestamp::from_millisecond(now_ms as i64).unwrap_or(Timestamp::UNIX_EPOCH);
    let ago = |from: Tick| {
        let ticks = i64::from(finished.ended.0.saturating_sub(from.0));
        ended_at - (ticks * 1_000 / i64::from(TICK_HZ)).milliseconds()
    };
    let [left, right] = finished.score.map(u16::from);
    let started_at = finished.started.map(ago);
    store::MatchResult {
        match_id: finished.id,
        score: store::Score { left, right },
        winner: finished.winner.map(side),
        reason: reason(finished.reason),
        started_at,
        ended_at,
        duration: finished.duration,
        players: finished.players.map(|player| stats(&player)),
        events: finished.events.iter().map(event).collect(),
        replay: vec![store::ReplaySegment {
            seed: finished.replay.seed(),
            rules_version: rally_sim::RULES_VERSION as u16,
            hashes: finished.replay.hashes().collect(),
            input_log: finished.replay.encode(),
        }],
    }
}

fn stats(player: &FinishedPlayer) -> store::PlayerStats {
    let stats = &player.stats;
    let [split, blackout, blackhole] = stats.power_ups;
    store::PlayerStats {
        paddle_hits: stats.paddle_hits,
        fastest_ball: stats.fastest_ball,
        power_ups: store::PowerUps { split, blackout, blackhole },
        skills_used: stats.skills_used,
        skills_successful: stats.skills_successful,
        disconnected_ms: u32::try_from(stats.disconnected_ms).unwrap_or(u32::MAX),
    }
}

fn event(event: &rally_room::RecordedEvent) -> store::MatchEvent {
    let side = event.side.as_str();
    let (kind, data) = match event.kind {
        RecordedKind::Goal { y, score } => (store::EventKind::Goal, json!({ "scorer": side, "y": y, "score": score })),
        RecordedKind::PowerUp(kind) => (store::EventKind::PowerUp, json!({ "side": side, "power_up": kind.as_str() })),
        RecordedKind::Skill(skill) => (store::EventKind::Skill, json!({ "side": side, "skill": skill.as_str() })),
    };
    store::MatchEvent { n: event.n, clock: event.clock, kind, data }
}
