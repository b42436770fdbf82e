//! A cluster in one task set: two edges on loopback that pair players, send 60 snapshots per second and acknowledge
//! inputs after a time, and that misbehave where a test wants it.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use rally_client::{EdgeUrl, Encoding, protocol::*};
use rally_protocol::client::codec::Messages;
use rally_units::{Epoch, MatchId, SessionId, SubStep, Tick, UserId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::CloseFrame,
    },
};

const NO_TICK: u32 = u32::MAX;

/// What a cluster does, and what it saw.
#[derive(Default)]
pub(crate) struct World {
    /// An input is applied this much after it came.
    pub(crate) apply_after_ms: AtomicU64,
    /// Every so manieth tick is not sent; 0 for none.
    pub(crate) skip_every: AtomicU32,
    /// After this tick each match is silent for half a second.
    pub(crate) silent_after: AtomicU32,
    /// Matches end at this tick; 0 for never.
    pub(crate) end_at: AtomicU32,
    /// Queueing is refused so many times.
    pub(crate) refuse_queueing: AtomicU32,
    /// Connections are closed with 1012 when this is set, each once.
    pub(crate) restart: AtomicBool,
    /// So many chat messages are taken, others refused; 0 for all.
    pub(crate) chat_max: AtomicU64,
    /// Every so manieth chat message is not told to one of its readers; 0 for none.
    pub(crate) lose_every: AtomicU64,
    pub(crate) said: AtomicU64,
    pub(crate) snapshots_sent: AtomicU64,
    pub(crate) inputs: AtomicU64,
    pub(crate) bad_seq: AtomicU64,
    pub(crate) forfeits: AtomicU64,
    pub(crate) hellos: AtomicU64,
    pub(crate) sources: Mutex<std::collections::BTreeSet<std::net::IpAddr>>,
    next_match: AtomicU32,
    queue: Mutex<VecDeque<(UserInfo, mpsc::Sender<Told>)>>,
    private: Mutex<Vec<MatchId>>,
    readers: Mutex<Vec<mpsc::Sender<Told>>>,
}

/// What a connection is told by others.
enum Told {
    Found(MatchId, Side, UserInfo),
    Said(ChatMessage),
}

pub(crate) struct Cluster {
    pub(crate) world: Arc<World>,
    pub(crate) edges: Vec<EdgeUrl>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(World { silent_after: NO_TICK.into(), ..World::default() });
        let mut edges = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            edges.push(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                loop {
                    let (stream, from) = listener.accept().await.unwrap();
                    world.sources.lock().unwrap().insert(from.ip());
                    let world = Arc::clone(&world);
                    tokio::spawn(async move {
                        // A client that has gone is no fault.
                        let _ = serve(stream, world).await;
                    });
                }
            });
        }
        Self { world, edges }
    }
}

async fn serve(mut stream: TcpStream, world: Arc<World>) -> io::Result<()> {
    let mut head = [0; 4];
    while stream.peek(&mut head).await? < 4 {}
    if &head == b"GET " {
        let mut encoding = Encoding::Json;
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let choose = |request: &Request, mut response: Response| {
            let offered = request.headers()["sec-websocket-protocol"].clone();
            encoding = Encoding::negotiate([offered.to_str().unwrap()]).unwrap();
            response.headers_mut().insert("sec-websocket-protocol", offered);
            Ok(response)
        };
        stream.set_nodelay(true)?;
        let socket = accept_hdr_async(stream, choose).await.map_err(io::Error::other)?;
        let mut seat = Seat::new(socket, encoding, world);
        return seat.serve().await;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let (_, body) = request.split_once("\r\n\r\n").unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).map_err(io::Error::other)?;
    let answer = if request.starts_with("POST /api/v1/auth/guest ") {
        let name = body["username"].as_str().unwrap_or_default();
        assert!((3..=20).contains(&name.len()), "{name}");
        let id = UserId::from_bytes(std::array::from_fn(|i| name.as_bytes().get(i).copied().unwrap_or(0)));
        let user = UserInfo { id, name: name.into(), guest: true };
        serde_json::json!({ "user": user, "access_token": name, "refresh_token": "r", "expires_in_s": 900 })
    } else if request.starts_with("POST /api/v1/matches ") {
        assert_eq!(body["mode"], "private");
        let match_id = new_match(&world);
        world.private.lock().unwrap().push(match_id);
        serde_json::json!({ "match": match_id, "mode": "duel" })
    } else {
        panic!("{request}");
    };
    let body = answer.to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await
}

fn new_match(world: &World) -> MatchId {
    let n = world.next_match.fetch_add(1, Ordering::SeqCst) + 1;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    MatchId::from_bytes(bytes)
}

/// One player's connection. Each has a field of its own: for the client it looks the same.
struct Seat {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    world: Arc<World>,
    user: UserInfo,
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    playing: Option<Playing>,
    restarted: bool,
}

struct Playing {
    match_id: MatchId,
    side: Side,
    tick: u32,
    seq: u32,
    applied: u32,
    waiting: VecDeque<(u32, Instant)>,
    silent_until: Instant,
}

impl Seat {
    fn new(socket: WebSocketStream<TcpStream>, encoding: Encoding, world: Arc<World>) -> Self {
        let user = UserInfo { id: UserId::from_bytes([0; 16]), name: String::new(), guest: true };
        Self { socket, encoding, world, user, told: mpsc::channel(1_024), playing: None, restarted: false }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut ticks = interval(Duration::from_nanos(1_000_000_000 / 60));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    let bytes = match message {
                        Some(Ok(Message::Binary(bytes))) => bytes,
                        Some(Ok(Message::Text(text))) => text.into(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        _ => return Ok(()),
                    };
                    let message = ClientMessage::decode(self.encoding, &bytes).unwrap();
                    self.on(message).await?;
                }
                told = self.told.1.recv() => {
                    match told {
                        Some(Told::Found(match_id, side, opponent)) => {
                            self.playing = Some(Playing::new(match_id, side));
                            let opponent = Some(opponent);
                            self.send(MatchFound { match_id, mode: Mode::Casual, side, opponent }).await?;
                        }
                        Some(Told::Said(said)) => self.send(said).await?,
                        None => return Ok(()),
                    }
                }
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    async fn send(&mut self, message: impl Into<ServerMessage>) -> io::Result<()> {
        let bytes = message.into().encode(self.encoding).unwrap();
        let frame = match self.encoding {
            Encoding::Msgpack => Message::Binary(bytes.into()),
            Encoding::Json => Message::Text(String::from_utf8(bytes).unwrap().into()),
        };
        self.socket.send(frame).await.map_err(io::Error::other)
    }

    async fn on(&mut self, message: ClientMessage) -> io::Result<()> {
        match message {
            ClientMessage::Hello(hello) => {
                self.world.hellos.fetch_add(1, Ordering::SeqCst);
                // The second connection of a session is one that was restarted.
                self.restarted = hello.resume.is_some();
                self.user.name = hello.token.to_string();
                let user = self.user.clone();
                let welcome = Welcome {
                    session: SessionId::from_bytes([1; 16]),
                    user,
                    server_time_ms: 0,
                    tick_hz: 60,
                    resumed: false,
                    edge: "fake".into(),
                    edges: Vec::new(),
                    token_expires_in_s: 900,
                    match_id: None,
                    queue: None,
                    channels: Vec::new(),
                };
                self.send(welcome).await
            }
            ClientMessage::Ping(ping) => self.send(Pong { t: ping.t, server_time_ms: 0 }).await,
            ClientMessage::QueueJoin(join) => {
                let refusals = &self.world.refuse_queueing;
                if refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    let of = Some("queue_join".into());
                    let code = ErrorCode::RateLimited;
                    return self
                        .send(ErrorMessage { code, detail: "slower".into(), of, match_id: None, until: None })
                        .await;
                }
                self.send(Queued { mode: join.mode, wait_s: None }).await?;
                let mut queue = self.world.queue.lock().unwrap();
                match queue.pop_front() {
                    None => queue.push_back((self.user.clone(), self.told.0.clone())),
                    Some((first, teller)) => {
                        let match_id = new_match(&self.world);
                        let _ = teller.try_send(Told::Found(match_id, Side::Left, self.user.clone()));
                        let _ = self.told.0.try_send(Told::Found(match_id, Side::Right, first));
                    }
                }
                Ok(())
            }
            ClientMessage::MatchJoin(join) => {
                if self.world.private.lock().unwrap().contains(&join.match_id) {
                    let odd = self.user.name.ends_with(['1', '3', '5', '7', '9']);
                    self.playing = Some(Playing::new(join.match_id, if odd { Side::Right } else { Side::Left }));
                }
                let playing = self.playing.get_or_insert_with(|| Playing::new(join.match_id, Side::Left));
                playing.seq = 0;
                playing.applied = 0;
                playing.waiting.clear();
                let joined = MatchJoined {
                    match_id: join.match_id,
                    side: playing.side.into(),
                    players: [None, None],
                    mode: Mode::Casual,
                    phase: Phase::Playing,
                    snapshot: playing.snapshot(),
                    classic: false,
                    score_to_win: 11,
                    private: false,
                    last_event: 0,
                    over: None,
                };
                self.send(joined).await
            }
            ClientMessage::InputMessage(input) => {
                self.world.inputs.fetch_add(1, Ordering::SeqCst);
                let apply_at = Instant::now() + Duration::from_millis(self.world.apply_after_ms.load(Ordering::SeqCst));
                match &mut self.playing {
                    Some(playing) if playing.match_id == input.match_id && input.seq == playing.seq + 1 => {
                        playing.seq += 1;
                        playing.waiting.push_back((input.seq, apply_at));
                    }
                    _ => drop(self.world.bad_seq.fetch_add(1, Ordering::SeqCst)),
                }
                Ok(())
            }
            ClientMessage::ChannelJoin(join) => {
                self.world.readers.lock().unwrap().push(self.told.0.clone());
                let channel = join.channel.to_string();
                self.send(ChannelJoined { channel, messages: Vec::new(), recovered: true, last_offset: 0 }).await
            }
            ClientMessage::ChatSend(send) => {
                let offset = self.world.said.fetch_add(1, Ordering::SeqCst) + 1;
                let max = self.world.chat_max.load(Ordering::SeqCst);
                if max > 0 && offset > max {
                    let of = Some("chat_send".into());
                    let code = ErrorCode::AtCapacity;
                    return self
                        .send(ErrorMessage { code, detail: "full".into(), of, match_id: None, until: None })
                        .await;
                }
                let said = ChatMessage {
                    channel: send.channel.to_string(),
                    offset,
                    id: MatchId::from_bytes([1; 16]),
                    from: self.user.clone(),
                    text: send.text.to_string(),
                    sent_at: 0,
                    nonce: None,
                    edits: None,
                    mentions: Vec::new(),
                };
                let lose = self.world.lose_every.load(Ordering::SeqCst);
                let lost = lose > 0 && offset.is_multiple_of(lose);
                for reader in self.world.readers.lock().unwrap().iter().skip(usize::from(lost)) {
                    let _ = reader.try_send(Told::Said(said.clone()));
                }
                Ok(())
            }
            ClientMessage::Forfeit(_) => {
                self.world.forfeits.fetch_add(1, Ordering::SeqCst);
                self.over().await
            }
            _ => Ok(()),
        }
    }

    async fn over(&mut self) -> io::Result<()> {
        let Some(playing) = self.playing.take() else { return Ok(()) };
        let (match_id, reason) = (playing.match_id, EndReason::Score);
        self.send(GameOver { match_id, winner: Some(Side::Left), score: [11, 0], reason, ratings: None }).await
    }

    async fn tick(&mut self) -> io::Result<()> {
        let world = Arc::clone(&self.world);
        let greeted = !self.user.name.is_empty();
        if world.restart.load(Ordering::SeqCst) && greeted && !self.restarted {
            self.restarted = true;
            self.send(Reconnect { after_ms: 50, reason: "drain".into() }).await?;
            let frame = CloseFrame { code: close::RESTART.into(), reason: "".into() };
            return self.socket.close(Some(frame)).await.map_err(io::Error::other);
        }
        // At the end of a run the left players give up, and their opponents' matches are over too.
        if world.forfeits.load(Ordering::SeqCst) > 0 {
            return self.over().await;
        }
        let Some(playing) = &mut self.playing else { return Ok(()) };
        let now = Instant::now();
        playing.tick += 1;
        while let Some((seq, _)) = playing.waiting.pop_front_if(|(_, at)| *at <= now) {
            playing.applied = seq;
        }
        if playing.tick == world.silent_after.load(Ordering::SeqCst) {
            playing.silent_until = now + Duration::from_millis(500);
        }
        let end_at = world.end_at.load(Ordering::SeqCst);
        if end_at > 0 && playing.tick >= end_at {
            return self.over().await;
        }
        let skip = world.skip_every.load(Ordering::SeqCst);
        if now < playing.silent_until || (skip > 0 && playing.tick.is_multiple_of(skip)) {
            return Ok(());
        }
        world.snapshots_sent.fetch_add(1, Ordering::SeqCst);
        let snapshot = playing.snapshot();
        self.send(snapshot).await
    }
}

impl Playing {
    fn new(match_id: MatchId, side: Side) -> Self {
        let silent_until = Instant::now();
        Self { match_id, side, tick: 0, seq: 0, applied: 0, waiting: VecDeque::new(), silent_until }
    }

    fn snapshot(&self) -> Snapshot {
        let mut ack = [0; 2];
        ack[self.side.index()] = self.applied;
        Snapshot {
            match_id: self.match_id,
            tick: Tick(self.tick),
            clock: SubStep(0),
            epoch: Epoch::FIRST,
            phase: Phase::Playing,
            ack,
            paddles: [(8_640, Dir::Stay); 2],
            balls: vec![(15_360, 8_640, 600, 0)].try_into().unwrap(),
            score: [0; 2],
            skills: [(0, 0); 2],
            power_ups: Default::default(),
            effects: Default::default(),
        }
    }
}
