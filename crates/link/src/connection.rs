//! One client's connection, from its first frame to its close.
//!
//! The shell hands in what it read and what came of the requests, each with the time, and performs the outputs in
//! their order. It calls [`Connection::timeout`] at or soon after [`Connection::deadline`]. After an output of
//! [`Output::Close`] nothing more comes out.
//!
//! ```text
//! hello -> Verify -> verified -> Do(Open) -> opened -> requests ... -> Close
//!                 \> refused  -> Close(4401)
//! ```

use rally_protocol::client::{
    codec::{DecodeError, Encoding, Messages},
    v1::{
        Authenticated, ChannelJoin, ChannelLeave, ChatEdit, ChatSend, ClientMessage, Dir, DuelAnswer, DuelCancel,
        DuelInvite, ErrorCode, ErrorMessage, InputMessage, JoinAs, Mode, Place, Read, Rematch, ReplayControl, Resume,
        ServerMessage, SetStatus, Side, Skill, Token, Typing, Welcome, close,
    },
};
use rally_protocol::cluster::v1::Command;
use rally_units::{Instant, MatchId, UserId};
use smallvec::{SmallVec, smallvec};

use crate::{
    bucket::Bucket,
    classes::MessageClass,
    limits::{
        DETAIL_CHARS_MAX, FAULTS_BURST, FAULTS_PER_S, HELLO_WITHIN, MATCHES_PER_CONNECTION_MAX, MESSAGES_BURST,
        MESSAGES_PER_S, PING_IDLE, PING_IN_MATCH, SILENCE_IDLE, SILENCE_IN_MATCH,
    },
    standing::{InputRefusal, Standing},
};

/// What the shell read from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A text message.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping or pong of the WebSocket itself: a sign of life.
    Control,
    /// A message over the limit. Nothing after it can be read.
    TooLarge,
    /// A text message that is not UTF-8.
    NotUtf8,
    /// Not the WebSocket protocol.
    Broken,
}

/// Who a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user.
    pub user: UserId,
    /// When the token expires.
    pub expires: Instant,
}

/// A close: its code, its reason for the client, and its label for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Of [`close`].
    pub code: u16,
    /// For people.
    pub reason: &'static str,
    /// For counters.
    pub label: &'static str,
}

/// What people say and show to each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Talk {
    /// Reads a channel.
    Join(ChannelJoin),
    /// No more.
    Leave(ChannelLeave),
    /// Says something.
    Send(ChatSend),
    /// Says it otherwise, or takes it back.
    Edit(ChatEdit),
    /// Is about to say something.
    Typing(Typing),
    /// Has read up to here.
    Read(Read),
    /// Shows something else.
    Status(SetStatus),
    /// Wants to play against somebody.
    Invite(DuelInvite),
    /// Answers who wants to.
    Answer(DuelAnswer),
    /// Does not want to any more.
    Cancel(DuelCancel),
    /// Wants to play the last opponent again.
    Rematch(Rematch),
}

impl Talk {
    /// The type of the message that it came in.
    pub const fn of(&self) -> &'static str {
        match self {
            Self::Join(_) => "channel_join",
            Self::Leave(_) => "channel_leave",
            Self::Send(_) => "chat_send",
            Self::Edit(_) => "chat_edit",
            Self::Typing(_) => "typing",
            Self::Read(_) => "read",
            Self::Status(_) => "status",
            Self::Invite(_) => "duel_invite",
            Self::Answer(_) => "duel_answer",
            Self::Cancel(_) => "duel_cancel",
            Self::Rematch(_) => "rematch",
        }
    }
}

/// What a client asks of the shell, judged as far as the connection alone can.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Find or make the session, and where the user is; answered by [`Connection::opened`].
    Open {
        /// What to go on with.
        resume: Option<Resume>,
    },
    /// Look for an opponent.
    QueueJoin {
        /// `ranked`, `casual` or `classic`.
        mode: Mode,
        /// The skill.
        skill: Skill,
    },
    /// No longer.
    QueueLeave,
    /// Come into a match; answered by [`Connection::joined`] or [`Connection::join_refused`].
    MatchJoin {
        /// Which.
        match_id: MatchId,
        /// As what.
        join_as: JoinAs,
        /// The skill, for an open seat.
        skill: Skill,
    },
    /// Leave it. The connection has forgotten it already.
    MatchLeave {
        /// Which.
        match_id: MatchId,
    },
    /// Something among people, apart from matches.
    Talk(Talk),
    /// A player's wish.
    Command {
        /// In which match.
        match_id: MatchId,
        /// What.
        command: Command,
    },
    /// A player's input: one of the sequence.
    Input {
        /// In which match.
        match_id: MatchId,
        /// Whose paddle.
        side: Side,
        /// The client's number.
        seq: u32,
        /// The direction held.
        dir: Dir,
        /// Whether the skill key went down.
        press: bool,
    },
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this message.
    Send(Box<ServerMessage>),
    /// Answer a `ping` by a `pong` with the wall clock.
    Pong {
        /// What the `ping` said.
        t: u64,
    },
    /// Send a ping of the WebSocket itself.
    Ping,
    /// Send this error, and count it under this label.
    Refuse(Box<ErrorMessage>, &'static str),
    /// Count what is dropped without an answer.
    Count(&'static str),
    /// Verify this token; answered by [`Connection::verified`] or [`Connection::refused`].
    Verify(Token),
    /// Perform this request.
    Do(Request),
    /// Send a close, and end.
    Close(Close),
}

/// What the shell is to do, in order. One output is the rule.
pub type Outputs = SmallVec<[Output; 1]>;

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Until the first message.
    Greeting,
    /// Its token is being verified.
    Verifying { resume: Option<Resume> },
    /// The session is being looked up.
    Opening,
    /// `welcome` has been sent.
    Open,
    /// A close has been put out.
    Closed,
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    encoding: Encoding,
    state: State,
    /// Nobody until a token is verified.
    user: Option<UserId>,
    expires: Instant,
    opened: Instant,
    heard: Instant,
    pinged: bool,
    messages: Bucket,
    /// Of each class of messages.
    classes: [Bucket; MessageClass::ALL.len()],
    faults: Bucket,
    standings: SmallVec<[Standing; 1]>,
}

impl Connection {
    /// A connection whose handshake is done.
    pub fn new(encoding: Encoding, now: Instant) -> Self {
        Self {
            encoding,
            state: State::Greeting,
            user: None,
            expires: Instant::default(),
            opened: now,
            heard: now,
            pinged: false,
            messages: Bucket::default(),
            classes: Default::default(),
            faults: Bucket::default(),
            standings: SmallVec::new(),
        }
    }

    /// How its messages are written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whose it is, once a token has been verified.
    pub fn user(&self) -> Option<UserId> {
        self.user
    }

    /// Whether a close has been put out.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Something has been read.
    pub fn frame(&mut self, now: Instant, frame: Frame<'_>) -> Outputs {
        if self.is_closed() {
            return Outputs::new();
        }
        self.heard = now;
        self.pinged = false;
        let bytes = match (frame, self.encoding) {
            (Frame::Text(bytes), Encoding::Json) | (Frame::Binary(bytes), Encoding::Msgpack) => bytes,
            (Frame::Control, _) => &[],
            (Frame::Text(_) | Frame::Binary(_), _) => {
                return self.close(close::UNSUPPORTED, "not this subprotocol's frames", "frame_kind");
            }
            (Frame::TooLarge, _) => return self.close(close::TOO_LARGE, "message too large", "too_large"),
            (Frame::NotUtf8, _) => return self.close(close::INVALID_DATA, "text that is not UTF-8", "not_utf8"),
            (Frame::Broken, _) => return self.close(close::PROTOCOL, "not the WebSocket protocol", "broken_frame"),
        };
        // Pings of the WebSocket count too: each is answered, so they cost as much.
        if !self.messages.take(now, MESSAGES_PER_S, MESSAGES_BURST) {
            let error = refusal(ErrorCode::RateLimited, "too many messages", None);
            return self.fault(now, error, "too_fast");
        }
        if frame == Frame::Control {
            return Outputs::new();
        }
        match ClientMessage::decode(self.encoding, bytes) {
            Ok(message) => self.message(now, message),
            Err(error) => {
                let of = match error {
                    DecodeError::Field(_) => ClientMessage::name_of(self.encoding, bytes),
                    DecodeError::Malformed(_) | DecodeError::UnknownType => None,
                };
                self.fault(now, refusal(ErrorCode::InvalidInput, &error.to_string(), of), error.label())
            }
        }
    }

    /// A token is good.
    pub fn verified(&mut self, now: Instant, verified: Verified) -> Outputs {
        match std::mem::replace(&mut self.state, State::Open) {
            State::Verifying { resume } => {
                self.state = State::Opening;
                self.user = Some(verified.user);
                self.expires = verified.expires;
                one(Output::Do(Request::Open { resume }))
            }
            State::Open if self.user == Some(verified.user) => {
                self.expires = verified.expires;
                let left_s = verified.expires.since(now).as_secs();
                let token_expires_in_s = u32::try_from(left_s).unwrap_or(u32::MAX);
                one(Output::Send(Box::new(Authenticated { token_expires_in_s }.into())))
            }
            State::Open => refuse(ErrorCode::Unauthenticated, "the token is another user's", "auth", "other_user"),
            state => {
                self.state = state;
                Outputs::new()
            }
        }
    }

    /// A token is bad: expired, forged, or none at all.
    pub fn refused(&mut self, detail: &str) -> Outputs {
        match self.state {
            State::Verifying { .. } => {
                let error = refusal(ErrorCode::Unauthenticated, detail, Some("hello"));
                let mut outputs = one(Output::Refuse(Box::new(error), "token"));
                outputs.extend(self.close(close::UNAUTHENTICATED, "hello refused", "token"));
                outputs
            }
            // The old one holds until it expires.
            State::Open => refuse(ErrorCode::Unauthenticated, detail, "auth", "token"),
            _ => Outputs::new(),
        }
    }

    /// The session is found or made.
    pub fn opened(&mut self, now: Instant, welcome: Welcome) -> Outputs {
        if self.state != State::Opening {
            return Outputs::new();
        }
        self.state = State::Open;
        // Nothing was read meanwhile.
        self.heard = now;
        one(Output::Send(Box::new(welcome.into())))
    }

    /// The owner of a match has let this connection in; `match_joined` is to be sent after this.
    pub fn joined(&mut self, now: Instant, match_id: MatchId, place: Place) {
        // The client pings more often from now on, but may not have done so in the last seconds.
        self.heard = self.heard.max(now);
        if let Some(standing) = self.standings.iter_mut().find(|s| s.match_id == match_id) {
            standing.joined(place);
        }
    }

    /// The owner of a match has refused this connection.
    pub fn join_refused(&mut self, match_id: MatchId) {
        self.standings.retain(|s| s.match_id != match_id || s.place.is_some());
    }

    /// The connection is no longer in this match.
    pub fn left(&mut self, match_id: MatchId) {
        self.standings.retain(|s| s.match_id != match_id);
    }

    /// The match in which this connection has a paddle.
    pub fn playing(&self) -> Option<MatchId> {
        let plays = |standing: &&Standing| standing.place.is_some_and(|place| place != Place::Spectator);
        self.standings.iter().find(plays).map(|standing| standing.match_id)
    }

    /// How many matches it is in, or asks to come into.
    pub fn matches(&self) -> usize {
        self.standings.len()
    }

    /// Ends the connection for the shell's own reason.
    pub fn close(&mut self, code: u16, reason: &'static str, label: &'static str) -> Outputs {
        if self.is_closed() {
            return Outputs::new();
        }
        self.state = State::Closed;
        one(Output::Close(Close { code, reason, label }))
    }

    /// When [`Connection::timeout`] is next to be called; `None` once closed.
    pub fn deadline(&self) -> Option<Instant> {
        let (ping, dead) = self.silence();
        let silence = if self.pinged { dead } else { ping };
        match self.state {
            State::Closed => None,
            State::Greeting => Some(self.opened + HELLO_WITHIN),
            // The shell answers in bounded time, and reads nothing meanwhile.
            State::Verifying { .. } | State::Opening => Some(self.expires.max(self.opened + SILENCE_IDLE)),
            State::Open => Some(self.expires.min(self.heard + silence)),
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) -> Outputs {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Outputs::new();
        }
        let (_, dead) = self.silence();
        match self.state {
            State::Closed => Outputs::new(),
            State::Greeting => self.close(close::TIMEOUT, "no hello in time", "no_hello"),
            State::Open if now >= self.expires => {
                self.close(close::UNAUTHENTICATED, "the token expired", "token_expired")
            }
            State::Open if now < self.heard + dead => {
                self.pinged = true;
                one(Output::Ping)
            }
            _ => self.close(close::TIMEOUT, "dead link", "dead_link"),
        }
    }

    fn silence(&self) -> (std::time::Duration, std::time::Duration) {
        if self.standings.iter().any(|s| s.place.is_some()) {
            (PING_IN_MATCH, SILENCE_IN_MATCH)
        } else {
            (PING_IDLE, SILENCE_IDLE)
        }
    }

    /// Refuses what is not even a request. Too many of these close the connection.
    fn fault(&mut self, now: Instant, error: ErrorMessage, label: &'static str) -> Outputs {
        if self.faults.take(now, FAULTS_PER_S, FAULTS_BURST) {
            return one(Output::Refuse(Box::new(error), label));
        }
        let mut outputs = one(Output::Count(label));
        outputs.extend(self.close(close::POLICY, "too many faults", "too_many_faults"));
        outputs
    }

    fn message(&mut self, now: Instant, message: ClientMessage) -> Outputs {
        let of = message.shape().name;
        match (&self.state, message) {
            (State::Greeting, ClientMessage::Hello(hello)) => {
                self.state = State::Verifying { resume: hello.resume };
                one(Output::Verify(hello.token))
            }
            (State::Greeting, _) => {
                let error = refusal(ErrorCode::Unauthenticated, "the first message is hello", Some(of));
                let mut outputs = one(Output::Refuse(Box::new(error), "hello_first"));
                outputs.extend(self.close(close::UNAUTHENTICATED, "the first message is hello", "hello_first"));
                outputs
            }
            (State::Verifying { .. } | State::Opening, _) => {
                refuse(ErrorCode::Unauthenticated, "wait for welcome", of, "before_welcome")
            }
            (State::Open, message) => self.request(now, of, message),
            (State::Closed, _) => Outputs::new(),
        }
    }

    fn request(&mut self, now: Instant, of: &'static str, message: ClientMessage) -> Outputs {
        // A type without a class is as rare as the rarest, until a test has found it.
        let class = MessageClass::of(of).unwrap_or(MessageClass::Session);
        let (per_s, burst) = class.rate();
        if !self.classes[class as usize].take(now, per_s, burst) {
            return refuse(ErrorCode::RateLimited, "too many messages of this kind", of, class.label());
        }
        let request = match message {
            ClientMessage::Hello(_) => {
                let error = refusal(ErrorCode::InvalidInput, "hello has been answered", Some(of));
                return self.fault(now, error, "second_hello");
            }
            ClientMessage::Auth(auth) => return one(Output::Verify(auth.token)),
            ClientMessage::Ping(ping) => return one(Output::Pong { t: ping.t }),
            ClientMessage::InputMessage(input) => return self.input(now, &input),
            ClientMessage::QueueJoin(join) => match join.mode {
                Mode::Ranked | Mode::Casual | Mode::Classic => {
                    Request::QueueJoin { mode: join.mode, skill: join.skill.unwrap_or(Skill::Smash) }
                }
                Mode::Duel | Mode::Practice | Mode::Local | Mode::Tournament => {
                    return refuse(ErrorCode::InvalidInput, "mode: ranked, casual or classic", of, "field");
                }
            },
            ClientMessage::QueueLeave(_) => Request::QueueLeave,
            ClientMessage::MatchJoin(join) => {
                if !self.standings.iter().any(|s| s.match_id == join.match_id) {
                    if self.standings.len() >= MATCHES_PER_CONNECTION_MAX {
                        return refuse(ErrorCode::AtCapacity, "in too many matches", of, "too_many_matches");
                    }
                    self.standings.push(Standing::asked(join.match_id));
                }
                let skill = join.skill.unwrap_or(Skill::Smash);
                Request::MatchJoin { match_id: join.match_id, join_as: join.join_as, skill }
            }
            ClientMessage::MatchLeave(leave) => {
                if !self.standings.iter().any(|s| s.match_id == leave.match_id) {
                    return not_in_match(of, leave.match_id);
                }
                self.left(leave.match_id);
                Request::MatchLeave { match_id: leave.match_id }
            }
            ClientMessage::Ready(m) => return self.command(of, m.match_id, Command::Ready),
            ClientMessage::Pause(m) => return self.command(of, m.match_id, Command::Pause),
            ClientMessage::ResumePlay(m) => return self.command(of, m.match_id, Command::Resume),
            ClientMessage::Forfeit(m) => return self.command(of, m.match_id, Command::Forfeit),
            // Whether it is a replay is known where it is played.
            ClientMessage::ReplayControl(ReplayControl { match_id, tick, speed_percent }) => {
                if !self.standings.iter().any(|s| s.match_id == match_id && s.place.is_some()) {
                    return not_in_match(of, match_id);
                }
                Request::Command { match_id, command: Command::Replay { tick, speed_percent } }
            }
            ClientMessage::ChannelJoin(join) => Request::Talk(Talk::Join(join)),
            ClientMessage::ChannelLeave(leave) => Request::Talk(Talk::Leave(leave)),
            ClientMessage::ChatSend(send) => Request::Talk(Talk::Send(send)),
            ClientMessage::ChatEdit(edit) => Request::Talk(Talk::Edit(edit)),
            ClientMessage::Typing(typing) => Request::Talk(Talk::Typing(typing)),
            ClientMessage::Read(read) => Request::Talk(Talk::Read(read)),
            ClientMessage::SetStatus(status) => Request::Talk(Talk::Status(status)),
            ClientMessage::DuelInvite(invite) => Request::Talk(Talk::Invite(invite)),
            ClientMessage::DuelAnswer(answer) => Request::Talk(Talk::Answer(answer)),
            ClientMessage::DuelCancel(cancel) => Request::Talk(Talk::Cancel(cancel)),
            ClientMessage::Rematch(rematch) => Request::Talk(Talk::Rematch(rematch)),
        };
        one(Output::Do(request))
    }

    fn command(&self, of: &'static str, match_id: MatchId, command: Command) -> Outputs {
        match self.standings.iter().find(|s| s.match_id == match_id).and_then(|s| s.place) {
            None => not_in_match(of, match_id),
            Some(Place::Spectator) => {
                let error = ErrorMessage {
                    match_id: Some(match_id),
                    ..refusal(ErrorCode::Forbidden, "spectators only watch", Some(of))
                };
                one(Output::Refuse(Box::new(error), "spectator"))
            }
            Some(_) => one(Output::Do(Request::Command { match_id, command })),
        }
    }

    fn input(&mut self, now: Instant, input: &InputMessage) -> Outputs {
        const OF: &str = "input";
        let InputMessage { match_id, seq, dir, press, side } = *input;
        let standing = self.standings.iter_mut().find(|s| s.match_id == match_id && s.place.is_some());
        let Some(standing) = standing else { return not_in_match(OF, match_id) };
        let refused = match standing.input(side, seq) {
            Ok(side) => return one(Output::Do(Request::Input { match_id, side, seq, dir, press })),
            Err(refused) => refused,
        };
        let (code, detail, label) = match refused {
            InputRefusal::Stale => return one(Output::Count("seq_stale")),
            InputRefusal::Spectator => (ErrorCode::Forbidden, "spectators only watch".into(), "spectator"),
            InputRefusal::SideGiven => (ErrorCode::InvalidInput, "side: in local matches only".into(), "side"),
            InputRefusal::SideMissing => (ErrorCode::InvalidInput, "side: missing in a local match".into(), "side"),
            InputRefusal::Back { expected } => {
                (ErrorCode::InvalidInput, format!("seq: expected {expected}, got {seq} again"), "seq_back")
            }
            InputRefusal::Hole { expected } => {
                (ErrorCode::InvalidInput, format!("seq: expected {expected}, got {seq}"), "seq_hole")
            }
        };
        let error = ErrorMessage { match_id: Some(match_id), ..refusal(code, &detail, Some(OF)) };
        self.fault(now, error, label)
    }
}

fn one(output: Output) -> Outputs {
    smallvec![output]
}

fn refuse(code: ErrorCode, detail: &str, of: &'static str, label: &'static str) -> Outputs {
    one(Output::Refuse(Box::new(refusal(code, detail, Some(of))), label))
}

fn not_in_match(of: &'static str, match_id: MatchId) -> Outputs {
    let error =
        ErrorMessage { match_id: Some(match_id), ..refusal(ErrorCode::NotFound, "not in this match", Some(of)) };
    one(Output::Refuse(Box::new(error), "not_in_match"))
}

/// An `error` message. The detail may quote the client, so it is cut.
fn refusal(code: ErrorCode, detail: &str, of: Option<&'static str>) -> ErrorMessage {
    ErrorMessage {
        code,
        detail: detail.chars().take(DETAIL_CHARS_MAX).collect(),
        of: of.map(str::to_owned),
        match_id: None,
        until: None,
    }
}
