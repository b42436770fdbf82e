//! What the Prometheus Operator is told: whom to scrape, and when to cry.

use serde_json::{Value, json};

use crate::{
    Object,
    names::{NAME, labels},
};

/// The rules as Prometheus itself reads them.
pub(crate) const RULES: &str = include_str!("../../../deploy/monitoring/rules.yml");

pub(crate) fn objects() -> Vec<Object> {
    vec![service_monitor(), rules()]
}

fn service_monitor() -> Object {
    Object::from_value(json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": { "name": "rally", "labels": labels("monitoring") },
        "spec": {
            "selector": { "matchLabels": { NAME: "rally" } },
            "endpoints": [{ "port": "admin", "path": "/metrics", "interval": "15s", "scrapeTimeout": "5s" }],
        },
    }))
}

fn rules() -> Object {
    // A test fails on what does not parse.
    let rules: Value = serde_yaml_ng::from_str(RULES).unwrap_or_default();
    Object::from_value(json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": { "name": "rally", "labels": labels("monitoring") },
        "spec": { "groups": rules["groups"] },
    }))
}
