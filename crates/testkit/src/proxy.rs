//! A TCP proxy whose faults are under control: what is between us and a server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Which bytes a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those from the client to the target.
    ToTarget,
    /// Those from the target to the client.
    ToClient,
    /// Both.
    Both,
}

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    /// Read and forgotten.
    Swallowed,
    /// Not read: they wait in the kernel's buffers.
    Held,
}

#[derive(Clone, Debug, Default)]
struct Faults {
    to_target: Flow,
    to_client: Flow,
    delay: Duration,
    stutter: Option<Stutter>,
    refuses: bool,
    /// Connections made before this number rose are dropped.
    generation: u64,
    /// They end with a reset rather than in order.
    resets: bool,
}

/// Some chunks, in percent and drawn by a counter's hash, are held for a while; those behind them wait, as TCP has it.
#[derive(Clone, Copy, Debug)]
struct Stutter {
    percent: u8,
    hold: Duration,
}

impl Stutter {
    /// How long the `n`th chunk waits.
    fn of(self, n: u32) -> Duration {
        // Knuth's multiplicative hash: neighbours are far apart, and nothing is left to chance.
        let drawn = (u64::from(n.wrapping_mul(2_654_435_761)) * 100) >> 32;
        if drawn < u64::from(self.percent) { self.hold } else { Duration::ZERO }
    }
}

/// Listens on a free port of 127.0.0.1 and passes bytes on to its target, until told otherwise. Lives on the runtime
/// it was started on; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: Arc<watch::Sender<Faults>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts one before a port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target_port: u16) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap_or_else(|e| panic!("no port for a proxy: {e}"));
        let port = listener.local_addr().unwrap_or_else(|e| panic!("a proxy's port: {e}")).port();
        let faults = Arc::new(watch::channel(Faults::default()).0);
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target_port));
        let accepting = tokio::spawn(accept(listener, target, faults.clone()));
        Self { port, faults, accepting }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A server's URL with this proxy's port in place of its own. It must name a port, as those of this crate do.
    ///
    /// # Panics
    /// When `url` does not contain `127.0.0.1:`.
    pub fn url(&self, url: &str) -> String {
        let Some((before, after)) = url.split_once("127.0.0.1:") else { panic!("no 127.0.0.1:PORT in {url}") };
        format!("{before}127.0.0.1:{}{}", self.port, after.trim_start_matches(|c: char| c.is_ascii_digit()))
    }

    /// From now on bytes are read and lost, and no socket tells: a half-open link. A connection that lost bytes stays
    /// silent in that direction also after [`Proxy::heal`] (its stream has a hole); new ones work again then.
    pub fn cut(&self, way: Way) {
        self.set(way, Flow::Swallowed);
    }

    /// From now on bytes wait; after [`Proxy::heal`] they arrive, as TCP delivers them after a short partition.
    pub fn hold(&self, way: Way) {
        self.set(way, Flow::Held);
    }

    /// Each byte arrives this much later, in both directions; throughput is not limited.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|f| f.delay = delay);
    }

    /// So many chunks in a hundred wait for this long, in each direction, and what comes behind them waits with them: a
    /// lost packet that is sent again. Which ones depends on their number only: every run holds the same.
    pub fn stutter(&self, percent: u8, hold: Duration) {
        self.faults.send_modify(|f| f.stutter = Some(Stutter { percent, hold }));
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuses: bool) {
        self.faults.send_modify(|f| f.refuses = refuses);
    }

    /// Closes all connections of this moment, in order.
    pub fn drop_connections(&self) {
        self.faults.send_modify(|f| (f.generation, f.resets) = (f.generation + 1, false));
    }

    /// Resets all connections of this moment (RST): as when the other machine has gone and another answers for it.
    pub fn reset_connections(&self) {
        self.faults.send_modify(|f| (f.generation, f.resets) = (f.generation + 1, true));
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.faults.send_modify(|f| *f = Faults { generation: f.generation, ..Faults::default() });
    }

    fn set(&self, way: Way, flow: Flow) {
        self.faults.send_modify(|f| {
            if way != Way::ToClient {
                f.to_target = flow;
            }
            if way != Way::ToTarget {
                f.to_client = flow;
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.drop_connections();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, faults: Arc<watch::Sender<Faults>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if !faults.borrow().refuses {
            tokio::spawn(connection(client, target, faults.subscribe()));
        }
    }
}

/// One connection: ends when either side does, or when connections are dropped.
async fn connection(client: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Faults>) {
    let born = faults.borrow_and_update().generation;
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut dropped = faults.clone();
    // Dropping a half shuts its direction down in order, so that both sockets are cut as a whole.
    let (mut client, mut server) = (client, server);
    let resets = {
        let ((client_in, client_out), (server_in, server_out)) = (client.split(), server.split());
        let pass = async {
            tokio::join!(
                direction(client_in, server_out, faults.clone(), 0, |f| f.to_target),
                direction(server_in, client_out, faults.clone(), 1 << 16, |f| f.to_client),
            )
        };
        tokio::select! {
            _ = pass => false,
            dropped = dropped.wait_for(|f| f.generation != born) => dropped.is_ok_and(|f| f.resets),
        }
    };
    if resets {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Chunks on their way, at most: beyond that the reader waits, and with it the sender.
const CHUNKS_MAX: usize = 1024;

async fn direction(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    faults: watch::Receiver<Faults>,
    first_chunk: u32,
    flow: impl Fn(&Faults) -> Flow,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let write = async {
        while let Some((due, bytes)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read(from, queue, faults, first_chunk, flow), write).map(|_| ())
}

async fn read(
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    mut faults: watch::Receiver<Faults>,
    first_chunk: u32,
    flow: impl Fn(&Faults) -> Flow,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut has_hole = false;
    let mut chunks = first_chunk;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        faults.wait_for(|f| flow(f) != Flow::Held).await.map_err(|_| gone())?;
        let n = tokio::select! {
            biased;
            // It may be held while we wait: what comes next must not be read then.
            held = faults.wait_for(|f| flow(f) == Flow::Held) => {
                held.map_err(|_| gone())?;
                continue;
            }
            n = from.read(&mut buffer) => n?,
        };
        let (flow_now, delay) = {
            let f = faults.borrow();
            // The two directions begin far apart, or they would stutter together.
            chunks = chunks.wrapping_add(1);
            (flow(&f), f.delay + f.stutter.map_or(Duration::ZERO, |s| s.of(chunks)))
        };
        has_hole |= flow_now == Flow::Swallowed;
        match (n, has_hole) {
            (0, false) => return Ok(()),
            // The end, too, is lost on this link.
            (0, true) => std::future::pending().await,
            (_, true) => {}
            (_, false) => {
                let chunk = (Instant::now() + delay, buffer[..n].to_vec());
                queue.send(chunk).await.map_err(|_| gone())?;
            }
        }
    }
}
