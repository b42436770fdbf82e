//! The bounds of a connection, and how they relate.

use std::time::Duration;

/// Until when the first message must have come.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Silence after which a link is dead, while in a match.
pub const SILENCE_IN_MATCH: Duration = Duration::from_secs(2);
/// Silence after which a link is dead, otherwise.
pub const SILENCE_IDLE: Duration = Duration::from_secs(60);

/// Silence after which the edge sends a WebSocket ping, while in a match. A client sends messages of its own; this
/// one asks the client's library, which answers even while a browser throttles the timers of a hidden page.
pub const PING_IN_MATCH: Duration = Duration::from_secs(1);
/// Silence after which the edge sends a WebSocket ping, otherwise.
pub const PING_IDLE: Duration = Duration::from_secs(30);

/// Messages a second that a client may send for ever: a player's key changes (60) are the fastest there is.
pub const MESSAGES_PER_S: u32 = 60;
/// Messages that may come at once.
pub const MESSAGES_BURST: u32 = 120;

/// Faults (what is refused before it is even a request: malformed, too fast, out of sequence) forgiven at once. The
/// one after closes the connection with 1008.
pub const FAULTS_BURST: u32 = 30;
/// Faults forgiven each second.
pub const FAULTS_PER_S: u32 = 2;

/// Matches that one connection may be in: one's own, and some to watch.
pub const MATCHES_PER_CONNECTION_MAX: usize = 8;

/// Characters of an error's detail. It may quote what the client sent.
pub const DETAIL_CHARS_MAX: usize = 200;

/// Silence of a match after which an edge no longer takes its owner's word.
pub const MATCH_SILENCE: Duration = Duration::from_millis(250);
/// The same once it is finished and only its result is awaited: no snapshots come any more.
pub const RESULT_SILENCE: Duration = Duration::from_secs(5);
/// Between two attempts to attach. A dead owner's matches are to be found at the next one within 1.6 s in all.
pub const ATTACH_AGAIN: Duration = Duration::from_millis(250);
/// A question to an owner that nobody has answered is put again: whoever was to answer it may be lost.
pub const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Snapshots that may come without an input's being applied, before it is sent again.
pub const SNAPSHOTS_UNTIL_RESENT: u8 = 3;

/// Messages (snapshots aside) that wait for one slow reader.
pub const BACKLOG_MESSAGES_MAX: usize = 256;
/// Bytes of the same. Room for the largest message of all, and then some.
pub const BACKLOG_BYTES_MAX: usize = 512 * 1024;

const _: () = {
    assert!(PING_IN_MATCH.as_millis() < SILENCE_IN_MATCH.as_millis());
    assert!(PING_IDLE.as_millis() < SILENCE_IDLE.as_millis());
    assert!(SILENCE_IN_MATCH.as_millis() < SILENCE_IDLE.as_millis());
    assert!(BACKLOG_BYTES_MAX >= rally_protocol::limits::SERVER_MESSAGE_BYTES_MAX);
    assert!(MESSAGES_BURST >= MESSAGES_PER_S);
};
