//! `swarm chat`: many read one channel over all edges, and what is said there comes faster and faster, until it lags or
//! is refused.
//!
//! Each person may say one message a second, so the readers take turns at speaking. A message carries the time at which
//! it was sent; sender and readers share a clock. A step counts as carried when everybody has heard everything, nothing
//! was refused, and of the deliveries 99 in 100 took no longer than the lag allowed.

mod readers;

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rally_client::Encoding;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    cli::{ChatArgs, EncodingName},
    dialer::{DIALS_MAX, Dialer},
    run::{allow_files, sources},
    stats::{self, Errors},
    watch::{self, NodeReport, Watch},
};
use readers::{Order, Readers, Word};

/// How long after the ramp all may take to read.
const JOIN_TIME_MAX: Duration = Duration::from_secs(30);
/// How much longer than its length a step may take to end: readers give up waiting before.
const STEP_GRACE: Duration = Duration::from_secs(20);
/// Of what the readers may say in all, one message a second each, so much is asked for at most.
const SHARE_MAX: f64 = 0.8;

/// What a step measured.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Messages a second that were to be sent.
    pub wanted_per_s: f64,
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Messages given to readers.
    pub delivered: u64,
    /// Those that never came: of each message, the readers who did not get it.
    pub missing: u64,
    /// Messages given to readers a second, from the first sent to the last that came.
    pub delivered_per_s: f64,
    /// From sending to a reader, in ms.
    pub p50_ms: f64,
    /// Of 100 deliveries, 99 were quicker.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Whether all of it was carried.
    pub carried: bool,
}

/// What a run of `swarm chat` measured.
#[derive(Clone, Debug, Serialize)]
pub struct ChatReport {
    /// Readers asked for.
    pub readers: usize,
    /// Readers that came to read.
    pub reading: usize,
    /// Edges that they are spread over.
    pub edges: usize,
    /// Each faster than the one before; the last is the first that was not carried, if any was not.
    pub steps: Vec<Step>,
    /// Messages a second of the fastest step that was carried.
    pub messages_per_s: Option<f64>,
    /// Messages given to readers a second, of the same step.
    pub delivered_per_s: Option<f64>,
    /// Of the same step.
    pub p50_ms: Option<f64>,
    /// Of the same step.
    pub p99_ms: Option<f64>,
    /// The processes, over all steps.
    pub nodes: Vec<NodeReport>,
    /// What went wrong and how often.
    pub errors: Errors,
    /// What did not meet its expectation.
    pub shortfalls: Vec<String>,
}

/// Runs it.
pub async fn chat(args: &ChatArgs) -> anyhow::Result<ChatReport> {
    let ChatArgs { target, readers, .. } = args;
    let readers = *readers;
    if target.encoding != EncodingName::Msgpack {
        bail!("readers skim msgpack only");
    }
    if readers == 0 || !(args.first_per_s > 0.0 && args.growth > 1.0 && args.step_s > 0 && target.ramp_per_s > 0.0) {
        bail!("expected at least one reader, rates above 0 and a growth above 1");
    }
    allow_files(readers as u64)?;
    let watch = Watch::new(&args.watch)?;
    let dialer =
        Dialer::new(target.edges.clone(), Encoding::Msgpack, sources(target, readers), false, readers, DIALS_MAX);
    let (orders, words, thread) = Readers::start(args.lag_ms)?;
    let mut crowd = Commander { orders, words, errors: Errors::new(), reading: 0 };

    crowd.gather(Arc::new(dialer), args).await;
    if !target.quiet {
        eprintln!("{} of {readers} read", crowd.reading);
    }
    let (before, began) = (watch.sample(), Instant::now());
    let fastest = args.max_per_s.unwrap_or(f64::INFINITY).min(SHARE_MAX * crowd.reading as f64);
    let mut steps: Vec<Step> = Vec::new();
    let mut rate = args.first_per_s.min(fastest);
    while crowd.reading > 0 {
        let step = crowd.step(rate, Duration::from_secs(args.step_s)).await?;
        if !target.quiet {
            eprintln!("{}", line(&step));
        }
        let goes_on = step.carried && rate < fastest;
        steps.push(step);
        if !goes_on {
            break;
        }
        rate = (rate * args.growth).min(fastest);
    }
    let after = watch.sample();
    let took_s = began.elapsed().as_secs_f64();
    let Commander { orders, errors, reading, .. } = crowd;
    drop(orders);
    tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| anyhow::anyhow!("the readers failed"))??;

    let best = steps.iter().rfind(|step| step.carried);
    let mut report = ChatReport {
        readers,
        reading,
        edges: target.edges.len(),
        messages_per_s: best.map(|step| step.wanted_per_s),
        delivered_per_s: best.map(|step| step.delivered_per_s),
        p50_ms: best.map(|step| step.p50_ms),
        p99_ms: best.map(|step| step.p99_ms),
        nodes: watch.nodes(&before, &after, took_s),
        errors,
        shortfalls: Vec::new(),
        steps,
    };
    let figures = [
        ("messages_per_s", report.messages_per_s),
        ("delivered_per_s", report.delivered_per_s),
        ("p50_ms", report.p50_ms),
        ("p99_ms", report.p99_ms),
        ("reading", Some(report.reading as f64 / readers as f64)),
        ("errors", Some(stats::total(&report.errors) as f64)),
    ];
    report.shortfalls = args.expect.iter().filter_map(|one| one.shortfall(&figures)).collect();
    if report.messages_per_s.is_none() {
        report.shortfalls.push("no step was carried".into());
    }
    Ok(report)
}

/// Speaks with the thread of the readers.
struct Commander {
    orders: std::sync::mpsc::Sender<Order>,
    words: mpsc::UnboundedReceiver<Word>,
    errors: Errors,
    reading: usize,
}

impl Commander {
    /// Opens the connections, and waits until all read or have had the time for it.
    async fn gather(&mut self, dialer: Arc<Dialer>, args: &ChatArgs) {
        let (failed, mut failures) = mpsc::unbounded_channel();
        let pause = Duration::from_secs_f64(1.0 / args.target.ramp_per_s);
        for reader in 0..args.readers {
            let edge = args.target.edges[reader % args.target.edges.len()].clone();
            let (dialer, orders, failed) = (dialer.clone(), self.orders.clone(), failed.clone());
            tokio::spawn(async move {
                match dialer.open(reader, &edge).await {
                    // A thread that has ended needs nobody.
                    Ok((stream, early, token)) => drop(orders.send(Order::Add { stream, early, token })),
                    Err(error) => drop(failed.send(error)),
                }
            });
            sleep(pause).await;
        }
        drop(failed);
        let all = args.readers;
        let mut missing = 0;
        let gathered = timeout(JOIN_TIME_MAX, async {
            while self.reading + missing < all {
                tokio::select! {
                    word = self.words.recv() => match word {
                        Some(word) => self.hear(word),
                        None => return,
                    },
                    Some(error) = failures.recv() => {
                        missing += 1;
                        self.errors.entry(error).or_default().count += 1;
                    }
                }
            }
        });
        // Who has not come by now is missing in the report.
        let _ = gathered.await;
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Reads => self.reading += 1,
            Word::Lost { reads, why } => {
                self.reading -= usize::from(reads);
                self.errors.entry(why).or_default().count += 1;
            }
            Word::Refused { code, detail } => {
                let error = self.errors.entry(code).or_default();
                if error.count == 0 {
                    error.first = detail;
                }
                error.count += 1;
            }
            Word::Stepped(_) => {}
        }
    }

    async fn step(&mut self, per_s: f64, length: Duration) -> anyhow::Result<Step> {
        self.orders.send(Order::Step { per_s, length }).context("the readers have ended")?;
        let stepped = timeout(length + STEP_GRACE, async {
            loop {
                match self.words.recv().await {
                    Some(Word::Stepped(step)) => return Some(step),
                    Some(word) => self.hear(word),
                    None => return None,
                }
            }
        });
        stepped.await.context("a step did not end")?.context("the readers have ended")
    }
}

fn line(step: &Step) -> String {
    format!(
        "  {:>9.1} {:>9} {:>9} {:>11} {:>9} {:>12.0} {:>9.1} {:>9.1} {:>9.1}  {}",
        step.wanted_per_s,
        step.sent,
        step.refused,
        step.delivered,
        step.missing,
        step.delivered_per_s,
        step.p50_ms,
        step.p99_ms,
        step.max_ms,
        if step.carried { "carried" } else { "NOT CARRIED" }
    )
}

impl ChatReport {
    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "  readers              {} of {}, on {} edges", self.reading, self.readers, self.edges)?;
        match (self.messages_per_s, self.delivered_per_s, self.p50_ms, self.p99_ms) {
            (Some(messages), Some(delivered), Some(p50), Some(p99)) => {
                writeln!(out, "  carried              {messages:.1} messages/s, {delivered:.0} deliveries/s")?;
                writeln!(out, "  latency              p50 {p50:.1} ms, p99 {p99:.1} ms")?;
            }
            _ => writeln!(out, "  carried              nothing")?,
        }
        writeln!(out, "  errors               {}", stats::listed(&self.errors))?;
        writeln!(
            out,
            "  {:>9} {:>9} {:>9} {:>11} {:>9} {:>12} {:>9} {:>9} {:>9}",
            "PER S", "SENT", "REFUSED", "DELIVERED", "MISSING", "DELIVERED/S", "P50 MS", "P99 MS", "MAX MS"
        )?;
        for step in &self.steps {
            writeln!(out, "{}", line(step))?;
        }
        if !self.nodes.is_empty() {
            writeln!(out, "  nodes")?;
            watch::table(&self.nodes, out);
        }
        for shortfall in &self.shortfalls {
            writeln!(out, "  NOT MET              {shortfall}")?;
        }
        Ok(())
    }
}
