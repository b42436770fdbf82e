//! What a client must not send: each is refused with its error or close code, counted, and nobody else notices.

use rally_client::{
    Api, Encoding, Identity, NewMatch,
    protocol::{EventKind, Level, Mode, ServerMessage, Skill, close},
};
use rally_edge::auth::{LoginToken, Tokens};
use rally_service::{clock, env::MapEnv};
use rally_testkit::eventually;
use rally_units::{LoginId, MatchId};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    LONG, Player, Raw, SCORE_TO_WIN, alone_in_queue, cluster::Edge, http::metric, pair_ready, shared, unique,
};

/// Of an access token that nobody looks up.
const ANY_LOGIN: LoginToken = LoginToken { login: LoginId::from_bytes([1; 16]), generation: 1 };

async fn guest(edge: &Edge) -> Identity {
    Api::new(edge.url()).sign_in_as_guest(&unique("bad")).await.unwrap()
}

/// Counts of what was refused or closed at an edge. Others use it too, so that a count may only be too high.
struct Counts<'a> {
    edge: &'a Edge,
    name: &'static str,
    reason: &'static str,
    before: f64,
}

impl<'a> Counts<'a> {
    async fn of(edge: &'a Edge, name: &'static str, reason: &'static str) -> Self {
        Self { edge, name, reason, before: metric(edge.admin, name, &[("reason", reason)]).await }
    }

    async fn have_risen(self) {
        let Self { edge, name, reason, before } = self;
        let risen = async || metric(edge.admin, name, &[("reason", reason)]).await > before;
        if !risen().await {
            eventually(LONG, risen).await;
        }
    }
}

async fn refused<'a>(edge: &'a Edge, reason: &'static str) -> Counts<'a> {
    Counts::of(edge, "rally_edge_refused_total", reason).await
}

async fn closed<'a>(edge: &'a Edge, reason: &'static str) -> Counts<'a> {
    Counts::of(edge, "rally_edge_closed_total", reason).await
}

/// What is wrong with one message is told, and the connection goes on.
async fn messages_that_are_none(edge: &Edge) {
    let who = guest(edge).await;
    let mut raw = Raw::open(edge.port, &who.tokens.access).await;
    let a_match = MatchId::from_bytes([7; 16]);
    let unknown_type = refused(edge, "unknown_type").await;
    let malformed = refused(edge, "malformed").await;
    let field = refused(edge, "field").await;
    let second_hello = refused(edge, "second_hello").await;

    assert_eq!(raw.refused(json!({ "type": "fly" })).await, ("invalid_input".into(), None));
    for nonsense in [json!([]), json!(7), json!({}), json!({ "type": 7 }), json!(null)] {
        assert_eq!(raw.refused(nonsense.clone()).await.0, "invalid_input", "{nonsense}");
    }
    raw.send(Message::text("{\"type\":\"ping\",")).await;
    assert_eq!(raw.until("error").await["code"], "invalid_input");

    let input = |seq: Value, dir: Value| json!({ "type": "input", "match": a_match, "seq": seq, "dir": dir });
    for wrong in [
        json!({ "type": "queue_join", "mode": 7 }),
        json!({ "type": "queue_join", "mode": "chess" }),
        json!({ "type": "queue_join", "mode": "practice" }),
        json!({ "type": "queue_join" }),
        json!({ "type": "match_join", "match": "not-an-id", "as": "player" }),
        json!({ "type": "match_join", "match": a_match, "as": "referee" }),
        input(json!(1), json!(2)),
        input(json!(1), json!(-2)),
        input(json!(1), json!(0.5)),
        input(json!(1), json!("up")),
        input(json!(-1), json!(0)),
        input(json!(1_u64 << 40), json!(0)),
        json!({ "type": "ping", "t": -1 }),
    ] {
        let (code, of) = raw.refused(wrong.clone()).await;
        assert_eq!((&*code, of.as_deref()), ("invalid_input", wrong["type"].as_str()), "{wrong}");
    }
    assert_eq!(raw.refused(json!({ "type": "hello", "token": who.tokens.access })).await.0, "invalid_input");
    // Still there.
    raw.say(json!({ "type": "ping", "t": 41 })).await;
    assert_eq!(raw.until("pong").await["t"], 41);
    for counts in [unknown_type, malformed, field, second_hello] {
        counts.have_risen().await;
    }
}

/// What cannot be read at all closes the connection.
async fn frames_that_are_none(edge: &Edge) {
    let token = guest(edge).await.tokens.access;
    let open = async || Raw::open(edge.port, &token).await;

    let counts = closed(edge, "frame_kind").await;
    let mut raw = open().await;
    raw.send(Message::binary(vec![0x92, 3, 1])).await;
    assert_eq!(raw.closed().await, (vec![], close::UNSUPPORTED));
    counts.have_risen().await;

    let counts = closed(edge, "too_large").await;
    let mut raw = open().await;
    raw.say(json!({ "type": "chat_send", "channel": "all", "text": "a".repeat(4 * 1024), "nonce": "1" })).await;
    assert_eq!(raw.closed().await, (vec![], close::TOO_LARGE));
    counts.have_risen().await;

    let counts = closed(edge, "not_utf8").await;
    let mut raw = open().await;
    // One text frame, masked by zeros: `"` and a byte that is no UTF-8.
    raw.write(&[0x81, 0x82, 0, 0, 0, 0, b'"', 0xff]).await;
    assert_eq!(raw.closed().await, (vec![], close::INVALID_DATA));
    counts.have_risen().await;

    let counts = closed(edge, "broken_frame").await;
    let mut raw = open().await;
    // Not masked, which a client must.
    raw.write(&[0x81, 0x02, b'{', b'}']).await;
    assert_eq!(raw.closed().await, (vec![], close::PROTOCOL));
    counts.have_risen().await;
}

async fn too_fast(edge: &Edge) {
    let token = guest(edge).await.tokens.access;
    let (counts, closes) = (refused(edge, "too_fast").await, closed(edge, "too_many_faults").await);
    let mut raw = Raw::open(edge.port, &token).await;
    for t in 0..600 {
        raw.say(json!({ "type": "ping", "t": t })).await;
    }
    let (errors, code) = raw.closed().await;
    assert_eq!(code, close::POLICY);
    assert!(!errors.is_empty() && errors.iter().all(|code| code == "rate_limited"), "{errors:?}");
    counts.have_risen().await;
    closes.have_risen().await;
}

/// A connection without a good token has nothing.
async fn strangers(edge: &Edge) {
    let who = guest(edge).await;
    let keys = std::fs::read_to_string(shared().await.dir.join("keys/signing.key")).unwrap();
    let ours = signer(&keys);
    let theirs = signer(&crate::support::site::new_key());
    let hour_ago = clock::wall_ms() / 1_000 - 3_600;
    let token = who.tokens.access.clone();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let bad = [
        ("garbage", "not a token".to_owned()),
        ("expired", ours.issue_at(&who.user, ANY_LOGIN, hour_ago).unwrap().access),
        ("forged", theirs.issue(&who.user, ANY_LOGIN).unwrap().access),
        ("cut", head.to_owned()),
        ("signed by nobody", format!("{head}.{}", "A".repeat(signature.len()))),
        ("of another kind", who.tokens.refresh.clone()),
    ];
    let (counts, closes) = (refused(edge, "token").await, closed(edge, "token").await);
    for (what, token) in bad {
        let mut raw = Raw::connect(edge.port).await;
        raw.hello(&token).await;
        assert_eq!(raw.closed().await, (vec!["unauthenticated".to_owned()], close::UNAUTHENTICATED), "{what}");
    }
    counts.have_risen().await;
    closes.have_risen().await;
    // The same signer makes good ones: what was refused was refused for its own reason.
    Raw::open(edge.port, &ours.issue(&who.user, ANY_LOGIN).unwrap().access).await;

    let counts = refused(edge, "hello_first").await;
    let mut raw = Raw::connect(edge.port).await;
    raw.say(json!({ "type": "queue_join", "mode": "casual" })).await;
    assert_eq!(raw.closed().await, (vec!["unauthenticated".to_owned()], close::UNAUTHENTICATED));
    counts.have_risen().await;
}

fn signer(keys: &str) -> Tokens {
    const KEY: rally_service::env::Var =
        rally_service::env::Var::secret("KEY", rally_service::env::Unit::Key, "As an edge reads it.");
    let strings = MapEnv::new([("KEY", keys)]);
    let keys = rally_service::env::Env::new(&strings).keys(&KEY).unwrap();
    Tokens::new(keys.iter().map(|key| key.expose_secret().as_slice())).unwrap()
}

async fn the_silent(edge: &Edge) {
    let counts = closed(edge, "no_hello").await;
    let mut raw = Raw::connect(edge.port).await;
    assert_eq!(raw.closed().await, (vec![], close::TIMEOUT));
    counts.have_risen().await;
}

/// In a match, as a player and as a spectator.
async fn inputs_that_are_none(edge: &Edge, other: &Edge) {
    let who = guest(edge).await;
    let wanted = NewMatch::Practice { level: Level::Easy, skill: Skill::Smash, classic: true };
    let match_id = Api::new(edge.url()).create_match(&who.tokens.access, &wanted).await.unwrap();
    let mut player = Raw::open(edge.port, &who.tokens.access).await;
    let input = |seq: u32| json!({ "type": "input", "match": match_id, "seq": seq, "dir": 1 });

    let counts = refused(edge, "not_in_match").await;
    for message in
        [input(1), json!({ "type": "ready", "match": match_id }), json!({ "type": "match_leave", "match": match_id })]
    {
        let (code, of) = player.refused(message.clone()).await;
        assert_eq!((&*code, of.as_deref()), ("not_found", message["type"].as_str()));
    }
    counts.have_risen().await;

    let back = refused(edge, "seq_back").await;
    let hole = refused(edge, "seq_hole").await;
    let side = refused(edge, "side").await;
    player.say(json!({ "type": "match_join", "match": match_id, "as": "player" })).await;
    player.until("match_joined").await;
    player.say(input(1)).await;
    player.say(input(2)).await;
    assert_eq!(player.refused(input(1)).await, ("invalid_input".into(), Some("input".into())));
    assert_eq!(player.refused(input(9)).await, ("invalid_input".into(), Some("input".into())));
    let mut both = input(10);
    both["side"] = json!("right");
    assert_eq!(player.refused(both).await, ("invalid_input".into(), Some("input".into())));
    for counts in [back, hole, side] {
        counts.have_risen().await;
    }

    // Somebody watches on the other edge, and no more than that.
    let counts = refused(other, "spectator").await;
    let mut watcher = Raw::open(other.port, &guest(other).await.tokens.access).await;
    watcher.say(json!({ "type": "match_join", "match": match_id, "as": "spectator" })).await;
    assert_eq!(watcher.until("match_joined").await["side"], "spectator");
    for message in
        [input(1), json!({ "type": "forfeit", "match": match_id }), json!({ "type": "pause", "match": match_id })]
    {
        let (code, of) = watcher.refused(message.clone()).await;
        assert_eq!((&*code, of.as_deref()), ("forbidden", message["type"].as_str()));
    }
    counts.have_risen().await;
    // Nor does asking for a seat make one a player.
    let (code, _) = watcher.refused(json!({ "type": "match_join", "match": match_id, "as": "player" })).await;
    assert_eq!(code, "forbidden");

    // A match that nobody plays.
    let nowhere = json!({ "type": "match_join", "match": MatchId::from_bytes([9; 16]), "as": "spectator" });
    assert_eq!(watcher.refused(nowhere).await.0, "not_found");
}

/// One ticket a person, one match a person.
async fn greed(edge: &Edge, other: &Edge) {
    let who = guest(edge).await;
    let queue = |mode: &str| json!({ "type": "queue_join", "mode": mode });
    let counts = refused(edge, "already_in_queue").await;
    let mut raw = Raw::open(edge.port, &who.tokens.access).await;
    let alone = alone_in_queue(Mode::Ranked).await;
    raw.say(queue("ranked")).await;
    raw.until("queued").await;
    for mode in ["ranked", "classic"] {
        assert_eq!(raw.refused(queue(mode)).await, ("already_in_queue".into(), Some("queue_join".into())));
    }
    counts.have_risen().await;
    // On whichever connection, and by whichever door.
    let mut elsewhere = Raw::open(other.port, &who.tokens.access).await;
    assert_eq!(elsewhere.refused(queue("ranked")).await.0, "already_in_queue");
    let wanted = NewMatch::Practice { level: Level::Easy, skill: Skill::Smash, classic: true };
    let api = Api::new(edge.url());
    let refusal = api.create_match(&who.tokens.access, &wanted).await.unwrap_err().to_string();
    assert!(refusal.starts_with("already_in_queue (409)"), "{refusal}");
    raw.say(json!({ "type": "queue_leave" })).await;
    raw.until("queue_left").await;
    drop(alone);

    let counts = refused(edge, "already_in_match").await;
    let match_id = api.create_match(&who.tokens.access, &wanted).await.unwrap();
    raw.say(queue("ranked")).await;
    let error = raw.until("error").await;
    assert_eq!((&error["code"], &error["match"]), (&json!("already_in_match"), &json!(match_id)));
    counts.have_risen().await;
    assert_eq!(elsewhere.refused(queue("casual")).await.0, "already_in_match");
    let refusal = api.create_match(&who.tokens.access, &wanted).await.unwrap_err().to_string();
    assert!(refusal.starts_with("already_in_match (409)"), "{refusal}");
}

#[tokio::test]
async fn bad_input_is_refused_and_counted_and_nobody_else_notices() {
    let [edge, other] = &shared().await.edges;
    // Two who play meanwhile, over both edges, and must not be disturbed.
    let (mut one, mut two) =
        tokio::join!(Player::at(edge.url(), Encoding::Msgpack), Player::at(other.url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut two).await;
    one.event(EventKind::Go).await;
    let (enough, mut is_enough) = oneshot::channel();
    let undisturbed = async {
        // Neither moves: each flat serve is returned, until it is enough.
        let mut last_tick = None;
        while is_enough.try_recv().is_err() {
            let tick = one.message(|message| match message {
                ServerMessage::Snapshot(snapshot) => Some(snapshot.tick),
                ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
                _ => None,
            });
            let tick = tick.await;
            assert!(last_tick < Some(tick));
            last_tick = Some(tick);
        }
        one.step_aside(match_id);
        let (over, same) = tokio::join!(one.over(), two.over());
        assert_eq!(over, same);
        assert_eq!(over.score.iter().max(), Some(&SCORE_TO_WIN));
        let kinds = |player: &Player| player.events.iter().map(|event| event.event).collect::<Vec<_>>();
        for player in [&one, &two] {
            assert!(player.lost.is_empty(), "{:?}", player.lost);
            assert!(!kinds(player).contains(&EventKind::Away) && !kinds(player).contains(&EventKind::Paused));
        }
    };
    let bad = async {
        tokio::join!(
            messages_that_are_none(edge),
            frames_that_are_none(other),
            too_fast(other),
            strangers(edge),
            the_silent(other),
            inputs_that_are_none(edge, other),
            greed(edge, other),
        );
        enough.send(()).unwrap();
    };
    tokio::join!(undisturbed, bad);
}
