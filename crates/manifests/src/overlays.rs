//! The two ways to use the base: on trial, and in earnest.

use serde_json::{Value, json};

use crate::{
    Object, Role, ingress,
    names::{IMAGE, metadata},
};
use k8s_openapi::api::core::v1::Namespace;

/// The image's name without its tag, which overlays set.
fn image() -> (&'static str, &'static str) {
    IMAGE.split_once(':').unwrap_or((IMAGE, "latest"))
}

/// A namespace in which nothing runs that does not pass the `restricted` standard.
pub(crate) fn namespace(name: &str) -> Object {
    let mut metadata = metadata(name, "namespace");
    metadata.labels.get_or_insert_default().extend(
        ["enforce", "warn"].map(|mode| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned())),
    );
    Object::of(&Namespace { metadata, ..Default::default() })
}

pub(crate) fn merged(role: Role, settings: &[&str]) -> Value {
    json!({ "name": role.object(), "behavior": "merge", "literals": settings })
}

/// One node of each role at least, with a Redis and a Postgres of its own.
pub(crate) fn dev() -> Value {
    let scale = json!([
        { "op": "replace", "path": "/spec/minReplicas", "value": 1 },
        { "op": "replace", "path": "/spec/maxReplicas", "value": 2 },
    ]);
    let (name, _) = image();
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "rally-dev",
        "resources": ["namespace.yaml", "../../base", "servers.yaml"],
        "images": [{ "name": name, "newTag": "dev" }],
        "configMapGenerator": [
            merged(Role::Edge, &["RALLY_LOG=info,rally_edge=debug"]),
            merged(Role::Worker, &["RALLY_LOG=info,rally_worker=debug"]),
        ],
        "patches": [{ "target": { "kind": "HorizontalPodAutoscaler" }, "patch": scale.to_string() }],
    })
}

/// The namespace of production.
pub(crate) const NAMESPACE: &str = "rally";

/// As it comes: behind ingress-nginx, watched by Prometheus, with servers outside of the cluster, over TLS.
pub(crate) fn prod() -> Value {
    let (name, tag) = image();
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["namespace.yaml", "../../base"],
        "components": [
            "../../components/ingress-nginx",
            "../../components/managed-servers",
            "../../components/servers-tls",
            "../../components/monitoring",
        ],
        "images": [{ "name": name, "newName": "registry.example/rally", "newTag": tag }],
        "configMapGenerator": [merged(
            Role::Edge,
            &[
                &format!("RALLY_PUBLIC_URL=https://{}", ingress::HOST),
                // The addresses of ingress pods. Without them all players would share one address's limits.
                "RALLY_TRUSTED_PROXIES=10.0.0.0/8",
            ],
        )],
    })
}
