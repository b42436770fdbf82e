//! What `play` and `idle` share: engines, dialer, ramp, progress, and the key that ends everything early.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, atomic::Ordering, mpsc as std_mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rally_units::MatchId;
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep_until},
};

use crate::{
    cli::{TargetArgs, When},
    dialer::{Dialer, Sources},
    engine::{Control, Engine, Order, Progress, Setup, Stage},
    player::Script,
    stats::Stats,
};

/// Players from which on `--spread-addresses auto` spreads.
const SPREAD_ABOVE: usize = 500;
/// Descriptors beside those of the players.
const FILES_EXTRA: u64 = 256;
/// A machine cannot carry more from here, and the names of guests have room for no more.
const PLAYERS_MAX: usize = 1_000_000;

/// How the players of a run behave.
pub(crate) struct Crowd {
    pub(crate) players: usize,
    pub(crate) script: Script,
    pub(crate) classic: bool,
    pub(crate) input_every: Option<Duration>,
    pub(crate) batch: Duration,
    /// Connections in the making at once.
    pub(crate) dials_max: usize,
    pub(crate) threads: usize,
}

/// What is known of all players together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overview {
    pub(crate) connected: usize,
    pub(crate) playing: usize,
    pub(crate) matches: usize,
    pub(crate) matches_on_two_edges: usize,
    errors: u64,
    reconnects: u64,
    input_p99_us: u64,
}

/// A run under way.
pub(crate) struct Run {
    control: Arc<Control>,
    dialer: Arc<Dialer>,
    engines: Vec<(JoinHandle<std::io::Result<Stats>>, std_mpsc::Sender<crate::engine::Delivery>)>,
    firsts: Vec<usize>,
    orders: mpsc::UnboundedReceiver<(usize, Order)>,
    reports: mpsc::UnboundedReceiver<Progress>,
    latest: Vec<Progress>,
    edges: usize,
    ramp_per_s: f64,
    players: usize,
    quiet: bool,
    interrupt: Signal,
    shown: (Instant, u64, f64),
    /// The user has seen enough.
    pub(crate) interrupted: bool,
}

/// CPU time of this process, in seconds.
pub(crate) fn own_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Run {
    /// Starts the engines. Nobody is connected yet.
    pub(crate) fn start(target: &TargetArgs, crowd: &Crowd) -> anyhow::Result<Self> {
        let Crowd { players, script, .. } = *crowd;
        if players == 0 || players > PLAYERS_MAX {
            bail!("expected 1 to {PLAYERS_MAX} players");
        }
        if !(target.ramp_per_s > 0.0 && target.ramp_per_s.is_finite()) {
            bail!("--ramp-per-s must be above 0");
        }
        allow_files(players as u64)?;
        let sources = sources(target, players);
        let control = Arc::new(Control::new());
        let edges = target.edges.clone();
        let encoding = target.encoding.into();
        let (order_sender, orders) = mpsc::unbounded_channel();
        let (report_sender, reports) = mpsc::unbounded_channel();
        // Pairs stay together: each engine gets an even number.
        let pairs = players.div_ceil(2);
        let threads = crowd.threads.clamp(1, pairs);
        let (mut engines, mut firsts) = (Vec::new(), Vec::new());
        for engine in 0..threads {
            let first = 2 * (pairs * engine / threads);
            let next = (2 * (pairs * (engine + 1) / threads)).min(players);
            let (delivery_sender, deliveries) = std_mpsc::channel();
            let (order, report) = (order_sender.clone(), report_sender.clone());
            let setup = Setup {
                engine,
                players: next - first,
                first_player: first,
                edges: edges.len(),
                script,
                encoding,
                input_every: crowd.input_every,
                batch: crowd.batch,
                control: Arc::clone(&control),
                deliveries,
                order: Box::new(move |it| drop(order.send((engine, it)))),
                report: Box::new(move |it| drop(report.send(it))),
            };
            let engine = Engine::new(setup).context("cannot create an epoll instance")?;
            let thread = std::thread::Builder::new().name(format!("swarm-{first}")).spawn(move || engine.run())?;
            engines.push((thread, delivery_sender));
            firsts.push(first);
        }
        Ok(Self {
            dialer: Arc::new(Dialer::new(edges.clone(), encoding, sources, crowd.classic, players, crowd.dials_max)),
            latest: vec![Progress::default(); threads],
            edges: edges.len(),
            ramp_per_s: target.ramp_per_s,
            quiet: target.quiet,
            interrupt: signal(SignalKind::interrupt())?,
            shown: (Instant::now(), 0, own_cpu_s()),
            interrupted: false,
            control,
            engines,
            firsts,
            orders,
            reports,
            players,
        })
    }

    /// Lets players up to the `until`-th arrive, from the `from`-th on.
    pub(crate) async fn ramp(&mut self, from: usize, until: usize) {
        let began = tokio::time::Instant::now();
        for player in from..until.min(self.players) {
            let due = began + Duration::from_secs_f64((player - from) as f64 / self.ramp_per_s);
            self.serve("arriving", |_| false, sleep_until(due)).await;
            if self.interrupted {
                return;
            }
            let engine = self.firsts.partition_point(|first| *first <= player) - 1;
            let slot = player - self.firsts[engine];
            self.carry_out(engine, Order::Open { slot, edge: player % self.edges, after: Duration::ZERO });
        }
    }

    fn carry_out(&self, engine: usize, order: Order) {
        let (dialer, deliveries) = (Arc::clone(&self.dialer), self.engines[engine].1.clone());
        tokio::spawn(dialer.carry_out(self.firsts[engine], order, deliveries));
    }

    /// Waits until `done` or for `time`; whether it was `done`.
    pub(crate) async fn wait(&mut self, what: &str, time: Duration, done: impl Fn(&Overview) -> bool) -> bool {
        self.serve(what, done, tokio::time::sleep(time)).await
    }

    /// Does what engines ask for, and shows how it goes, until `enough`, `done`, or a Ctrl-C.
    pub(crate) async fn serve(
        &mut self,
        what: &str,
        done: impl Fn(&Overview) -> bool,
        enough: impl Future<Output = ()>,
    ) -> bool {
        if self.interrupted || done(&self.overview()) {
            return !self.interrupted;
        }
        let mut progress = interval(Duration::from_secs(1));
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(enough);
        loop {
            tokio::select! {
                biased;
                Some((engine, order)) = self.orders.recv() => self.carry_out(engine, order),
                Some(report) = self.reports.recv() => {
                    let engine = report.engine;
                    self.latest[engine] = report;
                    if done(&self.overview()) {
                        return true;
                    }
                }
                () = &mut enough => return false,
                _ = self.interrupt.recv() => {
                    self.interrupted = true;
                    return false;
                }
                _ = progress.tick() => self.show(what),
            }
        }
    }

    pub(crate) fn overview(&self) -> Overview {
        let mut all = Overview::default();
        let mut matches: HashMap<MatchId, u64> = HashMap::new();
        for one in &self.latest {
            all.connected += one.connected;
            all.playing += one.players_in_match;
            all.errors += one.errors;
            all.reconnects += one.reconnects;
            all.input_p99_us = all.input_p99_us.max(one.input_p99_us);
            for (match_id, edges) in &one.playing {
                *matches.entry(*match_id).or_default() |= edges;
            }
        }
        all.matches = matches.len();
        all.matches_on_two_edges = matches.values().filter(|edges| edges.count_ones() > 1).count();
        all
    }

    /// One line, each second and on standard error, so that the table can be piped.
    fn show(&mut self, what: &str) {
        let (then, snapshots_then, cpu_then) = self.shown;
        let elapsed_s = then.elapsed().as_secs_f64();
        if self.quiet || elapsed_s < 0.9 {
            return;
        }
        let snapshots = self.control.snapshots.load(Ordering::Relaxed);
        let cpu_s = own_cpu_s();
        let overview = self.overview();
        eprintln!(
            "{:>5.0} s {what:<9} connected {:>5}/{}  in a match {:>5}  snapshots/s {:>7.0}  input p99 {:>6.1} ms  \
             reconnects {}  errors {}  own CPU {:.0} %",
            self.control.origin.elapsed().as_secs_f64(),
            overview.connected,
            self.players,
            overview.playing,
            (snapshots - snapshots_then) as f64 / elapsed_s,
            overview.input_p99_us as f64 / 1e3,
            overview.reconnects,
            overview.errors,
            (cpu_s - cpu_then) / elapsed_s * 100.0,
        );
        self.shown = (Instant::now(), snapshots, cpu_s);
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.control.enter(stage);
    }

    /// Sends the players home; what they measured.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Stats> {
        self.dialer.stop();
        self.control.enter(Stage::Stop);
        let mut all = Stats::default();
        for (thread, deliveries) in std::mem::take(&mut self.engines) {
            let joined = tokio::task::spawn_blocking(|| thread.join()).await?;
            drop(deliveries);
            all.merge(&joined.map_err(|_| anyhow!("an engine panicked"))?.context("an engine failed")?);
        }
        Ok(all)
    }
}

/// Lets this process open as many files as it may.
pub(crate) fn allow_files(players: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = players + FILES_EXTRA;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: limit.maximum.map_or(Some(wanted), |most| Some(most.min(wanted))), ..limit };
    setrlimit(Resource::Nofile, raised).context("cannot raise the number of open files")?;
    if raised.current.is_some_and(|current| current < wanted) {
        bail!("{players} players need {wanted} open files, and this process may have {:?}", raised.current);
    }
    Ok(())
}

pub(crate) fn sources(target: &TargetArgs, players: usize) -> Sources {
    let on_loopback = || {
        target.edges.iter().all(|edge| {
            let addresses = (edge.host(), edge.port()).to_socket_addrs();
            addresses.is_ok_and(|mut all| all.any(|address| matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback())))
        })
    };
    let spread = match target.spread_addresses {
        When::Always => true,
        When::Never => false,
        When::Auto => players > SPREAD_ABOVE && on_loopback(),
    };
    if spread { Sources::Spread } else { Sources::One }
}
