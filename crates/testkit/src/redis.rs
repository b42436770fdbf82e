//! A standalone Redis of one's own.

use std::{path::Path, time::Duration};

use rally_service::local::{LocalError, LocalRedis, RedisOptions, ScratchDir, free_port};
use rustix::process::Signal;

use crate::{Authority, Certificate};

/// A standalone Redis on a free port, without persistence: whatever ends it, its memory is lost.
#[derive(Debug)]
pub struct Redis {
    // First, so that the server ends before its folder is removed.
    server: Option<LocalRedis>,
    options: RedisOptions,
    tls_port: Option<u16>,
    _dir: ScratchDir,
}

impl Redis {
    /// Starts one; returns once it answers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further lines of `redis.conf`, each a name and a value.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::try_start(settings).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// One that speaks TLS at another port, besides the plain one by which tests look into it.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with_tls(authority: &Authority, certificate: &Certificate, settings: &[(&str, &str)]) -> Self {
        // The second port may be taken by somebody else until it is ours.
        crate::eventually_ok(Duration::from_secs(60), || Self::try_start_with_tls(authority, certificate, settings))
            .await
    }

    pub(crate) async fn try_start_with_tls(
        authority: &Authority,
        certificate: &Certificate,
        settings: &[(&str, &str)],
    ) -> Result<Self, LocalError> {
        let port = free_port().unwrap_or_else(|e| panic!("no free port: {e}"));
        let path = |path: &Path| path.display().to_string();
        let (cert, key, ca) = (path(certificate.file()), path(certificate.key_file()), path(authority.file()));
        let number = port.to_string();
        let mut all = vec![
            ("tls-port", &*number),
            ("tls-cert-file", &cert),
            ("tls-key-file", &key),
            ("tls-ca-cert-file", &ca),
            ("tls-auth-clients", "no"),
        ];
        all.extend_from_slice(settings);
        let mut redis = Self::try_start(&all).await?;
        redis.tls_port = Some(port);
        Ok(redis)
    }

    /// Where it speaks TLS, if it was started so.
    ///
    /// # Panics
    /// When it was not.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.unwrap_or_else(|| panic!("started without TLS"))
    }

    pub(crate) async fn try_start(settings: &[(&str, &str)]) -> Result<Self, LocalError> {
        let dir = ScratchDir::new("redis").unwrap_or_else(|e| panic!("cannot make a folder for Redis: {e}"));
        let mut options = RedisOptions::new(dir.path().join("redis"));
        options.settings = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let users = dir.path().join("users.acl");
        std::fs::write(&users, acl()).unwrap_or_else(|e| panic!("cannot write {}: {e}", users.display()));
        // A test's own comes later, and counts.
        options.settings.insert(0, ("aclfile".to_owned(), users.display().to_string()));
        let server = LocalRedis::start(&options).await?;
        options.port = Some(server.port());
        Ok(Self { server: Some(server), options, tls_port: None, _dir: dir })
    }

    /// `redis://127.0.0.1:PORT`; stays the same over a restart.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The same for one of the users of `deploy/redis/users.rules`.
    pub fn url_as(&self, user: &str) -> String {
        format!("redis://{user}:{}@127.0.0.1:{}", password_of(user), self.port())
    }

    /// Its port of 127.0.0.1; stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.options.port.unwrap_or_default()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().map_or_else(|| panic!("Redis is stopped"), LocalRedis::pid)
    }

    /// Ends it with SIGTERM: clients see their connections closed.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Ends it with SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Kills it, if it runs, and starts it again on the same port, empty.
    pub async fn restart(&mut self) {
        self.kill().await;
        // The port was ours a moment ago; a client's outgoing connection may hold it for an instant.
        self.server =
            Some(crate::eventually_ok(std::time::Duration::from_secs(10), || LocalRedis::start(&self.options)).await);
    }

    /// Stops its process by SIGSTOP: connections stay open and nothing answers, as behind a half-open link.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        self.server.as_mut().unwrap_or_else(|| panic!("Redis is stopped")).signal(signal);
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Panics
    /// When the command fails.
    pub async fn cli(&self, command: &[&str]) -> String {
        cli(self.port(), command).await.unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// The same as one of the users of [`url_as`](Self::url_as); the error is what Redis or the program said.
    ///
    /// # Errors
    /// The command was refused or failed.
    pub async fn cli_as(&self, user: &str, command: &[&str]) -> Result<String, String> {
        let password = password_of(user);
        let auth = ["--no-auth-warning", "--user", user, "--pass", &password];
        cli(self.port(), &[&auth[..], command].concat()).await
    }
}

/// The password of a user in tests.
pub fn password_of(user: &str) -> String {
    format!("pw-of-{user}")
}

/// The users that a cluster's Redis has, and `default`, who may do everything without a password.
fn acl() -> String {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/redis/users.rules");
    let rules = std::fs::read_to_string(rules).unwrap_or_else(|e| panic!("{rules}: {e}"));
    let lines = rules.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let users = lines
        .filter_map(|line| line.split_once(' '))
        .map(|(user, allowed)| format!("user {user} on >{} {allowed}\n", password_of(user)));
    std::iter::once("user default on nopass ~* &* +@all\n".to_owned()).chain(users).collect()
}

/// Runs `redis-cli` against a port. An error reply of Redis is an error.
pub(crate) async fn cli(port: u16, command: &[&str]) -> Result<String, String> {
    let out = tokio::process::Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-e", "-p", &port.to_string()])
        .args(command)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| format!("cannot run redis-cli (`apt-get install redis-tools`): {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).trim_end().to_owned();
    if out.status.success() { Ok(text) } else { Err(format!("{text}{}", String::from_utf8_lossy(&out.stderr))) }
}
