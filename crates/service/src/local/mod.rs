//! Private Redis and Postgres servers on loopback, for `rally dev` and for tests.
//!
//! Contract: a server started here listens on 127.0.0.1 only, on a port that was free; [`LocalRedis::start`] and
//! [`LocalPostgres::start`] return once *this* server (not another one that was quicker to take the port) answers; and
//! it ends with the process that started it, also when that one is killed with SIGKILL (see [`Guarded`]). Works as root
//! and as a plain user: Postgres refuses to run as root, so it then runs as `postgres` or `nobody`.
//!
//! No system service is used or touched.

mod guard;
mod lock;
mod postgres;
mod programs;
mod redis;
mod user;

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

pub use guard::{Guarded, ScratchDir, Spec};
pub use lock::{DirLock, LockError};
pub use postgres::{LocalPostgres, PostgresOptions};
pub use programs::{Program, find_postgres, find_redis};
pub use redis::{LocalRedis, RedisOptions};
pub use rustix::process::Signal;

/// Why a private server could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Not installed, as far as PATH and the usual folders tell.
    #[error("{program} was not found; on Debian and Ubuntu it comes with `apt-get install {package}`")]
    ProgramMissing {
        /// The executable sought.
        program: &'static str,
        /// The package that holds it.
        package: &'static str,
    },
    /// The data was written by a major version of Postgres that is not installed.
    #[error(
        "{} holds data of Postgres {data}, but installed is {installed}: install postgresql-{data}, or move the data away",
        dir.display()
    )]
    OtherVersion {
        /// Where the data lies.
        dir: PathBuf,
        /// Its major version.
        data: String,
        /// The major versions found on this machine.
        installed: String,
    },
    /// Another server works on the same files and did not end in time.
    #[error("{} is in use by another server that is still running", dir.display())]
    InUse {
        /// The files' folder.
        dir: PathBuf,
    },
    /// The program ended or failed; what it said last.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The end of its log.
        said: String,
    },
    /// It runs but did not answer in time.
    #[error("{program} did not answer within {} s: {said}", within.as_secs())]
    NotReady {
        /// Which one.
        program: &'static str,
        /// How long it had.
        within: Duration,
        /// The end of its log.
        said: String,
    },
    /// Postgres refuses to run as root and there is no user to run it as.
    #[error("Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A folder that the server needs belongs to somebody else.
    #[error("{} exists but is not a folder of uid {uid} that others cannot write: move it away", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Whose it should be.
        uid: u32,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// A verb: create, open, run.
        what: &'static str,
        /// What it concerns.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LocalError {
    fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// A server that finds its port taken is started again on another, this often.
const PORT_TRIES_MAX: u32 = 20;

/// How long a server may take until it answers. Generous, because test machines are busy; Postgres may also have to
/// recover first.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long to wait for a server of a killed predecessor, on the same files, to be gone.
const PREDECESSOR_MAX: Duration = Duration::from_secs(15);

/// A port of 127.0.0.1 that is free at this moment. Somebody may take it before it is used: retry then.
///
/// # Errors
/// When the machine has no free port or no loopback.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(6);
    if lines.is_empty() { "it said nothing".to_owned() } else { lines[from..].join(" | ") }
}
