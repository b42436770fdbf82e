//! A small process made of this crate's parts, driven through its environment, its admin port and its signals.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rally_service::{
    admin::{self, Identity},
    drain::{self, Drain, Outcome},
    env::{self, Env, ProcessEnv, Unit, Var},
    listen::listen,
    readiness::Readiness,
    signal::Endings,
    telemetry::{self, Telemetry, TelemetryConfig},
};
use rustix::process::{Pid, Signal, kill_process};

/// Something that has no default.
const REGION: Var = Var::new("RALLY_REGION", Unit::Text, "Where this node is.");
const VARS: &[Var] = &[REGION];

const IN_CHILD: &str = "SERVICE_TEST_CHILD";

/// Not a test by itself: the process that the tests below start and watch.
#[test]
fn child() {
    if std::env::var_os(IN_CHILD).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let code = runtime.block_on(run());
    std::process::exit(code);
}

async fn run() -> i32 {
    let mut env = Env::new(&ProcessEnv);
    let (addr, limit) = (admin::read_addr(&mut env), drain::read_limit(&mut env));
    let region = env.get::<String>(&REGION);
    let telemetry = TelemetryConfig::read(&mut env);
    let read = (|| Some((addr?, limit?, telemetry?, region?)))();
    let (addr, limit, telemetry, _) = match env.finish(read) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return i32::from(env::EXIT_CONFIG);
        }
    };
    let telemetry = Telemetry::start(telemetry, "edge", "node-7").unwrap();
    for warning in env::unknown(&ProcessEnv, &[VARS, admin::VARS, drain::VARS, telemetry::VARS]) {
        tracing::warn!("{warning}");
    }
    let listener = match listen(addr, &admin::ADMIN_ADDR).await {
        Ok(listener) => listener,
        Err(e) => {
            tracing::error!("{e}");
            return 1;
        }
    };
    let mut endings = Endings::listen().unwrap();
    let drain = Drain::new();
    let readiness = Readiness::new(drain.clone());
    let panicking = readiness.condition("panicking");
    let identity = Identity { role: "edge", node: "node-7".to_owned(), version: "1.2.3" };
    let router = admin::router(identity, readiness, telemetry.metrics.clone());
    println!("\naddr {}", listener.local_addr().unwrap());
    tokio::spawn(admin::serve(listener, router));

    // A task that dies, and one that needs two seconds to finish its work.
    let died = tokio::spawn(async { panic!("on purpose") }).await;
    assert!(died.is_err());
    panicking.latch();
    let guard = drain.admit().unwrap();
    tokio::spawn(async move {
        guard.drain().begun().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    });
    let ending = endings.next().await;
    tracing::info!(?ending, "draining");
    drain.begin(limit);
    match drain.wait().await {
        Outcome::Finished => 0,
        Outcome::DeadlinePassed { left } => 10 + i32::try_from(left).unwrap(),
    }
}

struct Node {
    child: Child,
    addr: SocketAddr,
}

impl Node {
    fn start(vars: &[(&str, &str)]) -> Self {
        let mut child = spawn(vars);
        let mut stdout = child.stdout.take().unwrap();
        let mut text = String::new();
        let mut byte = [0];
        let addr = loop {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "it ended: {text}");
            text.push(char::from(byte[0]));
            if let Some(addr) = text.strip_suffix('\n').and_then(|t| t.lines().last()?.strip_prefix("addr ")) {
                break addr.parse().unwrap();
            }
        };
        Self { child, addr }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn wait_for(&self, path: &str, what: &str) -> String {
        let started = Instant::now();
        loop {
            let reply = self.get(path);
            if reply.contains(what) {
                return reply;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{path} never said {what}: {reply}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its exit code and what it logged.
    fn end(mut self) -> (i32, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code().unwrap(), log)
    }
}

fn spawn(vars: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::child", "--nocapture"])
        .env(IN_CHILD, "yes")
        .env("RALLY_REGION", "here")
        .envs(vars.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_process_tells_its_state_and_ends_in_order() {
    let node = Node::start(&[("RALLY_ADMIN_ADDR", "127.0.0.1:0"), ("RALLY_DRIAN_MS", "1")]);
    let ready = node.wait_for("/readyz", "200 OK");
    assert!(ready.ends_with("ready\n"), "{ready}");
    assert!(node.get("/healthz").contains("200 OK"));
    assert!(node.get("/nothing").contains("404"));
    let version = node.get("/version");
    let version: serde_json::Value = serde_json::from_str(version.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (&version["version"], &version["role"], &version["node"]),
        (&"1.2.3".into(), &"edge".into(), &"node-7".into())
    );
    let metrics = node.get("/metrics");
    for line in [
        "rally_panics_total 1",
        "rally_ready 1",
        "rally_build_info{version=\"1.2.3\",role=\"edge\"} 1",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no {line} in {metrics}");
    }

    node.signal(Signal::TERM);
    let unready = node.wait_for("/readyz", "503");
    assert!(unready.contains("not ready: draining"), "{unready}");
    let (code, log) = node.end();
    assert_eq!(code, 0);
    let lines: Vec<serde_json::Value> =
        log.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().all(|l| l["node"] == "node-7" && l["role"] == "edge"));
    let said = |what: &str| lines.iter().any(|l| l["message"].as_str().is_some_and(|m| m.contains(what)));
    assert!(said("panicked: on purpose") && said("did you mean RALLY_DRAIN_MS?") && said("draining"), "{log}");
}

/// Takes one request and says yes to it; returns its head and body.
fn receive(listener: &TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let n = stream.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "it breaks off");
        text.extend_from_slice(&buffer[..n]);
        let all = String::from_utf8_lossy(&text);
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[test]
fn a_panic_is_told_to_sentry() {
    let sentry = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://k3y@{}/42", sentry.local_addr().unwrap());
    let node = Node::start(&[("RALLY_ADMIN_ADDR", "127.0.0.1:0"), ("RALLY_SENTRY_DSN", &dsn)]);
    let (head, body) = receive(&sentry);
    assert!(head.starts_with("POST /api/42/envelope/ HTTP/1.1"), "{head}");
    assert!(head.contains("x-sentry-auth: Sentry sentry_version=7,") && head.contains("sentry_key=k3y"), "{head}");
    let lines: Vec<serde_json::Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [envelope, item, event] = &lines[..] else { panic!("{body}") };
    assert_eq!((&envelope["event_id"], &item["type"]), (&event["event_id"], &"event".into()));
    assert_eq!(event["message"]["formatted"], "panicked: on purpose");
    assert_eq!(
        (&event["level"], &event["server_name"], &event["tags"]["role"]),
        (&"fatal".into(), &"node-7".into(), &"edge".into())
    );
    assert!(event["extra"]["location"].as_str().unwrap().contains("process.rs"), "{event}");
    assert!(event["release"].as_str().unwrap().starts_with("rally@"), "{event}");
    let sent = || node.get("/metrics").lines().any(|line| line == "rally_sentry_events_sent_total 1");
    let started = Instant::now();
    while !sent() {
        assert!(started.elapsed() < Duration::from_secs(20), "not counted");
        std::thread::sleep(Duration::from_millis(10));
    }
    node.wait_for("/readyz", "200 OK");
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, 0);
    assert!(!log.contains("k3y"), "{log}");
}

#[test]
fn a_sentry_that_is_away_holds_nobody_up_and_is_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dsn = format!("http://k3y@{nobody}/42");
    let node = Node::start(&[("RALLY_ADMIN_ADDR", "127.0.0.1:0"), ("RALLY_SENTRY_DSN", &dsn)]);
    let started = Instant::now();
    let refused = "rally_sentry_events_dropped_total{reason=\"refused\"} 1";
    while !node.get("/metrics").lines().any(|line| line == refused) {
        assert!(started.elapsed() < Duration::from_secs(20), "not counted");
        std::thread::sleep(Duration::from_millis(10));
    }
    node.wait_for("/readyz", "200 OK");
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
    let (code, log) = spawn_to_end(&[("RALLY_SENTRY_DSN", "https://sentry.example/42")]);
    assert!(code == 78 && log.contains("RALLY_SENTRY_DSN is no DSN"), "{log}");
}

fn spawn_to_end(vars: &[(&str, &str)]) -> (i32, String) {
    let output = spawn(vars).wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_deadline_ends_what_does_not_finish() {
    let node =
        Node::start(&[("RALLY_ADMIN_ADDR", "127.0.0.1:0"), ("RALLY_DRAIN_MS", "50"), ("RALLY_LOG_FORMAT", "text")]);
    node.wait_for("/readyz", "200 OK");
    node.signal(Signal::INT);
    let (code, log) = node.end();
    assert_eq!(code, 11, "one guard was left");
    assert!(log.contains("[edge node-7] ") && log.contains("draining ending=Interrupted"), "{log}");
}

#[test]
fn a_faulty_configuration_is_told_whole_and_ends_with_78() {
    let child = spawn(&[
        ("RALLY_REGION", ""),
        ("RALLY_DRAIN_MS", "soon"),
        ("RALLY_LOG", "rally=loudly"),
        ("RALLY_LOG_FORMAT", "xml"),
    ]);
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(78), "{text}");
    for name in ["RALLY_REGION is empty", "RALLY_DRAIN_MS is not", "RALLY_LOG is no", "RALLY_LOG_FORMAT is none"] {
        assert!(text.contains(name), "no {name} in {text}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_variable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let out = spawn(&[("RALLY_ADMIN_ADDR", &addr)]).wait_with_output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(text.contains(&format!("cannot listen on {addr}")) && text.contains("set RALLY_ADMIN_ADDR"), "{text}");
}

#[test]
fn the_admin_port_does_not_wait_for_slow_peers() {
    let node = Node::start(&[("RALLY_ADMIN_ADDR", "127.0.0.1:0")]);
    node.wait_for("/readyz", "200 OK");
    let mut slow = TcpStream::connect(node.addr).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
    let many: Vec<TcpStream> = (0..63).map(|_| TcpStream::connect(node.addr).unwrap()).collect();
    let mut one_more = TcpStream::connect(node.addr).unwrap();
    assert_eq!(one_more.read(&mut [0]).unwrap_or(0), 0, "refused at once");
    drop(many);
    let started = Instant::now();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reply = Vec::new();
    let _ = slow.read_to_end(&mut reply);
    assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
    assert!(started.elapsed() < Duration::from_secs(15), "cut off after ten seconds");
    // It appears with the first one.
    node.wait_for("/metrics", "rally_admin_connections_refused_total ");
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}
