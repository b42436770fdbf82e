//! Parts that an overlay may add to the base, as kustomize components.

use serde_json::{Value, json};

use crate::{
    Object, Role, ingress, jobs, monitoring,
    names::{POSTGRES_PORT, REDIS_PORT, labels},
    settings,
};

/// A component's folder, its objects, and its patches.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) objects: Vec<Object>,
    pub(crate) patches: Vec<Value>,
}

pub(crate) fn all() -> Vec<Component> {
    vec![
        Component {
            name: "ingress-nginx",
            about: "Three Ingresses for ingress-nginx. Its own settings are in ../../ingress-nginx.",
            objects: ingress::nginx(),
            patches: vec![],
        },
        Component {
            name: "ingress-traefik",
            about: "The same for Traefik, by its own resources. It knows no limit of bandwidth.",
            objects: ingress::traefik(),
            patches: vec![],
        },
        Component {
            name: "external-secrets",
            about: "The Secrets from a SecretStore named rally, by the External Secrets Operator.",
            objects: external_secrets(),
            patches: vec![],
        },
        Component {
            name: "managed-servers",
            about: "Lets pods out to a Redis and a Postgres outside of the cluster: put their addresses here.",
            objects: vec![],
            patches: managed_servers(),
        },
        Component {
            name: "monitoring",
            about: "Scraping and alerts, for the Prometheus Operator.",
            objects: monitoring::objects(),
            patches: vec![],
        },
        Component {
            name: "scale-by-matches",
            about: "Workers also by matches each, where a metrics adapter serves rally_worker_matches (README.md).",
            objects: vec![],
            patches: vec![scale_by_matches()],
        },
    ]
}

/// Which Secret has which keys: what an operator must make, one way or another.
pub(crate) fn secrets() -> Vec<(&'static str, Vec<String>)> {
    let keys = |role| settings::secrets(role).into_iter().map(|secret| secret.key).collect();
    let database = || vec![settings::database_secret().key];
    vec![
        (Role::Edge.object(), keys(Role::Edge)),
        (Role::Worker.object(), keys(Role::Worker)),
        (jobs::MIGRATE, database()),
        (jobs::BACKUP, database()),
    ]
}

fn external_secrets() -> Vec<Object> {
    secrets()
        .into_iter()
        .map(|(name, keys)| {
            let data =
                keys.iter().map(|key| json!({ "secretKey": key, "remoteRef": { "key": name, "property": key } }));
            Object::from_value(json!({
                "apiVersion": "external-secrets.io/v1",
                "kind": "ExternalSecret",
                "metadata": { "name": name, "labels": labels("secrets") },
                "spec": {
                    "refreshInterval": "1h",
                    "secretStoreRef": { "kind": "SecretStore", "name": "rally" },
                    "target": { "name": name },
                    "data": data.collect::<Vec<_>>(),
                },
            }))
        })
        .collect()
}

fn patch(kind: &str, name: &str, path: &str, value: &Value) -> Value {
    let operation = json!([{ "op": "add", "path": path, "value": value }]);
    // A patch is a text within the kustomization; JSON is YAML too.
    json!({ "target": { "kind": kind, "name": name }, "patch": operation.to_string() })
}

fn managed_servers() -> Vec<Value> {
    let to = |ports: &[i32]| {
        let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port, "protocol": "TCP" })).collect();
        json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.0/24" } }], "ports": ports })
    };
    let both = [REDIS_PORT, POSTGRES_PORT];
    let of = |name, ports: &[i32]| patch("NetworkPolicy", name, "/spec/egress/-", &to(ports));
    vec![
        of(Role::Edge.object(), &both),
        of(Role::Worker.object(), &both),
        of(jobs::MIGRATE, &both[1..]),
        of(jobs::BACKUP, &both[1..]),
    ]
}

/// A worker's core carries more, but each match also costs its edges and Redis: half of `RALLY_MATCHES_MAX`.
fn scale_by_matches() -> Value {
    let metric = json!({
        "type": "Pods",
        "pods": {
            "metric": { "name": "rally_worker_matches" },
            "target": { "type": "AverageValue", "averageValue": "2000" },
        },
    });
    patch("HorizontalPodAutoscaler", Role::Worker.object(), "/spec/metrics/-", &metric)
}
