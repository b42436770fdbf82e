//! A private Postgres.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    LocalError, PORT_TRIES_MAX, PREDECESSOR_MAX, READY_MAX, free_port, guard, lock, programs, tail, user::User,
};
use guard::{Guarded, Spec, describe};

/// How a private Postgres is to be.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Its folder, made where missing. As root, and where the unprivileged user cannot enter it, the files lie in
    /// `/var/tmp/rally-…` instead (the name follows from `dir`), and the file `postgres.location` in `dir` says so.
    pub dir: PathBuf,
    /// The port of 127.0.0.1; a free one when `None`.
    pub port: Option<u16>,
    /// The password of the role `rally`, set when the files are made; `None` lets every local user in.
    pub password: Option<SecretString>,
    /// Whether a commit survives the machine's crash. Tests do without, for speed.
    pub durable: bool,
    /// A certificate with those between it and its authority, and its key, both PEM: it then speaks TLS to who asks.
    pub tls: Option<(String, SecretString)>,
    /// Further settings: name and value.
    pub settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// Durable, without a password, on a free port.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, password: None, durable: true, tls: None, settings: Vec::new() }
    }
}

/// A running private Postgres with a database `rally`, owned by the superuser `rally`. Dropping it ends it.
#[derive(Debug)]
pub struct LocalPostgres {
    process: Guarded,
    port: u16,
    password: Option<SecretString>,
    home: PathBuf,
}

/// The role, and the database, that a new cluster has.
const ROLE: &str = "rally";

impl LocalPostgres {
    /// Makes the files where there are none, starts the server and waits until it answers.
    ///
    /// # Errors
    /// See [`LocalError`]; among them data of a major version that is not installed.
    pub async fn start(options: &PostgresOptions) -> Result<Self, LocalError> {
        let user = User::instead_of_root()?;
        let home = make_home(&options.dir, user)?;
        let data = home.join("data");
        let installed = programs::find_postgres()?;
        let program = match fs::read_to_string(data.join("PG_VERSION")) {
            Err(_) => &installed[0],
            // Several major versions may be installed: the one that wrote the data serves it.
            Ok(version) => installed.iter().find(|p| p.major == version.trim()).ok_or_else(|| {
                let majors: Vec<&str> = installed.iter().map(|p| p.major.as_str()).collect();
                LocalError::OtherVersion {
                    dir: data.clone(),
                    data: version.trim().to_owned(),
                    installed: majors.join(", "),
                }
            })?,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let port = match options.port {
                Some(port) => port,
                None => free_port().map_err(LocalError::io("find a free port for", &program.path))?,
            };
            match Self::start_on(&program.path, options, &home, user, port).await {
                Err(LocalError::Failed { said, .. })
                    if options.port.is_none() && tries < PORT_TRIES_MAX && said.contains("Address already in use") => {}
                done => return done,
            }
        }
    }

    async fn start_on(
        program: &Path,
        options: &PostgresOptions,
        home: &Path,
        user: Option<User>,
        port: u16,
    ) -> Result<Self, LocalError> {
        let data = home.join("data");
        let log_path = home.join("postgres.log");
        // Before the files are made, so that two who start at once do not both make them.
        let log = lock::open_log(&log_path, PREDECESSOR_MAX).await?;
        if !data.join("PG_VERSION").exists() {
            let (program, options, home) = (program.to_owned(), options.clone(), home.to_owned());
            tokio::task::spawn_blocking(move || initialise(&program, &options, &home, user))
                .await
                .map_err(|e| LocalError::io("initialise", &data)(io::Error::other(e)))??;
        }
        let mut args = vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
        if let Some((certificate, key)) = &options.tls {
            for (name, file, text) in [
                ("ssl_cert_file", "server.crt", certificate.as_str()),
                ("ssl_key_file", "server.key", key.expose_secret()),
            ] {
                let path = home.join(file);
                write_private(&path, text, user).map_err(LocalError::io("write", &path))?;
                args.extend(["-c".to_owned(), format!("{name}={}", path.display())]);
            }
            args.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        }
        for (name, value) in settings(options) {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        // INT is Postgres's fast shutdown (sessions end, data is flushed), QUIT the immediate one.
        let last_signal = if options.durable { Signal::INT } else { Signal::QUIT };
        let spec = Spec::new(program).args(args).output(log).cwd(home).user(user).last_signal(last_signal);
        let process = Guarded::spawn(spec)?;
        let mut postgres = Self { process, port, password: options.password.clone(), home: home.to_owned() };
        let started = Instant::now();
        loop {
            if let Some(status) = postgres.process.exit() {
                let (status, said) = (describe(status), tail(&log_path));
                return Err(LocalError::Failed { program: "postgres", status, said });
            }
            if is_ready(&data, postgres.process.pid()) {
                return Ok(postgres);
            }
            if started.elapsed() > READY_MAX {
                return Err(LocalError::NotReady { program: "postgres", within: READY_MAX, said: tail(&log_path) });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://…` of the database `rally`, with the password where there is one.
    pub fn url(&self) -> SecretString {
        self.url_of(ROLE)
    }

    /// The same for another database of this server.
    pub fn url_of(&self, database: &str) -> SecretString {
        let password = self.password.as_ref().map(|p| format!(":{}", p.expose_secret())).unwrap_or_default();
        format!("postgres://{ROLE}{password}@127.0.0.1:{}/{database}", self.port).into()
    }

    /// Where its files are: the folder asked for, or the one that took its place.
    pub fn location(&self) -> &Path {
        &self.home
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.exit().is_none()
    }

    /// Sends its main process a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it, sessions and all, with everything committed on disk; after 10 s by force.
    pub async fn stop(mut self) {
        self.process.end(Signal::INT, Duration::from_secs(10)).await;
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) {
        // Not SIGKILL: that would leave its children to find out by themselves.
        self.process.end(Signal::QUIT, Duration::from_secs(2)).await;
    }
}

/// Its own lock file says so in its eighth line; the first is its pid. So no other server is mistaken for it.
fn is_ready(data: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().and_then(|l| l.trim().parse().ok()) == Some(pid) && lines.nth(6).is_some_and(|l| l.trim() == "ready")
}

fn settings(options: &PostgresOptions) -> Vec<(String, String)> {
    let mut all = vec![
        ("listen_addresses", "127.0.0.1"),
        // TCP is enough, and a socket's path may be 107 bytes at most, which folders of tests exceed.
        ("unix_socket_directories", ""),
        ("max_connections", "200"),
        ("log_checkpoints", "off"),
        ("jit", "off"),
    ];
    if !options.durable {
        all.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "32MB"),
        ]);
    }
    all.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).chain(options.settings.iter().cloned()).collect()
}

/// Makes the folder, or its substitute that `user` can enter, owned by `user`.
fn make_home(dir: &Path, user: Option<User>) -> Result<PathBuf, LocalError> {
    let dir = std::path::absolute(dir).map_err(LocalError::io("find", dir))?;
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(LocalError::io("create", parent))?;
    }
    let Some(user) = user else {
        private_dir(&dir, None)?;
        return Ok(dir);
    };
    private_dir(&dir, Some(user))?;
    if user.can_enter(&dir) {
        return Ok(dir);
    }
    let real = fs::canonicalize(&dir).map_err(LocalError::io("find", &dir))?;
    let hash = xxhash_rust::xxh3::xxh3_64(real.as_os_str().as_encoded_bytes());
    let elsewhere = PathBuf::from(format!("/var/tmp/rally-{hash:016x}"));
    private_dir(&elsewhere, Some(user))?;
    let note = dir.join("postgres.location");
    fs::write(&note, format!("{}\n", elsewhere.display())).map_err(LocalError::io("write", &note))?;
    Ok(elsewhere)
}

/// Makes a folder that only its owner may enter. An existing one must be just that: anybody may make names in
/// `/var/tmp`.
fn private_dir(dir: &Path, owner: Option<User>) -> Result<(), LocalError> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            if let Some(user) = owner {
                chown(dir, Some(user.uid), Some(user.gid)).map_err(LocalError::io("give away", dir))?;
            }
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(LocalError::io("create", dir)(e)),
    }
    let uid = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |u| u.uid);
    let found = fs::symlink_metadata(dir).map_err(LocalError::io("inspect", dir))?;
    if found.is_dir() && found.uid() == uid && found.permissions().mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(LocalError::NotOurs { path: dir.to_owned(), uid })
    }
}

/// Makes the files beside their place and moves them there at the end: a start that is interrupted leaves nothing
/// half made.
fn initialise(program: &Path, options: &PostgresOptions, home: &Path, user: Option<User>) -> Result<(), LocalError> {
    let staging = home.join("data.new");
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(LocalError::io("remove", &staging))?;
    }
    let mut init = Command::new(program.with_file_name("initdb"));
    init.arg("-D").arg(&staging).args(["-U", ROLE, "-E", "UTF8", "--no-locale", "--no-instructions"]);
    if !options.durable {
        init.arg("--no-sync");
    }
    let password_file = home.join("password.new");
    match &options.password {
        None => _ = init.arg("--auth=trust"),
        Some(password) => {
            write_private(&password_file, password.expose_secret(), user)
                .map_err(LocalError::io("write", &password_file))?;
            init.arg("--auth=scram-sha-256").arg("--pwfile").arg(&password_file);
        }
    }
    let made = run(init, "initdb", home, user, None);
    let _ = fs::remove_file(&password_file);
    made?;
    // In single-user mode, which needs no client and no port.
    let mut single = Command::new(program);
    single.args(["--single", "-j"]).args((!options.durable).then_some("-F")).arg("-D").arg(&staging).arg("postgres");
    run(single, "postgres", home, user, Some(&format!("CREATE DATABASE {ROLE};\n")))?;
    fs::rename(&staging, home.join("data")).map_err(LocalError::io("move", &staging))
}

fn write_private(path: &Path, text: &str, user: Option<User>) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    user.map_or(Ok(()), |u| chown(path, Some(u.uid), Some(u.gid)))
}

fn run(
    mut command: Command,
    program: &'static str,
    cwd: &Path,
    user: Option<User>,
    input: Option<&str>,
) -> Result<(), LocalError> {
    command.current_dir(cwd).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let failed = |e| LocalError::io("run", program)(e);
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that ended at once says why on its way out, so that this error is not the one to report.
        let _ = stdin.write_all(input.as_bytes());
    }
    let out = child.wait_with_output().map_err(failed)?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).lines().map(str::trim).collect::<Vec<_>>().join(" | ");
    Err(LocalError::Failed { program, status: describe(out.status), said })
}
