//! One node of the cluster: a process that can be ended, frozen and started again, and what its admin port says.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rally_service::local::{Guarded, Signal, Spec};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a node may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long an admin port may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read: metrics are some tens of kilobytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A variable of a node.
pub(crate) type Var = (&'static str, String);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Edge,
    Worker,
}

impl Role {
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Worker => "worker",
        }
    }
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Of an edge; 0 otherwise.
    pub(crate) port: u16,
    admin: u16,
    program: PathBuf,
    vars: Vec<Var>,
    log: PathBuf,
    process: Guarded,
}

impl Node {
    /// Starts it; it is not ready yet.
    pub(crate) fn start(
        name: String,
        role: Role,
        (port, admin): (u16, u16),
        program: PathBuf,
        vars: Vec<Var>,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let process = spawn(&program, role, &vars, &log)?;
        Ok(Self { name, role, port, admin, program, vars, log, process })
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.process.end(Signal::KILL, Duration::ZERO).await;
    }

    /// Asks it to end, as an orchestrator does, and waits; how it ended and how long it took.
    pub(crate) async fn drain(&mut self, within: Duration) -> anyhow::Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        self.process.signal(Signal::TERM);
        loop {
            if let Some(status) = self.process.exit() {
                return Ok((status, began.elapsed()));
            }
            if began.elapsed() > within {
                bail!("{} has not ended {} s after SIGTERM", self.name, within.as_secs());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it again after its end, with this program if it is another.
    pub(crate) async fn restart(&mut self, program: Option<&Path>) -> anyhow::Result<()> {
        if let Some(program) = program {
            self.program = program.to_owned();
        }
        self.process = spawn(&self.program, self.role, &self.vars, &self.log)?;
        self.ready().await
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.exit().is_none()
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.exit() {
                bail!("{} has ended ({status}): {}", self.name, last_lines(&self.log));
            }
            if self.get("/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            if began.elapsed() > READY_WITHIN {
                bail!("{} is not ready: {}", self.name, last_lines(&self.log));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The sum of a metric over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let answer = self.get("/metrics").await?;
        let mut sum = 0.0;
        for line in answer.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            if series.split('{').next() == Some(name) {
                sum += value.parse::<f64>().with_context(|| format!("{line} is no metric"))?;
            }
        }
        Ok(sum)
    }

    /// What it has logged.
    pub(crate) fn logged(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(ANSWER_WITHIN, ask).await.with_context(|| format!("{} does not answer", self.name))?;
        answer.with_context(|| format!("cannot ask {}", self.name))
    }
}

fn spawn(program: &Path, role: Role, vars: &[Var], log: &Path) -> anyhow::Result<Guarded> {
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    // `env` becomes the program: the pid stays, and nothing of our own environment reaches it.
    let mut words = vec!["-i".to_owned(), format!("PATH={}", std::env::var("PATH").unwrap_or_default())];
    words.extend(vars.iter().map(|(name, value)| format!("{name}={value}")));
    words.extend([program.display().to_string(), role.command().to_owned()]);
    Ok(Guarded::spawn(Spec::new("/usr/bin/env").args(words).output(output).last_signal(Signal::KILL))?)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}
