//! A private Redis.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use secrecy::{ExposeSecret as _, SecretString};

use super::{LocalError, PORT_TRIES_MAX, PREDECESSOR_MAX, READY_MAX, free_port, guard, lock, programs, tail};
use guard::{Guarded, Spec, describe};

/// How a private Redis is to be.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Its folder; made where missing, readable by this user alone.
    pub dir: PathBuf,
    /// The port of 127.0.0.1; a free one when `None`.
    pub port: Option<u16>,
    /// Whether what it holds survives a restart (appendonly file, fsync each second).
    pub keeps_data: bool,
    /// Asked of every client.
    pub password: Option<SecretString>,
    /// Further lines of `redis.conf`: name and value.
    pub settings: Vec<(String, String)>,
}

impl RedisOptions {
    /// Loses everything at its end, has no password, listens on a free port.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, keeps_data: false, password: None, settings: Vec::new() }
    }
}

/// A running private Redis. Dropping it ends it.
#[derive(Debug)]
pub struct LocalRedis {
    process: Guarded,
    port: u16,
    password: Option<SecretString>,
}

impl LocalRedis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(options: &RedisOptions) -> Result<Self, LocalError> {
        let program = programs::find_redis()?;
        let dir = &options.dir;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(LocalError::io("create", dir))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = match options.port {
                Some(port) => port,
                None => free_port().map_err(LocalError::io("find a free port for", &program))?,
            };
            match Self::start_on(&program, options, port).await {
                Err(LocalError::Failed { said, .. })
                    if options.port.is_none() && tries < PORT_TRIES_MAX && said.contains("Address already in use") => {}
                done => return done,
            }
        }
    }

    async fn start_on(program: &Path, options: &RedisOptions, port: u16) -> Result<Self, LocalError> {
        let log_path = options.dir.join("redis.log");
        let log = lock::open_log(&log_path, PREDECESSOR_MAX).await?;
        let config = options.dir.join("redis.conf");
        write_config(&config, options, port).map_err(LocalError::io("write", &config))?;
        // Redis writes its file away on TERM; one that keeps nothing has nothing to write.
        let last_signal = if options.keeps_data { Signal::TERM } else { Signal::KILL };
        let spec = Spec::new(program).args([&config]).output(log).cwd(&options.dir).last_signal(last_signal);
        let process = Guarded::spawn(spec)?;
        let mut redis = Self { process, port, password: options.password.clone() };
        let started = Instant::now();
        loop {
            if let Some(status) = redis.process.exit() {
                let (status, said) = (describe(status), tail(&log_path));
                return Err(LocalError::Failed { program: "redis-server", status, said });
            }
            // The pid tells our server from one that was quicker to take the port.
            if redis.answering_pid().is_ok_and(|pid| pid == redis.process.pid()) {
                return Ok(redis);
            }
            if started.elapsed() > READY_MAX {
                return Err(LocalError::NotReady { program: "redis-server", within: READY_MAX, said: tail(&log_path) });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The pid of whoever answers on our port with all its data loaded. Blocks for 250 ms at most, on loopback.
    fn answering_pid(&self) -> io::Result<u32> {
        let within = Duration::from_millis(250);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), within)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        let mut request = Vec::new();
        if let Some(password) = &self.password {
            encode(&mut request, &["AUTH", password.expose_secret()]);
        }
        encode(&mut request, &["INFO", "server"]);
        encode(&mut request, &["PING"]);
        encode(&mut request, &["QUIT"]);
        stream.write_all(&request)?;
        let mut reply = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut reply)?;
        let text = String::from_utf8_lossy(&reply);
        // While it reads its file back, it answers `-LOADING` to PING.
        let pid = text.lines().find_map(|l| l.strip_prefix("process_id:")).and_then(|p| p.trim().parse().ok());
        pid.filter(|_| text.contains("+PONG")).ok_or_else(|| io::Error::other("not ready"))
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://…`, with the password where there is one.
    pub fn url(&self) -> SecretString {
        match &self.password {
            None => format!("redis://127.0.0.1:{}", self.port).into(),
            Some(p) => format!("redis://:{}@127.0.0.1:{}", p.expose_secret(), self.port).into(),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.exit().is_none()
    }

    /// Sends its process a signal, such as STOP or CONT.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it: gently, after 10 s by force.
    pub async fn stop(mut self) {
        self.process.end(Signal::TERM, Duration::from_secs(10)).await;
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) {
        self.process.end(Signal::KILL, Duration::ZERO).await;
    }
}

/// A file rather than arguments, since a password in arguments is everybody's to read.
fn write_config(path: &Path, options: &RedisOptions, port: u16) -> io::Result<()> {
    let mut text = format!("bind 127.0.0.1\nport {port}\ndaemonize no\nsave \"\"\nloglevel notice\n");
    text.push_str(&format!("dir {}\n", quoted(&options.dir.display().to_string())));
    text.push_str(if options.keeps_data { "appendonly yes\nappendfsync everysec\n" } else { "appendonly no\n" });
    if let Some(password) = &options.password {
        text.push_str(&format!("requirepass {}\n", quoted(password.expose_secret())));
    }
    for (name, value) in &options.settings {
        text.push_str(&format!("{name} {}\n", quoted(value)));
    }
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encode(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_redis_reads_them() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        encode(&mut out, &["AUTH", "ö"]);
        assert_eq!(out, "*2\r\n$4\r\nAUTH\r\n$2\r\nö\r\n".as_bytes());
    }
}
