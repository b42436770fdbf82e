//! What this machine can do at best: the CPU time of one 64-byte message over a loopback TCP connection.
//!
//! Two ways, since the system call is the same and what surrounds it is not:
//! - **blocking**: one connection, a thread that sends and one that sleeps in `recv` until the message comes, one message
//!   at a time.
//! - **epoll**: 64 non-blocking connections. All get a message, then the receiver, who slept, reads each after one
//!   `epoll_wait` for many; then the next round. This is what an edge and its clients do at each tick.
//!
//! CPU time is that of the thread (`CLOCK_THREAD_CPUTIME_ID`), user and system. On loopback the kernel does the
//! receiver's half of TCP within the sender's call, and wakes the receiver: both are in the sender's figure.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    time::{ClockId, clock_gettime},
};
use serde::Serialize;

/// Bytes of a message: about a snapshot with its frame.
const MESSAGE_BYTES: usize = 64;
/// Connections of the epoll way.
const FAN: usize = 64;

/// How much is measured. The best of the rounds is what counts: what disturbs one only ever adds to it.
#[derive(Clone, Copy, Debug)]
pub struct FloorOptions {
    /// Rounds of each way.
    pub rounds: usize,
    /// Messages in each round.
    pub messages: usize,
}

impl Default for FloorOptions {
    fn default() -> Self {
        Self { rounds: 9, messages: 20_000 }
    }
}

/// CPU time of one message, in microseconds, in the best of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// One `send` on a blocking socket.
    pub send_us: f64,
    /// One `recv` on a blocking socket.
    pub receive_us: f64,
    /// One `send` on one of many non-blocking sockets.
    pub send_epoll_us: f64,
    /// One `recv` on one of many non-blocking sockets, with its share of `epoll_wait`.
    pub receive_epoll_us: f64,
}

impl Floor {
    /// Measures; takes some seconds.
    pub fn measure(options: FloorOptions) -> io::Result<Self> {
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..options.rounds.max(1) {
            let (send, receive) = blocking(options.messages)?;
            let (send_epoll, receive_epoll) = with_epoll(options.messages)?;
            for (all, one) in rounds.iter_mut().zip([send, receive, send_epoll, receive_epoll]) {
                all.push(one);
            }
        }
        let [send_us, receive_us, send_epoll_us, receive_epoll_us] = rounds.map(best);
        Ok(Self { send_us, receive_us, send_epoll_us, receive_epoll_us })
    }

    /// The better of two measurements, before and after something.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        Self {
            send_us: self.send_us.min(other.send_us),
            receive_us: self.receive_us.min(other.receive_us),
            send_epoll_us: self.send_epoll_us.min(other.send_epoll_us),
            receive_epoll_us: self.receive_epoll_us.min(other.receive_epoll_us),
        }
    }
}

fn best(rounds: Vec<f64>) -> f64 {
    rounds.into_iter().fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread, in microseconds.
fn thread_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    receiver.set_nodelay(true)?;
    Ok((sender, receiver))
}

fn joined<T>(handle: thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    handle.join().map_err(|_| io::Error::other("the receiving thread panicked"))?
}

/// CPU time of one look at this clock, in microseconds: it is a system call, and not what is measured.
fn clock_cost_us() -> f64 {
    const LOOKS: usize = 1_000;
    let began_us = thread_cpu_us();
    for _ in 0..LOOKS {
        std::hint::black_box(thread_cpu_us());
    }
    (thread_cpu_us() - began_us) / LOOKS as f64
}

/// One send and one receive, in microseconds.
fn blocking(messages: usize) -> io::Result<(f64, f64)> {
    let (mut sender, mut receiver) = pair()?;
    let receiving = thread::spawn(move || {
        let mut buffer = [0; MESSAGE_BYTES];
        let mut received_us = 0.0;
        for _ in 0..messages {
            let began_us = thread_cpu_us();
            receiver.read_exact(&mut buffer)?;
            received_us += thread_cpu_us() - began_us;
            receiver.write_all(&[1])?;
        }
        io::Result::Ok(received_us)
    });
    let message = [7; MESSAGE_BYTES];
    let mut sent_us = 0.0;
    for _ in 0..messages {
        let began_us = thread_cpu_us();
        sender.write_all(&message)?;
        sent_us += thread_cpu_us() - began_us;
        // One at a time: many small sends in a row would be corked into one packet, and cost next to nothing.
        sender.read_exact(&mut [0])?;
    }
    let received_us = joined(receiving)?;
    let each = |us: f64| us / messages as f64 - clock_cost_us();
    Ok((each(sent_us), each(received_us)))
}

/// One send and one receive, in microseconds.
fn with_epoll(messages: usize) -> io::Result<(f64, f64)> {
    let rounds = messages.div_ceil(FAN);
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..FAN {
        let (sender, receiver) = pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        senders.push(sender);
        receivers.push(receiver);
    }
    // Says that a round has arrived; once for 64 messages.
    let (mut done, mut all_read) = pair()?;
    let receiving = thread::spawn(move || {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        for (i, receiver) in receivers.iter().enumerate() {
            epoll::add(&poll, receiver, EventData::new_u64(i as u64), EventFlags::IN | EventFlags::ET)?;
        }
        let mut events = Vec::with_capacity(FAN);
        let mut buffer = [0; 4 * MESSAGE_BYTES];
        let began_us = thread_cpu_us();
        for _ in 0..rounds {
            let mut missing = FAN * MESSAGE_BYTES;
            while missing > 0 {
                epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
                for event in events.drain(..) {
                    let got = (&receivers[event.data.u64() as usize]).read(&mut buffer)?;
                    missing = missing.saturating_sub(got.max(1));
                }
            }
            done.write_all(&[1])?;
        }
        io::Result::Ok(thread_cpu_us() - began_us)
    });
    let message = [7; MESSAGE_BYTES];
    let mut sent_us = 0.0;
    for _ in 0..rounds {
        let began_us = thread_cpu_us();
        for sender in &mut senders {
            // A socket with nothing in it takes 64 bytes.
            sender.write_all(&message)?;
        }
        sent_us += thread_cpu_us() - began_us;
        all_read.read_exact(&mut [0])?;
    }
    let received_us = joined(receiving)?;
    let sent = (rounds * FAN) as f64;
    Ok((sent_us / sent, received_us / sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_costs_something_and_not_much() {
        let floor = Floor::measure(FloorOptions { rounds: 3, messages: 2_000 }).expect("loopback");
        for us in [floor.send_us, floor.receive_us, floor.send_epoll_us, floor.receive_epoll_us] {
            assert!((0.05..1_000.0).contains(&us), "{floor:?}");
        }
    }

    #[test]
    fn what_was_disturbed_does_not_count() {
        assert_eq!(best(vec![3.0, 900.0, 2.0]), 2.0);
    }
}
