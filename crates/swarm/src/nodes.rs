//! The processes under test: which they are, and what they have used, from `/proc`.

use std::{collections::BTreeMap, fs, io, path::Path, str::FromStr};

use anyhow::{Context as _, bail};
use serde::Serialize;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `rally edge`.
    Edge,
    /// `rally worker`.
    Worker,
    /// `redis-server`.
    Redis,
    /// `postgres`, shown but not counted as a part of a snapshot's cost: no tick waits for it.
    Postgres,
    /// Named by `--pids` with a name that says nothing.
    Other,
}

/// A process under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What to call it.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: i32,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system time of all its threads, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

impl FromStr for Node {
    type Err = anyhow::Error;

    /// `NAME=PID`, where the name begins with a role: `edge-1=4711`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, pid) = text.split_once('=').context("expected NAME=PID")?;
        let role = match name.split(|c: char| !c.is_ascii_alphabetic()).next() {
            Some("edge") => Role::Edge,
            Some("worker") => Role::Worker,
            Some("redis") => Role::Redis,
            Some("postgres") => Role::Postgres,
            _ => Role::Other,
        };
        let pid = pid.parse().ok().filter(|pid| *pid > 0).context("expected NAME=PID")?;
        Ok(Self { name: name.to_owned(), role, pid })
    }
}

/// Finds nodes, Redis and Postgres among all processes, or among the descendants of `under`.
pub fn find(under: Option<i32>) -> anyhow::Result<Vec<Node>> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) else { continue };
        // Those that end meanwhile are none of ours.
        let Ok(stat) = read_stat(pid) else { continue };
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let words: Vec<_> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        processes.insert(pid, (stat.parent, words));
    }
    if let Some(root) = under
        && !processes.contains_key(&root)
    {
        bail!("--under {root}: there is no such process");
    }
    let below = |pid: i32| {
        let Some(root) = under else { return true };
        let mut at = pid;
        // Bounded: parents cannot form a ring, but they change while we read.
        for _ in 0..64 {
            if at == root {
                return true;
            }
            match processes.get(&at) {
                Some((parent, _)) => at = *parent,
                None => return false,
            }
        }
        false
    };
    let mut nodes: Vec<_> = processes
        .iter()
        .filter_map(|(pid, (_, words))| Some((*pid, role_of(words)?)))
        .filter(|(pid, _)| below(*pid))
        .map(|(pid, role)| Node { name: name_of(pid, role), role, pid })
        .collect();
    nodes.sort_by(|a, b| (a.role, &a.name, a.pid).cmp(&(b.role, &b.name, b.pid)));
    Ok(nodes)
}

/// What a command line runs, if it is one of ours.
fn role_of(words: &[String]) -> Option<Role> {
    let [program, rest @ ..] = words else { return None };
    // Servers set their titles: `redis-server 127.0.0.1:6379` and `postgres: checkpointer` are single words.
    let program = program.split_whitespace().next()?.trim_end_matches(':');
    match Path::new(program).file_name()?.to_str()? {
        "rally" => match rest.first()?.as_str() {
            "edge" => Some(Role::Edge),
            "worker" => Some(Role::Worker),
            _ => None,
        },
        "redis-server" => Some(Role::Redis),
        "postgres" => Some(Role::Postgres),
        _ => None,
    }
}

fn name_of(pid: i32, role: Role) -> String {
    let role = match role {
        Role::Redis => "redis",
        Role::Postgres => "postgres",
        _ => return environment(pid, "RALLY_NODE_NAME").unwrap_or_else(|| format!("pid {pid}")),
    };
    role.to_owned()
}

/// A variable of a process's environment, as it was started; none where we may not look.
pub(crate) fn environment(pid: i32, name: &str) -> Option<String> {
    let all = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let line = all.split(|byte| *byte == 0).find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(line).into_owned())
}

struct Stat {
    parent: i32,
    cpu_ticks: u64,
}

/// `/proc/PID/stat`, whose second field is a name that may hold anything, parentheses included.
fn read_stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let bad = || io::Error::other("an unexpected /proc/PID/stat");
    let (_, fields) = text.rsplit_once(')').ok_or_else(bad)?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    // Numbered from 1 in proc(5), where the state is the third.
    let field = |n: usize| fields.get(n - 3).and_then(|field| field.parse::<u64>().ok()).ok_or_else(bad);
    Ok(Stat { parent: field(4)? as i32, cpu_ticks: field(14)? + field(15)? })
}

impl Node {
    /// What it has used so far; `None` if it is gone.
    pub fn usage(&self) -> Option<Usage> {
        let stat = read_stat(self.pid).ok()?;
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        let resident: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
        Some(Usage {
            cpu_s: stat.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            rss_kib: resident * rustix::param::page_size() as u64 / 1_024,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn knows_its_own_by_their_command_lines() {
        for (line, role) in [
            ("/opt/rally/bin/rally|edge|", Some(Role::Edge)),
            ("rally|worker", Some(Role::Worker)),
            ("rally|dev", None),
            ("/usr/bin/redis-server 127.0.0.1:40001", Some(Role::Redis)),
            ("/usr/lib/postgresql/15/bin/postgres|-D|/x", Some(Role::Postgres)),
            ("postgres: walwriter ", Some(Role::Postgres)),
            ("vim|rally", None),
            ("", None),
        ] {
            assert_eq!(role_of(&words(line)), role, "{line}");
        }
    }

    #[test]
    fn reads_what_this_process_has_used() {
        let me = Node { name: "me".into(), role: Role::Other, pid: std::process::id() as i32 };
        let before = me.usage().expect("we live");
        assert!(before.rss_kib > 500, "{before:?}");
        let began = std::time::Instant::now();
        let mut usage = before;
        while usage.cpu_s < before.cpu_s + 0.03 {
            assert!(began.elapsed().as_secs() < 20, "no CPU time is counted: {usage:?}");
            std::hint::black_box((0..100_000u64).sum::<u64>());
            usage = me.usage().expect("we live");
        }
        assert_eq!(Node { pid: i32::MAX, ..me }.usage(), None);
    }

    #[test]
    fn reads_named_processes() {
        let node: Node = "edge-1=4711".parse().expect("a node");
        assert_eq!(node, Node { name: "edge-1".into(), role: Role::Edge, pid: 4711 });
        assert_eq!("bus=1".parse::<Node>().expect("a node").role, Role::Other);
        assert!("edge".parse::<Node>().is_err() && "edge=x".parse::<Node>().is_err());
    }
}
