//! Parts that an overlay may add to the base, as kustomize components.

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::{Value, json};

use crate::{
    Object, Role, ingress, jobs, monitoring,
    names::{AUTHORITIES_DIR, POSTGRES_PORT, REDIS_PORT, labels},
    pods, settings,
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
            name: "servers-tls",
            about: "Redis and Postgres over TLS: their authorities, from a ConfigMap rally-authorities (README.md).",
            objects: vec![],
            patches: servers_tls(),
        },
        Component {
            name: "other-sites",
            about: "Lets edges out to the sites by which people sign in: to any public address, by https.",
            objects: vec![],
            patches: vec![out(&[443])],
        },
        Component {
            name: "letters",
            about: "Lets edges out to a mail server at any public address. Put its own address here if you know it.",
            objects: vec![],
            patches: vec![out(&[465, 587])],
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

/// Who speaks to a server knows the authority that signs its certificate.
fn servers_tls() -> Vec<Value> {
    let volume = pods::config_volume("authorities", "rally-authorities", Some(0o444));
    let mount = pods::mount("authorities", AUTHORITIES_DIR, true);
    let file = |variable: &str, key: &str| pods::env(variable, &format!("{AUTHORITIES_DIR}/{key}"));
    let redis = file("RALLY_REDIS_CA_FILE", "redis.crt");
    let postgres = file("RALLY_DATABASE_CA_FILE", "postgres.crt");
    let of = |kind: &str, name: &str, pod: &str, variables: &[&EnvVar]| {
        let mut operations = vec![
            json!({ "op": "add", "path": format!("{pod}/volumes/-"), "value": volume }),
            json!({ "op": "add", "path": format!("{pod}/containers/0/volumeMounts/-"), "value": mount }),
        ];
        let path = format!("{pod}/containers/0/env/-");
        operations.extend(variables.iter().map(|each| json!({ "op": "add", "path": path, "value": each })));
        json!({ "target": { "kind": kind, "name": name }, "patch": json!(operations).to_string() })
    };
    let (pod, cron) = ("/spec/template/spec", "/spec/jobTemplate/spec/template/spec");
    vec![
        of("Deployment", Role::Edge.object(), pod, &[&redis, &postgres]),
        of("Deployment", Role::Worker.object(), pod, &[&redis, &postgres]),
        of("Job", jobs::MIGRATE, pod, &[&postgres]),
        of("CronJob", jobs::BACKUP, cron, &[&postgres]),
    ]
}

/// Edges to these ports of public addresses. Sites do not promise theirs; what is private stays out of reach.
fn out(ports: &[i32]) -> Value {
    const PRIVATE: [&str; 5] = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port, "protocol": "TCP" })).collect();
    let rule = json!({ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": PRIVATE } }], "ports": ports });
    patch("NetworkPolicy", Role::Edge.object(), "/spec/egress/-", &rule)
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
