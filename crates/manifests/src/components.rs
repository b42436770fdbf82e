//! Parts that an overlay may add to the base, as kustomize components.

use std::{collections::BTreeSet, slice};

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::{Value, json};

use crate::{
    Object, Role, ingress, jobs, load, monitoring,
    names::{AUTHORITIES_DIR, OTLP_PORT, POSTGRES_PORT, REDIS_PORT, labels},
    network, pods, settings,
};

/// A component's folder, its objects, its patches, and what it changes of settings.
#[derive(Default)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) objects: Vec<Object>,
    pub(crate) patches: Vec<Value>,
    pub(crate) settings: Vec<Value>,
}

impl Component {
    fn of(name: &str, about: &str) -> Self {
        Self { name: name.to_owned(), about: about.to_owned(), ..Default::default() }
    }

    fn objects(mut self, objects: Vec<Object>) -> Self {
        self.objects = objects;
        self
    }

    fn patches(mut self, patches: Vec<Value>) -> Self {
        self.patches = patches;
        self
    }
}

pub(crate) fn all() -> Vec<Component> {
    let mut all = vec![
        Component::of("ingress-nginx", "Three Ingresses for ingress-nginx. Its own settings are in ../../ingress-nginx.")
            .objects(ingress::nginx()),
        Component::of("ingress-traefik", "The same for Traefik, by its own resources. Its own settings are in ../../ingress-traefik.")
            .objects(ingress::traefik()),
        Component::of("external-secrets", "The Secrets from a SecretStore named rally, by the External Secrets Operator.")
            .objects(external_secrets()),
        Component::of("managed-servers", "Lets pods out to a Redis and a Postgres outside of the cluster: put their addresses and ports here.")
            .patches(managed_servers()),
        Component::of("servers-tls", "Redis and Postgres over TLS: their authorities, from a ConfigMap rally-authorities (README.md).")
            .patches(servers_tls()),
        Component::of("other-sites", "Lets edges out to the sites by which people sign in: to any public address, by https.")
            .patches(vec![out(Role::Edge, &[443])]),
        Component::of("letters", "Gives edges the secret smtp-url, and lets them out to a mail server at any public address. Put its own address here if you know it.")
            .patches([vec![out(Role::Edge, &[465, 587])], given("smtp-url")].concat()),
        Component::of("monitoring", "Scraping and alerts, for the Prometheus Operator.").objects(monitoring::objects()),
        Component::of("scale-by-matches", "Workers also by matches each, where a metrics adapter serves rally_worker_matches (README.md).")
            .patches(vec![scale_by_matches()]),
        Component::of("traces", "Lets nodes out to a collector of traces in the namespace monitoring, by OTLP over HTTP (RALLY_OTLP_URL).").patches(traces()),
        load::component(),
    ];
    all.extend(optional_secrets());
    all
}

/// One for each secret that a cluster may do without, but that of `letters`.
fn optional_secrets() -> Vec<Component> {
    let keys: BTreeSet<String> =
        Role::ALL.into_iter().flat_map(settings::optional_secrets).map(|secret| secret.key).collect();
    let alone = keys.into_iter().filter(|key| key != "smtp-url");
    alone
        .map(|key| {
            let mut about = format!("Gives pods the secret {key} (README.md). Name it after external-secrets.");
            let mut patches = given(&key);
            if key == "sentry-dsn" {
                about.push_str(" Lets them out to Sentry at any public address, by https.");
                patches.extend(Role::ALL.map(|role| out(role, &[443])));
            }
            Component::of(&format!("secret-{key}"), &about).patches(patches)
        })
        .collect()
}

/// Mounts an optional secret, in the pods of the roles that know it, and has it fetched where Secrets are fetched.
fn given(key: &str) -> Vec<Value> {
    let mut patches = Vec::new();
    for role in Role::ALL {
        let known = settings::optional_secrets(role);
        let Some(secret) = known.iter().find(|secret| secret.key == key) else { continue };
        let pod = "/spec/template/spec";
        let operations = json!([
            { "op": "add", "path": format!("{pod}/containers/0/env/-"), "value": pods::secret_env(slice::from_ref(secret))[0] },
            { "op": "add", "path": format!("{pod}/volumes/0/secret/items/-"), "value": { "key": key, "path": key } },
        ]);
        let target = json!({ "kind": "Deployment", "name": role.object() });
        patches.push(json!({ "target": target, "patch": operations.to_string() }));
        patches.push(patch("ExternalSecret", role.object(), "/spec/data/-", &remote(role.object(), key)));
    }
    patches
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
            let data = keys.iter().map(|key| remote(name, key));
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

fn remote(secret: &str, key: &str) -> Value {
    json!({ "secretKey": key, "remoteRef": { "key": secret, "property": key } })
}

pub(crate) fn patch(kind: &str, name: &str, path: &str, value: &Value) -> Value {
    let operation = json!([{ "op": "add", "path": path, "value": value }]);
    // A patch is a text within the kustomization; JSON is YAML too.
    json!({ "target": { "kind": kind, "name": name }, "patch": operation.to_string() })
}

fn managed_servers() -> Vec<Value> {
    let to = |port: i32| json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.0/24" } }], "ports": [{ "port": port, "protocol": "TCP" }] });
    let of = |name, port: i32| patch("NetworkPolicy", name, "/spec/egress/-", &to(port));
    vec![
        of(Role::Edge.object(), REDIS_PORT),
        of(Role::Edge.object(), POSTGRES_PORT),
        of(Role::Worker.object(), REDIS_PORT),
        of(Role::Worker.object(), POSTGRES_PORT),
        of(jobs::MIGRATE, POSTGRES_PORT),
        of(jobs::BACKUP, POSTGRES_PORT),
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

/// Nodes to these ports of public addresses. Sites do not promise theirs; what is private stays out of reach.
fn out(role: Role, ports: &[i32]) -> Value {
    const PRIVATE: [&str; 5] = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port, "protocol": "TCP" })).collect();
    let rule = json!({ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": PRIVATE } }], "ports": ports });
    patch("NetworkPolicy", role.object(), "/spec/egress/-", &rule)
}

fn traces() -> Vec<Value> {
    let rule = json!(network::to_namespaces(&[network::MONITORING_NAMESPACE], OTLP_PORT));
    Role::ALL.map(|role| patch("NetworkPolicy", role.object(), "/spec/egress/-", &rule)).into()
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
