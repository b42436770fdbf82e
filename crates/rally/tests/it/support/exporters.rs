//! Exporters of others, which tell Prometheus of Redis, Postgres and the machine: with the environment that
//! docker-compose.yml gives them, as the user and the role that `deploy/redis` and `deploy/postgres` have for them. Each
//! runs where it is installed.

use std::{fs, process::Command};

use rally_manifests::repository;
use rally_service::local::{Guarded, ScratchDir, Signal, free_port};
use serde_yaml_ng::Value;

use super::{
    LONG, Site,
    http::get,
    process::{Vars, guarded},
};

/// One that runs.
pub(crate) struct Exporter {
    /// As in `deploy/compose/prometheus.yml`.
    pub(crate) job: &'static str,
    /// Where its metrics are.
    pub(crate) port: u16,
    _process: Guarded,
    _dir: ScratchDir,
}

/// What there is to be known of one.
struct Kind {
    job: &'static str,
    /// What its metrics begin with.
    prefix: &'static str,
    /// As its makers call it, and Debian.
    programs: [&'static str; 2],
    /// A metric that it has when it works here, or is allowed to.
    sign: fn(&str) -> bool,
}

const KINDS: [Kind; 3] = [
    Kind { job: "redis", prefix: "redis_", programs: ["redis_exporter", "prometheus-redis-exporter"], sign: |_| true },
    Kind {
        job: "postgres",
        prefix: "pg_",
        programs: ["postgres_exporter", "prometheus-postgres-exporter"],
        sign: |_| true,
    },
    Kind {
        job: "node",
        prefix: "node_",
        programs: ["node_exporter", "prometheus-node-exporter"],
        // A container may have no disk that it sees.
        sign: |metrics| {
            let mut disks = metrics.lines().filter(|line| line.starts_with("node_filesystem_avail_bytes{"));
            disks.any(|line| {
                !["tmpfs", "overlay", "squashfs"].iter().any(|fs| line.contains(&format!("fstype=\"{fs}\"")))
            })
        },
    },
];

impl Exporter {
    /// All that can be had here, and of the others what their metrics begin with.
    pub(crate) async fn all(site: &Site) -> (Vec<Self>, Vec<&'static str>) {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for kind in KINDS {
            let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
            let Some(program) = kind.programs.iter().find(runs) else {
                eprintln!("skipped: {} is missing", kind.programs[0]);
                missing.push(kind.prefix);
                continue;
            };
            let exporter = Self::start(&kind, program, site).await;
            if (kind.sign)(&get(exporter.port, "/metrics").await.unwrap().body) {
                there.push(exporter);
            } else {
                eprintln!("skipped: {program} finds nothing here");
                missing.push(kind.prefix);
            }
        }
        (there, missing)
    }

    async fn start(kind: &Kind, program: &str, site: &Site) -> Self {
        let dir = ScratchDir::new("exporter").unwrap();
        let vars = environment(&format!("{}-exporter", kind.job), site, &dir);
        for _ in 0..5 {
            let port = free_port().unwrap();
            let log = dir.path().join(format!("{port}.log"));
            let address = format!("--web.listen-address=127.0.0.1:{port}");
            let mut process = guarded(&[], program, &[&address], &vars, &log, Signal::KILL);
            let started = std::time::Instant::now();
            while process.exit().is_none() {
                if get(port, "/metrics").await.is_ok_and(|answer| answer.status == 200) {
                    return Self { job: kind.job, port, _process: process, _dir: dir };
                }
                assert!(started.elapsed() < LONG, "{}", fs::read_to_string(&log).unwrap_or_default());
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("in use"), "{program}: {said}");
        }
        panic!("no free port");
    }
}

/// What docker-compose.yml gives a service, where only the servers' addresses and the secrets' folder are others.
fn environment(service: &str, site: &Site, dir: &ScratchDir) -> Vars {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let redis = format!("127.0.0.1:{}", site.redis.port());
    let postgres = site.db.url().split_once('@').unwrap().1;
    // What deploy/compose/secrets.sh writes: by whom and where, the password.
    assert!(read("deploy/compose/secrets.sh").contains(r#"echo "{\"redis://rally-exporter@redis:6379\": "#));
    let url = site.redis.url_as("rally-exporter");
    let password = url.split(':').nth(2).and_then(|rest| rest.split('@').next()).unwrap();
    let passwords = serde_json::json!({ format!("redis://rally-exporter@{redis}"): password });
    fs::write(dir.path().join("redis_exporter"), passwords.to_string()).unwrap();
    fs::write(dir.path().join("postgres_exporter_password"), "nobody-asks").unwrap();

    let compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    let service = &compose["services"][service];
    assert!(service.is_mapping());
    let variables = service["environment"].as_mapping().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let here = |value: String| {
        let value = value.replace("redis:6379", &redis).replace("postgres:5432/rally", postgres);
        value.replace("/run/secrets", &dir.path().display().to_string())
    };
    variables.map(|(name, value)| (text(name), here(text(value)))).collect()
}
