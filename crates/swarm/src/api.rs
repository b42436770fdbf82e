//! `swarm api`: authenticated reads over connections that stay open, and how long they took.
//!
//! With a rate, each request has a moment at which it is due, and its time counts from there: a server that falls behind
//! cannot hide it by answering less often. Without one, each connection asks again as soon as it is answered.

use std::{
    cell::RefCell,
    fmt::Write as _,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rally_client::{Api, EdgeUrl};
use rally_units::UserId;
use serde::Serialize;
use tokio::{
    net::TcpStream,
    task::LocalSet,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    cli::ApiArgs,
    stats::{self, Errors},
};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// A time that a histogram takes, in microseconds; longer ones count as this.
const TIME_US_MAX: u64 = 60_000_000;
/// Sign-ins under way at once.
const SIGN_INS_MAX: usize = 16;
/// A pause after a connection that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What is read, in turn. `{}`: a user.
const READS: [(&str, &str); 10] = [
    ("leaderboard by rating", "/api/v1/leaderboard?limit=20"),
    ("leaderboard by wins", "/api/v1/leaderboard?by=wins&limit=20"),
    ("leaderboard around", "/api/v1/leaderboard?scope=around&limit=20"),
    ("leaderboard of friends", "/api/v1/leaderboard?scope=friends&limit=20"),
    ("profile", "/api/v1/users/{}"),
    ("statistics of a user", "/api/v1/users/{}/stats"),
    ("matches of a user", "/api/v1/users/{}/matches?limit=20"),
    ("matches", "/api/v1/matches?limit=20"),
    ("live matches", "/api/v1/matches?state=live"),
    ("statistics", "/api/v1/stats"),
];

/// Times of requests, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Requests that were answered well.
    pub requests: u64,
    /// Half of them took less.
    pub p50_ms: f64,
    /// All but a twentieth.
    pub p95_ms: f64,
    /// All but a hundredth.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What a run of `swarm api` measured.
#[derive(Clone, Debug, Serialize)]
pub struct ApiReport {
    /// Connections.
    pub connections: usize,
    /// Users that asked, in turn.
    pub users: usize,
    /// Requests due each second; absent: as many as were answered.
    pub rate: Option<f64>,
    /// Length of the window.
    pub window_s: f64,
    /// Requests answered well each second.
    pub requests_per_s: f64,
    /// All of them.
    pub all: Times,
    /// Each kind.
    pub each: Vec<(&'static str, Times)>,
    /// What went wrong and how often.
    pub errors: Errors,
    /// What did not meet its expectation.
    pub shortfalls: Vec<String>,
}

struct Measured {
    began: Instant,
    ends: Instant,
    each: Vec<Histogram<u64>>,
    errors: Errors,
}

impl Measured {
    /// A request that was due then, and answered now.
    fn answered(&mut self, kind: usize, due: Instant, result: Result<(), String>) {
        let now = Instant::now();
        if due < self.began || now > self.ends {
            return;
        }
        match result {
            Ok(()) => {
                let us = u64::try_from((now - due).as_micros()).unwrap_or(u64::MAX);
                self.each[kind].saturating_record(us);
            }
            Err(error) => self.errors.entry(error).or_default().count += 1,
        }
    }
}

/// Runs it.
pub async fn api(args: &ApiArgs) -> anyhow::Result<ApiReport> {
    if args.edges.is_empty() || args.connections == 0 || args.users == 0 {
        bail!("expected edges, connections and users");
    }
    if args.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        bail!("--rate: expected a number above 0");
    }
    let users = Rc::new(sign_in(args).await?);
    let begins = Instant::now();
    let began = begins + Duration::from_secs(args.warmup_s);
    let ends = began + Duration::from_secs(args.duration_s);
    let histogram = Histogram::new_with_bounds(1, TIME_US_MAX, 3).context("a histogram")?;
    let measured = Measured { began, ends, each: vec![histogram.clone(); READS.len()], errors: Errors::new() };
    let measured = Rc::new(RefCell::new(measured));
    let local = LocalSet::new();
    for n in 0..args.connections {
        let asker = Asker {
            edge: args.edges[n % args.edges.len()].clone(),
            users: users.clone(),
            measured: measured.clone(),
            begins,
            ends,
            between: args.rate.map(|rate| Duration::from_secs_f64(args.connections as f64 / rate)),
            next: n,
            step: args.connections,
        };
        // Spread over the time between two requests of one connection.
        let offset = asker.between.map(|between| between.mul_f64(n as f64 / args.connections as f64));
        local.spawn_local(asker.run(offset.unwrap_or_default()));
    }
    local.await;
    let measured = measured.borrow();
    let mut all = histogram;
    for each in &measured.each {
        all.add(each).context("a histogram")?;
    }
    let window_s = args.duration_s as f64;
    let mut report = ApiReport {
        connections: args.connections,
        users: users.len(),
        rate: args.rate,
        window_s,
        requests_per_s: all.len() as f64 / window_s.max(1e-9),
        all: times(&all),
        each: READS.iter().zip(&measured.each).map(|((name, _), each)| (*name, times(each))).collect(),
        errors: measured.errors.clone(),
        shortfalls: Vec::new(),
    };
    let figures = [
        ("requests_per_s", Some(report.requests_per_s)),
        ("p50_ms", Some(report.all.p50_ms)),
        ("p95_ms", Some(report.all.p95_ms)),
        ("p99_ms", Some(report.all.p99_ms)),
        ("errors", Some(stats::total(&report.errors) as f64)),
    ];
    report.shortfalls = args.expect.iter().filter_map(|one| one.shortfall(&figures)).collect();
    if all.is_empty() {
        report.shortfalls.push("nothing was answered".into());
    }
    Ok(report)
}

fn times(histogram: &Histogram<u64>) -> Times {
    let ms = |us: u64| us as f64 / 1e3;
    Times {
        requests: histogram.len(),
        p50_ms: ms(histogram.value_at_quantile(0.5)),
        p95_ms: ms(histogram.value_at_quantile(0.95)),
        p99_ms: ms(histogram.value_at_quantile(0.99)),
        max_ms: ms(histogram.max()),
    }
}

/// Somebody who asks.
struct Asking {
    id: UserId,
    bearer: String,
}

/// Guests, on the edges in turn. An edge limits what one user asks for, so there have to be many.
async fn sign_in(args: &ApiArgs) -> anyhow::Result<Vec<Asking>> {
    let mut users = Vec::with_capacity(args.users);
    while users.len() < args.users {
        let some = SIGN_INS_MAX.min(args.users - users.len());
        let mut under_way = tokio::task::JoinSet::new();
        for n in 0..some {
            let edge = args.edges[n % args.edges.len()].clone();
            let name = format!("reader_{}", users.len() + n);
            under_way.spawn(async move { Api::new(edge).sign_in_as_guest(&name).await });
        }
        while let Some(signed_in) = under_way.join_next().await {
            let identity = signed_in.context("a sign-in")?.context("cannot sign in")?;
            users.push(Asking { id: identity.user.id, bearer: format!("Bearer {}", identity.tokens.access) });
        }
    }
    Ok(users)
}

/// One connection.
struct Asker {
    edge: EdgeUrl,
    users: Rc<Vec<Asking>>,
    measured: Rc<RefCell<Measured>>,
    begins: Instant,
    ends: Instant,
    /// Between two requests, with a rate.
    between: Option<Duration>,
    /// The number of the next request, and by how much it rises: no two connections ask the same at once.
    next: usize,
    step: usize,
}

impl Asker {
    async fn run(mut self, offset: Duration) {
        let mut due = self.begins + offset;
        let mut sender = None;
        while Instant::now() < self.ends {
            match self.between {
                Some(_) => sleep_until(due.into()).await,
                None => due = Instant::now(),
            }
            let (kind, user) = (self.next % READS.len(), &self.users[self.next % self.users.len()]);
            let asked = timeout(ANSWER_TIME_MAX, self.ask(&mut sender, kind, user)).await;
            let result = asked.unwrap_or_else(|_| Err("timeout".to_owned()));
            let failed = result.is_err();
            self.measured.borrow_mut().answered(kind, due, result);
            if failed {
                // An edge ends a connection after five minutes; and what hangs is not waited for.
                sender = None;
                sleep(PAUSE).await;
            }
            self.next += self.step;
            due += self.between.unwrap_or_default();
        }
    }

    async fn ask(
        &self,
        sender: &mut Option<SendRequest<Empty<Bytes>>>,
        kind: usize,
        user: &Asking,
    ) -> Result<(), String> {
        if sender.as_ref().is_none_or(SendRequest::is_closed) {
            *sender = Some(self.connect().await?);
        }
        let Some(sender) = sender else { return Err("connect".into()) };
        let request = Request::get(READS[kind].1.replace("{}", &user.id.to_string()))
            .header(header::HOST, format!("{}:{}", self.edge.host(), self.edge.port()))
            .header(header::AUTHORIZATION, &user.bearer)
            .body(Empty::new())
            .map_err(|_| "request")?;
        sender.ready().await.map_err(|_| "closed")?;
        let answer = sender.send_request(request).await.map_err(|_| "http")?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(|_| "body")?;
        if status.is_success() { Ok(()) } else { Err(format!("status_{}", status.as_u16())) }
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream = TcpStream::connect((self.edge.host(), self.edge.port())).await.map_err(|_| "connect")?;
        stream.set_nodelay(true).map_err(|_| "connect")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| "connect")?;
        // It ends with its sender.
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

impl ApiReport {
    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let rate = self.rate.map_or("as fast as they are answered".to_owned(), |rate| format!("{rate} a second"));
        writeln!(out, "  connections          {} of {} users, {rate}", self.connections, self.users)?;
        writeln!(out, "  answered             {:.0} a second for {} s", self.requests_per_s, self.window_s)?;
        writeln!(
            out,
            "  {:<24} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms"
        )?;
        for (name, times) in self.each.iter().copied().chain([("all", self.all)]) {
            let Times { requests, p50_ms, p95_ms, p99_ms, max_ms } = times;
            writeln!(out, "  {name:<24} {requests:>9} {p50_ms:>9.2} {p95_ms:>9.2} {p99_ms:>9.2} {max_ms:>9.2}")?;
        }
        writeln!(out, "  errors               {}", stats::listed(&self.errors))?;
        for shortfall in &self.shortfalls {
            writeln!(out, "  NOT MET              {shortfall}")?;
        }
        Ok(())
    }
}
