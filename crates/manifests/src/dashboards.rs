//! Grafana dashboards as JSON: `deploy/monitoring/dashboards`.
//!
//! A panel is a title, a unit and its queries; where it lies on the page follows from its place in the list. Requests,
//! errors and durations come first, then how much of what there is is used. Grafana's own `$__rate_interval` is the
//! window of every rate, so that they fit any scrape interval.

use serde_json::{Value, json};

/// Panels beside each other; Grafana's page is 24 columns wide.
const ACROSS: usize = 3;
const HEIGHT: usize = 7;

struct Dashboard {
    /// The file's name and Grafana's `uid`.
    name: &'static str,
    title: &'static str,
    panels: Vec<Panel>,
}

struct Panel {
    title: &'static str,
    /// Grafana's name of the unit.
    unit: &'static str,
    /// Each a query and its legend.
    queries: Vec<(String, &'static str)>,
}

fn panel(title: &'static str, unit: &'static str, queries: &[(&str, &'static str)]) -> Panel {
    Panel { title, unit, queries: queries.iter().map(|(query, legend)| ((*query).to_owned(), *legend)).collect() }
}

/// Half, nearly all and practically all of a histogram, by a label if there is one.
fn quantiles(title: &'static str, unit: &'static str, metric: &str, by: &str) -> Panel {
    let of = |quantile: &str| {
        let labels = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
        format!("histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))")
    };
    let legends = match by {
        "" => ["p50", "p95", "p99"],
        "route" => ["p50 {{route}}", "p95 {{route}}", "p99 {{route}}"],
        "mode" => ["p50 {{mode}}", "p95 {{mode}}", "p99 {{mode}}"],
        "operation" => ["p50 {{operation}}", "p95 {{operation}}", "p99 {{operation}}"],
        _ => ["p50 {{instance}}", "p95 {{instance}}", "p99 {{instance}}"],
    };
    Panel {
        title,
        unit,
        queries: ["0.5", "0.95", "0.99"].into_iter().zip(legends).map(|(q, legend)| (of(q), legend)).collect(),
    }
}

/// A process' figure, for nodes of a role only.
fn of_role(figure: &str, role: &str) -> String {
    format!("{figure} * on (instance) group_left () rally_build_info{{role=\"{role}\"}}")
}

fn resources(role: &str) -> [Panel; 2] {
    let of = |title, unit, figure: &str| Panel { title, unit, queries: vec![(of_role(figure, role), "{{instance}}")] };
    [
        of("CPU, cores", "none", "rate(process_cpu_seconds_total[$__rate_interval])"),
        of("Memory", "bytes", "process_resident_memory_bytes"),
    ]
}

fn all() -> Vec<Dashboard> {
    vec![cluster(), edge(), worker(), servers(), game()]
}

fn cluster() -> Dashboard {
    let panels = vec![
        panel(
            "Nodes ready",
            "none",
            &[("sum by (role) (rally_ready * on (instance) group_left (role) rally_build_info)", "{{role}}")],
        ),
        panel("Players connected", "none", &[("sum(rally_edge_connections)", "connections")]),
        panel(
            "Matches",
            "none",
            &[
                ("sum(rally_worker_matches)", "in play"),
                ("sum(rally_worker_afterlives)", "just over"),
                ("sum(rally_worker_replays)", "shown again"),
            ],
        ),
        panel(
            "Requests failed, share (level: 0.1 %)",
            "percentunit",
            &[(
                "(sum(rate(rally_http_requests_total{status=~\"5..\"}[$__rate_interval])) or vector(0)) / sum(rate(rally_http_requests_total[$__rate_interval]))",
                "failed",
            )],
        ),
        panel(
            "Inputs slower than 50 ms, share (level: 5 %)",
            "percentunit",
            &[(
                "1 - sum(rate(rally_input_applied_seconds_bucket{le=\"0.05\"}[$__rate_interval])) / sum(rate(rally_input_applied_seconds_count[$__rate_interval]))",
                "slow",
            )],
        ),
        panel(
            "Budget burn of the last hour",
            "none",
            &[
                ("rally:http_errors:ratio_rate1h / 0.001", "availability"),
                ("rally:inputs_slow:ratio_rate1h / 0.05", "input latency"),
            ],
        ),
        panel("Nodes that a node sees", "none", &[("rally_fabric_nodes", "{{instance}}")]),
        panel("Without something (degraded)", "none", &[("rally_degraded", "{{instance}}")]),
        panel("Versions", "none", &[("count by (role, version) (rally_build_info)", "{{role}} {{version}}")]),
        panel(
            "CPU of all nodes, cores",
            "none",
            &[(
                "sum by (role) (rate(process_cpu_seconds_total[$__rate_interval]) * on (instance) group_left (role) rally_build_info)",
                "{{role}}",
            )],
        ),
        panel("Panics", "none", &[("sum(increase(rally_panics_total[$__rate_interval]))", "panics")]),
        panel(
            "Alerts firing",
            "none",
            &[("count by (alertname, severity) (ALERTS{alertstate=\"firing\"})", "{{severity}} {{alertname}}")],
        ),
    ];
    Dashboard { name: "cluster", title: "Rally: cluster", panels }
}

fn edge() -> Dashboard {
    let mut panels = vec![
        panel(
            "Requests a second",
            "reqps",
            &[("sum by (route, status) (rate(rally_http_requests_total[$__rate_interval]))", "{{route}} {{status}}")],
        ),
        quantiles("Time of a request", "s", "rally_http_request_seconds", "route"),
        panel(
            "Refused by limits, a second",
            "cps",
            &[("sum by (limit) (rate(rally_edge_limited_total[$__rate_interval]))", "{{limit}}")],
        ),
        panel("WebSockets", "none", &[("rally_edge_connections", "{{instance}}")]),
        panel("TCP connections", "none", &[("rally_http_connections", "{{instance}}")]),
        panel(
            "Closed by the edge, a second",
            "cps",
            &[("sum by (reason) (rate(rally_edge_closed_total[$__rate_interval]))", "{{reason}}")],
        ),
        panel(
            "Frames sent a second",
            "cps",
            &[(
                "sum by (instance, kind) (rate(rally_edge_frames_sent_total[$__rate_interval]))",
                "{{instance}} {{kind}}",
            )],
        ),
        panel(
            "Snapshots replaced for slow readers, a second",
            "cps",
            &[("rate(rally_edge_snapshots_conflated_total[$__rate_interval])", "{{instance}}")],
        ),
        panel(
            "Slow readers closed, a second",
            "cps",
            &[("rate(rally_edge_slow_closes_total[$__rate_interval])", "{{instance}}")],
        ),
        panel(
            "Messages refused, a second",
            "cps",
            &[("sum by (reason) (rate(rally_edge_refused_total[$__rate_interval]))", "{{reason}}")],
        ),
        panel("Matches somebody here is in", "none", &[("rally_edge_matches", "{{instance}}")]),
        panel(
            "Attached again, a second",
            "cps",
            &[("rate(rally_edge_attaches_total[$__rate_interval])", "{{instance}}")],
        ),
    ];
    panels.extend(resources("edge"));
    panels.push(panel(
        "Events refused by a full hub, a second",
        "cps",
        &[("rate(rally_edge_hub_full_total[$__rate_interval])", "{{instance}}")],
    ));
    panels.push(panel(
        "Sign-ins refused: too many wait, a second",
        "cps",
        &[("rate(rally_background_refused_total[$__rate_interval])", "{{instance}}")],
    ));
    panels.push(panel(
        "Chat: messages stored and delivered, a second",
        "cps",
        &[
            ("sum(rate(rally_chat_messages_stored_total[$__rate_interval]))", "stored"),
            ("sum(rate(rally_chat_messages_delivered_total[$__rate_interval]))", "delivered"),
        ],
    ));
    Dashboard { name: "edge", title: "Rally: edges", panels }
}

fn worker() -> Dashboard {
    let mut panels = vec![
        panel("Matches", "none", &[("rally_worker_matches", "{{instance}}")]),
        quantiles("Lateness of ticks", "µs", "rally_tick_lateness_us", "instance"),
        quantiles("Work of a step (a quarter of a tick: 4,167 µs)", "µs", "rally_step_busy_us", "instance"),
        panel("Ticks left out, a second", "cps", &[("rate(rally_ticks_shed_total[$__rate_interval])", "{{instance}}")]),
        panel("Stands still", "none", &[("rally_worker_frozen", "{{instance}}")]),
        panel("Effects waiting", "none", &[("rally_worker_effects_waiting", "{{instance}}")]),
        panel(
            "Inputs applied a second",
            "cps",
            &[("rate(rally_worker_inputs_applied_total[$__rate_interval])", "{{instance}}")],
        ),
        panel(
            "Inputs refused, a second",
            "cps",
            &[("sum by (reason) (rate(rally_worker_inputs_refused_total[$__rate_interval]))", "{{reason}}")],
        ),
        panel(
            "Matches refused, a second",
            "cps",
            &[("rate(rally_worker_matches_refused_total[$__rate_interval])", "{{instance}}")],
        ),
        panel("Edges attached", "none", &[("rally_worker_edges", "{{instance}}")]),
        panel(
            "Fenced off by a later owner, a second",
            "cps",
            &[("rate(rally_worker_fenced_total[$__rate_interval])", "{{instance}}")],
        ),
        panel(
            "Results lost; matches void",
            "none",
            &[
                ("sum(increase(rally_worker_results_lost_total[$__rate_interval]))", "lost"),
                ("sum(increase(rally_sweeper_voided_total[$__rate_interval]))", "void"),
            ],
        ),
    ];
    panels.extend([
        panel(
            "Matches moved away and taken, a second",
            "cps",
            &[
                (
                    "sum by (instance, why) (rate(rally_worker_moved_out_total[$__rate_interval]))",
                    "away, {{why}} {{instance}}",
                ),
                ("sum by (instance) (rate(rally_worker_moved_in_total[$__rate_interval]))", "taken {{instance}}"),
            ],
        ),
        panel(
            "Matches of dead workers that went on",
            "none",
            &[("sum by (from) (increase(rally_worker_recovered_total[$__rate_interval]))", "from {{from}}")],
        ),
        panel(
            "Checkpoints that failed, a second",
            "cps",
            &[("rate(rally_worker_checkpoints_failed_total[$__rate_interval])", "{{instance}}")],
        ),
    ]);
    panels.extend(resources("worker"));
    Dashboard { name: "worker", title: "Rally: workers", panels }
}

fn servers() -> Dashboard {
    let panels = vec![
        quantiles("Way of a message through Redis", "s", "rally_fabric_probe_seconds", "instance"),
        quantiles("Time of a command to Redis", "s", "rally_fabric_redis_command_seconds", "operation"),
        panel(
            "Commands to Redis a second",
            "ops",
            &[(
                "sum by (operation) (rate(rally_fabric_redis_command_seconds_count[$__rate_interval]))",
                "{{operation}}",
            )],
        ),
        panel(
            "Commands to Redis that failed, a second",
            "ops",
            &[(
                "sum by (operation, cause) (rate(rally_fabric_redis_errors_total[$__rate_interval]))",
                "{{operation}} {{cause}}",
            )],
        ),
        panel(
            "Bundles sent a second",
            "cps",
            &[("sum by (instance) (rate(rally_fabric_bundles_sealed_total[$__rate_interval]))", "{{instance}}")],
        ),
        panel(
            "Bytes of bundles a second",
            "Bps",
            &[("sum by (instance) (rate(rally_fabric_bundle_bytes_sealed_total[$__rate_interval]))", "{{instance}}")],
        ),
        panel(
            "Bundles dropped or refused, a second",
            "cps",
            &[
                ("sum by (instance) (rate(rally_fabric_inbox_dropped_total[$__rate_interval]))", "inbox {{instance}}"),
                (
                    "sum by (instance, reason) (rate(rally_fabric_publish_dropped_total[$__rate_interval]))",
                    "{{reason}} {{instance}}",
                ),
                (
                    "sum by (instance, reason) (rate(rally_fabric_bundles_refused_total[$__rate_interval]))",
                    "{{reason}} {{instance}}",
                ),
            ],
        ),
        panel(
            "Silences of Redis",
            "none",
            &[("increase(rally_fabric_link_silences_total[$__rate_interval])", "{{instance}}")],
        ),
        panel("Redis: memory", "bytes", &[("redis_memory_used_bytes", "used"), ("redis_memory_max_bytes", "at most")]),
        panel(
            "Redis: clients, commands a second",
            "none",
            &[
                ("redis_connected_clients", "clients"),
                ("rate(redis_commands_processed_total[$__rate_interval])", "commands"),
            ],
        ),
        quantiles("Time of an operation on Postgres", "s", "rally_store_query_seconds", "operation"),
        panel(
            "Operations on Postgres a second",
            "ops",
            &[("sum by (operation) (rate(rally_store_query_seconds_count[$__rate_interval]))", "{{operation}}")],
        ),
        panel(
            "Operations on Postgres that failed, a second",
            "ops",
            &[(
                "sum by (operation, kind) (rate(rally_store_errors_total[$__rate_interval]))",
                "{{operation}} {{kind}}",
            )],
        ),
        panel(
            "Connections of the pools",
            "none",
            &[
                ("sum(rally_store_pool_connections)", "open"),
                ("sum(rally_store_pool_idle_connections)", "idle"),
                ("sum(rally_store_pool_waiting)", "waited for"),
                ("sum(rally_store_pool_connections_max)", "at most"),
            ],
        ),
        panel(
            "Postgres: connections",
            "none",
            &[("sum by (state) (pg_stat_activity_count)", "{{state}}"), ("pg_settings_max_connections", "at most")],
        ),
        panel("Postgres: size", "bytes", &[("pg_database_size_bytes", "{{datname}}")]),
        panel(
            "Disks, share left",
            "percentunit",
            &[(
                "node_filesystem_avail_bytes{fstype!~\"tmpfs|overlay|squashfs\"} / node_filesystem_size_bytes",
                "{{instance}} {{mountpoint}}",
            )],
        ),
    ];
    Dashboard { name: "servers", title: "Rally: Redis and Postgres", panels }
}

fn game() -> Dashboard {
    let panels = vec![
        panel("Players in matches", "none", &[("sum by (mode) (rally_worker_players)", "{{mode}}")]),
        panel(
            "Matches begun a second",
            "cps",
            &[
                ("sum(rate(rally_matches_created_total[$__rate_interval]))", "created"),
                ("sum by (mode) (rate(rally_matchmaker_pairs_total[$__rate_interval]))", "from the queue {{mode}}"),
            ],
        ),
        panel("Waiting for an opponent", "none", &[("sum by (mode) (rally_queue_waiting)", "{{mode}}")]),
        quantiles("Waits for an opponent", "s", "rally_queue_wait_seconds", "mode"),
        quantiles("Input to snapshot (level: p95 below 0.05)", "s", "rally_input_applied_seconds", ""),
        panel(
            "Its steps, p95",
            "s",
            &[
                (
                    "histogram_quantile(0.95, sum by (le) (rate(rally_input_edge_seconds_bucket[$__rate_interval])))",
                    "1 edge to bundle",
                ),
                (
                    "histogram_quantile(0.95, sum by (le) (rate(rally_fabric_probe_seconds_bucket[$__rate_interval])))",
                    "2 and 5 way through Redis",
                ),
                (
                    "histogram_quantile(0.95, sum by (le) (rate(rally_tick_lateness_us_bucket[$__rate_interval]))) / 1e6",
                    "3 lateness of the tick",
                ),
                (
                    "histogram_quantile(0.95, sum by (le) (rate(rally_step_busy_us_bucket[$__rate_interval]))) / 1e6",
                    "4 work of the step",
                ),
                (
                    "histogram_quantile(0.95, sum by (le) (rate(rally_edge_fanout_seconds_bucket[$__rate_interval])))",
                    "6 bundle to sockets",
                ),
            ],
        ),
        panel(
            "Inputs a second",
            "cps",
            &[
                ("sum(rate(rally_edge_inputs_total[$__rate_interval]))", "taken"),
                ("sum(rate(rally_edge_inputs_dropped_total[$__rate_interval]))", "dropped"),
            ],
        ),
        panel(
            "Gaps: ticks without a snapshot, share",
            "percentunit",
            &[(
                "sum(rate(rally_edge_snapshots_missed_total[$__rate_interval])) / sum(rate(rally_edge_snapshots_total[$__rate_interval]))",
                "missed",
            )],
        ),
        panel("Guests a second", "cps", &[("sum(rate(rally_guests_total[$__rate_interval]))", "guests")]),
    ];
    Dashboard { name: "game", title: "Rally: game", panels }
}

/// File names and their JSON.
pub(crate) fn files() -> Vec<(String, String)> {
    let written = all().into_iter().map(|dashboard| {
        let name = format!("{}.json", dashboard.name);
        // Maps with texts as keys can always be said in JSON.
        let text = serde_json::to_string_pretty(&grafana(&dashboard)).unwrap_or_default();
        (name, text + "\n")
    });
    written.collect()
}

fn grafana(dashboard: &Dashboard) -> Value {
    let source = json!({ "type": "prometheus", "uid": "prometheus" });
    let panels = dashboard.panels.iter().enumerate().map(|(i, panel)| {
        let targets = panel.queries.iter().zip('A'..).map(|((query, legend), letter)| {
            json!({
                "refId": letter.to_string(), "expr": query, "legendFormat": legend, "datasource": source,
            })
        });
        let width = 24 / ACROSS;
        json!({
            "id": i + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": { "x": i % ACROSS * width, "y": i / ACROSS * HEIGHT, "w": width, "h": HEIGHT },
            "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
            "targets": targets.collect::<Vec<_>>(),
        })
    });
    json!({
        "uid": format!("rally-{}", dashboard.name),
        "title": dashboard.title,
        "tags": ["rally"],
        "schemaVersion": 41,
        "editable": true,
        "refresh": "15s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "utc",
        "templating": { "list": [] },
        "panels": panels.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_queries_are_there_once() {
        let dashboards = all();
        assert_eq!(dashboards.len(), 5);
        for dashboard in &dashboards {
            let mut queries: Vec<&String> =
                dashboard.panels.iter().flat_map(|panel| &panel.queries).map(|(query, _)| query).collect();
            let all = queries.len();
            queries.sort();
            queries.dedup();
            assert_eq!(queries.len(), all, "{}", dashboard.name);
            assert!(dashboard.panels.iter().all(|panel| (1..=26).contains(&panel.queries.len())));
        }
    }
}
