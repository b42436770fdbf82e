//! k6 inside a cluster: one suspended Job a script, in a namespace of its own.
//! `kubectl patch job k6-play --patch '{"spec":{"suspend":false}}'` starts one.
//!
//! All its players come from one pod's address, and so through no Ingress, which allows an address three WebSockets. They
//! go to the edges' Service, and the component `load` ([`component`]) lets them in and exempts them from limits by address.

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::{ConfigMapVolumeSource, Container, KeyToPath, PodTemplateSpec, Volume},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::{
    ADMIN_PORT, HTTP_PORT, Object, Role,
    components::{Component, patch},
    names::NAME,
    network, overlays,
    pods::{self, confined, env, mount, resources, scratch_volume},
};

pub(crate) const NAMESPACE: &str = "rally-load";
const NAMED: &str = "k6";
const IMAGE: &str = "grafana/k6:1.8.1";
/// Who the image's process is.
const USER: i64 = 12_345;
/// Where pods are: whose addresses are exempt from limits.
const PODS: &str = "10.0.0.0/8";
const SCRIPTS_DIR: &str = "/loadtests";

/// Each script's name, the path below `loadtests`, and its text.
pub(crate) const SCRIPTS: [(&str, &str, &str); 8] = [
    ("play.js", "k6/play.js", include_str!("../../../loadtests/k6/play.js")),
    ("api.js", "k6/api.js", include_str!("../../../loadtests/k6/api.js")),
    ("chat.js", "k6/chat.js", include_str!("../../../loadtests/k6/chat.js")),
    ("spike.js", "k6/spike.js", include_str!("../../../loadtests/k6/spike.js")),
    ("soak.js", "k6/soak.js", include_str!("../../../loadtests/k6/soak.js")),
    ("lib.js", "k6/lib.js", include_str!("../../../loadtests/k6/lib.js")),
    ("chatter.mjs", "lib/chatter.mjs", include_str!("../../../loadtests/lib/chatter.mjs")),
    ("player.mjs", "lib/player.mjs", include_str!("../../../loadtests/lib/player.mjs")),
];

pub(crate) fn objects() -> Vec<Object> {
    let admin = Role::ALL
        .map(|role| format!("http://{}-admin.{}:{ADMIN_PORT}/metrics", role.object(), overlays::NAMESPACE))
        .join(",");
    [
        job("play", &[("VUS", "200"), ("DURATION", "300s")]),
        job("api", &[("PROFILE", "ramp"), ("STAGES", "50,100,200")]),
        job("chat", &[("VUS", "200")]),
        job("spike", &[("VUS", "500")]),
        // A name is looked up once and its first address kept: each URL is one pod's, whose memory is compared with its
        // own.
        job(
            "soak",
            &[("VUS", "100"), ("DURATION", "3600s"), ("METRICS_URLS", &admin), ("K6_DNS", "ttl=inf,select=first")],
        ),
    ]
    .iter()
    .map(Object::of)
    .collect()
}

/// What a cluster must change to be loaded so: for the time of a measurement only.
pub(crate) fn component() -> Component {
    let admit = |role: Role, port: i32| {
        let rule = json!(network::from(vec![network::namespaces(&[NAMESPACE])], &[port]));
        patch("NetworkPolicy", role.object(), "/spec/ingress/-", &rule)
    };
    Component {
        name: "load".to_owned(),
        about: format!(
            "Lets k6 of the namespace {NAMESPACE} reach edges and metrics, and exempts pods' addresses (put yours here) from\n\
             # limits by address. For the time of a measurement only: behind an ingress that hides players' addresses this\n\
             # exempts them all."
        ),
        patches: vec![admit(Role::Edge, HTTP_PORT), admit(Role::Edge, ADMIN_PORT), admit(Role::Worker, ADMIN_PORT)],
        settings: vec![overlays::merged(Role::Edge, &[&format!("RALLY_LIMIT_EXEMPT={PODS}")])],
        ..Default::default()
    }
}

pub(crate) fn kustomization() -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["namespace.yaml", "jobs.yaml"],
        "configMapGenerator": [{ "name": NAMED, "files": SCRIPTS.map(|(name, _, _)| name) }],
    })
}

fn job(name: &str, parameters: &[(&str, &str)]) -> Job {
    let labels = Some([(NAME.to_owned(), NAMED.to_owned())].into());
    let base_urls = format!("http://{}.{}", Role::Edge.object(), overlays::NAMESPACE);
    let variables = [("BASE_URLS", base_urls.as_str())].into_iter().chain(parameters.iter().copied());
    let items = SCRIPTS.map(|(key, path, _)| KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None });
    let scripts = ConfigMapVolumeSource { name: NAMED.to_owned(), items: Some(items.into()), ..Default::default() };
    let container = Container {
        name: NAMED.to_owned(),
        image: Some(IMAGE.to_owned()),
        args: Some(vec!["run".to_owned(), "--no-usage-report".to_owned(), format!("{SCRIPTS_DIR}/k6/{name}.js")]),
        env: Some(variables.map(|(name, value)| env(name, value)).collect()),
        resources: Some(resources(["500m", "256Mi"], (None, "2Gi"))),
        security_context: Some(confined()),
        volume_mounts: Some(vec![mount("scripts", SCRIPTS_DIR, true), mount("tmp", "/tmp", false)]),
        ..Default::default()
    };
    let volumes = vec![
        Volume { name: "scripts".to_owned(), config_map: Some(scripts), ..Default::default() },
        scratch_volume("tmp", "64Mi"),
    ];
    let mut pod = pods::pod("default", USER, vec![container], volumes);
    pod.restart_policy = Some("Never".to_owned());
    Job {
        metadata: ObjectMeta { name: Some(format!("k6-{name}")), labels: labels.clone(), ..Default::default() },
        spec: Some(JobSpec {
            // A load that failed says something; a second one would say it again.
            backoff_limit: Some(0),
            suspend: Some(true),
            template: PodTemplateSpec { metadata: Some(ObjectMeta { labels, ..Default::default() }), spec: Some(pod) },
            ..Default::default()
        }),
        ..Default::default()
    }
}
