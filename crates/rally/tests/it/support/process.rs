//! Processes: running the executable with exactly the environment that a test names, and finding what it left behind.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rally_service::{
    entropy,
    local::{Guarded, Spec},
};
use rustix::process::Signal;

/// The executable under test.
pub(crate) const RALLY: &str = env!("CARGO_BIN_EXE_rally");

/// Variables for a process.
pub(crate) type Vars = Vec<(String, String)>;

/// `[("A", "b")]` as [`Vars`].
pub(crate) fn vars<V: ToString>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> Vars {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// Starts the executable with these variables and no others.
pub(crate) fn spawn(args: &[&str], vars: &Vars) -> Child {
    let mut command = Command::new(RALLY);
    command.args(args).env_clear().env("PATH", path()).envs(vars.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str], vars: &Vars) -> Output {
    spawn(args, vars).wait_with_output().unwrap()
}

/// What a process said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Starts `program` with these variables and no others, its output appended to `log`. It ends with this test, however
/// that ends. `wrapper` runs it, where there is one: `setpriv` and its options.
pub(crate) fn guarded(
    wrapper: &[&str],
    program: &str,
    args: &[&str],
    vars: &Vars,
    log: &Path,
    last_signal: Signal,
) -> Guarded {
    // `env` becomes the program, as does each wrapper: the pid stays.
    let mut words = vec!["-i".to_owned(), format!("PATH={}", path())];
    words.extend(vars.iter().map(|(name, value)| format!("{name}={value}")));
    words.extend(wrapper.iter().chain(&[program]).chain(args).map(|word| (*word).to_owned()));
    let output = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    Guarded::spawn(Spec::new("/usr/bin/env").args(words).output(output).last_signal(last_signal)).unwrap()
}

/// The first of `n` ports in a row that are free on all addresses, below those that outgoing connections take.
pub(crate) fn free_ports(n: u16) -> u16 {
    for _ in 0..1_000 {
        let first = 12_000 + (entropy::random_u64() % 18_000) as u16;
        let bound: Result<Vec<_>, _> =
            (first..first + n).map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).collect();
        if bound.is_ok() {
            return first;
        }
    }
    panic!("no {n} free ports in a row");
}

/// One process of this machine, as `/proc` shows it.
pub(crate) struct Seen {
    pub(crate) pid: u32,
    pub(crate) command: String,
    environment: String,
    cwd: String,
}

impl Seen {
    /// A variable of its environment.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.environment.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Processes that have to do with one of these folders: by their command line, environment or working folder. Zombies
/// have none of these.
pub(crate) fn processes_of(dirs: &[String]) -> Vec<Seen> {
    let read = |path: String| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = pids.filter(|pid| *pid != std::process::id()).map(|pid: u32| Seen {
        pid,
        command: read(format!("/proc/{pid}/cmdline")).replace('\0', " "),
        environment: read(format!("/proc/{pid}/environ")),
        cwd: fs::read_link(format!("/proc/{pid}/cwd")).map(|p| p.display().to_string()).unwrap_or_default(),
    });
    let concerns = |seen: &Seen| {
        dirs.iter().any(|dir| [&seen.command, &seen.environment, &seen.cwd].iter().any(|text| text.contains(dir)))
    };
    all.filter(concerns).collect()
}
