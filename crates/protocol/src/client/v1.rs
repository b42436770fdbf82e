//! Version 1 of the client protocol: `rally.v1.json` and `rally.v1.msgpack`.
//!
//! In JSON a message is an object whose `type` is the message's name. In msgpack it is an array: the number of
//! the type, then the fields in the order in which they stand here. Fields are only ever appended, and decoders
//! skip those they do not know. An optional field that is absent is `null`, or may be left out at the end.
//!
//! Lengths are in world units (u). Positions travel as integers in 1/16 u, velocities as integers in u/s; `y`
//! grows downward. A "tick" is 1/60 s since the match was created.

use rally_units::{Epoch, MatchId, SessionId, SubStep, Tick, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    limits::{
        BALLS_MAX, CHANNEL_CHARS_MAX, CHAT_TEXT_CHARS_MAX, EFFECTS_MAX, POWER_UPS_MAX, RESUME_CHANNELS_MAX,
        TOKEN_BYTES_MAX, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN,
    },
    wire::{Bounded, Text, wire_enum},
};

/// The subprotocol whose frames are text.
pub const SUBPROTOCOL_JSON: &str = "rally.v1.json";
/// The subprotocol whose frames are binary.
pub const SUBPROTOCOL_MSGPACK: &str = "rally.v1.msgpack";

/// An access token as it travels.
pub type Token = Text<1, TOKEN_BYTES_MAX>;
/// A channel's name.
pub type ChannelName = Text<1, CHANNEL_CHARS_MAX>;
/// A client's own mark on a chat message, by which it is recognised when sent twice.
pub type Nonce = Text<1, 64>;
/// A user's name.
pub type Username = Text<USERNAME_CHARS_MIN, USERNAME_CHARS_MAX>;

wire_enum! {
    /// The kind of a match.
    Mode {
        /// Rated, opponents found by rating.
        Ranked = 0 "ranked",
        /// Not rated, opponents found by waiting time.
        Casual = 1 "casual",
        /// No skills and no power-ups.
        Classic = 2 "classic",
        /// By invitation, or by a private match's link.
        Duel = 3 "duel",
        /// Against the bot.
        Practice = 4 "practice",
        /// Two players on one connection.
        Local = 5 "local",
        /// A tournament's, rated.
        Tournament = 6 "tournament",
    }
}

wire_enum! {
    /// A side of the field.
    Side {
        /// The side of x = 0.
        Left = 0 "left",
        /// The side of x = 1920.
        Right = 1 "right",
    }
}

impl Side {
    /// 0 for left, 1 for right: the index into every pair of the protocol.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other side.
    #[must_use]
    pub const fn opponent(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

wire_enum! {
    /// Where one is in a match.
    Place {
        /// Plays the left paddle.
        Left = 0 "left",
        /// Plays the right paddle.
        Right = 1 "right",
        /// Plays both (local matches).
        Both = 2 "both",
        /// Watches.
        Spectator = 3 "spectator",
    }
}

impl From<Side> for Place {
    fn from(side: Side) -> Self {
        match side {
            Side::Left => Self::Left,
            Side::Right => Self::Right,
        }
    }
}

wire_enum! {
    /// As what one joins a match.
    JoinAs {
        /// On one's seat.
        Player = 0 "player",
        /// To watch.
        Spectator = 1 "spectator",
    }
}

wire_enum! {
    /// The state of a match.
    Phase {
        /// Until both players are attached and ready.
        Waiting = 0 "waiting",
        /// 3, 2, 1.
        Countdown = 1 "countdown",
        /// The match clock runs.
        Playing = 2 "playing",
        /// By a player's wish, or for an absent one.
        Paused = 3 "paused",
        /// No more ticks.
        Finished = 4 "finished",
    }
}

wire_enum! {
    /// A player's skill.
    Skill {
        /// A harder hit.
        Smash = 0 "smash",
        /// A faster paddle.
        Dash = 1 "dash",
    }
}

wire_enum! {
    /// The strength of the bot.
    Level {
        /// Looks rarely and misjudges.
        Easy = 0 "easy",
        /// Sees the field once a second.
        Normal = 1 "normal",
        /// Sees it ten times a second and uses its skill.
        Hard = 2 "hard",
    }
}

wire_enum! {
    /// What lies on the field.
    PowerUp {
        /// One more ball.
        Split = 0 "split",
        /// Darkens the opponent's view.
        Blackout = 1 "blackout",
        /// Bends the balls' flight.
        Blackhole = 2 "blackhole",
    }
}

wire_enum! {
    /// Why a match ended.
    EndReason {
        /// A side reached the score to win.
        Score = 0 "score",
        /// A side was away for too long.
        Timeout = 1 "timeout",
        /// A side gave up.
        Forfeit = 2 "forfeit",
        /// A side never came.
        NoShow = 3 "no_show",
        /// Void: nobody won.
        Abandoned = 4 "abandoned",
    }
}

wire_enum! {
    /// What happened in a match.
    EventKind {
        /// `value` seconds until play: 3, 2, 1.
        Countdown = 0 "countdown",
        /// `side` scored where the ball crossed at `y`; `score` is the new one.
        Goal = 1 "goal",
        /// `side` hit the ball at `y`; `value` is the ball's new speed in u/s.
        Hit = 2 "hit",
        /// `side` used `skill`.
        Skill = 3 "skill",
        /// `side` collected `power_up`.
        PowerUp = 4 "power_up",
        /// `side` paused (null: because a player is away); `value` pauses are left to it.
        Paused = 5 "paused",
        /// `side` resumed (null: because the absent player is back).
        Resumed = 6 "resumed",
        /// `side` lost its connection; `value` seconds of absence are left to it.
        Away = 7 "away",
        /// `side` is connected again; `value` seconds of absence are left to it.
        Back = 8 "back",
        /// The match goes on at another worker.
        Moved = 9 "moved",
        /// The match is over and its result is being recorded.
        ResultPending = 10 "result_pending",
        /// `side` is ready to begin.
        Ready = 11 "ready",
        /// Play begins or goes on.
        Go = 12 "go",
    }
}

wire_enum! {
    /// What one is to one's friends.
    Status {
        /// Here.
        Online = 0 "online",
        /// Idle.
        Away = 1 "away",
        /// Not to be disturbed.
        Busy = 2 "busy",
        /// Gone.
        Offline = 3 "offline",
    }
}

/// Why something was refused. The same text over HTTP and WebSocket, in JSON and in msgpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A field is missing, of the wrong type or out of its range.
    InvalidInput,
    /// No token, or one that does not verify or has expired.
    Unauthenticated,
    /// The account asks for its second factor.
    TotpRequired,
    /// Not allowed to this user.
    Forbidden,
    /// There is no such thing, or not for this user.
    NotFound,
    /// One ticket per user.
    AlreadyInQueue,
    /// One match at a time.
    AlreadyInMatch,
    /// Somebody else has that name.
    UsernameTaken,
    /// More bytes than allowed.
    PayloadTooLarge,
    /// Too many requests; `Retry-After` says when to come back.
    RateLimited,
    /// This node or the cluster is full.
    AtCapacity,
    /// Something that this needs is away for now.
    Unavailable,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthenticated => "unauthenticated",
            Self::TotpRequired => "totp_required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::AlreadyInQueue => "already_in_queue",
            Self::AlreadyInMatch => "already_in_match",
            Self::UsernameTaken => "username_taken",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RateLimited => "rate_limited",
            Self::AtCapacity => "at_capacity",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// Close codes of the WebSocket.
pub mod close {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// Not the WebSocket protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Not this subprotocol's frames.
    pub const UNSUPPORTED: u16 = 1003;
    /// Text that is not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// Too many messages.
    pub const POLICY: u16 = 1008;
    /// A message over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// This edge restarts: come back, to any.
    pub const RESTART: u16 = 1012;
    /// `hello` refused, or the token expired.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// No `hello` in time, or a dead link.
    pub const TIMEOUT: u16 = 4408;
    /// The seat was taken by a newer connection of the same player.
    pub const SEAT_TAKEN: u16 = 4409;
    /// Too many connections.
    pub const TOO_MANY: u16 = 4429;
}

/// A direction to move in: -1 up, 0 stay, 1 down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub enum Dir {
    /// Towards y = 0.
    Up,
    /// Nowhere.
    #[default]
    Stay,
    /// Towards y = 1080.
    Down,
}

/// A direction that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected -1, 0 or 1")]
pub struct NoDirection;

impl TryFrom<i8> for Dir {
    type Error = NoDirection;

    fn try_from(value: i8) -> Result<Self, NoDirection> {
        match value {
            -1 => Ok(Self::Up),
            0 => Ok(Self::Stay),
            1 => Ok(Self::Down),
            _ => Err(NoDirection),
        }
    }
}

impl From<Dir> for i8 {
    fn from(dir: Dir) -> Self {
        match dir {
            Dir::Up => -1,
            Dir::Stay => 0,
            Dir::Down => 1,
        }
    }
}

/// The session to go on with, from the `welcome` before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// The highest offset seen of each channel.
    #[serde(default)]
    pub channels: Bounded<ChannelOffset, RESUME_CHANNELS_MAX>,
}

/// How far one has read a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelOffset {
    /// The channel.
    pub channel: ChannelName,
    /// The highest offset seen.
    pub offset: u64,
}

/// A user, as others see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    /// The id.
    pub id: UserId,
    /// The name.
    pub name: String,
    /// Whether it is a guest.
    pub guest: bool,
}

/// Who plays on a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Player {
    /// The user; null for a bot.
    pub user: Option<UserId>,
    /// The name to show.
    pub name: String,
    /// The bot's level; null for a person.
    pub bot: Option<Level>,
    /// The skill; null in classic mode.
    pub skill: Option<Skill>,
    /// Whether it is attached now.
    pub connected: bool,
    /// Whether it is ready to begin.
    pub ready: bool,
    /// Pauses left.
    pub pauses_left: u8,
    /// Seconds of absence left before the match is lost.
    pub away_left_s: u8,
}

/// A paddle: centre y in 1/16 u, then the direction held.
pub type PaddleState = (i16, Dir);
/// A ball: x, y in 1/16 u, then vx, vy in u/s.
pub type BallState = (i16, i16, i16, i16);
/// A skill: ticks of cooldown left, then ticks left in which it acts.
pub type SkillState = (u16, u16);
/// A power-up on the field: its id, kind, x and y in 1/16 u, then the ticks it still lies there.
pub type PowerUpState = (u16, PowerUp, i16, i16, u16);
/// An effect: kind, the side it acts on (the collector for a split, the darkened one for a blackout, null for a blackhole),
/// then ticks left.
pub type EffectState = (PowerUp, Option<Side>, u16);

/// Declares the messages of one direction: a struct each, the enum over them, their names and numbers.
macro_rules! messages {
    (
        $(#[$edoc:meta])* $enum:ident;
        $( $(#[doc = $doc:literal])* $number:literal $name:literal $ty:ident {
            $( $(#[doc = $fdoc:literal])* $(#[serde($($serde:tt)*)])? $field:ident: $fty:ty ),* $(,)?
        } )+
    ) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub struct $ty { $( $(#[doc = $fdoc])* $(#[serde($($serde)*)])? pub $field: $fty ),* }

            impl super::codec::Message for $ty {
                const SHAPE: super::codec::Shape = super::codec::Shape {
                    number: $number,
                    name: $name,
                    doc: concat!($($doc),*),
                    fields: &[$(super::codec::Field {
                        name: super::codec::wire_name(stringify!($field)),
                        doc: concat!($($fdoc),*),
                        ty: stringify!($fty),
                    }),*],
                };
            }

            impl From<$ty> for $enum {
                fn from(message: $ty) -> Self {
                    Self::$ty(message)
                }
            }
        )+

        $(#[$edoc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $enum { $( $(#[doc = $doc])* $ty($ty) ),+ }

        impl super::codec::Messages for $enum {
            const TABLE: &'static [super::codec::Shape] = &[$(<$ty as super::codec::Message>::SHAPE),+];

            fn shape(&self) -> super::codec::Shape {
                match self { $(Self::$ty(_) => <$ty as super::codec::Message>::SHAPE),+ }
            }

            fn from_json(name: &str, bytes: &[u8]) -> Result<Self, super::codec::DecodeError> {
                match name {
                    $($name => super::codec::body_from_json::<$ty>(bytes).map(Self::$ty),)+
                    _ => Err(super::codec::DecodeError::UnknownType),
                }
            }

            fn from_msgpack(number: u8, fields: usize, body: &[u8]) -> Result<Self, super::codec::DecodeError> {
                match number {
                    $($number => super::codec::body_from_msgpack::<$ty>(fields, body).map(Self::$ty),)+
                    _ => Err(super::codec::DecodeError::UnknownType),
                }
            }

            fn encode_into(
                &self,
                encoding: super::codec::Encoding,
                out: &mut Vec<u8>,
            ) -> Result<(), super::codec::EncodeError> {
                match self { $(Self::$ty(message) => super::codec::encode_into(message, encoding, out)),+ }
            }
        }
    };
}

messages! {
    /// A message from a client.
    ClientMessage;

    /// The first message, within 5 s. Answered by `welcome`.
    1 "hello" Hello {
        /// An access token.
        token: Token,
        /// The session to go on with.
        #[serde(default)]
        resume: Option<Resume>,
    }
    /// A fresh token, before the old expires. Answered by `authenticated`.
    2 "auth" Auth {
        /// An access token of the same user.
        token: Token,
    }
    /// Every second in a match, every 30 s otherwise. Answered by `pong`.
    3 "ping" Ping {
        /// Anything; comes back.
        t: u64,
    }
    /// Asks for an opponent. Answered by `queued`, later `match_found`.
    4 "queue_join" QueueJoin {
        /// `ranked`, `casual` or `classic`.
        mode: Mode,
        /// Smash by default.
        #[serde(default)]
        skill: Option<Skill>,
    }
    /// Gives up waiting. Answered by `queue_left`.
    5 "queue_leave" QueueLeave {
    }
    /// Takes one's seat, or watches. Answered by `match_joined`.
    6 "match_join" MatchJoin {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// As what.
        #[serde(rename = "as")]
        join_as: JoinAs,
        /// The skill for an open seat of a private match; smash by default.
        #[serde(default)]
        skill: Option<Skill>,
    }
    /// Leaves the match's audience, or one's seat as a lost connection would.
    7 "match_leave" MatchLeave {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Ready to begin.
    8 "ready" Ready {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Asks for a pause.
    9 "pause" Pause {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Ends a pause.
    10 "resume" ResumePlay {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Gives the match up.
    11 "forfeit" Forfeit {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Wants another match with the same opponent, within 60 s of the end of one between two people. The other gets
    /// `rematch_wanted`; once both have said it, both get `match_found`: a `duel` with the sides swapped.
    12 "rematch" Rematch {
        /// The finished match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// One's own skill; smash by default.
        #[serde(default)]
        skill: Option<Skill>,
    }
    /// Moves a paddle. Not answered: `snapshot.ack` shows it.
    13 "input" InputMessage {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// From 1 after each `match_joined`, rising by one. In local matches each side counts for itself.
        seq: u32,
        /// The direction held from now on.
        dir: Dir,
        /// Whether the skill key went down.
        #[serde(default)]
        press: bool,
        /// Which paddle (local matches only).
        #[serde(default)]
        side: Option<Side>,
    }
    /// Reads a channel. Answered by `channel_joined`.
    14 "channel_join" ChannelJoin {
        /// The channel.
        channel: ChannelName,
        /// The highest offset seen: what came after it is sent.
        #[serde(default)]
        since: Option<u64>,
    }
    /// Reads it no more.
    15 "channel_leave" ChannelLeave {
        /// The channel.
        channel: ChannelName,
    }
    /// Says something. Answered by its `chat_message` with the `nonce`.
    16 "chat_send" ChatSend {
        /// The channel.
        channel: ChannelName,
        /// What.
        text: Text<1, CHAT_TEXT_CHARS_MAX>,
        /// The same nonce twice is one message.
        nonce: Nonce,
    }
    /// Is about to say something.
    17 "typing" Typing {
        /// The channel.
        channel: ChannelName,
    }
    /// Has read up to an offset.
    18 "read" Read {
        /// The channel.
        channel: ChannelName,
        /// The highest offset read.
        offset: u64,
    }
    /// Invites to a duel. Answered by `duel_sent`; the other gets `duel_invited`.
    19 "duel_invite" DuelInvite {
        /// Whom.
        user: UserId,
        /// `duel` or `classic`.
        mode: Mode,
        /// One's own skill; smash by default.
        #[serde(default)]
        skill: Option<Skill>,
    }
    /// Answers an invitation. The inviter gets `duel_answered`, both get `match_found` if accepted.
    20 "duel_answer" DuelAnswer {
        /// The invitation.
        invite: MatchId,
        /// Yes or no.
        accept: bool,
        /// One's own skill; smash by default.
        #[serde(default)]
        skill: Option<Skill>,
    }
    /// Sets what one's friends see.
    21 "status" SetStatus {
        /// `online`, `away` or `busy`.
        status: Status,
    }
    /// Changes or takes back what one has said, within five minutes; who keeps order takes back what others have said, at
    /// any time. Answered by a `chat_message` with `edits`.
    22 "chat_edit" ChatEdit {
        /// The channel.
        channel: ChannelName,
        /// The offset of one's message.
        offset: u64,
        /// What it says from now on; empty: nothing.
        text: Text<0, CHAT_TEXT_CHARS_MAX>,
        /// The same nonce twice is one change.
        nonce: Nonce,
    }
    /// Takes an invitation back. Those who were invited get `duel_over`.
    30 "duel_cancel" DuelCancel {
        /// The invitation.
        invite: MatchId,
        /// Whom it invited.
        user: UserId,
    }
    /// Has a replay that one watches go on from elsewhere, or at another speed. Answered by `replay`.
    31 "replay_control" ReplayControl {
        /// What `POST /matches/{id}/replay` has given.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Where to go on: so many ticks after the beginning; the end, if there are fewer.
        #[serde(default)]
        tick: Option<Tick>,
        /// 100 is as it was played, 0 stands still; at most 800.
        #[serde(default)]
        speed_percent: Option<u16>,
    }
}

messages! {
    /// A message from an edge.
    ServerMessage;

    /// Answers `hello`.
    64 "welcome" Welcome {
        /// For `resume`.
        session: SessionId,
        /// Who one is.
        user: UserInfo,
        /// The edge's wall clock, in ms since 1970.
        server_time_ms: u64,
        /// Snapshots a second: 60.
        tick_hz: u32,
        /// Whether the session asked for was found.
        resumed: bool,
        /// This edge's name.
        edge: String,
        /// Public URLs to try when this edge is gone.
        edges: Vec<String>,
        /// Seconds until the token expires; `auth` with a fresh one before.
        token_expires_in_s: u32,
        /// The match in which one has a seat.
        #[serde(rename = "match")]
        match_id: Option<MatchId>,
        /// The queue in which one waits.
        queue: Option<Mode>,
        /// Channels that one reads.
        channels: Vec<String>,
    }
    /// Answers `auth`.
    65 "authenticated" Authenticated {
        /// Seconds until the new token expires.
        token_expires_in_s: u32,
    }
    /// Answers `ping`.
    66 "pong" Pong {
        /// What the `ping` said.
        t: u64,
        /// The edge's wall clock, in ms since 1970.
        server_time_ms: u64,
    }
    /// Something was refused.
    67 "error" ErrorMessage {
        /// The stable code, always text.
        code: ErrorCode,
        /// For people.
        detail: String,
        /// The type of the message that it answers.
        of: Option<String>,
        /// The match that it is about.
        #[serde(rename = "match", default)]
        match_id: Option<MatchId>,
        /// Until when it is so, in ms since 1970: of one who is muted, or too quick in a slow channel.
        #[serde(default)]
        until: Option<u64>,
    }
    /// Answers `queue_join`.
    68 "queued" Queued {
        /// The queue.
        mode: Mode,
        /// Estimated wait in seconds, when there is one.
        wait_s: Option<u32>,
    }
    /// No longer in the queue.
    69 "queue_left" QueueLeft {
        /// The queue.
        mode: Mode,
    }
    /// An opponent is found: `match_join` within 10 s.
    70 "match_found" MatchFound {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Its kind.
        mode: Mode,
        /// One's side.
        side: Side,
        /// Who plays against one.
        opponent: Option<UserInfo>,
    }
    /// Answers `match_join` with the whole picture.
    71 "match_joined" MatchJoined {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Where one is in it.
        side: Place,
        /// Left, right; null for a seat that is still open.
        players: [Option<Player>; 2],
        /// Its kind.
        mode: Mode,
        /// Its state.
        phase: Phase,
        /// As it stands.
        snapshot: Snapshot,
        /// No skills and no power-ups.
        classic: bool,
        /// Goals that win.
        score_to_win: u8,
        /// Whether only its link leads to it.
        private: bool,
        /// The `n` of the last `match_event` before this.
        last_event: u32,
        /// The result, when it is finished and recorded.
        over: Option<GameOver>,
    }
    /// The field, 60 times a second. A slow reader gets the newest only.
    72 "snapshot" Snapshot {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Ticks since its creation, in every state.
        tick: Tick,
        /// Sub-steps (1/240 s) in play.
        clock: SubStep,
        /// The owner's fencing number.
        epoch: Epoch,
        /// The state.
        phase: Phase,
        /// The highest `input.seq` applied, left and right.
        ack: [u32; 2],
        /// Left and right: y, dir.
        paddles: [PaddleState; 2],
        /// Each: x, y, vx, vy.
        balls: Bounded<BallState, BALLS_MAX>,
        /// Left and right.
        score: [u8; 2],
        /// Left and right: cooldown, active.
        skills: [SkillState; 2],
        /// Each: id, kind, x, y, ticks left.
        power_ups: Bounded<PowerUpState, POWER_UPS_MAX>,
        /// Each: kind, side, ticks left.
        effects: Bounded<EffectState, EFFECTS_MAX>,
    }
    /// Something happened. Never lost, never twice. Fields that an event does not use are null.
    73 "match_event" MatchEvent {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// When.
        tick: Tick,
        /// Rises by one per match.
        n: u32,
        /// What.
        event: EventKind,
        /// Who.
        #[serde(default)]
        side: Option<Side>,
        /// A number: see `event`.
        #[serde(default)]
        value: Option<u32>,
        /// Where, in 1/16 u.
        #[serde(default)]
        y: Option<i16>,
        /// The new score.
        #[serde(default)]
        score: Option<[u8; 2]>,
        /// The skill used.
        #[serde(default)]
        skill: Option<Skill>,
        /// The power-up collected.
        #[serde(default)]
        power_up: Option<PowerUp>,
    }
    /// The result is recorded.
    74 "game_over" GameOver {
        /// The match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Null when void.
        winner: Option<Side>,
        /// Left and right.
        score: [u8; 2],
        /// Why.
        reason: EndReason,
        /// Left and right, of a rated match: before and after.
        ratings: Option<[(i32, i32); 2]>,
    }
    /// Answers `channel_join`.
    75 "channel_joined" ChannelJoined {
        /// The channel.
        channel: String,
        /// What was missed, or the latest page.
        messages: Vec<ChatMessage>,
        /// Whether `messages` continue at `since` without a hole.
        recovered: bool,
        /// The highest offset.
        last_offset: u64,
    }
    /// Somebody said something.
    76 "chat_message" ChatMessage {
        /// The channel.
        channel: String,
        /// Rises by one per channel.
        offset: u64,
        /// The message's own id.
        id: MatchId,
        /// Who.
        from: UserInfo,
        /// What; empty: it was taken back.
        text: String,
        /// When, in ms since 1970.
        sent_at: u64,
        /// The sender's own mark.
        #[serde(default)]
        nonce: Option<String>,
        /// The offset of an earlier message whose text this is from now on; empty: it is taken back.
        #[serde(default)]
        edits: Option<u64>,
        /// Who is named in it.
        #[serde(default)]
        mentions: Vec<UserId>,
    }
    /// A friend's state changed.
    77 "presence" Presence {
        /// Who.
        user: UserId,
        /// The new state.
        status: Status,
        /// The match in which the friend plays.
        #[serde(rename = "match")]
        match_id: Option<MatchId>,
    }
    /// A friendship changed.
    78 "friend" Friend {
        /// Who.
        user: UserInfo,
        /// `requested`, `accepted`, `removed`.
        change: String,
    }
    /// Somebody wants to play.
    79 "duel_invited" DuelInvited {
        /// For `duel_answer`.
        invite: MatchId,
        /// Who.
        from: UserInfo,
        /// What.
        mode: Mode,
        /// Seconds until it expires.
        expires_in_s: u32,
    }
    /// An invitation was answered.
    80 "duel_answered" DuelAnswered {
        /// Which.
        invite: MatchId,
        /// Yes or no.
        accept: bool,
    }
    /// A tournament changed.
    81 "tournament" TournamentChanged {
        /// Which.
        tournament: MatchId,
        /// What.
        change: String,
    }
    /// Somebody is about to say something.
    83 "typing" SomebodyTypes {
        /// The channel.
        channel: String,
        /// Who.
        user: UserId,
    }
    /// Somebody has read a direct channel up to an offset.
    84 "read" SomebodyRead {
        /// The channel.
        channel: String,
        /// Who.
        user: UserId,
        /// The highest offset read.
        offset: u64,
    }
    /// Answers `duel_invite`.
    92 "duel_sent" DuelSent {
        /// For `duel_cancel`.
        invite: MatchId,
        /// Whom it invites.
        user: UserId,
        /// Seconds until it expires.
        expires_in_s: u32,
    }
    /// An invitation can no longer be answered: one has done so elsewhere, or it was taken back.
    93 "duel_over" DuelOver {
        /// Which.
        invite: MatchId,
    }
    /// The opponent of a finished match wants another.
    94 "rematch_wanted" RematchWanted {
        /// The finished match.
        #[serde(rename = "match")]
        match_id: MatchId,
    }
    /// Where a replay stands that one watches: twice a second while it goes on, and after each `replay_control`.
    95 "replay" ReplayState {
        /// What is watched, as in its snapshots. Their ticks rise whatever is shown.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// The finished match that is played again.
        of: MatchId,
        /// Ticks of that match from its beginning to what is shown.
        tick: Tick,
        /// How many it has.
        ticks: Tick,
        /// 100 is as it was played, 0 stands still.
        speed_percent: u16,
    }
    /// One is told something, and finds it at `GET /notifications` until it is read.
    85 "notification" Notified {
        /// For `POST /notifications/read`; those of later ones are greater.
        id: MatchId,
        /// `friend_request`, `friend_accepted`, `mention`, `group_invitation`, `duel_invitation`, `tournament_call`.
        kind: String,
        /// On whose account.
        from: Option<UserInfo>,
        /// The group, the invitation, the tournament.
        subject: Option<MatchId>,
        /// The channel in which something was said, or of the group.
        channel: Option<String>,
        /// What was said there.
        offset: Option<u64>,
        /// What was said, or what it is called.
        text: Option<String>,
        /// When, in ms since 1970.
        at: u64,
    }
    /// A group of one's own has changed. What has not is null.
    86 "group" GroupChanged {
        /// Its channel.
        channel: String,
        /// `joined`, `left`, `kicked`, `banned`, `unbanned`, `invited`, `uninvited`, `role`, `muted`, `unmuted`,
        /// `renamed`, `slow`, `deleted`.
        change: String,
        /// Who has changed it.
        by: UserInfo,
        /// To whom it has happened.
        user: Option<UserId>,
        /// What that one is now.
        role: Option<String>,
        /// Until when that one is muted, in ms since 1970.
        until: Option<u64>,
        /// What the group is called now.
        title: Option<String>,
        /// How slow it is now, in seconds.
        slow_s: Option<u32>,
    }
    /// One reads a channel no more, against one's will.
    87 "channel_closed" ChannelClosed {
        /// Which.
        channel: String,
        /// `left`, `kicked`, `banned`, `deleted`.
        reason: String,
    }
    /// This edge is about to close: come back to any edge after this time.
    82 "reconnect" Reconnect {
        /// How long to wait, in ms.
        after_ms: u32,
        /// `drain`, `rebalance`.
        reason: String,
    }
}
