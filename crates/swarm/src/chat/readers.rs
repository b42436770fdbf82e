//! The thread that reads and speaks: one epoll instance, all connections. Of a chat message only that much is read as
//! tells when it was sent.

use std::{
    collections::HashMap,
    io,
    sync::mpsc::{self as orders, TryRecvError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rally_client::Encoding;
use rally_protocol::{
    client::{
        codec::Messages as _,
        v1::{ChannelJoin, ChannelName, ChatSend, ErrorMessage, Hello, Nonce, ServerMessage, Token},
    },
    limits::SERVER_MESSAGE_BYTES_MAX,
};
use rmp::decode::{read_array_len, read_bin_len, read_bool, read_int, read_str_len};
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};
use tokio::sync::mpsc;

use super::Step;
use crate::{
    conn::{Conn, Lost},
    frame::Frame,
    stats,
};

/// Room for the largest message and what comes with it.
const READ_BYTES: usize = SERVER_MESSAGE_BYTES_MAX + 16 * 1024;
const EVENTS_MAX: usize = 512;
/// The loop looks at its orders at least this often.
const WAKE_EVERY: Duration = Duration::from_millis(5);
/// After a step's last message, for the rest to come. Beyond the lag allowed, so that what lags is told from what is lost.
const DRAIN: Duration = Duration::from_secs(10);

/// To the thread. It ends with the last sender.
pub(super) enum Order {
    /// One more reader.
    Add { stream: std::net::TcpStream, early: Bytes, token: Token },
    /// So many messages a second, for so long.
    Step { per_s: f64, length: Duration },
}

/// From the thread.
pub(super) enum Word {
    /// One more reads.
    Reads,
    /// One is gone; whether it read.
    Lost { reads: bool, why: String },
    /// Something was refused.
    Refused { code: String, detail: String },
    /// A step is over.
    Stepped(Step),
}

struct Reader {
    conn: Conn,
    reads: bool,
}

/// A step under way.
struct Running {
    number: u64,
    per_s: f64,
    began: Instant,
    ends: Instant,
    sent: u64,
    refused: u64,
    delivered: u64,
    /// How many were to hear what was sent.
    expected: u64,
    last: Instant,
    us: Histogram<u64>,
}

pub(super) struct Readers {
    orders: orders::Receiver<Order>,
    words: mpsc::UnboundedSender<Word>,
    poll: rustix::fd::OwnedFd,
    readers: HashMap<u64, Reader>,
    /// In the order in which they speak.
    speakers: Vec<u64>,
    next_speaker: usize,
    next: u64,
    origin: Instant,
    lag_ms: f64,
    steps: u64,
    running: Option<Running>,
    buffer: Vec<u8>,
}

type Parts = (orders::Sender<Order>, mpsc::UnboundedReceiver<Word>, JoinHandle<io::Result<()>>);

impl Readers {
    /// Starts the thread, without readers.
    pub(super) fn start(lag_ms: f64) -> io::Result<Parts> {
        let (order, orders) = orders::channel();
        let (words, heard) = mpsc::unbounded_channel();
        let readers = Self {
            orders,
            words,
            poll: epoll::create(CreateFlags::CLOEXEC)?,
            readers: HashMap::new(),
            speakers: Vec::new(),
            next_speaker: 0,
            next: 0,
            origin: Instant::now(),
            lag_ms,
            steps: 0,
            running: None,
            buffer: vec![0; READ_BYTES],
        };
        let thread = std::thread::Builder::new().name("readers".into()).spawn(move || readers.run())?;
        Ok((order, heard, thread))
    }

    fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            let timeout = Timespec { tv_sec: 0, tv_nsec: self.pause().as_nanos() as i64 };
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.ready(event.data.u64());
            }
            loop {
                match self.orders.try_recv() {
                    Ok(order) => self.obey(order)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        self.readers.values_mut().for_each(|reader| reader.conn.close());
                        return Ok(());
                    }
                }
            }
            self.speak();
            self.end_step();
        }
    }

    /// Until the next message is due.
    fn pause(&self) -> Duration {
        let Some(running) = &self.running else { return WAKE_EVERY };
        let due = running.began + Duration::from_secs_f64(running.sent as f64 / running.per_s);
        due.saturating_duration_since(Instant::now()).min(WAKE_EVERY)
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Add { stream, early, token } => {
                let id = self.next;
                self.next += 1;
                stream.set_nonblocking(true)?;
                let mut conn = Conn::new(stream, Encoding::Msgpack, &early);
                let flags = EventFlags::IN | EventFlags::RDHUP;
                epoll::add(&self.poll, &conn.stream, EventData::new_u64(id), flags)?;
                let said = conn.send(&Hello { token, resume: None }.into());
                self.readers.insert(id, Reader { conn, reads: false });
                if let Err(lost) = said {
                    self.lose(id, &lost);
                }
            }
            Order::Step { per_s, length } => {
                self.steps += 1;
                let began = Instant::now();
                self.running = Some(Running {
                    number: self.steps,
                    per_s,
                    began,
                    ends: began + length,
                    sent: 0,
                    refused: 0,
                    delivered: 0,
                    expected: 0,
                    last: began,
                    us: stats::histogram(),
                });
            }
        }
        Ok(())
    }

    /// Sends what is due, each by the next speaker.
    fn speak(&mut self) {
        let now = Instant::now();
        loop {
            let Some(running) = &mut self.running else { return };
            let due = running.began + Duration::from_secs_f64(running.sent as f64 / running.per_s);
            if now < due || due >= running.ends || self.speakers.is_empty() {
                return;
            }
            self.next_speaker = (self.next_speaker + 1) % self.speakers.len();
            let id = self.speakers[self.next_speaker];
            running.sent += 1;
            running.expected += self.speakers.len() as u64;
            let text = format!("{} {}", running.number, self.origin.elapsed().as_micros());
            let nonce = format!("{}-{}", running.number, running.sent);
            let Some(reader) = self.readers.get_mut(&id) else { continue };
            let (Ok(channel), Ok(text), Ok(nonce)) = (channel(), text.as_str().try_into(), Nonce::try_from(nonce))
            else {
                return;
            };
            if let Err(lost) = reader.conn.send(&ChatSend { channel, text, nonce }.into()) {
                self.lose(id, &lost);
            }
        }
    }

    fn end_step(&mut self) {
        let now = Instant::now();
        let is_over = self.running.as_ref().is_some_and(|running| {
            let heard = running.delivered + running.refused * self.speakers.len() as u64;
            now >= running.ends && (heard >= running.expected || now >= running.ends + DRAIN)
        });
        let Some(running) = self.running.take_if(|_| is_over) else { return };
        let ms = |q: f64| running.us.value_at_quantile(q) as f64 / 1e3;
        let missing = running.expected.saturating_sub(running.delivered);
        let took_s = (running.last - running.began).as_secs_f64();
        let step = Step {
            wanted_per_s: running.per_s,
            sent: running.sent,
            refused: running.refused,
            delivered: running.delivered,
            missing,
            delivered_per_s: if took_s > 0.0 { running.delivered as f64 / took_s } else { 0.0 },
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            max_ms: running.us.max() as f64 / 1e3,
            carried: running.refused == 0 && missing == 0 && running.sent > 0 && ms(0.99) <= self.lag_ms,
        };
        self.tell(Word::Stepped(step));
    }

    fn tell(&self, word: Word) {
        // Who commands has gone: the orders end too.
        let _ = self.words.send(word);
    }

    fn lose(&mut self, id: u64, lost: &Lost) {
        // Dropping the socket takes it out of epoll.
        let Some(reader) = self.readers.remove(&id) else { return };
        self.speakers.retain(|speaker| *speaker != id);
        let why = match lost {
            Lost::Closed(Some(code)) => format!("closed {code}"),
            Lost::Closed(None) => "lost".to_owned(),
            Lost::Bad(what) => (*what).to_owned(),
        };
        self.tell(Word::Lost { reads: reader.reads, why });
    }

    /// A connection can be read. Level-triggered: what is left is told again.
    fn ready(&mut self, id: u64) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let (mut pings, mut errors) = (Vec::new(), Vec::new());
        let (mut welcome, mut joined) = (false, false);
        let (running, origin) = (&mut self.running, self.origin);
        let read = reader.conn.read(&mut self.buffer, |frame| match frame {
            Frame::Message(bytes) => match kind(bytes) {
                Some(76) => {
                    if let (Some((step, sent_us)), Some(running)) = (skim(bytes), running.as_mut())
                        && step == running.number
                    {
                        let now = Instant::now();
                        running.delivered += 1;
                        running.last = now;
                        let us = ((now - origin).as_micros() as u64).saturating_sub(sent_us);
                        running.us.saturating_record(us.max(1));
                    }
                }
                Some(64) => welcome = true,
                Some(75) => joined = true,
                Some(67) => {
                    if let Ok(ServerMessage::ErrorMessage(error)) = ServerMessage::decode(Encoding::Msgpack, bytes) {
                        errors.push(error);
                    }
                }
                _ => {}
            },
            Frame::Ping(payload) => pings.push(payload.to_vec()),
            Frame::Pong | Frame::Close(_) => {}
        });
        let mut said = read.map(drop);
        for payload in pings {
            said = said.and_then(|()| reader.conn.pong(&payload));
        }
        if welcome && let Ok(channel) = channel() {
            said = said.and_then(|()| reader.conn.send(&ChannelJoin { channel, since: None }.into()));
        }
        if joined && !reader.reads {
            reader.reads = true;
            self.speakers.push(id);
            self.tell(Word::Reads);
        }
        for ErrorMessage { code, detail, of, .. } in errors {
            if of.as_deref() == Some("chat_send")
                && let Some(running) = &mut self.running
            {
                running.refused += 1;
            }
            self.tell(Word::Refused { code: code.as_str().to_owned(), detail });
        }
        if let Err(lost) = said {
            self.lose(id, &lost);
        }
    }
}

fn channel() -> Result<ChannelName, impl std::fmt::Debug> {
    ChannelName::try_from("global")
}

/// The number of a message's type.
fn kind(bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes;
    read_array_len(&mut rest).ok()?;
    read_int(&mut rest).ok()
}

/// The step of a chat message of ours and when it was sent, in us.
fn skim(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut rest = bytes;
    let rest = &mut rest;
    read_array_len(rest).ok()?;
    let _number: u8 = read_int(rest).ok()?;
    pass(rest, |rest| read_str_len(rest).ok())?;
    let _offset: u64 = read_int(rest).ok()?;
    pass(rest, |rest| read_bin_len(rest).ok())?;
    if read_array_len(rest).ok()? != 3 {
        return None;
    }
    pass(rest, |rest| read_bin_len(rest).ok())?;
    pass(rest, |rest| read_str_len(rest).ok())?;
    read_bool(rest).ok()?;
    let text = pass(rest, |rest| read_str_len(rest).ok())?;
    let (step, sent_us) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some((step.parse().ok()?, sent_us.parse().ok()?))
}

/// What is as long as `len` says, which is passed over.
fn pass<'a>(rest: &mut &'a [u8], len: impl FnOnce(&mut &'a [u8]) -> Option<u32>) -> Option<&'a [u8]> {
    let len = len(rest)? as usize;
    let (passed, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(passed)
}

#[cfg(test)]
mod tests {
    use rally_protocol::client::v1::{ChatMessage, UserInfo};
    use rally_units::{MatchId, UserId};

    use super::*;

    #[test]
    fn the_time_is_found_in_a_message_and_in_nothing_else() {
        let mut message = ChatMessage {
            channel: "global".into(),
            offset: 70_000,
            id: MatchId::from_bytes([1; 16]),
            from: UserInfo { id: UserId::from_bytes([2; 16]), name: "ada".into(), guest: true },
            text: "3 123456789".into(),
            sent_at: 1_790_000_000_000,
            nonce: Some("3-1".into()),
            edits: None,
            mentions: Vec::new(),
        };
        let bytes =
            |message: &ChatMessage| ServerMessage::from(message.clone()).encode(Encoding::Msgpack).expect("encodes");
        assert_eq!(kind(&bytes(&message)), Some(76));
        assert_eq!(skim(&bytes(&message)), Some((3, 123_456_789)));
        for cut in 0..40 {
            assert_eq!(skim(&bytes(&message)[..cut]), None);
        }
        message.text = "hello".into();
        assert_eq!(skim(&bytes(&message)), None);
    }
}
