//! Alert rules and what becomes of alerts: by promtool and amtool where they are installed, and against the runbook.

use std::{collections::BTreeSet, fs};

use rally_manifests::repository;
use serde_yaml_ng::Value;

use crate::support::{have, output};

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&read(path)).unwrap()
}

/// All alert rules.
fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/monitoring/rules.yml");
    let groups = rules["groups"].as_sequence().unwrap().iter();
    let all = groups.flat_map(|group| group["rules"].as_sequence().unwrap().clone());
    let alerts: Vec<Value> = all.filter(|rule| rule["alert"].is_string()).collect();
    assert!(alerts.len() > 20);
    alerts
}

fn names() -> BTreeSet<String> {
    alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rules_do_what_their_examples_say() {
    if have("promtool", &["--version"]) {
        output("promtool", &["check", "rules", "deploy/monitoring/rules.yml"]).unwrap();
        output("promtool", &["test", "rules", "deploy/monitoring/rules.test.yml"]).unwrap();
    }
}

#[test]
fn every_alert_has_an_example() {
    let tests = yaml("deploy/monitoring/rules.test.yml");
    let wrong = tests["tests"].as_sequence().unwrap().iter().find(|test| test["name"] == "all is wrong").unwrap();
    let samples = wrong["promql_expr_test"][0]["exp_samples"].as_sequence().unwrap();
    let label = |sample: &Value| sample["labels"].as_str().unwrap().split('"').nth(1).unwrap().to_owned();
    assert_eq!(samples.iter().map(label).collect::<BTreeSet<_>>(), names());
}

#[test]
fn every_alert_leads_to_its_page_of_the_runbook() {
    let operations = read("docs/OPERATIONS.md");
    let headings: BTreeSet<&str> = operations.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let expected = format!("https://git.example/rally/docs/OPERATIONS.md#{}", name.to_lowercase());
        assert_eq!(url, expected, "{name}");
        assert!(headings.contains(name), "docs/OPERATIONS.md has no \"### {name}\"");
        assert!(["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
    }
    // And no page is left of an alert that is gone.
    let runbook = operations.split("\n## Runbook\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let pages: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(pages, names());
}

#[test]
fn alerts_go_where_they_should() {
    if !have("amtool", &["--version"]) {
        return;
    }
    let file = "deploy/monitoring/alertmanager.yml";
    output("amtool", &["check-config", file]).unwrap();
    let config = format!("--config.file={file}");
    for (severity, receiver) in [("page", "pages"), ("ticket", "tickets")] {
        let label = format!("severity={severity}");
        let routed = output("amtool", &["config", "routes", "test", &config, "alertname=RallyPanics", &label]).unwrap();
        assert_eq!(routed.trim(), receiver);
    }
}
