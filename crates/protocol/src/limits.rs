//! Every bound on what goes over a wire, and how they relate.

/// A client's message: a larger one closes the connection with 1009.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// A message to a client. The largest is `channel_joined` with a page of messages.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// An access token, which must fit a `hello`.
pub const TOKEN_BYTES_MAX: usize = 2 * 1024;

/// A chat message, in characters.
pub const CHAT_TEXT_CHARS_MAX: usize = 500;

/// A channel's name, in characters.
pub const CHANNEL_CHARS_MAX: usize = 64;

/// Channels whose offsets a `resume` may carry.
pub const RESUME_CHANNELS_MAX: usize = 32;

/// A user's name, in characters.
pub const USERNAME_CHARS_MIN: usize = 3;
/// A user's name, in characters.
pub const USERNAME_CHARS_MAX: usize = 20;

/// Balls on the field at once.
pub const BALLS_MAX: usize = 10;
/// Power-ups on the field at once.
pub const POWER_UPS_MAX: usize = 5;
/// Effects running at once: a split, a blackout on each side, a blackhole each, with room to spare.
pub const EFFECTS_MAX: usize = 8;

/// The payload of one entry of a bundle; its length travels in 16 bits.
pub const ENTRY_PAYLOAD_BYTES_MAX: usize = 48 * 1024;

/// One bundle. What does not fit goes into a second one.
pub const BUNDLE_BYTES_MAX: usize = 256 * 1024;

/// Entries of one bundle; their count travels in 16 bits.
pub const BUNDLE_ENTRIES_MAX: usize = 8 * 1024;

/// Numbered entries that a node keeps for one peer until they are acknowledged.
pub const UNACKED_ENTRIES_MAX: usize = 4 * 1024;

/// People whom an edge names when it attaches to a match again; the others join.
pub const PRESENT_MAX: usize = 512;

/// Inputs of one seat that an edge keeps until they outlive the owner.
pub const KEPT_INPUTS_MAX: usize = 64;

const _: () = {
    assert!(TOKEN_BYTES_MAX < CLIENT_MESSAGE_BYTES_MAX);
    assert!(CHAT_TEXT_CHARS_MAX * 4 < CLIENT_MESSAGE_BYTES_MAX);
    assert!(RESUME_CHANNELS_MAX * (CHANNEL_CHARS_MAX + 12) + 64 < CLIENT_MESSAGE_BYTES_MAX);
    assert!(ENTRY_PAYLOAD_BYTES_MAX < u16::MAX as usize);
    assert!(ENTRY_PAYLOAD_BYTES_MAX < BUNDLE_BYTES_MAX / 2);
    assert!(BUNDLE_ENTRIES_MAX < u16::MAX as usize);
    assert!(UNACKED_ENTRIES_MAX <= BUNDLE_ENTRIES_MAX);
};
