//! Every time and bound of a match, in ticks of 1/60 s where not said otherwise.

use rally_units::TICK_HZ;

/// Countdown before play begins or goes on.
pub const COUNTDOWN_TICKS: u32 = 3 * TICK_HZ;

/// Countdown after the match stood still, because its worker had lost its link.
pub const INTERRUPTED_COUNTDOWN_TICKS: u32 = TICK_HZ;

/// How long a match waits for a player who is not attached: from its creation, from the player's last leave, or, if a
/// seat was open, from the moment at which it was taken.
pub const NO_SHOW_TICKS: u32 = 10 * TICK_HZ;

/// How long a player may be attached without being ready, from the first attach on. Then the player counts as absent:
/// the rules give no time for this, and without one an idle page would hold its opponent for ever.
pub const READY_TICKS_MAX: u32 = 30 * TICK_HZ;

/// How long a private match waits for somebody to take its open seat. Sending a link takes longer than 10 s.
pub const OPEN_SEAT_TICKS_MAX: u32 = 600 * TICK_HZ;

/// How long a private match with an open seat waits with nobody attached at all: its maker may be in another app,
/// sending the link.
pub const OPEN_SEAT_EMPTY_TICKS_MAX: u32 = 120 * TICK_HZ;

/// Pauses of each player.
pub const PAUSES_MAX: u8 = 3;

/// Time that each player's pauses may take in all. Then play resumes by itself.
pub const PAUSE_TICKS_MAX: u32 = 30 * TICK_HZ;

/// From a player's loss until the match pauses.
pub const AWAY_GRACE_TICKS: u32 = 2 * TICK_HZ;

/// Time that each player may be away in all.
pub const AWAY_TICKS_MAX: u32 = 30 * TICK_HZ;

/// How long a match lasts with nobody there.
pub const ABANDONED_TICKS: u32 = 30 * TICK_HZ;

/// The longest life of a match, in every state together: an hour. Then it is void (`abandoned`).
///
/// Two players who never move return a flat serve to each other for ever, and two who leave and return together use
/// up no time of play; without this bound neither match would end, nor would its log.
pub const MATCH_TICKS_MAX: u32 = 3_600 * TICK_HZ;

/// Inputs of one seat that wait for one before them. What is further ahead is refused; the edge sends it again.
pub const WAITING_INPUTS_MAX: usize = 64;

/// Bytes of a match's logged actions. An input takes two, so this is an hour of 72 inputs a second from both players
/// together. Beyond it the log is cut: the match goes on, what follows cannot be replayed, and the log says so.
pub const LOG_BYTES_MAX: usize = 512 * 1024;

/// From one state hash to the next.
pub const HASH_TICKS: u32 = 60;

/// Events that a match leaves behind. Goals beyond it are still kept (there are at most 509), others are counted as
/// left out: a match of an hour has about 400 power-ups and 2,400 skills.
pub const RECORDED_EVENTS_MAX: usize = 4_096;

/// Events that a match remembers after it has told them, for those who change over to another owner of it.
pub const TOLD_EVENTS_MAX: usize = 16;

/// A finished event message.
pub const EVENT_BYTES_MAX: usize = 512;

/// A name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// How fast a replay can be watched: 100 is as it was played.
pub const REPLAY_SPEED_PERCENT_MAX: u16 = 800;

/// From one word to a replay's watcher on where it stands to the next.
pub const REPLAY_STATE_TICKS: u32 = 30;

/// By how much the numbers of events jump when a match goes on from a copy: more than its last owner can have told
/// since that copy, so that no number ever means two things.
pub const EVENTS_SKIPPED: u32 = 1_000;

const _: () = {
    assert!(AWAY_GRACE_TICKS < AWAY_TICKS_MAX);
    assert!(NO_SHOW_TICKS < READY_TICKS_MAX);
    assert!(OPEN_SEAT_EMPTY_TICKS_MAX < OPEN_SEAT_TICKS_MAX);
    assert!(OPEN_SEAT_TICKS_MAX < MATCH_TICKS_MAX);
    assert!(MATCH_TICKS_MAX < u32::MAX / 4);
};
