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
        tcp::{OwnedReadHalf, OwnedWriteHalf},
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
    refuses: bool,
    /// Connections made before this number rose are dropped.
    generation: u64,
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

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuses: bool) {
        self.faults.send_modify(|f| f.refuses = refuses);
    }

    /// Closes all connections of this moment.
    pub fn drop_connections(&self) {
        self.faults.send_modify(|f| f.generation += 1);
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
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let pass = async {
        tokio::join!(
            direction(client_in, server_out, faults.clone(), |f| f.to_target),
            direction(server_in, client_out, faults.clone(), |f| f.to_client),
        )
    };
    let mut dropped = faults.clone();
    tokio::select! {
        _ = pass => {}
        _ = dropped.wait_for(|f| f.generation != born) => {}
    }
}

/// Chunks on their way, at most: beyond that the reader waits, and with it the sender.
const CHUNKS_MAX: usize = 1024;

async fn direction(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: watch::Receiver<Faults>,
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
    tokio::try_join!(read(from, queue, faults, flow), write).map(|_| ())
}

async fn read(
    mut from: OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    mut faults: watch::Receiver<Faults>,
    flow: impl Fn(&Faults) -> Flow,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut has_hole = false;
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
            (flow(&f), f.delay)
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
