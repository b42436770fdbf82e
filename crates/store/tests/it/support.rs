//! What most tests begin with.

use std::time::Duration;

use rally_store::{
    EndReason, MatchResult, Mode, NewMatch, Owner, Ownership, PlayerStats, Score, Seat, Side, Store, StoreConfig,
};
use rally_testkit::{Postgres, TestDb, eventually};
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SubStep, UserId};
use uuid::Uuid;

/// A migrated database, a store on it, and a plain connection for looking behind the store's back.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) db: TestDb,
    pub(crate) sql: tokio_postgres::Client,
}

pub(crate) async fn setup() -> Fixture {
    let db = Postgres::shared().await.fresh_database().await;
    let store = Store::new(&StoreConfig::new(db.url())).unwrap();
    store.migrate().await.unwrap();
    let sql = db.connect().await;
    Fixture { store, db, sql }
}

/// Short bounds, for tests that run into them.
pub(crate) fn impatient(url: &str) -> StoreConfig {
    StoreConfig {
        acquire_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(1),
        ..StoreConfig::new(url)
    }
}

impl Fixture {
    pub(crate) async fn guests<const N: usize>(&self) -> [UserId; N] {
        let mut guests = Vec::new();
        for n in 0..N {
            guests.push(self.store.create_guest(&format!("guest_{n}")).await.unwrap().id);
        }
        guests.try_into().unwrap()
    }

    /// Creates a match, which must succeed.
    pub(crate) async fn create(&self, new: NewMatch) -> MatchId {
        let results = self.store.create_matches(std::slice::from_ref(&new)).await.unwrap();
        assert_eq!(results, [Ok(Epoch(1))]);
        new.id
    }

    /// Returns when one of the sessions of this database waits for a lock.
    pub(crate) async fn until_one_waits_for_a_lock(&self) {
        const SQL: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()";
        // In a session of its own: within a transaction, the activity seen first stays.
        let watch = self.db.connect().await;
        eventually(Duration::from_secs(10), || async {
            watch.query_one(SQL, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.sql.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }
}

pub(crate) fn match_id() -> MatchId {
    MatchId::from_uuid(Uuid::now_v7())
}

/// A worker; its bits use the sign of a column.
/// What the `n`th owner of a match holds, when owners follow each other.
pub(crate) fn held(n: u32) -> Ownership {
    Ownership { owner: owner(n.into()), epoch: Epoch(n) }
}

pub(crate) fn owner(n: u64) -> Owner {
    Owner { node: NodeId::from_bits(u64::MAX - n), incarnation: Incarnation::from_bits(1 << 63 | n) }
}

pub(crate) fn duel(left: UserId, right: UserId) -> NewMatch {
    NewMatch {
        id: match_id(),
        mode: Mode::Ranked,
        classic: false,
        private: false,
        score_to_win: 11,
        seed: u64::MAX - 7,
        rules_version: 1,
        seats: [Seat::Player(left), Seat::Player(right)],
        owner: owner(1),
    }
}

pub(crate) fn private(host: UserId) -> NewMatch {
    NewMatch { mode: Mode::Duel, private: true, seats: [Seat::Player(host), Seat::Open], ..duel(host, host) }
}

pub(crate) fn left_wins(match_id: MatchId) -> MatchResult {
    MatchResult {
        match_id,
        score: Score { left: 11, right: 4 },
        winner: Some(Side::Left),
        reason: EndReason::Score,
        started_at: None,
        ended_at: "2026-11-23T10:00:00.123456Z".parse().unwrap(),
        duration: SubStep(240 * 90),
        players: [PlayerStats { paddle_hits: 40, ..PlayerStats::default() }, PlayerStats::default()],
        events: Vec::new(),
        replay: Vec::new(),
    }
}
