//! The loop that plays: one thread, one epoll instance, all connections of its players.
//!
//! No runtime and no task per connection: a wake-up costs one `epoll_wait` for all that is ready and one `read` for
//! each connection. Opening connections is slow and rare; that is the dialer's, who hands over sockets after their
//! handshake.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{ServerMessage, Token},
    },
    limits::SERVER_MESSAGE_BYTES_MAX,
};
use rally_units::MatchId;
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

use crate::{
    conn::{Conn, Lost},
    frame::Frame,
    player::{Player, Script, Wish},
    seen,
    stats::{self, Stats},
};

/// Room for the largest message and what comes with it.
const READ_BYTES: usize = SERVER_MESSAGE_BYTES_MAX + 16 * 1024;
/// Connections that one wake-up deals with.
const EVENTS_MAX: usize = 512;
/// The loop looks at what the dialer and the commander say at least this often.
const WAKE_EVERY: Duration = Duration::from_millis(10);
const SECOND_NS: u64 = 1_000_000_000;
/// At the end of a run, for the players to say goodbye.
const GOODBYE_NS_MAX: u64 = 3 * SECOND_NS;

/// What an engine shares with the one who commands it.
#[derive(Debug)]
pub(crate) struct Control {
    stage: AtomicU8,
    /// Where all times begin.
    pub(crate) origin: Instant,
    /// Snapshots since the beginning, by all engines: for the progress line.
    pub(crate) snapshots: AtomicU64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Players arrive.
    Ramp = 0,
    /// What is measured counts.
    Window = 1,
    /// Players go on, nothing counts.
    After = 2,
    /// Players leave.
    Stop = 3,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { stage: AtomicU8::new(Stage::Ramp as u8), origin: Instant::now(), snapshots: AtomicU64::new(0) }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Ramp,
            1 => Stage::Window,
            2 => Stage::After,
            _ => Stage::Stop,
        }
    }
}

/// From the dialer to an engine.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A connection for a player.
    Opened { slot: usize, stream: std::net::TcpStream, early: Bytes, token: Token },
    /// There is none.
    NotOpened { slot: usize, error: String },
    /// A private match for a player and the next.
    MatchMade { slot: usize, match_id: MatchId },
    /// There is none.
    NoMatch { slot: usize, error: String },
}

/// From an engine to the dialer. Each player has at most one of these under way, which bounds the queue.
#[derive(Debug)]
pub(crate) enum Order {
    /// A connection to this edge after this time.
    Open { slot: usize, edge: usize, after: Duration },
    /// A private match.
    MakeMatch { slot: usize },
}

/// From an engine to the commander, each second and at every change of stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) engine: usize,
    pub(crate) connected: usize,
    /// Matches that our players are in, and the edges of these players (a bit each).
    pub(crate) playing: HashMap<MatchId, u64>,
    pub(crate) players_in_match: usize,
    pub(crate) errors: u64,
    pub(crate) reconnects: u64,
    pub(crate) input_p99_us: u64,
}

/// What an engine needs to begin.
pub(crate) struct Setup {
    pub(crate) engine: usize,
    /// How many players it has, and the number of the first among all.
    pub(crate) players: usize,
    pub(crate) first_player: usize,
    pub(crate) edges: usize,
    pub(crate) script: Script,
    pub(crate) encoding: Encoding,
    /// Between two inputs of a player.
    pub(crate) input_every: Option<Duration>,
    /// Time to let frames gather before they are read.
    pub(crate) batch: Duration,
    pub(crate) control: Arc<Control>,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) order: Box<dyn Fn(Order) + Send>,
    pub(crate) report: Box<dyn Fn(Progress) + Send>,
}

/// A player and its connection.
struct Seat {
    player: Player,
    conn: Option<Conn>,
    /// Of connections: what was meant for one that is gone is not for the next.
    generation: u32,
    /// The edge that it is connected to, or will be: its index.
    edge: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Retry {
    at_ns: u64,
    slot: usize,
    generation: u32,
}

pub(crate) struct Engine {
    setup: Setup,
    poll: rustix::fd::OwnedFd,
    seats: Vec<Seat>,
    stats: Stats,
    /// When each player's next input and next ping are due. All have the same period: the order never changes.
    inputs: VecDeque<(u64, usize)>,
    seconds: VecDeque<(u64, usize)>,
    retries: BinaryHeap<Reverse<Retry>>,
    buffer: Vec<u8>,
    wishes: Vec<Wish>,
    counted_snapshots: u64,
}

impl Engine {
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        // Neighbours, who meet in the queue as in private matches, begin at different edges.
        let seats = (0..setup.players).map(|slot| Seat {
            player: Player::new(setup.script, setup.first_player + slot),
            conn: None,
            generation: 0,
            edge: (setup.first_player + slot) % setup.edges,
        });
        Ok(Self {
            seats: seats.collect(),
            poll: epoll::create(CreateFlags::CLOEXEC)?,
            stats: Stats::default(),
            inputs: VecDeque::new(),
            seconds: VecDeque::new(),
            retries: BinaryHeap::new(),
            buffer: vec![0; READ_BYTES],
            wishes: Vec::new(),
            counted_snapshots: 0,
            setup,
        })
    }

    fn now_ns(&self) -> u64 {
        self.setup.control.origin.elapsed().as_nanos() as u64
    }

    /// Plays until it is told to stop. What it returns is of the window.
    pub(crate) fn run(mut self) -> io::Result<Stats> {
        let mut stage = Stage::Ramp;
        let mut result = None;
        let mut report_at_ns = SECOND_NS;
        let mut goodbye_ns = None;
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            self.wait(&mut events)?;
            for event in events.drain(..) {
                self.ready(event.data.u64(), event.flags);
            }
            self.take_deliveries();
            let now_ns = self.now_ns();
            self.due(now_ns);
            self.publish_snapshots();
            let told = self.setup.control.stage();
            if told != stage {
                if told == Stage::Window {
                    self.stats.begin(now_ns);
                    for seat in &mut self.seats {
                        seat.player.window_opens();
                    }
                    self.counted_snapshots = 0;
                } else if stage == Stage::Window {
                    for seat in &mut self.seats {
                        seat.player.window_closes(now_ns, &mut self.stats);
                    }
                    result = Some(std::mem::take(&mut self.stats));
                    self.counted_snapshots = 0;
                }
                if told == Stage::Stop {
                    goodbye_ns = Some(now_ns + GOODBYE_NS_MAX);
                    self.stop();
                }
                stage = told;
            }
            if now_ns >= report_at_ns {
                report_at_ns += SECOND_NS;
                self.report();
            }
            if goodbye_ns.is_some_and(|at_ns| now_ns >= at_ns || self.all_stopped()) {
                for conn in self.seats.iter_mut().filter_map(|seat| seat.conn.as_mut()) {
                    conn.close();
                }
                return Ok(result.unwrap_or(self.stats));
            }
        }
    }

    /// Sleeps until something is due or comes.
    fn wait(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let now_ns = self.now_ns();
        let due_ns = [
            self.inputs.front().map(|(at_ns, _)| *at_ns),
            self.seconds.front().map(|(at_ns, _)| *at_ns),
            self.retries.peek().map(|Reverse(retry)| retry.at_ns),
        ];
        let due_ns = due_ns.into_iter().flatten().min().unwrap_or(u64::MAX);
        let wait = Duration::from_nanos(due_ns.saturating_sub(now_ns)).min(WAKE_EVERY);
        // Frames that gather meanwhile are read in one go, and edges need not wake us for each.
        let wait = if wait.is_zero() || self.setup.batch.is_zero() {
            wait
        } else {
            std::thread::sleep(self.setup.batch.min(wait));
            wait.saturating_sub(self.setup.batch)
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as i64 };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A connection can be read.
    fn ready(&mut self, data: u64, flags: EventFlags) {
        let (slot, generation) = ((data >> 32) as usize, data as u32);
        loop {
            let seat = &mut self.seats[slot];
            if seat.generation != generation {
                return;
            }
            let Some(conn) = &mut seat.conn else { return };
            let (player, stats, wishes) = (&mut seat.player, &mut self.stats, &mut self.wishes);
            let (encoding, origin) = (self.setup.encoding, self.setup.control.origin);
            let mut pings = Vec::new();
            let read = conn.read(&mut self.buffer, |frame| {
                let now_ns = origin.elapsed().as_nanos() as u64;
                match frame {
                    Frame::Message(bytes) => take(bytes, encoding, now_ns, player, stats, wishes),
                    Frame::Ping(payload) => pings.push(payload.to_vec()),
                    Frame::Pong | Frame::Close(_) => {}
                }
            });
            let read = read.and_then(|read| {
                pings.iter().try_for_each(|payload| conn.pong(payload))?;
                Ok(read)
            });
            match read {
                Ok(read) => {
                    self.stats.reads += 1;
                    self.stats.received_bytes += read.bytes as u64;
                    self.grant(slot);
                    // The end of the stream gives no second event.
                    let ends = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                    if !(read.again || (ends && read.bytes > 0)) {
                        return;
                    }
                }
                Err(lost) => {
                    self.grant(slot);
                    return self.lost(slot, &lost);
                }
            }
        }
    }

    fn lost(&mut self, slot: usize, lost: &Lost) {
        let now_ns = self.now_ns();
        let seat = &mut self.seats[slot];
        // Dropping the socket takes it out of epoll.
        seat.conn = None;
        seat.generation += 1;
        let code = match lost {
            Lost::Closed(code) => *code,
            Lost::Bad(what) => {
                self.stats.error(*what);
                None
            }
        };
        seat.player.closed(code, now_ns, &mut self.stats, &mut self.wishes);
        self.grant(slot);
    }

    /// Does what a player asked for.
    fn grant(&mut self, slot: usize) {
        while !self.wishes.is_empty() {
            let mut failed = None;
            for wish in std::mem::take(&mut self.wishes) {
                match wish {
                    Wish::Send(message) => {
                        if let Some(conn) = &mut self.seats[slot].conn
                            && let Err(lost) = conn.send(&message)
                        {
                            failed = Some(lost);
                        }
                    }
                    Wish::Reconnect { after_ms } => {
                        let seat = &mut self.seats[slot];
                        if let Some(mut conn) = seat.conn.take() {
                            conn.close();
                            seat.generation += 1;
                        }
                        seat.edge = (seat.edge + 1) % self.setup.edges;
                        (self.setup.order)(Order::Open {
                            slot,
                            edge: seat.edge,
                            after: Duration::from_millis(after_ms),
                        });
                    }
                    Wish::Retry { after_ms } => {
                        let at_ns = self.now_ns() + after_ms * 1_000_000;
                        let generation = self.seats[slot].generation;
                        self.retries.push(Reverse(Retry { at_ns, slot, generation }));
                    }
                    Wish::PrivateMatch => {
                        let first = slot & !1;
                        let both = |seat: &Seat| seat.player.waits_for_private_match();
                        if self.seats[first..].iter().take(2).filter(|seat| both(seat)).count() == 2 {
                            (self.setup.order)(Order::MakeMatch { slot: first });
                        }
                    }
                }
            }
            if let Some(lost) = failed {
                // Its wishes are granted in there.
                self.lost(slot, &lost);
            }
        }
    }

    fn take_deliveries(&mut self) {
        while let Ok(delivery) = self.setup.deliveries.try_recv() {
            let now_ns = self.now_ns();
            match delivery {
                Delivery::Opened { slot, stream, early, token } => {
                    let seat = &mut self.seats[slot];
                    seat.generation += 1;
                    let data = EventData::new_u64((slot as u64) << 32 | u64::from(seat.generation));
                    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                    if let Err(error) = epoll::add(&self.poll, &stream, data, flags) {
                        self.stats.error(format!("epoll: {error}"));
                        continue;
                    }
                    if seat.generation == 1 {
                        self.schedule(slot, now_ns);
                    }
                    let seat = &mut self.seats[slot];
                    let data = (slot as u64) << 32 | u64::from(seat.generation);
                    seat.conn = Some(Conn::new(stream, self.setup.encoding, &early));
                    seat.player.opened(&token, now_ns, &mut self.wishes);
                    self.grant(slot);
                    if !early.is_empty() {
                        self.ready(data, EventFlags::IN);
                    }
                }
                Delivery::NotOpened { slot, error } => {
                    self.stats.error(error);
                    self.seats[slot].player.closed(None, now_ns, &mut self.stats, &mut self.wishes);
                    self.grant(slot);
                }
                Delivery::MatchMade { slot, match_id } => {
                    for slot in [slot, slot + 1] {
                        if let Some(seat) = self.seats.get_mut(slot)
                            && seat.player.waits_for_private_match()
                        {
                            seat.player.found(match_id, now_ns, &mut self.wishes);
                            self.grant(slot);
                        }
                    }
                }
                Delivery::NoMatch { slot, error } => {
                    self.stats.error(error);
                    self.seats[slot].player.not_found(&mut self.wishes);
                    self.grant(slot);
                }
            }
        }
    }

    fn schedule(&mut self, slot: usize, now_ns: u64) {
        if let Some(every) = self.setup.input_every {
            self.inputs.push_back((now_ns + every.as_nanos() as u64, slot));
        }
        self.seconds.push_back((now_ns + SECOND_NS, slot));
    }

    /// Does what is due by now.
    fn due(&mut self, now_ns: u64) {
        if let Some(every) = self.setup.input_every {
            let every_ns = every.as_nanos() as u64;
            while let Some((at_ns, slot)) = self.inputs.pop_front_if(|(at_ns, _)| *at_ns <= now_ns) {
                // By the schedule, not from now: a late loop must not send fewer inputs.
                self.inputs.push_back((at_ns + every_ns, slot));
                let seat = &mut self.seats[slot];
                let Some(conn) = &mut seat.conn else { continue };
                // Counted from when it was due: that this loop was late is a part of what a player waits for.
                if let Some(input) = seat.player.input(every_ns, at_ns, &mut self.stats)
                    && let Err(lost) = conn.send(&input.into())
                {
                    self.lost(slot, &lost);
                }
            }
        }
        while let Some((at_ns, slot)) = self.seconds.pop_front_if(|(at_ns, _)| *at_ns <= now_ns) {
            self.seconds.push_back((at_ns + SECOND_NS, slot));
            let n = at_ns / SECOND_NS + slot as u64;
            self.seats[slot].player.second(n, now_ns - at_ns, now_ns, &mut self.stats, &mut self.wishes);
            self.grant(slot);
        }
        while self.retries.peek().is_some_and(|Reverse(retry)| retry.at_ns <= now_ns) {
            let Some(Reverse(retry)) = self.retries.pop() else { break };
            let seat = &mut self.seats[retry.slot];
            if seat.generation == retry.generation {
                seat.player.retry(now_ns, &mut self.wishes);
                self.grant(retry.slot);
            }
        }
    }

    fn stop(&mut self) {
        for slot in 0..self.seats.len() {
            self.seats[slot].player.stop(&mut self.wishes);
            self.grant(slot);
        }
    }

    fn all_stopped(&self) -> bool {
        self.seats.iter().all(|seat| seat.player.stopped())
    }

    /// For the progress line, which must not wait for a report.
    fn publish_snapshots(&mut self) {
        let more = self.stats.snapshots - self.counted_snapshots;
        if more > 0 {
            self.counted_snapshots = self.stats.snapshots;
            self.setup.control.snapshots.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn report(&self) {
        let mut progress = Progress { engine: self.setup.engine, ..Progress::default() };
        for seat in &self.seats {
            progress.connected += usize::from(seat.player.connected());
            if let Some(match_id) = seat.player.playing() {
                progress.players_in_match += 1;
                *progress.playing.entry(match_id).or_default() |= 1 << (seat.edge % 64);
            }
        }
        progress.errors = stats::total(&self.stats.errors);
        progress.reconnects = self.stats.reconnects;
        progress.input_p99_us = self.stats.input_us.value_at_quantile(0.99);
        (self.setup.report)(progress);
    }
}

/// Hands a message to its player.
fn take(bytes: &[u8], encoding: Encoding, now_ns: u64, player: &mut Player, stats: &mut Stats, wishes: &mut Vec<Wish>) {
    if encoding == Encoding::Msgpack && seen::is_snapshot(bytes) {
        match seen::skim(bytes) {
            Some(seen) => player.saw(&seen, now_ns, stats),
            None => stats.error("unreadable_snapshot"),
        }
        return;
    }
    match ServerMessage::decode(encoding, bytes) {
        Ok(message) => player.received(message, now_ns, stats, wishes),
        Err(error) => stats.error(format!("unreadable_{}", error.label())),
    }
}
