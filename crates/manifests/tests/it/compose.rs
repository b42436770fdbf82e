//! `docker-compose.yml`, as far as it can be judged without Docker: names, files and numbers that must agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use rally_manifests::{Role, repository, settings};
use serde_yaml_ng::Value;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    let mut value: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    // Once for each level of anchors that use anchors.
    for _ in 0..4 {
        value.apply_merge().unwrap();
    }
    value
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().into_iter().flatten().map(text).collect()
}

fn map(value: &Value) -> BTreeMap<String, Value> {
    value.as_mapping().into_iter().flatten().map(|(key, value)| (text(key), value.clone())).collect()
}

fn services() -> BTreeMap<String, Value> {
    map(&compose()["services"])
}

fn role_of(name: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| name.starts_with(role.as_str()) && name.contains('-'))
}

#[test]
fn it_is_the_cluster_that_was_asked_for() {
    let services = services();
    let count = |role| services.keys().filter(|name| role_of(name) == Some(role)).count();
    assert_eq!((count(Role::Edge), count(Role::Worker)), (3, 2));
    for name in [
        "redis",
        "postgres",
        "migrate",
        "nginx",
        "prometheus",
        "alertmanager",
        "grafana",
        "loki",
        "jaeger",
        "node-exporter",
        "redis-exporter",
        "postgres-exporter",
        "backup",
    ] {
        assert!(services.contains_key(name), "no {name}");
    }
    let postgres = texts(&services["postgres"]["command"]);
    for setting in ["max_connections=200", "shared_buffers=256MB", "effective_cache_size=1GB"] {
        assert!(postgres.iter().any(|word| word == setting), "{setting}");
    }
    assert!(texts(&services["redis"]["command"]).concat().contains("--appendonly yes"));
    assert!(texts(&services["nginx"]["ports"]).concat().ends_with(":8443"));
}

#[test]
fn nodes_get_variables_that_they_know() {
    for (name, service) in services() {
        let known: BTreeSet<String> = match role_of(&name) {
            Some(role) => settings::variables(role)
                .into_iter()
                .map(|variable| if variable.is_secret { format!("{}_FILE", variable.name) } else { variable.name })
                .collect(),
            None => ["RALLY_DATABASE_URL_FILE".to_owned()].into(),
        };
        let given: BTreeSet<String> = map(&service["environment"]).into_keys().collect();
        for variable in given.iter().filter(|variable| variable.starts_with("RALLY_")) {
            assert!(known.contains(variable), "{name}: {variable}");
        }
        if let Some(role) = role_of(&name) {
            assert_eq!(texts(&service["command"]), [role.as_str()]);
            for secret in settings::secrets(role) {
                assert!(given.contains(&secret.variable), "{name} lacks {}", secret.variable);
            }
        }
    }
}

#[test]
fn secrets_are_declared_made_and_mounted() {
    let compose = compose();
    let declared = map(&compose["secrets"]);
    let script = read("deploy/compose/secrets.sh");
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        let secrets: BTreeSet<String> = texts(&service["secrets"]).into_iter().collect();
        let mentioned = serde_yaml_ng::to_string(&service).unwrap();
        for secret in &secrets {
            assert!(declared.contains_key(secret), "{name}: {secret}");
        }
        for (at, _) in mentioned.match_indices("/run/secrets/") {
            let rest = &mentioned[at + "/run/secrets/".len()..];
            let secret: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(secrets.contains(&secret), "{name} reads {secret} without having it");
        }
        used.extend(secrets);
    }
    assert_eq!(used, declared.keys().cloned().collect());
    for (name, secret) in declared {
        assert_eq!(text(&secret["file"]), format!("deploy/compose/secrets/{name}"));
        assert!(script.contains(&format!("put {name}")), "secrets.sh does not make {name}");
    }
    assert!(read(".gitignore").lines().any(|line| line == "/deploy/compose/secrets"));
}

#[test]
fn everything_is_looked_after() {
    for (name, service) in services() {
        if name != "migrate" {
            let health = &service["healthcheck"];
            assert_eq!(text(&health["interval"]), "30s", "{name}");
            let asked = texts(&health["test"]).join(" ");
            // A program that can tell its version may still serve nobody.
            assert!(!asked.is_empty() && !asked.contains("version"), "{name}: {asked}");
        }
        assert_eq!(text(&service["logging"]["options"]["max-size"]), "10m", "{name}'s log grows");
        for port in texts(&service["ports"]) {
            assert!(name == "nginx" || port.starts_with("127.0.0.1:"), "{name} is public: {port}");
        }
        let Some(role) = role_of(&name) else { continue };
        let own = map(&service["environment"]);
        let default = settings::variables(role).into_iter().find(|variable| variable.name == "RALLY_DRAIN_MS");
        let drain_ms: u64 = own.get("RALLY_DRAIN_MS").map(text).or(default.unwrap().default).unwrap().parse().unwrap();
        let grace = text(&service["stop_grace_period"]);
        let grace_s: u64 = grace.trim_end_matches('s').parse().unwrap();
        assert!(grace_s >= drain_ms / 1_000 + 5, "{name}: {grace}");
    }
}

#[test]
fn all_pools_together_leave_a_reserve() {
    let pool = |service: &Value| text(&service["environment"]["RALLY_DATABASE_POOL_MAX"]).parse::<u32>().unwrap();
    let all: u32 = services().iter().filter(|(name, _)| role_of(name).is_some()).map(|(_, each)| pool(each)).sum();
    assert!(all + 2 <= 200 - 20, "{all}");
}

#[test]
fn every_file_that_is_mounted_is_there() {
    for (name, service) in services() {
        for volume in texts(&service["volumes"]) {
            if let Some(path) = volume.strip_prefix("./").and_then(|rest| rest.split(':').next()) {
                assert!(repository().join(path).exists(), "{name}: {path}");
            }
        }
    }
}

/// `${NAME:-default}` of a text.
fn interpolated(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in text.split("${").skip(1) {
        let inner = part.split('}').next().unwrap();
        let (name, default) = inner.split_once(":-").unwrap_or_else(|| panic!("{inner} has no default"));
        found.insert(name.to_owned(), default.to_owned());
    }
    found
}

#[test]
fn the_example_of_settings_says_all_of_them_and_their_defaults() {
    let example = read(".env.example");
    let said: BTreeMap<String, String> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(said, interpolated(&read("docker-compose.yml")));
}

#[test]
fn those_who_ask_services_ask_ones_that_exist() {
    let services = services();
    let prometheus: Value = serde_yaml_ng::from_str(&read("deploy/compose/prometheus.yml")).unwrap();
    let mut scraped = BTreeSet::new();
    for job in prometheus["scrape_configs"].as_sequence().unwrap() {
        for target in job["static_configs"].as_sequence().unwrap().iter().flat_map(|each| texts(&each["targets"])) {
            let (host, port) = target.split_once(':').unwrap();
            assert!(host == "localhost" || services.contains_key(host), "{target}");
            if role_of(host).is_some() {
                assert_eq!(port, rally_manifests::ADMIN_PORT.to_string());
                scraped.insert(host.to_owned());
            }
        }
    }
    assert_eq!(scraped.len(), 5, "all nodes are scraped");
    let nginx = read("deploy/compose/nginx.conf");
    let upstreams: BTreeSet<&str> = nginx
        .lines()
        .filter_map(|line| line.trim().strip_prefix("server ")?.split_once(':'))
        .map(|(host, _)| host)
        .collect();
    assert_eq!(upstreams, BTreeSet::from(["edge-1", "edge-2", "edge-3"]));
}

/// A container that is made anew has another address.
#[test]
fn nginx_looks_up_edges_while_it_runs() {
    let nginx = read("deploy/compose/nginx.conf");
    let servers: Vec<&str> = nginx.lines().map(str::trim).filter(|line| line.starts_with("server edge-")).collect();
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|line| line.split_whitespace().any(|word| word == "resolve")), "{servers:?}");
    // What that takes: names asked of Docker's own server, a zone that workers share, and a version that knows it.
    assert!(nginx.contains("resolver 127.0.0.11 ") && nginx.contains("zone edges "));
    let image = text(&services()["nginx"]["image"]);
    let version: Vec<u32> = image.split([':', '.']).skip(1).map(|part| part.parse().unwrap()).collect();
    assert!(version >= vec![1, 27, 3], "{image}");
}

/// Roles may read what a migration grants them.
#[test]
fn whoever_uses_the_schema_waits_for_it() {
    for (name, service) in services() {
        let uses_it = role_of(&name).is_some() || name == "backup";
        let awaited = &service["depends_on"]["migrate"]["condition"];
        assert!(!uses_it || awaited == "service_completed_successfully", "{name}");
    }
}

/// The image's file says what compose and the manifests rely on.
#[test]
fn the_image_is_as_its_users_expect() {
    let dockerfile = read("Dockerfile");
    for line in [
        "USER 10001:10001",
        "EXPOSE 8080 9090",
        "ENTRYPOINT [\"/usr/local/bin/rally\"]",
        "FROM gcr.io/distroless/cc-debian12:nonroot",
    ] {
        assert!(dockerfile.lines().any(|each| each == line), "no {line}");
    }
    // An argument that BuildKit sets is empty in a stage that does not name it.
    let mut declared = "";
    for line in dockerfile.lines() {
        match line.split_once(' ') {
            Some(("FROM", _)) => declared = "",
            Some(("ARG", name)) => declared = name,
            _ => assert!(!line.contains("$TARGETARCH") || declared == "TARGETARCH", "{line}"),
        }
    }
    assert!(dockerfile.contains("id=target-$TARGETARCH"));
    // What it copies exists, and the toolchain is the one that the workspace asks for.
    for source in ["Cargo.toml", "Cargo.lock", "crates", "migrations", "crates/web/package-lock.json"] {
        assert!(dockerfile.contains(source) && repository().join(source).exists(), "{source}");
    }
    let wanted = read("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned));
    let wanted = wanted.unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{}-", wanted.trim_matches('"'))));
}
