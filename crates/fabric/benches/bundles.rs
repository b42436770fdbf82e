//! What a bundle costs: CPU of the publishing and of the receiving side, for each bundle of 4 KiB at about 2,000 a second,
//! and the same by plain sockets, which is the least that it can cost.
//!
//! Each side is one thread with a runtime of its own, and its CPU time is the thread's. Bundles go out 8 at a time,
//! 240 times a second, as a worker's phases send them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::{Duration, Instant as StdInstant},
};

use bytes::Bytes;
use rally_fabric::{Fabric, FabricConfig, Role};
use rally_protocol::names;
use rally_testkit::Redis;
use rally_units::{Incarnation, Instant, NodeId};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

const BUNDLE_BYTES: usize = 4_096;
const PHASES: u32 = 240 * 5;
const PER_PHASE: u32 = 8;
const BUNDLES: u32 = PHASES * PER_PHASE;
const PHASE: Duration = Duration::from_micros(4_167);

fn clock() -> Instant {
    let now = clock_gettime(ClockId::Boottime);
    Instant::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

fn us_each(used: Duration) -> f64 {
    used.as_secs_f64() * 1e6 / f64::from(BUNDLES)
}

fn on_a_runtime<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

async fn ready(url: &str, name: &str) -> (Fabric, CancellationToken) {
    let shutdown = CancellationToken::new();
    let config = FabricConfig::new(url, name, Incarnation::from_bits(1), Role::Worker, clock);
    let fabric = Fabric::connect(config, shutdown.clone()).expect("valid");
    fabric.ready().await.expect("ready");
    (fabric, shutdown)
}

fn by_fabric(url: &str) -> (f64, f64) {
    let (is_ready, wait_ready) = mpsc::channel();
    let receiver = {
        let url = url.to_owned();
        thread::spawn(move || {
            on_a_runtime(async {
                let (fabric, _shutdown) = ready(&url, "receiver").await;
                let mut mailbox = fabric.take_mailbox().expect("first");
                is_ready.send(()).expect("waited for");
                mailbox.recv().await.expect("a bundle");
                let before = thread_cpu();
                for _ in 1..BUNDLES {
                    mailbox.recv().await.expect("a bundle");
                }
                us_each(thread_cpu() - before)
            })
        })
    };
    wait_ready.recv().expect("ready");
    let to = NodeId::of_name("receiver");
    let published = on_a_runtime(async {
        let (fabric, shutdown) = ready(url, "publisher").await;
        let bundle = Bytes::from(vec![1; BUNDLE_BYTES]);
        let mut phases = tokio::time::interval(PHASE);
        let before = thread_cpu();
        for _ in 0..PHASES {
            phases.tick().await;
            for _ in 0..PER_PHASE {
                assert!(fabric.send(to, bundle.clone()));
            }
        }
        // The last ones are still on their way.
        shutdown.cancel();
        fabric.finished().await;
        us_each(thread_cpu() - before)
    });
    (published, receiver.join().expect("received all"))
}

/// What a command looks like on the wire.
fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn by_plain_sockets(port: u16) -> (f64, f64) {
    let channel = names::mailbox(NodeId::of_name("plain"));
    let mut subscriber = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    subscriber.write_all(&command(&[b"SUBSCRIBE", channel.as_bytes()])).expect("written");
    let mut buffer = vec![0; 64 * 1024];
    subscriber.read(&mut buffer).map(drop).expect("confirmed");
    let frame = command(&[b"PUBLISH", channel.as_bytes(), &vec![1; BUNDLE_BYTES]]);
    let message_bytes = command(&[b"message", channel.as_bytes(), &vec![1; BUNDLE_BYTES]]).len();
    let receiver = thread::spawn(move || {
        let before = thread_cpu();
        let mut left = message_bytes * BUNDLES as usize;
        while left > 0 {
            left -= subscriber.read(&mut buffer).expect("read");
        }
        us_each(thread_cpu() - before)
    });
    let mut publisher = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let burst = frame.repeat(PER_PHASE as usize);
    let mut answers = [0; 4 * PER_PHASE as usize];
    let (start, before) = (StdInstant::now(), thread_cpu());
    for phase in 0..PHASES {
        thread::sleep((start + PHASE * phase).saturating_duration_since(StdInstant::now()));
        publisher.write_all(&burst).expect("written");
        publisher.read_exact(&mut answers).expect("answered");
    }
    (us_each(thread_cpu() - before), receiver.join().expect("received all"))
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    // The server belongs to its runtime, which has to go on.
    let (send_port, port) = mpsc::channel();
    thread::spawn(move || {
        on_a_runtime(async {
            let redis = Redis::start().await;
            send_port.send(redis.port()).expect("waited for");
            std::future::pending::<()>().await;
        });
    });
    let port = port.recv().expect("started");
    let url = format!("redis://127.0.0.1:{port}");
    let (published, received) = by_fabric(&url);
    let (published_least, received_least) = by_plain_sockets(port);
    println!("us of CPU for each bundle of {BUNDLE_BYTES} bytes, {BUNDLES} of them, 1,920 a second");
    println!("             fabric   plain sockets");
    println!("published  {published:8.1}  {published_least:8.1}");
    println!("received   {received:8.1}  {received_least:8.1}");
}
