//! The store's metrics: names, labels, meanings.

use std::time::Duration;

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use deadpool_postgres::Status;

const QUERY_SECONDS: &str = "rally_store_query_seconds";
const ERRORS: &str = "rally_store_errors_total";
const DROPPED: &str = "rally_store_result_parts_dropped_total";
const POOL_MAX: &str = "rally_store_pool_connections_max";
const POOL_CONNECTIONS: &str = "rally_store_pool_connections";
const POOL_IDLE: &str = "rally_store_pool_idle_connections";
const POOL_WAITING: &str = "rally_store_pool_waiting";

pub(crate) fn describe() {
    describe_histogram!(QUERY_SECONDS, "Time of a store operation, waiting for a connection included, by operation");
    describe_counter!(ERRORS, "Store operations that failed or were refused, by operation and kind");
    describe_counter!(DROPPED, "Events and replays too large to be recorded with their result, by part");
    describe_gauge!(POOL_MAX, "Connections to Postgres at most");
    describe_gauge!(POOL_CONNECTIONS, "Connections to Postgres");
    describe_gauge!(POOL_IDLE, "Connections to Postgres that nobody uses");
    describe_gauge!(POOL_WAITING, "Operations that wait for a connection");
}

pub(crate) fn observe(operation: &'static str, took: Duration, pool: Status) {
    histogram!(QUERY_SECONDS, "operation" => operation).record(took.as_secs_f64());
    gauge!(POOL_MAX).set(pool.max_size as f64);
    gauge!(POOL_CONNECTIONS).set(pool.size as f64);
    gauge!(POOL_IDLE).set(pool.available as f64);
    gauge!(POOL_WAITING).set(pool.waiting as f64);
}

/// Counts an operation that failed, or that the rules refused.
pub(crate) fn failed(operation: &'static str, kind: &'static str) {
    counter!(ERRORS, "operation" => operation, "kind" => kind).increment(1);
}

/// Counts what was left out of a result because of its size.
pub(crate) fn dropped(part: &'static str, n: usize) {
    counter!(DROPPED, "part" => part).increment(n as u64);
}
