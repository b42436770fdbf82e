//! What watches a cluster against a cluster: a real Prometheus scrapes one in which people play, and the exporters of its
//! servers, and every metric that a rule or a dashboard names is one that it has found there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};

use rally_client::{
    Encoding,
    protocol::{EventKind, Forfeit, Mode},
};
use rally_manifests::repository;
use rally_service::local::{ScratchDir, Signal, free_port};
use rally_testkit::eventually_ok;
use serde_json::Value;

use crate::support::{
    LONG, Node, Player, Site,
    exporters::Exporter,
    http::get,
    pair_ready,
    process::{Vars, guarded},
};

/// Metrics of others, which the cluster of this test does not have: kube-state-metrics' and the kubelet's.
const OF_KUBERNETES: (&str, &str) = ("kube", "Kubernetes runs the cluster");

/// Metrics of ours that begin with what they count, and when that is.
const UNTIL_IT_HAPPENS: [(&str, &str); 9] = [
    ("rally_edge_limited_total", "somebody meets a limit"),
    ("rally_edge_closed_total", "an edge closes a connection"),
    ("rally_edge_refused_total", "a client sends what is refused"),
    ("rally_background_refused_total", "too many passwords wait to be checked"),
    ("rally_chat_messages_stored_total", "somebody says something"),
    ("rally_chat_messages_delivered_total", "somebody hears something"),
    ("rally_fabric_redis_errors_total", "a command to Redis fails"),
    ("rally_store_errors_total", "an operation on Postgres fails"),
    ("ALERTS", "an alert fires"),
];

/// When a metric is there; `None`: always. `missing` is what metrics begin with whose exporters are not installed.
fn condition(metric: &str, missing: &[&str]) -> Option<&'static str> {
    if missing.iter().any(|prefix| metric.starts_with(prefix)) {
        return Some("its exporter is installed");
    }
    let begins = metric.starts_with(OF_KUBERNETES.0).then_some(&OF_KUBERNETES);
    begins.or(UNTIL_IT_HAPPENS.iter().find(|(name, _)| metric == *name)).map(|(_, when)| *when)
}

/// Words of PromQL that are no metrics.
const WORDS: [&str; 17] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "sum",
    "max",
    "min",
    "avg",
    "count",
];

/// The metrics that a query names: words that are no function, no keyword, and stand in no list of labels.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = query;
    let mut in_labels = false;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = rest[1..].find('"').expect("a text's end");
            rest = &rest[end + 2..];
        } else if c == '{' || c == '[' {
            let end = rest.find(if c == '{' { '}' } else { ']' }).expect("its end");
            rest = &rest[end + 1..];
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let is_list = ["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&word);
            if is_list && after.trim_start().starts_with('(') {
                in_labels = true;
            } else if !in_labels && !after.starts_with('(') && !WORDS.contains(&word) {
                found.insert(word.to_owned());
            }
            rest = after;
        } else if c.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else {
            in_labels &= c != ')';
            rest = &rest[c.len_utf8()..];
        }
    }
    found
}

#[test]
fn metrics_are_found_in_queries() {
    let query = r#"sum by (a, le) (rate(x_total{b="c d", e=~"f|g"}[5m])) / on (i) group_left (role) rally:y > 1e3 or vector(0)"#;
    assert_eq!(metrics_of(query), BTreeSet::from(["rally:y".to_owned(), "x_total".to_owned()]));
}

/// Queries of all dashboards, with where they stand.
fn dashboard_queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (path, text) in rally_manifests::files() {
        let Some(name) = path.strip_prefix("deploy/monitoring/dashboards/") else { continue };
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{name}: {}", panel["title"].as_str().unwrap());
                queries.push((place, target["expr"].as_str().unwrap().replace("$__rate_interval", "1m")));
            }
        }
    }
    assert!(queries.len() > 60, "{}", queries.len());
    queries
}

/// Expressions of all rules, with their names.
fn rules() -> Vec<(String, String)> {
    let objects = &rally_manifests::files()["deploy/k8s/components/monitoring/objects.yaml"];
    let objects = rally_manifests::parse_all(objects).unwrap();
    let rules = objects.iter().find(|object| object.kind == "PrometheusRule").unwrap();
    let groups = rules.value["spec"]["groups"].as_array().unwrap().iter();
    let each = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    each.map(|rule| (text(&rule["alert"]).or(text(&rule["record"])).unwrap(), text(&rule["expr"]).unwrap())).collect()
}

/// Prometheus on rules and targets of ours.
struct Prometheus {
    port: u16,
    _process: rally_service::local::Guarded,
    _dir: ScratchDir,
}

impl Prometheus {
    async fn start(edges: &[&Node], workers: &[&Node], exporters: &[Exporter]) -> Self {
        let dir = ScratchDir::new("prometheus").unwrap();
        let job = |name: &str, ports: &[u16]| {
            let targets: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
            serde_json::json!({ "job_name": name, "static_configs": [{ "targets": targets }] })
        };
        let admin = |nodes: &[&Node]| nodes.iter().map(|node| node.admin).collect::<Vec<_>>();
        let mut jobs = vec![job("rally-edge", &admin(edges)), job("rally-worker", &admin(workers))];
        jobs.extend(exporters.iter().map(|exporter| job(exporter.job, &[exporter.port])));
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [repository().join("deploy/monitoring/rules.yml")],
            "scrape_configs": jobs,
        });
        // JSON is YAML too.
        fs::write(dir.path().join("prometheus.yml"), config.to_string()).unwrap();
        for _ in 0..5 {
            let port = free_port().unwrap();
            let log = dir.path().join(format!("{port}.log"));
            let args = [
                format!("--config.file={}", dir.path().join("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", dir.path().join(format!("data-{port}")).display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut process = guarded(&[], "prometheus", &args, &Vars::new(), &log, Signal::KILL);
            let started = std::time::Instant::now();
            while process.exit().is_none() {
                if get(port, "/-/ready").await.is_ok_and(|answer| answer.status == 200) {
                    return Self { port, _process: process, _dir: dir };
                }
                assert!(started.elapsed() < LONG, "{}", fs::read_to_string(&log).unwrap_or_default());
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("in use"), "{said}");
        }
        panic!("no free port");
    }

    /// How many series with a value a query gives now.
    async fn series(&self, query: &str) -> Result<usize, String> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(self.port, &format!("/api/v1/query?query={encoded}")).await.map_err(|e| e.to_string())?;
        let json = answer.json();
        let found = json["data"]["result"].as_array().ok_or_else(|| answer.body.clone())?;
        Ok(found.iter().filter(|series| series["value"][1] != "NaN").count())
    }

    /// The labels of every series of ours.
    async fn labels(&self) -> Vec<BTreeMap<String, String>> {
        let all = get(self.port, "/api/v1/series?match[]=%7B__name__%3D~%22rally_.%2B%22%7D").await.unwrap().json();
        serde_json::from_value(all["data"].clone()).unwrap()
    }

    async fn names(&self) -> BTreeSet<String> {
        let names = get(self.port, "/api/v1/label/__name__/values").await.unwrap().json();
        names["data"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

async fn play_and_give_up(edges: [&Node; 2], mode: Mode) {
    let (mut one, mut other) =
        tokio::join!(Player::at(edges[0].url(), Encoding::Msgpack), Player::at(edges[1].url(), Encoding::Json));
    let (match_id, _) = pair_ready(mode, &mut one, &mut other).await;
    other.event(EventKind::Go).await;
    one.step_aside(match_id);
    one.event(EventKind::Goal).await;
    other.send(Forfeit { match_id });
    other.over().await;
}

#[tokio::test]
async fn rules_and_dashboards_name_what_a_cluster_has() {
    if !Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: prometheus is missing");
        return;
    }
    let site = Site::start().await;
    let (edge_1, edge_2, worker_1, worker_2) = tokio::join!(
        site.edge("edge-1", &[]),
        site.edge("edge-2", &[]),
        site.worker("worker-1", &[]),
        site.worker("worker-2", &[]),
    );
    let (exporters, missing) = Exporter::all(&site).await;
    let prometheus = Prometheus::start(&[&edge_1, &edge_2], &[&worker_1, &worker_2], &exporters).await;
    // A rate wants to see a series before it rises.
    eventually_ok(LONG, async || match prometheus.series("count_over_time(up[1m]) >= 2").await? {
        n if n == 4 + exporters.len() => Ok(()),
        n => Err(format!("{n} nodes and exporters are scraped")),
    })
    .await;
    for path in ["/api/v1/users/", "/no/such/"] {
        let path = format!("{path}{}", uuid::Uuid::new_v4());
        assert!((400..500).contains(&get(edge_1.port, &path).await.unwrap().status), "{path}");
    }
    for mode in [Mode::Casual, Mode::Ranked] {
        play_and_give_up([&edge_1, &edge_2], mode).await;
    }

    // Every query gives data, but for those that name a metric that is there only now and then.
    let mut waiting: BTreeMap<String, String> = BTreeMap::new();
    let mut conditions = BTreeSet::new();
    let servers = ["redis_up == 1", "pg_up == 1"].map(|query| ("an exporter".to_owned(), query.to_owned()));
    for (place, query) in dashboard_queries().into_iter().chain(servers) {
        match metrics_of(&query).iter().find_map(|metric| condition(metric, &missing)) {
            Some(when) => {
                conditions.insert(when);
            }
            None => {
                waiting.insert(query, place);
            }
        }
    }
    assert!(waiting.len() > 50, "{}", waiting.len());
    let (still, players) = (std::cell::RefCell::new(waiting), [&edge_1, &edge_2]);
    let all_give_data = async || {
        // What is counted at a match's beginning may lie back further than the rate's window.
        play_and_give_up(players, Mode::Casual).await;
        let queries: Vec<String> = still.borrow().keys().cloned().collect();
        for query in queries {
            if prometheus.series(&query).await? > 0 {
                still.borrow_mut().remove(&query);
            }
        }
        let left = still.borrow();
        if left.is_empty() { Ok(()) } else { Err(format!("no data: {left:#?}")) }
    };
    eventually_ok(2 * LONG, all_give_data).await;

    // Every metric that a rule names is there, from the start where an alert looks at its rise.
    let names = prometheus.names().await;
    for (rule, expr) in rules() {
        for metric in metrics_of(&expr) {
            let when = condition(&metric, &missing);
            assert!(when.is_some() || names.contains(&metric), "{rule}: there is no {metric}");
            conditions.extend(when);
        }
    }
    // Nothing is excused that nobody asks for, or that the program does not have.
    for (_, when) in UNTIL_IT_HAPPENS.iter().chain([&OF_KUBERNETES]) {
        assert!(conditions.contains(when), "nothing waits for {when}");
    }
    for (metric, _) in UNTIL_IT_HAPPENS.iter().filter(|(metric, _)| metric.starts_with("rally_")) {
        assert!(is_in_the_source(&repository().join("crates"), metric), "{metric} is nowhere in crates/");
    }
    labels_are_few(&prometheus).await;
    let states = get(prometheus.port, "/api/v1/rules").await.unwrap().json();
    for group in states["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
            let pages = rule["labels"]["severity"] == "page" && rule["state"] == "firing";
            assert!(!pages, "somebody would be woken: {rule}");
        }
    }
}

/// So many series of one metric a node has at most, the buckets of a histogram counted once: a route by its status is the
/// most that two labels make.
const SERIES_MAX: usize = 100;

/// Labels say what the program knows of beforehand, and never whom or what it has met: that has no bound.
async fn labels_are_few(prometheus: &Prometheus) {
    let mut series: BTreeMap<(String, String), usize> = BTreeMap::new();
    for labels in prometheus.labels().await {
        let (name, instance) = (&labels["__name__"], &labels["instance"]);
        if labels.get("le").is_none_or(|le| le == "+Inf") {
            *series.entry((instance.clone(), name.clone())).or_default() += 1;
        }
        for (label, value) in labels.iter().filter(|(label, _)| !["instance", "le"].contains(&label.as_str())) {
            let tells_apart = |part: &str| {
                let is_id = uuid::Uuid::parse_str(part).is_ok() || part.parse::<u64>().is_ok_and(|number| number > 999);
                is_id || part.parse::<IpAddr>().is_ok() || part.parse::<SocketAddr>().is_ok()
            };
            assert!(!value.split(['/', ' ', ',']).any(tells_apart), "{name} of {instance}: {label} is {value}");
        }
    }
    let (of, most) = series.iter().max_by_key(|(_, count)| **count).unwrap();
    assert!(*most <= SERIES_MAX && series.len() > 100, "{of:?}: {most} series; {} metrics", series.len());
}

fn is_in_the_source(dir: &Path, metric: &str) -> bool {
    fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            let name = entry.file_name();
            name != "tests" && name != "node_modules" && name != "target" && is_in_the_source(&path, metric)
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("\"{metric}\"")))
        }
    })
}
