//! What the users of nodes may not do in Redis. What they may is shown by the tests of edges and workers, which run as
//! them.

use rally_testkit::Redis;

async fn refused(redis: &Redis, user: &str, commands: &[&[&str]]) {
    for command in commands {
        let said = redis.cli_as(user, command).await.expect_err(&format!("{user}: {command:?}"));
        // To a script it is said in other words.
        let is_refused = said.contains("NOPERM") || said.contains("The user executing the script can't");
        assert!(is_refused, "{user}: {command:?}: {said}");
    }
}

const NOBODY_MAY: &[&[&str]] = &[
    &["FLUSHALL"],
    &["FLUSHDB"],
    &["KEYS", "*"],
    &["CONFIG", "GET", "requirepass"],
    &["CONFIG", "SET", "maxmemory", "1"],
    &["ACL", "LIST"],
    &["SHUTDOWN"],
    &["REPLICAOF", "127.0.0.1", "1"],
    &["MONITOR"],
    &["CLIENT", "KILL", "ID", "1"],
    &["SCRIPT", "FLUSH"],
    &["PUBLISH", "elsewhere", "x"],
    &["PSUBSCRIBE", "*"],
    &["SET", "elsewhere", "x"],
];

#[tokio::test]
async fn nobody_may_more_than_its_role_needs() {
    let redis = Redis::start().await;
    for user in ["rally-edge", "rally-worker", "rally-operator", "rally-exporter"] {
        refused(&redis, user, NOBODY_MAY).await;
    }
    // Not by a script either.
    let script = "return redis.call('SET', KEYS[1], 'x')";
    let edge: &[&[&str]] = &[
        &["SET", "rally:director:sweeper", "x"],
        &["GET", "rally:{c:1}:state2:x"],
        &["EVAL", script, "1", "rally:{c:1}:journal2:x"],
        &["EVAL", "return redis.call('FLUSHALL')", "0"],
        &["EVAL", "return redis.call('SET', 'rally:director:sweeper', 'x')", "0"],
    ];
    refused(&redis, "rally-edge", edge).await;
    let worker: &[&[&str]] = &[
        &["GET", "rally:session:x"],
        &["DEL", "rally:limit:login:x"],
        &["ZADD", "rally:{revoked}:logins", "1", "x"],
        &["HSET", "rally:presence:x", "a", "b"],
        &["GETDEL", "rally:once:x"],
        &["EVAL", script, "1", "rally:cache:x"],
    ];
    refused(&redis, "rally-worker", worker).await;
    let operator: &[&[&str]] = &[
        &["SET", "rally:{nodes}:lease:x", "y"],
        &["GET", "rally:session:x"],
        &["PUBLISH", "rally:mailbox:x", "y"],
        &["DEL", "rally:orders:x"],
    ];
    refused(&redis, "rally-operator", operator).await;
    let exporter: &[&[&str]] = &[&["GET", "rally:{nodes}:all"], &["EVAL", "return 1", "0"], &["ROLE"]];
    refused(&redis, "rally-exporter", exporter).await;
    assert!(redis.cli_as("rally-exporter", &["INFO"]).await.expect("may").contains("redis_version"));
}
