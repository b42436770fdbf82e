//! The task of one connection: reads frames, lets the state machine judge them, hands requests on.
//!
//! What can be done at once is done in the poll that read it. What must ask Redis or Postgres runs as the one slow
//! request of the connection, while frames go on being read; a second slow one stops the reading until the first is
//! done, which keeps them in order and bounds what a client can have under way.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rally_link::{Frame, Request, Verified};
use rally_protocol::{
    client::{
        codec::Encoding,
        v1::{ErrorCode, ErrorMessage, QueueLeft, Queued, Token, close},
    },
    limits::CLIENT_MESSAGE_BYTES_MAX,
};
use rally_service::clock;
use rally_units::{Instant, SessionId, UserId};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
};
use tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use super::{
    Identity, Sockets, TokenRefused,
    peer::{ConnId, Effect, Effects, Peer, SharedPeer},
    services::{Answer, Slow},
};
use crate::{
    hub::{Event, OpenedSession},
    limits::Place,
    metrics, social,
};

/// Of the read buffer. Inputs are below 100 bytes; what is larger (a `hello`) grows it for the moment.
const READ_BUFFER_BYTES: usize = 1024;

/// Frames judged before other tasks have their turn.
const FRAMES_PER_POLL: usize = 32;

/// What is read and thrown away after our close, so that the client reads the close before it meets a reset.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// Serves one connection until it ends. `already_read` is what the HTTP server read beyond the handshake.
pub(crate) async fn serve(
    id: ConnId,
    encoding: Encoding,
    stream: TcpStream,
    already_read: Bytes,
    sockets: Arc<Sockets>,
) {
    let (read, write) = stream.into_split();
    let peer = Arc::new(Peer::new(id, encoding, write, sockets.metrics.clone(), clock::now()));
    if sockets.hub.try_send(Event::Connected(peer.clone())).is_err() {
        // The hub is overwhelmed or has ended: a socket that nobody looks after is not kept.
        return;
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX));
    let protocol = if already_read.is_empty() {
        WebSocketContext::new(Role::Server, Some(config))
    } else {
        WebSocketContext::from_partially_read(already_read.to_vec(), Role::Server, Some(config))
    };
    // Even when empty it holds the HTTP server's read buffer of 8 KiB, and an argument lives as long as the future.
    drop(already_read);
    let _gone = Gone { peer: peer.clone(), sockets: sockets.clone() };
    let phase = Phase::Reading(Box::new(protocol));
    let mut task =
        Task { peer, sockets, read, phase, identity: None, place: None, session: None, slow: None, next_slow: None };
    poll_fn(|cx| task.poll(cx)).await;
}

/// Tells the hub when the task ends, in whatever way.
struct Gone {
    peer: SharedPeer,
    sockets: Arc<Sockets>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.peer.gone();
        // Should this be refused, the next look at the peer finds it gone.
        let _ = self.sockets.hub.try_send(Event::Closed(self.peer.id));
        let _ = self.sockets.social.tell(social::Event::Closed(self.peer.id));
    }
}

enum Phase {
    Reading(Box<WebSocketContext>),
    /// A close is being written or has been: what still comes is thrown away, up to this many bytes.
    Discarding {
        left_bytes: usize,
    },
}

struct Task {
    peer: SharedPeer,
    sockets: Arc<Sockets>,
    read: OwnedReadHalf,
    phase: Phase,
    /// Whose connection it is, once a token has been verified.
    identity: Option<Box<Identity>>,
    /// Counts it among that user's.
    place: Option<Place<UserId>>,
    /// Its session, once opened.
    session: Option<SessionId>,
    slow: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    next_slow: Option<Slow>,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_slow(cx);
        self.poll_read(cx);
        // Reading may have begun a slow request, which runs only once it has been polled.
        self.poll_slow(cx);
        let (closing, over) = self.peer.attend(cx.waker(), |out, aborted| {
            let drained = out.poll_drain(cx).is_ready();
            let closing = out.closing_since().is_some();
            if closing && drained {
                out.end();
            }
            (closing, aborted || (out.is_ended() && !closing))
        });
        if over {
            return Poll::Ready(());
        }
        if closing && matches!(self.phase, Phase::Reading(_)) {
            // Frees the read buffer, and whatever the client had begun to say.
            self.phase = Phase::Discarding { left_bytes: DISCARD_BYTES_MAX };
        }
        match &mut self.phase {
            Phase::Reading(_) => Poll::Pending,
            Phase::Discarding { left_bytes } => discard(Pin::new(&mut self.read), left_bytes, cx),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) {
        let now = clock::now();
        for _ in 0..FRAMES_PER_POLL {
            // Before `welcome`, and with two slow requests waiting, the client has to wait too.
            if (self.slow.is_some() && self.session.is_none()) || self.next_slow.is_some() {
                return;
            }
            let Phase::Reading(protocol) = &mut self.phase else { return };
            let mut duplex = Duplex { read: Pin::new(&mut self.read), peer: &self.peer, cx };
            let result = protocol.read(&mut duplex);
            let frame = match &result {
                Ok(Message::Text(text)) => Frame::Text(text.as_bytes()),
                Ok(Message::Binary(bytes)) => Frame::Binary(bytes),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Frame::Control,
                Ok(Message::Close(frame)) => {
                    self.peer.answer_close(frame.as_ref().map_or(close::NORMAL, |frame| frame.code.into()));
                    return;
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return,
                Err(Error::Capacity(_)) => Frame::TooLarge,
                Err(Error::Utf8(_)) => Frame::NotUtf8,
                Err(
                    Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                    | Error::Io(_)
                    | Error::ConnectionClosed
                    | Error::AlreadyClosed,
                ) => return self.peer.end(),
                Err(_) => Frame::Broken,
            };
            let broken = result.is_err();
            let effects = self.peer.drive(now, |connection| connection.frame(now, frame));
            self.perform(now, effects);
            if broken {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    fn perform(&mut self, now: Instant, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Verify(token) => self.verify(now, &token),
                Effect::Do(request) => self.request(now, request),
            }
        }
    }

    fn verify(&mut self, now: Instant, token: &Token) {
        // Noted before it counts: a login that ends from now on closes this connection.
        let verified = self.sockets.verify.verify(token).and_then(|identity| match identity.login {
            Some(login) if !self.sockets.revoked.opened(login, &self.peer) => Err(TokenRefused::SignedOut),
            _ => Ok(identity),
        });
        let effects = match verified {
            Ok(identity) => {
                let verified = Verified { user: identity.user.id, expires: now + identity.expires_in };
                if self.identity.is_none() {
                    self.place = self.sockets.limits.socket_of_user(identity.user.id);
                    if self.place.is_none() {
                        return self.peer.close(close::TOO_MANY, "too many connections", "too_many_of_user");
                    }
                    self.identity = Some(Box::new(identity));
                }
                self.peer.drive(now, |connection| connection.verified(now, verified))
            }
            Err(refused) => self.peer.drive(now, |connection| connection.refused(&refused.to_string())),
        };
        self.perform(now, effects);
    }

    fn request(&mut self, now: Instant, request: Request) {
        let conn = self.peer.id;
        match request {
            Request::Input { match_id, side, seq, dir, press } => {
                let input = Event::Input { conn, match_id, side, seq, dir, press, at: now };
                if self.sockets.hub.try_send(input).is_err() {
                    self.sockets.metrics.inputs_dropped.increment(1);
                }
            }
            Request::Open { resume } => {
                if let Some(identity) = self.identity.clone() {
                    self.begin(Slow::Open { identity, resume });
                }
            }
            Request::QueueJoin { mode, skill } => {
                if let (Some(identity), Some(session)) = (self.identity.clone(), self.session) {
                    self.begin(Slow::QueueJoin { identity, session, mode, skill });
                }
            }
            Request::QueueLeave => {
                if let Some(identity) = &self.identity {
                    self.begin(Slow::QueueLeave { user: identity.user.id });
                }
            }
            Request::MatchJoin { match_id, join_as, skill } => {
                if self.sockets.hub.try_send(Event::Join { conn, match_id, join_as, skill }).is_err() {
                    self.peer.drive(now, |connection| {
                        connection.join_refused(match_id);
                        rally_link::Outputs::new()
                    });
                    self.overloaded("match_join");
                }
            }
            Request::Talk(talk) => {
                let of = talk.of();
                if !self.sockets.social.tell(social::Event::Talk { conn, talk }) {
                    self.overloaded(of);
                }
            }
            Request::Command { match_id, command } => {
                if self.sockets.hub.try_send(Event::Command { conn, match_id, command }).is_err() {
                    self.overloaded(crate::hub::command_name(command));
                }
            }
            Request::MatchLeave { match_id } => {
                if self.sockets.hub.try_send(Event::Leave { conn, match_id }).is_err() {
                    // The hub would go on believing that it is there.
                    self.peer.close(close::RESTART, "overloaded", "hub_full");
                }
            }
        }
    }

    fn begin(&mut self, slow: Slow) {
        if self.slow.is_none() {
            self.slow = Some(self.sockets.services.perform(slow));
        } else {
            self.next_slow = Some(slow);
        }
    }

    fn poll_slow(&mut self, cx: &mut Context<'_>) {
        while let Some(slow) = &mut self.slow {
            let Poll::Ready(answer) = slow.as_mut().poll(cx) else { return };
            self.slow = self.next_slow.take().map(|next| self.sockets.services.perform(next));
            self.answer(clock::now(), answer);
            // Reading may have stopped for it.
            cx.waker().wake_by_ref();
        }
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let conn = self.peer.id;
        match answer {
            Answer::Opened(opened) => {
                let Some(identity) = &self.identity else { return };
                self.session = Some(opened.welcome.session);
                let session = OpenedSession {
                    session: opened.welcome.session,
                    user: identity.user.clone(),
                    ticket: opened.ticket,
                };
                if self.sockets.hub.try_send(Event::Opened { conn, session: Box::new(session) }).is_err() {
                    self.peer.close(close::RESTART, "overloaded", "hub_full");
                    return;
                }
                let come = social::Event::Opened {
                    peer: self.peer.clone(),
                    session: opened.welcome.session,
                    user: identity.user.clone(),
                };
                let is_told = self.sockets.social.tell(come);
                let mut welcome = opened.welcome;
                welcome.token_expires_in_s = u32::try_from(identity.expires_in.as_secs()).unwrap_or(u32::MAX);
                self.peer.drive(now, |connection| connection.opened(now, welcome));
                if !is_told {
                    // It would be nobody's friend, and read no channel.
                    self.peer.close(close::RESTART, "overloaded", "social_full");
                }
            }
            Answer::Queued { ticket, wait_s } => {
                let mode = ticket.mode;
                if self.sockets.hub.try_send(Event::Queued { conn, ticket: Some(ticket) }).is_err() {
                    // Nobody refreshes the ticket, so it expires in a moment.
                    return self.overloaded("queue_join");
                }
                self.peer.send(&Queued { mode, wait_s }.into());
            }
            Answer::QueueLeft(mode) => {
                // Should this be refused, the next refresh says that the ticket is gone.
                let _ = self.sockets.hub.try_send(Event::Queued { conn, ticket: None });
                self.peer.send(&QueueLeft { mode }.into());
            }
            Answer::Refused { error, label } => {
                metrics::refused(label);
                self.peer.send(&error.into());
            }
        }
    }

    fn overloaded(&self, of: &str) {
        metrics::refused("hub_full");
        let error = ErrorMessage {
            code: ErrorCode::Unavailable,
            detail: "this edge is overloaded".into(),
            of: Some(of.into()),
            match_id: None,
            until: None,
        };
        self.peer.send(&error.into());
    }
}

/// The socket as the WebSocket library sees it: reading is the task's own, what it writes (pongs) joins the rest.
struct Duplex<'a, 'b> {
    read: Pin<&'a mut OwnedReadHalf>,
    peer: &'a Peer,
    cx: &'a mut Context<'b>,
}

impl Read for Duplex<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Not `try_read`: after a read that did not fill the buffer this one knows that the socket is empty, and
        // spares the system call that would say so.
        let mut buf = ReadBuf::new(buf);
        match self.read.as_mut().poll_read(self.cx, &mut buf) {
            Poll::Ready(result) => result.map(|()| buf.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Duplex<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.peer.control(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.peer.flush();
        Ok(())
    }
}

/// Reads until the client has closed too, or has said more than one should after a close.
fn discard(mut read: Pin<&mut OwnedReadHalf>, left_bytes: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    let mut scratch = [0; 512];
    while *left_bytes > 0 {
        let mut buf = ReadBuf::new(&mut scratch);
        match ready!(read.as_mut().poll_read(cx, &mut buf)) {
            Ok(()) if !buf.filled().is_empty() => *left_bytes = left_bytes.saturating_sub(buf.filled().len()),
            Ok(()) | Err(_) => break,
        }
    }
    Poll::Ready(())
}
