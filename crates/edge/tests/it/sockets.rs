//! From the handshake to the close: what a socket does before any match comes into it.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use rally_protocol::client::{
    codec::Encoding,
    v1::{Auth, ErrorCode, Hello, Ping, ServerMessage, Token},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, Message, protocol::CloseFrame},
};

use crate::support::{Client, Cluster, Edge, LONG, counted, handshake, somebody, token};

/// Sends an HTTP request as it stands; the head of the answer.
async fn ask(edge: &Edge, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(edge.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(LONG, async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
    })
    .await
    .unwrap();
    (stream, String::from_utf8(answer).unwrap().to_lowercase())
}

const HEAD: &str = "GET /ws HTTP/1.1\r\nhost: edge\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Upgraded by hand, for bytes that no library would send.
async fn raw(edge: &Edge, subprotocol: &str) -> TcpStream {
    let (stream, answer) = ask(edge, &format!("{HEAD}sec-websocket-protocol: {subprotocol}\r\n\r\n")).await;
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    stream
}

/// All that the edge still says, up to its end.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    rest
}

/// The code of the close frame that ends these bytes.
fn close_code(bytes: &[u8]) -> u16 {
    let at = bytes.windows(2).rposition(|w| w[0] == 0x88 && w[1] >= 2).expect("a close frame");
    u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])
}

/// A masked frame, as clients send them (the mask is zero).
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

#[tokio::test]
async fn the_handshake_negotiates_the_encoding() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    for (offered, expected) in [
        (Some("rally.v1.json"), Some("rally.v1.json")),
        (Some("rally.v1.msgpack"), Some("rally.v1.msgpack")),
        (Some("chat, rally.v1.msgpack, rally.v1.json"), Some("rally.v1.msgpack")),
        (None, None),
    ] {
        let stream = TcpStream::connect(edge.addr).await.unwrap();
        let (ws, answer) = client_async(handshake(offered), stream).await.unwrap();
        let named = answer.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
        assert_eq!(named, expected, "{offered:?}");
        drop(ws);
    }
    // None offered means JSON.
    let stream = TcpStream::connect(edge.addr).await.unwrap();
    let (mut ws, _) = client_async(handshake(None), stream).await.unwrap();
    ws.send(Message::text(r#"{"type":"ping","t":1}"#)).await.unwrap();
    let Some(Ok(Message::Text(text))) = futures_util::StreamExt::next(&mut ws).await else { panic!("not text") };
    assert!(text.contains("the first message is hello"));
}

#[tokio::test]
async fn other_requests_are_refused() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let stream = TcpStream::connect(edge.addr).await.unwrap();
    let refused = client_async(handshake(Some("chat")), stream).await;
    assert!(matches!(refused, Err(tungstenite::Error::Http(answer)) if answer.status() == 400));

    let (_, answer) = ask(&edge, "GET /ws HTTP/1.1\r\nhost: edge\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
    let (_, answer) = ask(&edge, &format!("{}\r\n", HEAD.replace("GET", "POST"))).await;
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
    let (_, answer) = ask(&edge, &format!("{}\r\n", HEAD.replace("ZQ==", "ZQ"))).await;
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
    let (_, answer) = ask(&edge, &format!("{}\r\n", HEAD.replace("version: 13", "version: 8"))).await;
    assert!(answer.starts_with("http/1.1 426") && answer.contains("sec-websocket-version: 13"), "{answer}");
    assert_eq!(edge.sockets.len(), 0);
}

#[tokio::test]
async fn hello_is_answered_in_both_encodings() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge-7").await;
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let user = somebody();
        let mut client = Client::connect(&edge, encoding).await;
        let welcome = client.hello(user, None).await;
        assert_eq!((welcome.user.id, &*welcome.user.name, &*welcome.edge), (user, "ada", "edge-7"));
        assert_eq!((welcome.tick_hz, welcome.resumed, welcome.token_expires_in_s), (60, false, 900));
        assert_eq!((welcome.match_id, welcome.queue), (None, None));
        client.say(Ping { t: 42 }).await;
        assert!(matches!(client.next().await, ServerMessage::Pong(pong) if pong.t == 42));
        client.say(Auth { token: Token::try_from(format!("user:{user}:ada:60")).unwrap() }).await;
        assert!(matches!(client.next().await, ServerMessage::Authenticated(a) if a.token_expires_in_s == 60));
    }
}

#[tokio::test]
async fn bad_tokens_close_with_4401() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let before = counted(r#"rally_edge_refused_total{reason="token"}"#);
    for bad in ["expired", "forged", &token(somebody())[1..]] {
        let mut client = Client::connect(&edge, Encoding::Json).await;
        client.say(Hello { token: Token::try_from(bad).unwrap(), resume: None }).await;
        let error = client.error().await;
        assert_eq!((error.code, error.of.as_deref()), (ErrorCode::Unauthenticated, Some("hello")));
        assert_eq!(client.closed().await, 4401);
    }
    assert!(counted(r#"rally_edge_refused_total{reason="token"}"#) >= before + 3);
}

#[tokio::test]
async fn a_token_that_expires_closes_with_4401() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::connect(&edge, Encoding::Json).await;
    let token = Token::try_from(format!("user:{}:ada:1", somebody())).unwrap();
    client.say(Hello { token, resume: None }).await;
    assert!(matches!(client.next().await, ServerMessage::Welcome(_)));
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn without_hello_the_close_is_4408_after_five_seconds() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::connect(&edge, Encoding::Json).await;
    let connected = Instant::now();
    assert_eq!(client.closed().await, 4408);
    assert!(connected.elapsed() > Duration::from_millis(4_900), "{:?}", connected.elapsed());
    assert!(counted(r#"rally_edge_closed_total{reason="no_hello"}"#) >= 1);
}

#[tokio::test]
async fn frames_of_the_other_kind_close_with_1003() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Msgpack, somebody()).await;
    client.send(Message::text(r#"{"type":"ping","t":1}"#)).await;
    assert_eq!(client.closed().await, 1003);
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    client.send(Message::binary(vec![0x92, 3, 1])).await;
    assert_eq!(client.closed().await, 1003);
    assert!(counted(r#"rally_edge_closed_total{reason="frame_kind"}"#) >= 2);
}

#[tokio::test]
async fn messages_over_4_kib_close_with_1009() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    // Exactly 4 KiB is read (and is nonsense).
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    client.send(Message::text("x".repeat(4 * 1024))).await;
    assert_eq!(client.error().await.code, ErrorCode::InvalidInput);
    client.send(Message::text("x".repeat(4 * 1024 + 1))).await;
    assert_eq!(client.closed().await, 1009);

    // In fragments as well, and no more than the limit is kept of them.
    let mut stream = raw(&edge, "rally.v1.json").await;
    stream.write_all(&masked(0x01, &[b'x'; 4_000])).await.unwrap();
    stream.write_all(&masked(0x00, &[b'x'; 4_000])).await.unwrap();
    assert_eq!(close_code(&rest(&mut stream).await), 1009);

    // Only announced: nobody waits for 8 EiB.
    let mut stream = raw(&edge, "rally.v1.json").await;
    stream.write_all(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(close_code(&rest(&mut stream).await), 1009);
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut stream = raw(&edge, "rally.v1.json").await;
    stream.write_all(&masked(0x81, b"{\"type\":\"\xff\xfe\"}")).await.unwrap();
    assert_eq!(close_code(&rest(&mut stream).await), 1007);
    assert!(counted(r#"rally_edge_closed_total{reason="not_utf8"}"#) >= 1);
}

#[tokio::test]
async fn what_is_not_the_websocket_protocol_closes_with_1002() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    for bytes in [
        // Not masked.
        &[0x81, 0x02, b'{', b'}'][..],
        // A reserved bit, a reserved kind, a ping in fragments, a fragment of nothing.
        &[0xc1, 0x80, 0, 0, 0, 0],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x80, 0x80, 0, 0, 0, 0],
    ] {
        let mut stream = raw(&edge, "rally.v1.json").await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(close_code(&rest(&mut stream).await), 1002, "{bytes:?}");
    }
}

#[tokio::test]
async fn bad_messages_are_answered_and_nobody_else_notices() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut bystander = Client::open(&edge, Encoding::Json, somebody()).await;
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    for (text, of, label) in [
        (r#"{"type":"fly"}"#, None, "unknown_type"),
        (r#"{"type":"ping","t":"soon"}"#, Some("ping"), "field"),
        (r#"{"type":"ping","t":-1}"#, Some("ping"), "field"),
        ("no json", None, "malformed"),
    ] {
        let line = format!("rally_edge_refused_total{{reason=\"{label}\"}}");
        let before = counted(&line);
        client.send(Message::text(text)).await;
        let error = client.error().await;
        assert_eq!((error.code, error.of.as_deref()), (ErrorCode::InvalidInput, of), "{text}");
        assert!(counted(&line) > before, "{line}");
    }
    client.say(Ping { t: 1 }).await;
    assert!(matches!(client.next().await, ServerMessage::Pong(_)));
    bystander.say(Ping { t: 2 }).await;
    assert!(matches!(bystander.next().await, ServerMessage::Pong(_)));
}

#[tokio::test]
async fn a_flood_is_refused_then_closed_with_1008() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Msgpack, somebody()).await;
    let mut limited = 0;
    // The edge may close, and even reset, before all is sent.
    for t in 0..1_000 {
        let ping = Message::binary(vec![0x92, 3, (t % 100) as u8]);
        if client.ws.feed(ping).await.is_err() {
            break;
        }
    }
    let _ = client.ws.flush().await;
    let code = loop {
        match client.frame().await {
            Some(Ok(Message::Binary(bytes))) => limited += usize::from(bytes.windows(12).any(|w| w == b"rate_limited")),
            Some(Ok(Message::Close(frame))) => break u16::from(frame.unwrap().code),
            Some(Ok(_)) => {}
            end => panic!("no close: {end:?}"),
        }
    };
    assert_eq!(code, 1008);
    assert!((20..=40).contains(&limited), "{limited}");
    assert!(counted(r#"rally_edge_refused_total{reason="too_fast"}"#) >= 20);
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    client.ws.close(Some(CloseFrame { code: 1000.into(), reason: "bye".into() })).await.unwrap();
    assert_eq!(client.closed().await, 1000);
    rally_testkit::eventually(LONG, || async { edge.sockets.is_empty() }).await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_forgotten() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let client = Client::open(&edge, Encoding::Json, somebody()).await;
    assert_eq!(edge.sockets.len(), 1);
    drop(client);
    rally_testkit::eventually(LONG, || async { edge.sockets.is_empty() }).await;
}

#[tokio::test]
async fn pings_are_ponged_between_messages() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    for n in 0..20u8 {
        client.send(Message::Ping(vec![n].into())).await;
        client.say(Ping { t: n.into() }).await;
        let (mut ponged, mut answered) = (false, false);
        while !(ponged && answered) {
            match client.frame().await.unwrap().unwrap() {
                Message::Pong(payload) => ponged = payload[..] == [n],
                Message::Text(text) => answered = text.contains(&format!("\"t\":{n},")),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_comes_in_one_packet_with_the_handshake_is_read() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut stream = TcpStream::connect(edge.addr).await.unwrap();
    let mut bytes = format!("{HEAD}sec-websocket-protocol: rally.v1.json\r\n\r\n").into_bytes();
    let hello = format!(r#"{{"type":"hello","token":"{}"}}"#, token(somebody()));
    bytes.extend(masked(0x81, hello.as_bytes()));
    stream.write_all(&bytes).await.unwrap();
    let mut answer = String::new();
    timeout(LONG, async {
        while !answer.contains(r#""type":"welcome""#) {
            let mut buf = [0; 4096];
            let n = stream.read(&mut buf).await.unwrap();
            assert!(n > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&buf[..n]));
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_read() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut stream = raw(&edge, "rally.v1.json").await;
    stream.set_nodelay(true).unwrap();
    for byte in masked(0x81, br#"{"type":"ping","t":1}"#) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(close_code(&rest(&mut stream).await), 4401, "the first message is hello");
}
