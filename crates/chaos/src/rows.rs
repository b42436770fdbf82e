//! The rows of the table: what happens, what is promised, and how the promise is measured.

use rally_testkit::Way;

use crate::{
    cluster::{Layout, Link, RedisKind},
    fault::Fault,
};

/// Whose longest gap is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Every player's.
    All,
    /// That of players whose match moved or whose connection was lost: there must be some.
    Concerned,
    /// That of all others.
    Unconcerned,
}

/// How long a player may go without a fresh snapshot, beyond the normal interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) whose: Whose,
    /// At the 99th percentile, in ms.
    pub(crate) p99_ms: f64,
    /// On top of the time that a server was away.
    pub(crate) beyond_outage: bool,
}

/// How players meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// In matches that last, since both play well.
    Lasting,
    /// In matches that are over soon, since both play badly.
    Ending,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) event: &'static str,
    pub(crate) promise: &'static str,
    pub(crate) layout: Layout,
    pub(crate) fault: Fault,
    pub(crate) limit: Option<Limit>,
    /// Thresholds for swarm's other figures.
    pub(crate) expect: &'static [&'static str],
    pub(crate) pairs: Pairs,
    /// Connections besides the players', on every edge.
    pub(crate) crowd: usize,
    pub(crate) in_short: bool,
}

/// Two ticks at 60 Hz.
const TWO_TICKS_MS: f64 = 33.4;

const fn all(p99_ms: f64) -> Option<Limit> {
    Some(Limit { whose: Whose::All, p99_ms, beyond_outage: false })
}

const fn concerned(p99_ms: f64) -> Option<Limit> {
    Some(Limit { whose: Whose::Concerned, p99_ms, beyond_outage: false })
}

/// The outage, and a second to give a silent link up and make another.
const OUTAGE_AND_1_S: Option<Limit> = Some(Limit { whose: Whose::All, p99_ms: 1_000.0, beyond_outage: true });

const fn through(link: Link) -> Layout {
    Layout { proxied: Some(link), ..Layout::PLAIN }
}

const fn redis(kind: RedisKind) -> Layout {
    Layout { redis: kind, ..Layout::PLAIN }
}

/// No match lost anything, nobody noticed an error, nobody's connection was lost.
const UNNOTICED: &[&str] = &["broken<=0", "errors<=0", "reconnects<=0", "paused<=0", "playing>=1"];
/// No match lost anything, and everybody plays again.
const WHOLE: &[&str] = &["broken<=0", "playing>=1"];

const fn row(name: &'static str, event: &'static str, promise: &'static str, layout: Layout, fault: Fault) -> Row {
    Row {
        name,
        event,
        promise,
        layout,
        fault,
        limit: None,
        expect: WHOLE,
        pairs: Pairs::Lasting,
        crowd: 0,
        in_short: false,
    }
}

const LATE_NOT_DEAD: &str = "late, never dead: no second authority, nothing lost";
const CUT: &str = "found within 250 ms; no second authority; recovers by itself";

/// All rows, in the table's order.
pub(crate) const ROWS: &[Row] = &[
    Row {
        limit: concerned(TWO_TICKS_MS),
        expect: &[
            "broken<=0",
            "errors<=0",
            "reconnects<=0",
            "paused<=0",
            "moved>=1",
            "inputs_unanswered<=0",
            "playing>=1",
        ],
        in_short: true,
        ..row(
            "worker-drain",
            "a worker drains (SIGTERM)",
            "every match moves; gap <= 2 ticks; no input lost; sockets untouched",
            Layout::PLAIN,
            Fault::WorkerDrain,
        )
    },
    Row {
        limit: concerned(1_600.0),
        expect: &["broken<=0", "errors<=0", "reconnects<=0", "moved>=1", "playing>=1"],
        in_short: true,
        ..row(
            "worker-kill",
            "a worker is killed (SIGKILL)",
            "the same rally goes on elsewhere within 1.6 s; score exact",
            Layout::PLAIN,
            Fault::WorkerKill,
        )
    },
    Row {
        limit: concerned(1_600.0),
        expect: &["broken<=0", "errors<=0", "reconnects<=0", "moved>=1", "playing>=1"],
        ..row(
            "worker-freeze",
            "a worker freezes for 4 s (SIGSTOP, SIGCONT)",
            "as if it were killed; its late words are refused, and it gives its matches up",
            Layout::PLAIN,
            Fault::WorkerFreeze,
        )
    },
    Row {
        limit: concerned(2_000.0),
        expect: &["broken<=0", "errors<=0", "paused<=0", "concerned>=1", "playing>=1"],
        in_short: true,
        ..row(
            "edge-drain",
            "an edge drains (SIGTERM)",
            "its players go on through another edge; match not paused; no seat lost",
            Layout::PLAIN,
            Fault::EdgeDrain,
        )
    },
    Row {
        limit: concerned(3_000.0),
        expect: &["broken<=0", "concerned>=1", "playing>=1"],
        in_short: true,
        ..row(
            "edge-kill",
            "an edge is killed (SIGKILL)",
            "its players are back through another edge within 3 s; no seat lost",
            Layout::PLAIN,
            Fault::EdgeKill,
        )
    },
    Row {
        limit: Some(Limit { whose: Whose::Unconcerned, p99_ms: TWO_TICKS_MS, beyond_outage: false }),
        expect: &["broken<=0", "concerned>=1", "playing>=1"],
        crowd: 2_000,
        ..row(
            "edge-storm",
            "an edge is killed, and 2,000 others come back with its players",
            "those who play on the other edge do not notice; all are back",
            Layout::PLAIN,
            Fault::EdgeKill,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        in_short: true,
        ..row(
            "redis-restart",
            "Redis restarts and has lost its memory",
            "gap <= outage + 1 s; no match lost",
            Layout::PLAIN,
            Fault::RedisRestart,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "redis-flush",
            "Redis forgets everything (FLUSHALL)",
            "gap <= 1 s; no match lost",
            Layout::PLAIN,
            Fault::RedisFlush,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "redis-stall",
            "Redis stalls for 5 s (SIGSTOP)",
            "matches freeze and go on; gap <= outage + 1 s",
            Layout::PLAIN,
            Fault::RedisStall,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "redis-sentinel",
            "the Redis master dies, Sentinel puts its replica in its place",
            "gap <= failover + 1 s; no match twice, none lost",
            redis(RedisKind::Sentinel),
            Fault::RedisFailover,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "redis-cluster",
            "a master of a Redis Cluster dies, its replica takes over",
            "gap <= failover + 1 s; no match twice, none lost",
            redis(RedisKind::Cluster),
            Fault::RedisFailover,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "redis-full",
            "Redis is full for 5 s (`maxmemory`, `noeviction`)",
            "no match lost",
            Layout::PLAIN,
            Fault::RedisFull,
        )
    },
    row(
        "redis-evicts",
        "Redis has an evicting `maxmemory-policy`",
        "refused at start, with a clear message",
        Layout::PLAIN,
        Fault::RedisEvicts,
    ),
    Row {
        limit: all(TWO_TICKS_MS),
        expect: UNNOTICED,
        in_short: true,
        ..row(
            "postgres-restart",
            "Postgres restarts",
            "nobody who plays notices",
            Layout::PLAIN,
            Fault::PostgresRestart,
        )
    },
    Row {
        limit: None,
        expect: &["broken<=0", "reconnects<=0", "paused<=0"],
        pairs: Pairs::Ending,
        ..row(
            "postgres-away",
            "Postgres is away for 30 s while matches end",
            "play goes on; results are recorded afterwards, once",
            Layout { score_to_win: 1, ..Layout::PLAIN },
            Fault::PostgresAway,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "worker-redis-out",
            "a worker's words to Redis are lost for 5 s",
            CUT,
            through(Link::WorkerRedis),
            Fault::LinkCut(Way::ToTarget),
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "worker-redis-in",
            "a worker does not hear Redis for 5 s",
            CUT,
            through(Link::WorkerRedis),
            Fault::LinkCut(Way::ToClient),
        )
    },
    Row {
        limit: all(1_000.0),
        expect: UNNOTICED,
        ..row(
            "worker-redis-far",
            "a worker is 200 ms from Redis for 5 s",
            LATE_NOT_DEAD,
            through(Link::WorkerRedis),
            Fault::LinkFar,
        )
    },
    Row {
        limit: all(1_000.0),
        expect: UNNOTICED,
        ..row(
            "worker-redis-loss",
            "5 % of what a worker and Redis exchange waits for 200 ms, for 5 s",
            LATE_NOT_DEAD,
            through(Link::WorkerRedis),
            Fault::LinkStutters,
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "edge-redis-out",
            "an edge's words to Redis are lost for 5 s",
            CUT,
            through(Link::EdgeRedis),
            Fault::LinkCut(Way::ToTarget),
        )
    },
    Row {
        limit: OUTAGE_AND_1_S,
        ..row(
            "edge-redis-in",
            "an edge does not hear Redis for 5 s",
            CUT,
            through(Link::EdgeRedis),
            Fault::LinkCut(Way::ToClient),
        )
    },
    Row {
        limit: all(1_000.0),
        expect: UNNOTICED,
        ..row(
            "edge-redis-far",
            "an edge is 200 ms from Redis for 5 s",
            LATE_NOT_DEAD,
            through(Link::EdgeRedis),
            Fault::LinkFar,
        )
    },
    Row {
        limit: all(1_000.0),
        expect: UNNOTICED,
        ..row(
            "edge-redis-loss",
            "5 % of what an edge and Redis exchange waits for 200 ms, for 5 s",
            LATE_NOT_DEAD,
            through(Link::EdgeRedis),
            Fault::LinkStutters,
        )
    },
    Row {
        limit: all(TWO_TICKS_MS),
        expect: UNNOTICED,
        ..row(
            "edge-postgres-cut",
            "an edge loses Postgres for 5 s",
            "nobody who plays notices",
            through(Link::EdgePostgres),
            Fault::LinkCut(Way::Both),
        )
    },
    Row {
        limit: all(TWO_TICKS_MS),
        expect: UNNOTICED,
        ..row(
            "edge-postgres-far",
            "an edge is 200 ms from Postgres for 5 s",
            "nobody who plays notices",
            through(Link::EdgePostgres),
            Fault::LinkFar,
        )
    },
    Row {
        limit: None,
        expect: &["broken<=0", "errors<=0", "paused<=0", "moved>=1", "playing>=1"],
        ..row(
            "rolling",
            "every edge and worker is replaced, one after another",
            "no failed match, no lost result, no error to a client but `reconnect`",
            Layout { mixed: true, ..Layout::PLAIN },
            Fault::Rolling,
        )
    },
    Row {
        limit: all(TWO_TICKS_MS),
        expect: UNNOTICED,
        ..row(
            "clock-skew",
            "the clocks of an edge and a worker are 10 s ahead",
            "nothing depends on it",
            Layout { skewed: true, ..Layout::PLAIN },
            Fault::Nothing,
        )
    },
];
