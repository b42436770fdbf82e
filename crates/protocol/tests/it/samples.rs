//! One of each message.

use rally_protocol::{Text, client::v1::*};
use rally_units::{Epoch, MatchId, SessionId, SubStep, Tick, UserId};

pub fn match_id() -> MatchId {
    MatchId::from_bytes(std::array::from_fn(|i| 0x10 + i as u8))
}

pub fn user_id() -> UserId {
    UserId::from_bytes(std::array::from_fn(|i| 0x20 + i as u8))
}

pub fn session() -> SessionId {
    SessionId::from_bytes(std::array::from_fn(|i| 0x30 + i as u8))
}

fn user() -> UserInfo {
    UserInfo { id: user_id(), name: "ada".into(), guest: true }
}

fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    text.try_into().unwrap()
}

/// A match of one ball, in the middle of a rally.
pub fn snapshot() -> Snapshot {
    Snapshot {
        match_id: match_id(),
        tick: Tick(1_234_567),
        clock: SubStep(98_765),
        epoch: Epoch(3),
        phase: Phase::Playing,
        ack: [12_345, 23_456],
        paddles: [(8_640, Dir::Up), (16_480, Dir::Stay)],
        balls: vec![(30_720, 4_321, -1_234, 567)].try_into().unwrap(),
        score: [7, 10],
        skills: [(180, 0), (300, 18)],
        power_ups: Default::default(),
        effects: Default::default(),
    }
}

/// As full as it gets.
pub fn full_snapshot() -> Snapshot {
    Snapshot {
        balls: vec![(-16, 17_280, 1_500, -1_500); 10].try_into().unwrap(),
        power_ups: vec![(7, PowerUp::Blackhole, 15_360, 8_640, 540); 5].try_into().unwrap(),
        effects: vec![
            (PowerUp::Split, Some(Side::Left), 600),
            (PowerUp::Blackout, Some(Side::Right), 300),
            (PowerUp::Blackhole, None, 480),
        ]
        .try_into()
        .unwrap(),
        ..snapshot()
    }
}

fn player(bot: Option<Level>) -> Player {
    Player {
        user: bot.is_none().then(user_id),
        name: "ada".into(),
        bot,
        skill: Some(Skill::Dash),
        connected: true,
        ready: false,
        pauses_left: 3,
        away_left_s: 30,
    }
}

fn over() -> GameOver {
    GameOver {
        match_id: match_id(),
        winner: Some(Side::Right),
        score: [3, 11],
        reason: EndReason::Score,
        ratings: Some([(1_500, 1_488), (1_500, 1_512)]),
    }
}

fn chat_message() -> ChatMessage {
    ChatMessage {
        channel: "global".into(),
        offset: 41,
        id: match_id(),
        from: user(),
        text: "good game".into(),
        sent_at: 1_790_000_000_000,
        nonce: Some("n-1".into()),
        edits: None,
        mentions: vec![user_id()],
    }
}

pub fn from_client() -> Vec<ClientMessage> {
    let match_id = match_id();
    let channel: ChannelName = text("global");
    vec![
        Hello { token: text("a.b.c"), resume: None }.into(),
        Hello {
            token: text("a.b.c"),
            resume: Some(Resume {
                session: session(),
                channels: vec![ChannelOffset { channel: channel.clone(), offset: 41 }].try_into().unwrap(),
            }),
        }
        .into(),
        Auth { token: text("a.b.c") }.into(),
        Ping { t: 1_234_567 }.into(),
        QueueJoin { mode: Mode::Casual, skill: Some(Skill::Smash) }.into(),
        QueueLeave {}.into(),
        MatchJoin { match_id, join_as: JoinAs::Player, skill: None }.into(),
        MatchLeave { match_id }.into(),
        Ready { match_id }.into(),
        Pause { match_id }.into(),
        ResumePlay { match_id }.into(),
        Forfeit { match_id }.into(),
        Rematch { match_id, skill: None }.into(),
        InputMessage { match_id, seq: 1, dir: Dir::Up, press: true, side: None }.into(),
        ChannelJoin { channel: channel.clone(), since: Some(41) }.into(),
        ChannelLeave { channel: channel.clone() }.into(),
        ChatSend { channel: channel.clone(), text: text("good game"), nonce: text("n-1") }.into(),
        Typing { channel: channel.clone() }.into(),
        Read { channel, offset: 41 }.into(),
        DuelInvite { user: user_id(), mode: Mode::Duel, skill: None }.into(),
        DuelAnswer { invite: match_id, accept: true, skill: Some(Skill::Dash) }.into(),
        SetStatus { status: Status::Busy }.into(),
        ChatEdit { channel: text("global"), offset: 41, text: text("well played"), nonce: text("n-2") }.into(),
        ChatEdit { channel: text("global"), offset: 41, text: text(""), nonce: text("n-3") }.into(),
        DuelCancel { invite: match_id, user: user_id() }.into(),
        ReplayControl { match_id, tick: Some(Tick(1_200)), speed_percent: None }.into(),
        ReplayControl { match_id, tick: None, speed_percent: Some(25) }.into(),
    ]
}

pub fn from_server() -> Vec<ServerMessage> {
    let match_id = match_id();
    vec![
        Welcome {
            session: session(),
            user: user(),
            server_time_ms: 1_790_000_000_000,
            tick_hz: 60,
            resumed: false,
            edge: "edge-1".into(),
            edges: vec!["http://localhost:8080".into(), "http://localhost:8081".into()],
            token_expires_in_s: 900,
            match_id: Some(match_id),
            queue: Some(Mode::Casual),
            channels: vec!["global".into()],
        }
        .into(),
        Authenticated { token_expires_in_s: 900 }.into(),
        Pong { t: 1_234_567, server_time_ms: 1_790_000_000_000 }.into(),
        ErrorMessage {
            code: ErrorCode::InvalidInput,
            detail: "expected -1, 0 or 1".into(),
            of: Some("input".into()),
            match_id: Some(match_id),
            until: None,
        }
        .into(),
        ErrorMessage {
            code: ErrorCode::Forbidden,
            detail: "muted in this group until 2026-09-21T14:13:20Z".into(),
            of: Some("chat_send".into()),
            match_id: None,
            until: Some(1_790_000_000_000),
        }
        .into(),
        Queued { mode: Mode::Casual, wait_s: Some(4) }.into(),
        QueueLeft { mode: Mode::Casual }.into(),
        MatchFound { match_id, mode: Mode::Casual, side: Side::Left, opponent: Some(user()) }.into(),
        MatchJoined {
            match_id,
            side: Place::Left,
            players: [Some(player(None)), Some(player(Some(Level::Hard)))],
            mode: Mode::Practice,
            phase: Phase::Waiting,
            snapshot: snapshot(),
            classic: false,
            score_to_win: 11,
            private: true,
            last_event: 9,
            over: Some(over()),
        }
        .into(),
        snapshot().into(),
        full_snapshot().into(),
        MatchEvent {
            match_id,
            tick: Tick(600),
            n: 10,
            event: EventKind::Goal,
            side: Some(Side::Left),
            value: None,
            y: Some(8_640),
            score: Some([1, 0]),
            skill: None,
            power_up: None,
        }
        .into(),
        over().into(),
        ChannelJoined { channel: "global".into(), messages: vec![chat_message()], recovered: true, last_offset: 41 }
            .into(),
        chat_message().into(),
        ChatMessage {
            offset: 42,
            text: String::new(),
            nonce: None,
            edits: Some(41),
            mentions: vec![],
            ..chat_message()
        }
        .into(),
        Presence { user: user_id(), status: Status::Online, match_id: Some(match_id) }.into(),
        Friend { user: user(), change: "requested".into() }.into(),
        DuelInvited { invite: match_id, from: user(), mode: Mode::Duel, expires_in_s: 30 }.into(),
        DuelAnswered { invite: match_id, accept: false }.into(),
        TournamentChanged { tournament: match_id, change: "round".into() }.into(),
        SomebodyTypes { channel: "global".into(), user: user_id() }.into(),
        SomebodyRead { channel: "global".into(), user: user_id(), offset: 41 }.into(),
        DuelSent { invite: match_id, user: user_id(), expires_in_s: 60 }.into(),
        DuelOver { invite: match_id }.into(),
        RematchWanted { match_id }.into(),
        ReplayState { match_id, of: match_id, tick: Tick(1_201), ticks: Tick(9_000), speed_percent: 25 }.into(),
        Notified {
            id: match_id,
            kind: "mention".into(),
            from: Some(user()),
            subject: None,
            channel: Some("global".into()),
            offset: Some(41),
            text: Some("good game".into()),
            at: 1_790_000_000_000,
        }
        .into(),
        GroupChanged {
            channel: format!("group:{match_id}"),
            change: "muted".into(),
            by: user(),
            user: Some(user_id()),
            role: None,
            until: Some(1_790_000_000_000),
            title: None,
            slow_s: None,
        }
        .into(),
        ChannelClosed { channel: format!("group:{match_id}"), reason: "kicked".into() }.into(),
        Reconnect { after_ms: 1_500, reason: "drain".into() }.into(),
    ]
}
