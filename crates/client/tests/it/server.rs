//! An edge that does what a test tells it: answers sign-ins by itself, hands each WebSocket to the test.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use rally_client::{EdgeUrl, Encoding, Identity, Tokens, protocol::*};
use rally_protocol::client::codec::Messages;
use rally_units::{Epoch, MatchId, SessionId, SubStep, Tick, UserId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::CloseFrame,
    },
};

/// What comes later than this in a test does not come.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const MATCH: MatchId = MatchId::from_bytes([9; 16]);
pub(crate) const SESSION: SessionId = SessionId::from_bytes([5; 16]);

/// What the edges of one test share.
#[derive(Default)]
pub(crate) struct Counts {
    /// WebSockets open now.
    pub(crate) live: AtomicUsize,
    /// The most that were open at once.
    pub(crate) live_max: AtomicUsize,
    /// Refreshes answered.
    pub(crate) refreshes: AtomicU32,
    /// The lifetime of what a refresh hands out.
    pub(crate) refreshed_for_s: AtomicU32,
}

pub(crate) struct Edge {
    pub(crate) url: EdgeUrl,
    peers: mpsc::Receiver<Peer>,
    task: JoinHandle<()>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Edge {
    pub(crate) async fn start(counts: &Arc<Counts>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, peers) = mpsc::channel(16);
        let counts = Arc::clone(counts);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, sender.clone(), Arc::clone(&counts)));
            }
        });
        Self { url, peers, task }
    }

    /// The next client that opens a WebSocket.
    pub(crate) async fn accept(&mut self) -> Peer {
        timeout(SOON, self.peers.recv()).await.expect("a client in time").expect("an edge")
    }

    /// The next client, welcomed.
    pub(crate) async fn welcome(&mut self, edges: &[EdgeUrl]) -> (Peer, Hello) {
        let mut peer = self.accept().await;
        let hello = peer.hello().await;
        peer.send(welcome(edges)).await;
        (peer, hello)
    }

    pub(crate) fn nobody_comes(&mut self) -> bool {
        self.peers.try_recv().is_err()
    }
}

async fn serve(mut stream: TcpStream, peers: mpsc::Sender<Peer>, counts: Arc<Counts>) -> io::Result<()> {
    let mut head = [0; 4];
    while stream.peek(&mut head).await? < 4 {}
    if &head == b"GET " {
        let mut encoding = None;
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let choose = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/ws");
            let offered = request.headers()["sec-websocket-protocol"].clone();
            encoding = Encoding::negotiate(offered.to_str().unwrap().split(", "));
            response.headers_mut().insert("sec-websocket-protocol", offered);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.map_err(io::Error::other)?;
        let live = counts.live.fetch_add(1, Ordering::SeqCst) + 1;
        counts.live_max.fetch_max(live, Ordering::SeqCst);
        let _ = peers.send(Peer { socket, encoding: encoding.unwrap(), counts }).await;
        return Ok(());
    }
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8(request).unwrap();
    let (status, body) = if request.starts_with("POST /api/v1/auth/guest ")
        && request.contains(r#"{"username":"alice"}"#)
    {
        let user = r#"{"id":"01010101-0101-0101-0101-010101010101","name":"alice","guest":true}"#;
        ("200 OK", format!(r#"{{"user":{user},"access_token":"t0","refresh_token":"r0","expires_in_s":900}}"#))
    } else if request.starts_with("POST /api/v1/auth/guest ") {
        ("429 Too Many Requests\r\nretry-after: 7", r#"{"code":"rate_limited","detail":"slower"}"#.to_owned())
    } else if request.starts_with("POST /api/v1/auth/refresh ") && counts.refreshed_for_s.load(Ordering::SeqCst) > 0 {
        let n = counts.refreshes.fetch_add(1, Ordering::SeqCst);
        assert!(request.contains(&format!(r#"{{"refresh_token":"r{n}"}}"#)), "{request}");
        let (n, seconds) = (n + 1, counts.refreshed_for_s.load(Ordering::SeqCst));
        ("200 OK", format!(r#"{{"access_token":"t{n}","refresh_token":"r{n}","expires_in_s":{seconds}}}"#))
    } else {
        ("401 Unauthorized", r#"{"code":"unauthenticated","detail":"spent"}"#.to_owned())
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await
}

/// The edge's end of a WebSocket.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    pub(crate) encoding: Encoding,
    counts: Arc<Counts>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.counts.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    /// The next message; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<ClientMessage> {
        match timeout(SOON, self.socket.next()).await.expect("a message in time")? {
            Ok(Message::Binary(bytes)) if self.encoding == Encoding::Msgpack => {
                Some(ClientMessage::decode(self.encoding, &bytes).unwrap())
            }
            Ok(Message::Text(text)) if self.encoding == Encoding::Json => {
                Some(ClientMessage::decode(self.encoding, text.as_bytes()).unwrap())
            }
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(other) => panic!("{other:?}"),
        }
    }

    /// The next message that is no ping.
    pub(crate) async fn next_but_pings(&mut self) -> Option<ClientMessage> {
        loop {
            match self.next().await {
                Some(ClientMessage::Ping(ping)) => self.send(Pong { t: ping.t, server_time_ms: 0 }).await,
                other => return other,
            }
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            Some(ClientMessage::Hello(hello)) => hello,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, message: impl Into<ServerMessage>) {
        let bytes = message.into().encode(self.encoding).unwrap();
        let frame = match self.encoding {
            Encoding::Msgpack => Message::Binary(bytes.into()),
            Encoding::Json => Message::Text(String::from_utf8(bytes).unwrap().into()),
        };
        // The client may have gone: a test that minds will notice.
        let _ = self.socket.send(frame).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::Text(text.into())).await.unwrap();
    }

    /// Closes with this code and waits for the client's own close.
    pub(crate) async fn close(mut self, code: u16) {
        let _ = self.socket.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await;
        while self.next().await.is_some() {}
    }
}

pub(crate) fn identity() -> Identity {
    Identity { user: user(), tokens: Tokens { access: "t0".into(), refresh: "r0".into(), expires_in_s: 900 } }
}

pub(crate) fn user() -> UserInfo {
    UserInfo { id: UserId::from_bytes([1; 16]), name: "alice".into(), guest: true }
}

pub(crate) fn welcome(edges: &[EdgeUrl]) -> Welcome {
    Welcome {
        session: SESSION,
        user: user(),
        server_time_ms: 1,
        tick_hz: 60,
        resumed: false,
        edge: "edge-1".into(),
        edges: edges.iter().map(ToString::to_string).collect(),
        token_expires_in_s: 900,
        match_id: None,
        queue: None,
        channels: Vec::new(),
    }
}

pub(crate) fn snapshot(tick: u32) -> Snapshot {
    Snapshot {
        match_id: MATCH,
        tick: Tick(tick),
        clock: SubStep(0),
        epoch: Epoch::FIRST,
        phase: Phase::Playing,
        ack: [0; 2],
        paddles: [(8_640, Dir::Stay); 2],
        balls: vec![(15_360, 8_640, 600, 0)].try_into().unwrap(),
        score: [0; 2],
        skills: [(0, 0); 2],
        power_ups: Default::default(),
        effects: Default::default(),
    }
}

pub(crate) fn match_joined() -> MatchJoined {
    MatchJoined {
        match_id: MATCH,
        side: Place::Left,
        players: [None, None],
        mode: Mode::Casual,
        phase: Phase::Waiting,
        snapshot: snapshot(0),
        classic: false,
        score_to_win: 11,
        private: false,
        last_event: 0,
        over: None,
    }
}
