//! What an operator meets at a terminal: faults, help, health, migrations.

use std::io::{BufRead as _, BufReader};

use rally_service::env::{EXIT_CONFIG, Unit, Var};
use rally_testkit::Postgres;

use crate::support::{
    Site,
    process::{Vars, run, said, spawn, vars},
};

fn exit_code(output: &std::process::Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn all_missing_variables_are_told_at_once() {
    let edge = run(&["edge"], &Vars::new());
    assert_eq!(exit_code(&edge), Some(EXIT_CONFIG.into()), "{}", said(&edge));
    for name in ["RALLY_REDIS_URL", "RALLY_DATABASE_URL", "RALLY_CLUSTER_KEYS", "RALLY_SIGNING_KEYS"] {
        assert!(said(&edge).contains(&format!("{name} is not set")), "{name} in {}", said(&edge));
    }
    let worker = run(&["worker"], &Vars::new());
    assert_eq!(exit_code(&worker), Some(EXIT_CONFIG.into()), "{}", said(&worker));
    for name in ["RALLY_REDIS_URL", "RALLY_DATABASE_URL", "RALLY_CLUSTER_KEYS"] {
        assert!(said(&worker).contains(&format!("{name} is not set")), "{name} in {}", said(&worker));
    }
    assert!(!said(&worker).contains("RALLY_SIGNING_KEYS"), "a worker signs nothing: {}", said(&worker));
    let migrate = run(&["migrate"], &Vars::new());
    assert_eq!(exit_code(&migrate), Some(EXIT_CONFIG.into()), "{}", said(&migrate));
}

#[test]
fn all_wrong_variables_are_told_at_once_and_no_secret_is_shown() {
    let wrong = vars([
        ("RALLY_REDIS_URL", "redis://:changeme@127.0.0.1:6379"),
        ("RALLY_DATABASE_URL", "mysql://rally:hunter2hunter2@127.0.0.1/rally"),
        // 16 bytes, random enough.
        ("RALLY_CLUSTER_KEYS", "Zm9ydHkgdHdvIGJ5dA=="),
        ("RALLY_SIGNING_KEYS", "changeme"),
        ("RALLY_HTTP_ADDR", "8080"),
        ("RALLY_PUBLIC_URL", "rally.example"),
        ("RALLY_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("RALLY_CONNECTIONS_MAX", "none"),
        ("RALLY_DRAIN_MS", "soon"),
        ("RALLY_ADMIN_ADDR", "here"),
        ("RALLY_LOG_FORMAT", "xml"),
    ]);
    // Exactly these, whether the node is to run or only to be checked.
    for args in [&["edge"][..], &["edge", "--check-config"]] {
        let output = run(args, &wrong);
        let text = said(&output);
        assert_eq!(exit_code(&output), Some(EXIT_CONFIG.into()), "{text}");
        for (name, _) in &wrong {
            assert!(text.contains(name), "{name} in {text}");
        }
        for fault in ["password that is a placeholder", "has 13 bytes", "is a placeholder"] {
            assert!(text.contains(fault), "{fault:?} in {text}");
        }
        for secret in ["hunter2", "Zm9ydHkgdHdvIGJ5dA"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let both = vars([("RALLY_CLUSTER_KEYS", "x"), ("RALLY_CLUSTER_KEYS_FILE", "/nowhere")]);
    assert!(said(&run(&["worker"], &both)).contains("both set"));
    let missing = vars([("RALLY_CLUSTER_KEYS_FILE", "/nowhere")]);
    assert!(said(&run(&["worker"], &missing)).contains("/nowhere"));
}

#[tokio::test]
async fn a_sound_configuration_is_said_to_be_sound_and_slips_are_pointed_out() {
    let site = Site::start().await;
    let mut sound = site.vars();
    sound.extend(vars([("RALLY_DRIAN_MS", "1000")]));
    let output = run(&["worker", "--check-config"], &sound);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("did you mean RALLY_DRAIN_MS?"), "{}", said(&output));
    assert!(said(&output).contains("the configuration is sound"), "{}", said(&output));
}

#[test]
fn the_help_of_each_role_lists_every_variable() {
    let node = ["RALLY_REDIS_URL", "RALLY_BUS_URLS", "RALLY_DATABASE_URL", "RALLY_CLUSTER_KEYS", "RALLY_NODE_NAME"];
    let common: &[&[Var]] = &[rally_service::drain::VARS, rally_service::admin::VARS, rally_service::telemetry::VARS];
    let edge = [common, &[rally_edge::EdgeConfig::VARS]].concat();
    let worker = [common, &[rally_worker::WorkerConfig::VARS]].concat();
    for (role, tables) in [("edge", edge), ("worker", worker)] {
        let output = run(&[role, "--help"], &Vars::new());
        assert!(output.status.success());
        let help = said(&output);
        // A line for each, with its unit; a default where it has one.
        let line_of = |name: &str| {
            let begins = |line: &&str| line.split_whitespace().next() == Some(name);
            let line = help.lines().find(begins).unwrap_or_else(|| panic!("no {name} in {help}"));
            assert!(line.contains('[') && line.contains(']'), "no unit: {line}");
            line.to_owned()
        };
        for name in node {
            line_of(name);
        }
        for var in tables.into_iter().flatten() {
            let line = line_of(var.name);
            match var.default {
                Some("") => assert!(line.contains("default: empty"), "{line}"),
                Some(default) => assert!(line.contains(&format!("default: {default}")), "{line}"),
                None => {}
            }
            if var.unit == Unit::Milliseconds {
                assert!(line.contains("[ms"), "{line}");
            }
        }
    }
    for (role, name) in [("migrate", "RALLY_DATABASE_URL"), ("health", "RALLY_ADMIN_ADDR"), ("dev", "RALLY_DEV_PORT")] {
        let help = said(&run(&[role, "--help"], &Vars::new()));
        assert!(help.contains(name), "{name} in {help}");
    }
}

#[tokio::test]
async fn health_is_told_by_its_exit_code() {
    let site = Site::start().await;
    let node = site.worker("worker-1", &[]).await;
    let health = async |port: u16| {
        let asked = spawn(&["health"], &vars([("RALLY_ADMIN_ADDR", format!("0.0.0.0:{port}"))]));
        tokio::task::spawn_blocking(|| asked.wait_with_output().unwrap()).await.unwrap()
    };
    let ready = health(node.admin).await;
    assert_eq!((exit_code(&ready), said(&ready).trim()), (Some(0), "ready"));
    let nobody = health(rally_service::local::free_port().unwrap()).await;
    assert_eq!(exit_code(&nobody), Some(1), "{}", said(&nobody));
    // Others are asked by name; all must be ready.
    let at = |port: u16| format!("127.0.0.1:{port}");
    let named = async |nodes: [u16; 2]| {
        let asked = spawn(&["health", &at(nodes[0]), &at(nodes[1])], &Vars::new());
        tokio::task::spawn_blocking(|| asked.wait_with_output().unwrap()).await.unwrap()
    };
    let mut other = site.worker("worker-2", &[]).await;
    let both = named([node.admin, other.admin]).await;
    assert_eq!(exit_code(&both), Some(0), "{}", said(&both));
    assert_eq!(said(&both), format!("{}: 1 ready\n{}: 1 ready\n", at(node.admin), at(other.admin)));
    let nobody = rally_service::local::free_port().unwrap();
    let one = named([node.admin, nobody]).await;
    assert!(exit_code(&one) == Some(1) && said(&one).contains(&at(nobody)), "{}", said(&one));
    // One that is not ready is waited for, where that is asked.
    other.freeze();
    let mut waits = spawn(&["health", "--within-s", "120", &at(other.admin)], &Vars::new());
    let mut lines = BufReader::new(waits.stdout.take().unwrap()).lines();
    let not_yet = lines.next().unwrap().unwrap();
    assert!(not_yet.contains("not yet") && not_yet.contains("does not answer"), "{not_yet}");
    other.thaw();
    let after: Vec<String> = tokio::task::spawn_blocking(|| lines.map(Result::unwrap).collect()).await.unwrap();
    assert_eq!(after.last().unwrap(), &format!("{}: 1 ready", at(other.admin)));
    assert!(waits.wait().unwrap().success());
    // Alive, but without Redis it may have no traffic.
    let mut site = site;
    site.redis.stop().await;
    rally_testkit::eventually(crate::support::LONG, async || exit_code(&health(node.admin).await) == Some(1)).await;
    let unready = health(node.admin).await;
    assert!(said(&unready).contains("redis"), "{}", said(&unready));
}

#[tokio::test]
async fn migrations_may_be_run_by_all_at_once_and_again() {
    let db = Postgres::shared().await.fresh_database().await;
    let url = vars([("RALLY_DATABASE_URL", db.url())]);
    let version = format!("the database is at version {}", rally_store::schema_version_needed());
    let at_once: Vec<_> = (0..4).map(|_| spawn(&["migrate"], &url)).collect();
    let mut outputs: Vec<_> = at_once.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    outputs.push(run(&["migrate"], &url));
    for output in outputs {
        assert!(output.status.success() && said(&output).contains(&version), "{}", said(&output));
    }
    let count = "SELECT count(*), count(DISTINCT version) FROM refinery_schema_history";
    let row = db.connect().await.query_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1), "each was applied once");

    let away = vars([("RALLY_DATABASE_URL", "postgres://rally@127.0.0.1:1/rally")]);
    let output = run(&["migrate"], &away);
    assert_eq!(exit_code(&output), Some(1), "{}", said(&output));
}
