//! The chart against the typed objects, where helm is installed (`make setup-test` builds it where Go is new enough).

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use rally_manifests::{Object, files, objects, parse_all};
use serde_json::Value;

use crate::support::{find, have, output};

/// The version that objects are typed for; a helm built from its module believes to speak to a very old one.
const KUBE_VERSION: [&str; 2] = ["--kube-version", "1.33.0"];
const CHART: &str = "deploy/helm/rally";

fn have_helm() -> bool {
    have("helm", &["version"])
}

fn template(args: &[&str]) -> Result<Vec<Object>, String> {
    let printed = output("helm", &[&["template", "rally", CHART][..], &KUBE_VERSION, args].concat())?;
    let objects = parse_all(&printed)?;
    for object in &objects {
        object.check()?;
    }
    Ok(objects)
}

/// Without what only helm adds: labels and annotations of its own, and the release's name in selectors.
fn plain(object: &Object) -> Value {
    let mut value = object.value.clone();
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                let is_helms = key.starts_with("helm.sh/") || key.starts_with("checksum/");
                let is_gitops = key.starts_with("argocd.argoproj.io/");
                let is_release = key == "app.kubernetes.io/instance" || key == "app.kubernetes.io/managed-by";
                strip(value);
                let is_bare = key == "annotations" && value.as_object().is_some_and(serde_json::Map::is_empty);
                !(is_helms || is_gitops || is_release || is_bare)
            });
        }
        Value::Array(all) => all.iter_mut().for_each(strip),
        _ => {}
    }
}

/// `expected` are among `rendered` and equal to them; returns what else there is.
fn compare(rendered: &[Object], expected: &[Object]) -> Vec<String> {
    let mut rest: BTreeMap<String, Value> = rendered.iter().map(|object| (object.to_string(), plain(object))).collect();
    assert_eq!(rest.len(), rendered.len(), "an object is there twice");
    for object in expected {
        let made = rest.remove(&object.to_string()).unwrap_or_else(|| panic!("the chart has no {object}"));
        assert_eq!(normal(made), normal(plain(object)), "{object}");
    }
    rest.into_keys().collect()
}

/// Lists whose order means nothing, in one order.
fn normal(mut value: Value) -> Value {
    for path in ["/spec/egress", "/spec/ingress"] {
        if let Some(Value::Array(all)) = value.pointer_mut(path) {
            all.sort_by_key(Value::to_string);
        }
    }
    value
}

fn written(path: &str) -> Vec<Object> {
    parse_all(&files()[path]).unwrap()
}

const TEST_POD: &str = "Pod/rally-test-ready";

#[test]
fn the_chart_s_defaults_are_the_kustomize_base() {
    if !have_helm() {
        return;
    }
    output("helm", &[&["lint", "--strict", CHART][..], &KUBE_VERSION].concat()).unwrap();
    let rendered = template(&[]).unwrap();
    assert_eq!(compare(&rendered, &objects()), [TEST_POD]);
}

#[test]
fn production_s_values_add_what_the_components_add() {
    if !have_helm() {
        return;
    }
    let values = ["--values", "deploy/helm/rally/ci/prod.yaml"];
    output("helm", &[&["lint", "--strict", CHART][..], &KUBE_VERSION, &values].concat()).unwrap();
    let rendered = template(&values).unwrap();
    let ingresses = written("deploy/k8s/components/ingress-nginx/objects.yaml");
    let watching = written("deploy/k8s/components/monitoring/objects.yaml");
    let added = [ingresses, watching].concat();
    let mut rest = compare(&rendered, &added);
    rest.retain(|name| !objects().iter().any(|object| object.to_string() == *name));
    assert_eq!(rest, [TEST_POD]);
    let config = rendered.iter().find(|object| object.to_string() == "ConfigMap/rally-edge").unwrap();
    assert_eq!(config.value["data"]["RALLY_PUBLIC_URL"], "https://rally.example");
    let policy: NetworkPolicy = find(&rendered, "NetworkPolicy", "rally-backup");
    let peers = policy.spec.unwrap().egress.unwrap().into_iter().flat_map(|rule| rule.to.unwrap());
    assert!(peers.filter_map(|peer| peer.ip_block).any(|block| block.cidr == "10.20.0.0/24"));
}

#[test]
fn a_trial_brings_its_servers_and_secrets() {
    if !have_helm() {
        return;
    }
    let values = ["--values", "deploy/helm/rally/ci/trial.yaml"];
    output("helm", &[&["lint", "--strict", CHART][..], &KUBE_VERSION, &values].concat()).unwrap();
    let rendered = template(&values).unwrap();
    compare(&rendered, &written("deploy/k8s/overlays/dev/servers.yaml"));
    // Every key that a pod mounts is in its Secret.
    let mut mounted = 0;
    for object in &rendered {
        let Some(pod) = crate::support::pod_of(object) else { continue };
        for volume in pod.volumes.iter().flatten() {
            let Some(source) = &volume.secret else { continue };
            let name = source.secret_name.as_deref().unwrap();
            let secret = rendered.iter().find(|secret| secret.kind == "Secret" && secret.name == name).unwrap();
            for item in source.items.iter().flatten() {
                let value = secret.value["stringData"][&item.key].as_str();
                assert!(value.is_some_and(|value| !value.is_empty()), "{object}: {name} has no {}", item.key);
                mounted += 1;
            }
        }
    }
    assert!(mounted >= 10, "{mounted}");
}

/// Pods that speak to the servers over TLS are in the chart as the component has them.
#[test]
fn authorities_are_mounted_as_by_the_component() {
    if !have_helm() {
        return;
    }
    let plain = template(&[]).unwrap();
    let with = template(&["--set", "serversTls.authorities=rally-authorities"]).unwrap();
    let mut changed = Vec::new();
    for (before, after) in plain.iter().zip(&with).filter(|(before, after)| before.value != after.value) {
        assert_eq!(before.to_string(), after.to_string());
        let pod = crate::support::pod_of(after).unwrap();
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == "authorities").unwrap();
        assert_eq!(volume.config_map.as_ref().unwrap().name, "rally-authorities");
        let names = pod.containers[0].env.iter().flatten().map(|each| each.name.as_str());
        let files: Vec<&str> = names.filter(|name| name.ends_with("_CA_FILE")).collect();
        changed.push((after.to_string(), files.join(" ")));
    }
    changed.sort();
    let expected = [
        ("CronJob/rally-backup", "RALLY_DATABASE_CA_FILE"),
        ("Deployment/rally-edge", "RALLY_REDIS_CA_FILE RALLY_DATABASE_CA_FILE"),
        ("Deployment/rally-worker", "RALLY_REDIS_CA_FILE RALLY_DATABASE_CA_FILE"),
        ("Job/rally-migrate", "RALLY_DATABASE_CA_FILE"),
    ];
    assert_eq!(changed, expected.map(|(object, files)| (object.to_owned(), files.to_owned())));
}

#[test]
fn wrong_values_are_refused_with_a_message() {
    if !have_helm() {
        return;
    }
    for (set, message) in [
        (&["edge.replica.min=3"][..], "additional properties 'replica' not allowed"),
        (&["edge.replicas.min=0"], "minimum: got 0, want 1"),
        (&["edge.replicas.min=11"], "edge.replicas.min is above edge.replicas.max"),
        (&["edge.settings.rally_log=debug"], "does not match pattern"),
        (&["edge.settings.RALLY_LOG=1"], "got number, want string"),
        (&["worker.settings.RALLY_REDIS_URL=redis://x"], "is a secret: put it into the Secret rally-worker"),
        (&["worker.terminationGracePeriodSeconds=30"], "must be at least 605"),
        (&["worker.scaleDown.periodSeconds=60"], "must not be below worker.terminationGracePeriodSeconds"),
        (&["worker.scaleDown.periodSeconds=3600"], "maximum: got 3,600, want 1,800"),
        (&["backup.schedule=daily"], "does not match pattern"),
        (&["image.pullPolicy=Sometimes"], "value must be one of"),
        (&["ingress.enabled=true"], "ingress.host must be set"),
        (&["ingress.enabled=true", "ingress.host=a.example"], "ingress.tlsSecret must be set"),
        (&["trial.enabled=true"], "trial.redisPassword must be set"),
        (&["trial.redisPassword=a@b"], "does not match pattern"),
        (&["serversTls.authorities=A/b"], "does not match pattern"),
        (&["networkPolicy.serverBlocks[0]=10.0.0.1"], "does not match pattern"),
    ] {
        let args: Vec<&str> = set.iter().flat_map(|each| ["--set", each]).collect();
        let said = template(&args).err().unwrap_or_else(|| panic!("{set:?} is taken"));
        assert!(said.contains(message), "{set:?}: {said}");
    }
}
