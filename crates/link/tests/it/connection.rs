//! What a client may say, what it is told, and when it is sent away.

use std::time::Duration;

use proptest::prelude::*;
use rally_link::{
    Close, Connection, Frame, Output, Outputs, Request, Talk, Verified,
    limits::{FAULTS_BURST, MATCHES_PER_CONNECTION_MAX, MESSAGES_BURST},
};
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{
            Auth, ChannelName, ChatSend, ClientMessage, Dir, DuelAnswer, ErrorCode, Forfeit, Hello, InputMessage,
            JoinAs, MatchJoin, MatchLeave, Mode, Nonce, Ping, Place, QueueJoin, Ready, ServerMessage, Side, Skill,
            Token, Typing, UserInfo, Welcome,
        },
    },
    cluster::v1::Command,
};
use rally_units::{Instant, MatchId, SessionId, UserId};

const MATCH: MatchId = MatchId::from_bytes([7; 16]);
const USER: UserId = UserId::from_bytes([1; 16]);

/// A connection and the time at its edge.
struct Client {
    connection: Connection,
    encoding: Encoding,
    now: Instant,
}

impl Client {
    fn new(encoding: Encoding) -> Self {
        let now = Instant::from_millis(1_000_000);
        Self { connection: Connection::new(encoding, now), encoding, now }
    }

    /// One that has said hello, with a token of 15 minutes.
    fn open(encoding: Encoding) -> Self {
        let mut client = Self::new(encoding);
        assert!(matches!(client.say(hello())[..], [Output::Verify(_)]));
        assert_eq!(client.verify(USER, 900)[..], [Output::Do(Request::Open { resume: None })]);
        assert!(matches!(client.connection.opened(client.now, welcome())[..], [Output::Send(_)]));
        client
    }

    /// One in the match, at this place.
    fn at(place: Place) -> Self {
        let mut client = Self::open(Encoding::Msgpack);
        client.join(MATCH);
        client.connection.joined(client.now, MATCH, place);
        client
    }

    fn join(&mut self, match_id: MatchId) -> Outputs {
        self.say(MatchJoin { match_id, join_as: JoinAs::Player, skill: None })
    }

    fn say(&mut self, message: impl Into<ClientMessage>) -> Outputs {
        let bytes = message.into().encode(self.encoding).unwrap();
        self.bytes(&bytes)
    }

    /// A message of these bytes in the kind of frame that is right for the encoding.
    fn bytes(&mut self, bytes: &[u8]) -> Outputs {
        match self.encoding {
            Encoding::Json => self.connection.frame(self.now, Frame::Text(bytes)),
            Encoding::Msgpack => self.connection.frame(self.now, Frame::Binary(bytes)),
        }
    }

    fn verify(&mut self, user: UserId, expires_in_s: u64) -> Outputs {
        let expires = self.now + Duration::from_secs(expires_in_s);
        self.connection.verified(self.now, Verified { user, expires })
    }

    fn input(&mut self, seq: u32) -> Outputs {
        self.say(input(seq))
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Lets time pass up to the next deadline; how long that took, and what came of it.
    fn until_deadline(&mut self) -> (Duration, Outputs) {
        let deadline = self.connection.deadline().expect("a deadline");
        let passed = deadline.since(self.now);
        self.now = self.now.max(deadline);
        (passed, self.connection.timeout(self.now))
    }
}

fn hello() -> Hello {
    Hello { token: Token::try_from("a token").unwrap(), resume: None }
}

fn welcome() -> Welcome {
    Welcome {
        session: SessionId::from_bytes([2; 16]),
        user: UserInfo { id: USER, name: "ada".into(), guest: true },
        server_time_ms: 0,
        tick_hz: 60,
        resumed: false,
        edge: "edge-1".into(),
        edges: vec![],
        token_expires_in_s: 900,
        match_id: None,
        queue: None,
        channels: vec![],
    }
}

fn input(seq: u32) -> InputMessage {
    InputMessage { match_id: MATCH, seq, dir: Dir::Up, press: false, side: None }
}

/// The error, its label, and nothing else.
fn refused(outputs: &Outputs) -> (ErrorCode, &'static str, Option<&str>) {
    match &outputs[..] {
        [Output::Refuse(error, label)] => (error.code, label, error.of.as_deref()),
        other => panic!("not one refusal: {other:?}"),
    }
}

/// The close that ends these outputs.
fn closed(outputs: &Outputs) -> (u16, &'static str) {
    match outputs.last() {
        Some(Output::Close(Close { code, label, .. })) => (*code, label),
        other => panic!("not a close: {other:?}"),
    }
}

#[test]
fn hello_leads_to_welcome() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let mut client = Client::new(encoding);
        assert!(matches!(&client.say(hello())[..], [Output::Verify(token)] if &**token == "a token"));
        assert_eq!(client.verify(USER, 900)[..], [Output::Do(Request::Open { resume: None })]);
        let outputs = client.connection.opened(client.now, welcome());
        assert!(matches!(&outputs[..], [Output::Send(message)] if matches!(**message, ServerMessage::Welcome(_))));
        assert_eq!(client.connection.user(), Some(USER));
    }
}

#[test]
fn without_hello_it_is_closed_after_five_seconds() {
    let mut client = Client::new(Encoding::Json);
    client.pass(4_999);
    assert!(client.connection.timeout(client.now).is_empty());
    // Signs of life do not help.
    client.connection.frame(client.now, Frame::Control);
    let (passed, outputs) = client.until_deadline();
    assert_eq!((passed, closed(&outputs)), (Duration::from_millis(1), (4408, "no_hello")));
}

#[test]
fn whatever_else_comes_first_is_refused() {
    let mut client = Client::new(Encoding::Json);
    let outputs = client.say(Ping { t: 1 });
    assert!(matches!(&outputs[0], Output::Refuse(error, "hello_first") if error.code == ErrorCode::Unauthenticated));
    assert_eq!(closed(&outputs), (4401, "hello_first"));
}

#[test]
fn a_bad_token_closes_with_4401() {
    let mut client = Client::new(Encoding::Json);
    client.say(hello());
    let outputs = client.connection.refused("the token has expired");
    assert!(matches!(&outputs[0], Output::Refuse(error, "token")
        if error.code == ErrorCode::Unauthenticated && error.of.as_deref() == Some("hello")));
    assert_eq!(closed(&outputs), (4401, "token"));
    // Nothing comes out of a closed connection any more.
    assert!(client.say(Ping { t: 1 }).is_empty());
    assert_eq!(client.connection.deadline(), None);
    assert!(client.connection.timeout(client.now + Duration::from_secs(100)).is_empty());
}

#[test]
fn an_expired_token_closes_with_4401_unless_a_fresh_one_came() {
    let mut client = Client::open(Encoding::Json);
    for _ in 0..29 {
        client.pass(30_000);
        client.say(Ping { t: 1 });
    }
    assert!(matches!(client.say(Auth { token: Token::try_from("fresh").unwrap() })[..], [Output::Verify(_)]));
    let outputs = client.verify(USER, 60);
    assert!(matches!(&outputs[..], [Output::Send(message)]
        if matches!(&**message, ServerMessage::Authenticated(m) if m.token_expires_in_s == 60)));
    client.pass(30_000);
    client.say(Ping { t: 1 });
    client.pass(29_999);
    assert!(matches!(client.connection.timeout(client.now)[..], [] | [Output::Ping]));
    client.pass(1);
    assert_eq!(closed(&client.connection.timeout(client.now)), (4401, "token_expired"));
}

#[test]
fn a_fresh_token_must_be_the_same_users() {
    let mut client = Client::open(Encoding::Json);
    client.say(Auth { token: Token::try_from("another's").unwrap() });
    let outputs = client.verify(UserId::from_bytes([9; 16]), 900);
    assert_eq!(refused(&outputs), (ErrorCode::Unauthenticated, "other_user", Some("auth")));
    assert_eq!(client.connection.user(), Some(USER));
    // A bad one leaves the connection as it was.
    client.say(Auth { token: Token::try_from("forged").unwrap() });
    assert_eq!(refused(&client.connection.refused("no")), (ErrorCode::Unauthenticated, "token", Some("auth")));
    assert!(matches!(client.say(Ping { t: 4 })[..], [Output::Pong { t: 4 }]));
}

#[test]
fn frames_of_the_other_kind_close_with_1003() {
    let text = br#"{"type":"ping","t":1}"#;
    let mut client = Client::open(Encoding::Msgpack);
    assert_eq!(closed(&client.connection.frame(client.now, Frame::Text(text))), (1003, "frame_kind"));
    let mut client = Client::open(Encoding::Json);
    assert_eq!(closed(&client.connection.frame(client.now, Frame::Binary(text))), (1003, "frame_kind"));
}

#[test]
fn what_the_socket_could_not_read_closes() {
    for (frame, expected) in [
        (Frame::TooLarge, (1009, "too_large")),
        (Frame::NotUtf8, (1007, "not_utf8")),
        (Frame::Broken, (1002, "broken_frame")),
    ] {
        let mut client = Client::open(Encoding::Json);
        assert_eq!(closed(&client.connection.frame(client.now, frame)), expected);
    }
}

#[test]
fn unreadable_messages_are_answered_and_few_are_forgiven() {
    let mut client = Client::open(Encoding::Json);
    let cases: [(&[u8], &str, Option<&str>); 9] = [
        (b"", "malformed", None),
        (b"{", "malformed", None),
        (b"[1,2]", "malformed", None),
        (br#"{"t":1}"#, "malformed", None),
        (br#"{"type":"fly"}"#, "unknown_type", None),
        (br#"{"type":"ping"}"#, "field", Some("ping")),
        (br#"{"type":"ping","t":"x"}"#, "field", Some("ping")),
        (br#"{"type":"input","match":"07070707-0707-0707-0707-070707070707","seq":1,"dir":2}"#, "field", Some("input")),
        (br#"{"type":"match_join","match":"x","as":"player"}"#, "field", Some("match_join")),
    ];
    for (bytes, label, of) in cases {
        assert_eq!(refused(&client.bytes(bytes)), (ErrorCode::InvalidInput, label, of), "{bytes:?}");
    }
    // It goes on as if nothing had been.
    assert!(matches!(client.say(Ping { t: 4 })[..], [Output::Pong { t: 4 }]));
    for _ in cases.len()..FAULTS_BURST as usize {
        refused(&client.bytes(b"{"));
    }
    assert_eq!(closed(&client.bytes(b"{")), (1008, "too_many_faults"));
}

#[test]
fn unreadable_msgpack_is_answered_too() {
    let mut client = Client::open(Encoding::Msgpack);
    for (bytes, label, of) in [
        (&[][..], "malformed", None),
        (&[0xff], "malformed", None),
        (&[0x91, 0xa1, b'x'], "malformed", None),
        (&[0x91, 99], "unknown_type", None),
        (&[0x91, 3], "field", Some("ping")),
        (&[0xdd, 0xff, 0xff, 0xff, 0xff, 3], "field", Some("ping")),
    ] {
        assert_eq!(refused(&client.bytes(bytes)), (ErrorCode::InvalidInput, label, of), "{bytes:?}");
    }
}

#[test]
fn a_detail_that_quotes_the_client_is_cut() {
    let mut client = Client::open(Encoding::Json);
    let text = format!(r#"{{"type":"queue_join","mode":"{}"}}"#, "ä".repeat(1_500));
    match &client.bytes(text.as_bytes())[..] {
        [Output::Refuse(error, "field")] => assert!(error.detail.chars().count() <= 200),
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_many_messages_are_refused_then_closed_with_1008() {
    let mut client = Client::open(Encoding::Json);
    // `hello` was one.
    for _ in 1..MESSAGES_BURST {
        assert!(matches!(client.say(Ping { t: 1 })[..], [Output::Pong { .. }]));
    }
    for _ in 0..FAULTS_BURST {
        assert_eq!(refused(&client.say(Ping { t: 1 })), (ErrorCode::RateLimited, "too_fast", None));
    }
    assert_eq!(closed(&client.say(Ping { t: 1 })), (1008, "too_many_faults"));
}

#[test]
fn pings_of_the_websocket_are_counted_as_well() {
    let mut client = Client::open(Encoding::Json);
    let closes = (0..1_000)
        .map(|_| client.connection.frame(client.now, Frame::Control))
        .position(|outputs| matches!(outputs.last(), Some(Output::Close(_))));
    assert_eq!(closes, Some((MESSAGES_BURST - 1 + FAULTS_BURST) as usize));
}

#[test]
fn a_player_who_is_as_fast_as_keys_allow_is_never_refused() {
    let mut client = Client::at(Place::Left);
    for seq in 1..=3_000 {
        client.pass(17);
        assert!(matches!(client.input(seq)[..], [Output::Do(Request::Input { .. })]), "{seq}");
    }
}

#[test]
fn a_dead_link_is_pinged_then_closed() {
    let mut client = Client::open(Encoding::Json);
    let (passed, outputs) = client.until_deadline();
    assert_eq!((passed, &outputs[..]), (Duration::from_secs(30), &[Output::Ping][..]));
    let (passed, outputs) = client.until_deadline();
    assert_eq!((passed, closed(&outputs)), (Duration::from_secs(30), (4408, "dead_link")));
}

#[test]
fn a_pong_keeps_a_link_alive() {
    let mut client = Client::open(Encoding::Json);
    for _ in 0..20 {
        let (_, outputs) = client.until_deadline();
        assert_eq!(outputs[..], [Output::Ping]);
        client.pass(20);
        assert!(client.connection.frame(client.now, Frame::Control).is_empty());
    }
}

#[test]
fn in_a_match_two_seconds_of_silence_are_a_dead_link() {
    for place in [Place::Left, Place::Spectator] {
        let mut client = Client::open(Encoding::Msgpack);
        client.join(MATCH);
        // It pinged every 30 s until now, which must not count against it.
        client.pass(25_000);
        client.connection.joined(client.now, MATCH, place);
        let (passed, outputs) = client.until_deadline();
        assert_eq!((passed, &outputs[..]), (Duration::from_secs(1), &[Output::Ping][..]));
        let (passed, outputs) = client.until_deadline();
        assert_eq!((passed, closed(&outputs)), (Duration::from_secs(1), (4408, "dead_link")));
    }
}

#[test]
fn who_has_left_the_match_may_be_silent_for_longer() {
    let mut client = Client::at(Place::Spectator);
    assert_eq!(client.say(MatchLeave { match_id: MATCH })[..], [Output::Do(Request::MatchLeave { match_id: MATCH })]);
    assert_eq!(client.until_deadline().0, Duration::from_secs(30));
}

#[test]
fn inputs_go_through_in_their_order() {
    let mut client = Client::at(Place::Right);
    for seq in 1..=5 {
        let expected = Request::Input { match_id: MATCH, side: Side::Right, seq, dir: Dir::Up, press: false };
        assert_eq!(client.input(seq)[..], [Output::Do(expected)]);
    }
}

#[test]
fn seq_going_back_or_repeated_is_refused_and_changes_nothing() {
    let mut client = Client::at(Place::Left);
    client.input(1);
    client.input(2);
    for wrong in [2, 1, 0] {
        assert_eq!(refused(&client.input(wrong)), (ErrorCode::InvalidInput, "seq_back", Some("input")));
    }
    assert!(matches!(client.input(3)[..], [Output::Do(_)]));
}

#[test]
fn a_hole_in_seq_costs_the_input_behind_it_and_no_more() {
    let mut client = Client::at(Place::Left);
    client.input(1);
    assert_eq!(refused(&client.input(5)), (ErrorCode::InvalidInput, "seq_hole", Some("input")));
    assert!(matches!(client.input(6)[..], [Output::Do(_)]));
    // The highest number there is does not overflow.
    refused(&client.input(u32::MAX));
    refused(&client.input(0));
}

#[test]
fn after_a_second_match_joined_the_numbers_begin_again() {
    let mut client = Client::at(Place::Left);
    client.input(1);
    client.input(2);
    client.connection.joined(client.now, MATCH, Place::Left);
    // Two that were under way: not an error of the client's, and void.
    assert_eq!(client.input(3)[..], [Output::Count("seq_stale")]);
    assert_eq!(client.input(4)[..], [Output::Count("seq_stale")]);
    assert!(matches!(client.input(1)[..], [Output::Do(Request::Input { seq: 1, .. })]));
    assert!(matches!(client.input(2)[..], [Output::Do(Request::Input { seq: 2, .. })]));
    assert_eq!(refused(&client.input(5)).1, "seq_hole");
}

#[test]
fn a_spectators_input_is_forbidden() {
    let mut client = Client::at(Place::Spectator);
    assert_eq!(refused(&client.input(1)), (ErrorCode::Forbidden, "spectator", Some("input")));
    assert_eq!(refused(&client.say(Ready { match_id: MATCH })), (ErrorCode::Forbidden, "spectator", Some("ready")));
    // One who keeps at it is sent away.
    let closes = (2..1_000).any(|seq| matches!(client.input(seq).last(), Some(Output::Close(c)) if c.code == 1008));
    assert!(closes);
}

#[test]
fn what_is_said_of_a_match_one_is_not_in_is_not_found() {
    let mut client = Client::open(Encoding::Msgpack);
    let expected = |of| (ErrorCode::NotFound, "not_in_match", Some(of));
    assert_eq!(refused(&client.input(1)), expected("input"));
    assert_eq!(refused(&client.say(Forfeit { match_id: MATCH })), expected("forfeit"));
    assert_eq!(refused(&client.say(MatchLeave { match_id: MATCH })), expected("match_leave"));
    // Asking is not being in.
    client.join(MATCH);
    assert_eq!(refused(&client.input(1)), expected("input"));
    client.connection.join_refused(MATCH);
    assert_eq!(refused(&client.say(MatchLeave { match_id: MATCH })), expected("match_leave"));
}

#[test]
fn side_belongs_to_local_matches() {
    let mut client = Client::at(Place::Both);
    let at = |side, seq| InputMessage { side, ..input(seq) };
    assert_eq!(refused(&client.say(at(None, 1))), (ErrorCode::InvalidInput, "side", Some("input")));
    // Each side counts for itself.
    for seq in 1..=3 {
        for side in [Side::Left, Side::Right] {
            let outputs = client.say(at(Some(side), seq));
            assert!(matches!(outputs[..], [Output::Do(Request::Input { side: s, .. })] if s == side));
        }
    }
    let mut client = Client::at(Place::Left);
    assert_eq!(refused(&client.say(at(Some(Side::Right), 1))), (ErrorCode::InvalidInput, "side", Some("input")));
    assert!(matches!(client.input(1)[..], [Output::Do(_)]));
}

#[test]
fn commands_become_requests() {
    let mut client = Client::at(Place::Left);
    let outputs = client.say(Ready { match_id: MATCH });
    assert_eq!(outputs[..], [Output::Do(Request::Command { match_id: MATCH, command: Command::Ready })]);
}

#[test]
fn only_some_modes_have_a_queue() {
    let mut client = Client::open(Encoding::Json);
    for mode in Mode::ALL {
        let outputs = client.say(QueueJoin { mode: *mode, skill: None });
        match mode {
            Mode::Ranked | Mode::Casual | Mode::Classic => {
                let expected = Request::QueueJoin { mode: *mode, skill: Skill::Smash };
                assert_eq!(outputs[..], [Output::Do(expected)]);
            }
            _ => assert_eq!(refused(&outputs), (ErrorCode::InvalidInput, "field", Some("queue_join"))),
        }
    }
}

#[test]
fn the_number_of_matches_is_bounded() {
    let mut client = Client::open(Encoding::Msgpack);
    for i in 0..MATCHES_PER_CONNECTION_MAX {
        assert!(matches!(client.join(MatchId::from_bytes([i as u8; 16]))[..], [Output::Do(_)]));
    }
    let one_more = client.join(MatchId::from_bytes([99; 16]));
    assert_eq!(refused(&one_more), (ErrorCode::AtCapacity, "too_many_matches", Some("match_join")));
    // Asking again for one of them is fine.
    assert!(matches!(client.join(MatchId::from_bytes([0; 16]))[..], [Output::Do(_)]));
    client.connection.left(MatchId::from_bytes([0; 16]));
    assert!(matches!(client.join(MatchId::from_bytes([99; 16]))[..], [Output::Do(_)]));
}

#[test]
fn what_is_between_people_is_handed_on() {
    let mut client = Client::open(Encoding::Json);
    let answer = DuelAnswer { invite: MATCH, accept: true, skill: None };
    assert_eq!(client.say(answer.clone())[..], [Output::Do(Request::Talk(Talk::Answer(answer)))]);
}

#[test]
fn talk_is_handed_on() {
    let mut client = Client::open(Encoding::Json);
    let message = ChatSend {
        channel: ChannelName::try_from("global").unwrap(),
        text: rally_protocol::Text::try_from("hi").unwrap(),
        nonce: Nonce::try_from("1").unwrap(),
    };
    let outputs = client.say(message.clone());
    assert!(matches!(&outputs[..], [Output::Do(Request::Talk(Talk::Send(send)))] if *send == message), "{outputs:?}");
}

#[test]
fn a_second_hello_is_a_fault() {
    let mut client = Client::open(Encoding::Json);
    assert_eq!(refused(&client.say(hello())), (ErrorCode::InvalidInput, "second_hello", Some("hello")));
}

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Say(Vec<u8>),
    Kind(u8),
    Pass(u16),
    Joined(u8),
    Left,
    Verified,
    Refused,
}

fn message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        Just(hello().into()),
        any::<u64>().prop_map(|t| Ping { t }.into()),
        (0..6u32).prop_map(|seq| input(seq).into()),
        Just(MatchJoin { match_id: MATCH, join_as: JoinAs::Player, skill: None }.into()),
        Just(MatchLeave { match_id: MATCH }.into()),
        Just(Ready { match_id: MATCH }.into()),
        Just(Auth { token: Token::try_from("t").unwrap() }.into()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        10 => message().prop_map(|m| Step::Say(m.encode(Encoding::Msgpack).unwrap())),
        1 => (0..5u8).prop_map(Step::Kind),
        4 => (0..3_000u16).prop_map(Step::Pass),
        2 => (0..4u8).prop_map(Step::Joined),
        1 => Just(Step::Left),
        2 => Just(Step::Verified),
        1 => Just(Step::Refused),
    ]
}

proptest! {
    /// Whatever comes in whatever order: inputs are passed on only from a seat and each `seq` only once between two
    /// `match_joined`, nothing follows a close, and the deadline never stands still in the past.
    #[test]
    fn no_order_of_events_breaks_the_rules(steps in prop::collection::vec(step(), 0..200)) {
        let mut client = Client::new(Encoding::Msgpack);
        let mut seated = false;
        let mut last_seq = 0;
        let mut is_closed = false;
        for step in steps {
            let mut restart = false;
            let outputs = match step {
                Step::Bytes(bytes) | Step::Say(bytes) => client.bytes(&bytes),
                Step::Kind(0) => client.connection.frame(client.now, Frame::Text(b"{}")),
                Step::Kind(1) => client.connection.frame(client.now, Frame::TooLarge),
                Step::Kind(_) => client.connection.frame(client.now, Frame::Control),
                Step::Pass(ms) => {
                    client.pass(ms.into());
                    let outputs = client.connection.timeout(client.now);
                    prop_assert!(client.connection.deadline().is_none_or(|at| at > client.now), "a deadline in the past");
                    outputs
                }
                Step::Joined(place) => {
                    client.connection.joined(client.now, MATCH, Place::from_number(place).unwrap());
                    restart = true;
                    Outputs::new()
                }
                Step::Left => {
                    client.connection.left(MATCH);
                    seated = false;
                    Outputs::new()
                }
                Step::Verified => {
                    let outputs = client.verify(USER, 900);
                    if matches!(outputs[..], [Output::Do(Request::Open { .. })]) {
                        client.connection.opened(client.now, welcome());
                    }
                    outputs
                }
                Step::Refused => client.connection.refused("no"),
            };
            if restart {
                last_seq = 0;
            }
            prop_assert!(!is_closed || outputs.is_empty(), "{outputs:?} after a close");
            for output in &outputs {
                match output {
                    Output::Do(Request::MatchJoin { .. }) => seated = true,
                    Output::Do(Request::MatchLeave { .. }) => seated = false,
                    Output::Do(Request::Input { seq, .. }) => {
                        prop_assert!(seated, "an input without a seat");
                        prop_assert!(*seq > last_seq, "{seq} after {last_seq}");
                        last_seq = *seq;
                    }
                    Output::Close(_) => is_closed = true,
                    _ => {}
                }
            }
            prop_assert_eq!(is_closed, client.connection.is_closed());
        }
    }
}

#[test]
fn each_class_of_messages_has_a_rate_of_its_own() {
    let mut client = Client::open(Encoding::Json);
    let typing = || Typing { channel: "global".try_into().unwrap() };
    let said = |client: &mut Client| {
        (0..50).filter(|_| matches!(client.say(typing())[..], [Output::Do(Request::Talk(_))])).count()
    };
    assert_eq!(said(&mut client), 20);
    match &client.say(typing())[..] {
        [Output::Refuse(error, "too_fast_signal")] => {
            assert_eq!((error.code, error.of.as_deref()), (ErrorCode::RateLimited, Some("typing")));
        }
        other => panic!("{other:?}"),
    }
    // Others are as free as before, and so is this one after a while.
    assert!(matches!(client.say(Ping { t: 1 })[..], [Output::Pong { .. }]));
    client.pass(1_000);
    assert_eq!(said(&mut client), 5);
}
