//! `rally dev` as a newcomer meets it: on its own Redis and Postgres, which end with it and keep their data.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rally_client::{Api, Encoding, protocol::Mode};
use rally_service::local::{Guarded, ScratchDir, Signal};
use rally_testkit::{eventually, eventually_ok};

use crate::support::{
    LONG, Player,
    cluster::is_up,
    http::get,
    pair_ready,
    process::{RALLY, Seen, free_ports, guarded, processes_of, run, said, vars},
    unique,
};

/// A `rally dev` on a folder of its own.
struct Dev {
    process: Guarded,
    port: u16,
    admin: u16,
    data: PathBuf,
    log: PathBuf,
}

impl Dev {
    /// Starts it, on other ports when somebody was quicker to take these.
    async fn start(wrapper: &[&str], program: &str, data: &Path, log: &Path) -> Self {
        for _ in 0..5 {
            let (port, admin) = (free_ports(2), free_ports(4));
            let _ = fs::remove_file(log);
            let ports = vars([("RALLY_DEV_PORT", port), ("RALLY_DEV_ADMIN_PORT", admin)]);
            let args = ["dev", "--data-dir", data.to_str().unwrap()];
            let mut process = guarded(wrapper, program, &args, &ports, log, Signal::KILL);
            match is_up(&mut process, log).await {
                Ok(()) => return Self { process, port, admin, data: data.to_owned(), log: log.to_owned() },
                Err(said) => assert!(said.contains("cannot be had"), "{said}"),
            }
        }
        panic!("no free ports");
    }

    fn api(&self, edge: u16) -> Api {
        Api::new(format!("http://localhost:{}", self.port + edge).parse::<rally_client::EdgeUrl>().unwrap())
    }

    async fn player(&self, edge: u16) -> Player {
        Player::at(format!("http://localhost:{}", self.port + edge).parse().unwrap(), Encoding::Msgpack).await
    }

    /// All that runs for it.
    fn processes(&self) -> Vec<Seen> {
        let mut dirs = vec![self.data.display().to_string()];
        if let Ok(elsewhere) = fs::read_to_string(self.data.join("postgres/postgres.location")) {
            dirs.push(elsewhere.trim().to_owned());
        }
        // But for this test's own watcher, which ends when the test has seen the end of what it watches.
        processes_of(&dirs).into_iter().filter(|seen| !seen.command.contains("/usr/bin/env -i")).collect()
    }

    async fn nothing_stays(&self) {
        let commands = || self.processes().iter().map(|seen| seen.command.clone()).collect::<Vec<_>>();
        let gone = async || match commands() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("still there: {left:#?}")),
        };
        eventually_ok(LONG, gone).await;
    }

    fn node(&self, name: &str) -> Option<u32> {
        // The shell that watches it has its environment too, but not its command.
        let is_node = |seen: &Seen| seen.var("RALLY_NODE_NAME") == Some(name) && seen.command.starts_with(RALLY);
        self.processes().iter().find(|seen| is_node(seen)).map(|seen| seen.pid)
    }
}

/// A folder that goes with the test, and what Postgres keeps elsewhere for it.
struct Home(ScratchDir);

impl Home {
    fn new() -> Self {
        Self(ScratchDir::new("dev").unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for data in ["data", "closed/data"] {
            let note = self.0.path().join(data).join("postgres/postgres.location");
            if let Ok(elsewhere) = fs::read_to_string(note) {
                assert!(elsewhere.starts_with("/var/tmp/rally-"), "{elsewhere}");
                let _ = fs::remove_dir_all(elsewhere.trim());
            }
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// As root: below a folder that only root may enter, which Postgres, who refuses root, cannot.
#[tokio::test]
async fn a_newcomer_starts_ends_and_starts_again() {
    let home = Home::new();
    let (closed, log) = (home.0.path().join("closed"), home.0.path().join("dev.log"));
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let data = closed.join("data");
    let dev = Dev::start(&[], RALLY, &data, &log).await;
    let text = fs::read_to_string(&log).unwrap();
    for port in [dev.port, dev.port + 1] {
        assert!(text.contains(&format!("http://localhost:{port}")), "{text}");
        assert!(get(port, "/").await.unwrap().body.contains("<html"));
    }
    let location = data.join("postgres/postgres.location");
    assert_eq!(location.exists(), is_root(), "root's Postgres cannot work below a folder of root alone");
    let keys = fs::metadata(data.join("keys/signing.key")).unwrap();
    assert_eq!(keys.permissions().mode() & 0o077, 0, "others cannot read the keys");

    // Once is enough, and a port that is taken is named with the variable that sets another.
    let data_dir = data.to_str().unwrap();
    let pid = dev.process.pid().to_string();
    let second = run(&["dev", "--data-dir", data_dir], &vars([("RALLY_DEV_PORT", free_ports(2))]));
    assert!(!second.status.success());
    assert!(said(&second).contains("already runs") && said(&second).contains(&pid), "{}", said(&second));
    let elsewhere = home.0.path().join("elsewhere");
    let taken = [
        ("RALLY_DEV_PORT", dev.port, [("RALLY_DEV_PORT", dev.port), ("RALLY_DEV_ADMIN_PORT", free_ports(4))]),
        ("RALLY_DEV_ADMIN_PORT", dev.admin, [("RALLY_DEV_PORT", free_ports(2)), ("RALLY_DEV_ADMIN_PORT", dev.admin)]),
    ];
    for (name, port, ports) in taken {
        let refused = run(&["dev", "--data-dir", elsewhere.to_str().unwrap()], &vars(ports));
        assert!(!refused.status.success());
        let text = said(&refused);
        assert!(text.contains(name) && text.contains(&port.to_string()), "{text}");
    }

    // A node that is killed comes again.
    let worker = dev.node("worker-1").expect("a worker");
    kill(worker, rustix::process::Signal::KILL);
    eventually(LONG, async || dev.node("worker-1").is_some_and(|again| again != worker)).await;
    let ready = async || get(dev.admin + 2, "/readyz").await.is_ok_and(|answer| answer.status == 200);
    eventually(LONG, ready).await;
    let (mut one, mut other) = tokio::join!(dev.player(0), dev.player(1));
    pair_ready(Mode::Casual, &mut one, &mut other).await;
    drop((one, other));

    // Ctrl-C ends all of it; what was there is there again.
    let guest = dev.api(0).sign_in_as_guest(&unique("guest")).await.unwrap();
    let mut dev = dev;
    dev.process.signal(Signal::INT);
    eventually_ended(&mut dev.process).await;
    assert!(dev.process.exit().unwrap().success(), "{}", fs::read_to_string(&dev.log).unwrap());
    dev.nothing_stays().await;

    let again = Dev::start(&[], RALLY, &data, &log).await;
    let tokens = again.api(1).refresh(&guest.tokens.refresh).await.unwrap();
    let back = rally_client::Identity { user: guest.user, tokens };
    let edge = format!("http://localhost:{}", again.port).parse().unwrap();
    Player::again(edge, Encoding::Json, back).await;

    // However it ends, nothing stays.
    kill(again.process.pid(), rustix::process::Signal::KILL);
    again.nothing_stays().await;
}

/// Everything as a user who may do nothing but that.
#[tokio::test]
async fn a_plain_user_needs_no_more() {
    if !is_root() {
        // Then the other test is this one.
        return;
    }
    let home = Home::new();
    let (dir, log) = (home.0.path().join("theirs"), home.0.path().join("dev.log"));
    let (uid, gid) = (65_534, 65_534);
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(uid), Some(gid)).unwrap();
    // Where this one lies, others may not be allowed to look.
    let program = home.0.path().join("rally");
    if fs::hard_link(RALLY, &program).is_err() {
        fs::copy(RALLY, &program).unwrap();
    }
    let (uid, gid) = (uid.to_string(), gid.to_string());
    let wrapper = ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"];
    let dev = Dev::start(&wrapper, program.to_str().unwrap(), &dir.join("data"), &log).await;
    for seen in dev.processes() {
        let status = fs::read_to_string(format!("/proc/{}/status", seen.pid)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
        assert!(line.is_empty() || line.contains(&uid), "{line} for {}", seen.command);
    }
    let (mut one, mut other) = tokio::join!(dev.player(0), dev.player(1));
    pair_ready(Mode::Casual, &mut one, &mut other).await;
    kill(dev.process.pid(), rustix::process::Signal::KILL);
    dev.nothing_stays().await;
}

async fn eventually_ended(process: &mut Guarded) {
    let process = std::cell::RefCell::new(process);
    eventually(LONG, async || process.borrow_mut().exit().is_some()).await;
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
