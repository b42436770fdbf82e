//! A child process that never outlives its parent.
//!
//! The parent holds the write end of a pipe, a small shell beside the child blocks on the read end. Whatever ends the
//! parent, SIGKILL included, closes the pipe; the shell then ends the child, first gently. `PR_SET_PDEATHSIG` would
//! not do: it fires when the *thread* that spawned ends, and a runtime's threads come and go.
//!
//! The child is the server itself (the shell execs it), so its pid and exit status are the server's. It has a process
//! group of its own: Ctrl-C in a terminal reaches the parent alone, which decides the order of things.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{LocalError, user::User};

/// `$1` is the signal to end with, the rest the program. The watcher is a grandchild, so that the server does not
/// find a child that it never made. A line on the pipe releases it; the end of the pipe makes it act. Ten seconds
/// after the gentle signal comes SIGKILL. SIGCONT is for a server that somebody had stopped.
const GUARD: &str = r#"
exec 3<&0 </dev/null
signal=$1
shift
( (
    exec >/dev/null 2>&1
    trap '' HUP INT TERM QUIT
    if read -r released <&3; then exit 0; fi
    kill -s "$signal" $$
    kill -s CONT $$
    tenths=0
    while kill -s 0 $$; do
        if [ $tenths -ge 100 ]; then kill -s KILL $$; exit 0; fi
        tenths=$((tenths + 1))
        sleep 0.1
    done
) & )
exec "$@" 3<&-
"#;

/// Removes a folder once the pipe ends. Servers in it may be ending at the same moment and still write, hence the
/// repetition.
const SWEEP: &str = r#"
trap '' HUP INT TERM QUIT
if read -r released; then exit 0; fi
tenths=0
while [ $tenths -lt 150 ]; do
    rm -rf -- "$1" && exit 0
    tenths=$((tenths + 1))
    sleep 0.1
done
"#;

/// What to run under guard.
#[derive(Debug)]
pub struct Spec {
    program: PathBuf,
    args: Vec<OsString>,
    vars: Vec<(OsString, OsString)>,
    output: Option<File>,
    cwd: Option<PathBuf>,
    user: Option<User>,
    last_signal: Signal,
}

impl Spec {
    /// A program without arguments, in our folder, environment and with our output. SIGTERM ends it.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            vars: Vec::new(),
            output: None,
            cwd: None,
            user: None,
            last_signal: Signal::TERM,
        }
    }

    /// With further arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With a variable beside those of our environment.
    #[must_use]
    pub fn var(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.vars.push((name.into(), value.into()));
        self
    }

    /// With its stdout and stderr in a file.
    #[must_use]
    pub fn output(mut self, file: File) -> Self {
        self.output = Some(file);
        self
    }

    /// In another folder.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Ended with another signal: TERM, INT, QUIT or KILL.
    #[must_use]
    pub fn last_signal(mut self, signal: Signal) -> Self {
        self.last_signal = signal;
        self
    }

    pub(super) fn user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }
}

/// A running child. Dropping it ends it, and so does the end of this process, however that comes.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    pipe: Option<ChildStdin>,
    exit: Option<ExitStatus>,
}

impl Guarded {
    /// Starts it. A program that cannot be run shows as an exit status of 126 or 127.
    ///
    /// # Errors
    /// When no process can be made.
    pub fn spawn(spec: Spec) -> Result<Self, LocalError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "sh", signal_name(spec.last_signal)]).arg(&spec.program).args(spec.args);
        command.envs(spec.vars).stdin(Stdio::piped()).process_group(0);
        if let Some(out) = spec.output {
            let err = out.try_clone().map_err(LocalError::io("share the log of", &spec.program))?;
            command.stdout(out).stderr(err);
        }
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        if let Some(user) = spec.user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut child = command.spawn().map_err(LocalError::io("run", &spec.program))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe, exit: None })
    }

    /// Its process: the program's own, not the guard's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exit = Some(status);
            // From here on the pid may become somebody else's: the watcher must not use it.
            if let Some(mut pipe) = self.pipe.take() {
                let _ = pipe.write_all(b"released\n");
            }
        }
        self.exit
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit().is_none()
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it with `signal`, or with SIGKILL when that took longer than `within`.
    pub async fn end(&mut self, signal: Signal, within: Duration) {
        self.signal(signal);
        self.signal(Signal::CONT);
        let started = Instant::now();
        while self.exit().is_none() {
            if started.elapsed() > within {
                self.signal(Signal::KILL);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Closing the pipe lets the watcher act. Waiting is a courtesy (ports and files are free afterwards, no zombie
        // stays), so it is bounded.
        if self.exit().is_none() {
            self.pipe = None;
            let started = Instant::now();
            while self.exit().is_none() && started.elapsed() < Duration::from_secs(3) {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// A folder below the system's temporary one that is removed with its owner, also when the process is killed.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
    sweeper: Child,
}

impl ScratchDir {
    /// Makes a new one that others can enter but not list, as a server of another user must reach its own folder in it.
    ///
    /// # Errors
    /// When the folder cannot be made or the sweeper not started.
    pub fn new(name: &str) -> io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let path = std::env::temp_dir().join(format!("rally-{name}-{:016x}", crate::entropy::random_u64()));
        std::fs::DirBuilder::new().mode(0o711).create(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711))?;
        let sweeper = Command::new("/bin/sh")
            .args(["-c", SWEEP, "sh"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { path, sweeper })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// `signal 9` or `exit status 1`, for messages.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "unknown status".to_owned(),
    }
}

/// The name that `kill -s` knows; only those that servers are ended with.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::QUIT => "QUIT",
        Signal::KILL => "KILL",
        _ => "TERM",
    }
}
