//! The chart against the typed objects, where helm is installed (`make setup-test` builds it where Go is new enough).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{core::v1::Service, networking::v1::NetworkPolicy};
use rally_manifests::{Object, files, objects, parse_all};
use serde_json::Value;

use crate::support::{find, have, output, with_components};

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
                let is_helms = ["helm.sh/", "meta.helm.sh/", "checksum/"].iter().any(|of| key.starts_with(of));
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

/// What `helm test` needs.
const TEST: [&str; 3] = ["NetworkPolicy/rally-test", "NetworkPolicy/rally-test-nodes", "Pod/rally-test-ready"];

#[test]
fn the_chart_s_defaults_are_the_kustomize_base() {
    if !have_helm() {
        return;
    }
    output("helm", &[&["lint", "--strict", CHART][..], &KUBE_VERSION].concat()).unwrap();
    let rendered = template(&[]).unwrap();
    assert_eq!(compare(&rendered, &objects()), TEST);
}

#[test]
fn production_s_values_add_what_the_components_add() {
    if !have_helm() {
        return;
    }
    let values = ["--values", "deploy/helm/rally/ci/prod.yaml"];
    output("helm", &[&["lint", "--strict", CHART][..], &KUBE_VERSION, &values].concat()).unwrap();
    let rendered = template(&values).unwrap();
    let components = ["ingress-nginx", "managed-servers", "monitoring", "servers-tls"];
    let mut expected = with_components(&components);
    for object in &mut expected {
        let text = object.value.to_string();
        object.value = text.replace("\"rally:0.1.0\"", "\"registry.example/rally:0.1.0\"").parse().unwrap();
    }
    // Its settings are its own.
    expected.retain(|object| object.to_string() != "ConfigMap/rally-edge");
    let mut rest = compare(&rendered, &expected);
    rest.retain(|name| name != "ConfigMap/rally-edge");
    assert_eq!(rest, TEST);
    let config = rendered.iter().find(|object| object.to_string() == "ConfigMap/rally-edge").unwrap();
    assert_eq!(config.value["data"]["RALLY_PUBLIC_URL"], "https://rally.example");
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

/// What ingress.enabled asks for besides.
const INGRESS: [&str; 5] = [
    "ingress.enabled=true",
    "ingress.host=rally.example",
    "ingress.tlsSecret=rally-tls",
    "edge.settings.RALLY_PUBLIC_URL=https://rally.example",
    "edge.settings.RALLY_TRUSTED_PROXIES=10.0.0.0/8",
];

/// What trial.enabled asks for besides.
const TRIAL: [&str; 5] = [
    "trial.enabled=true",
    "trial.redisPassword=a",
    "trial.postgresPassword=b",
    "trial.clusterKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "trial.signingKey=IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=",
];

fn set(values: &[&str]) -> Result<Vec<Object>, String> {
    template(&values.iter().flat_map(|value| ["--set", value]).collect::<Vec<_>>())
}

#[test]
fn each_choice_is_that_of_its_component() {
    if !have_helm() {
        return;
    }
    let mut compared = BTreeSet::new();
    let traefik = [&INGRESS[..], &["ingress.className=traefik"]].concat();
    for (components, values) in [
        (&["ingress-nginx"][..], &INGRESS[..]),
        (&["ingress-traefik"], &traefik),
        (&["servers-tls"], &["serversTls.authorities=rally-authorities"]),
        (&["other-sites"], &["networkPolicy.otherSites=true"]),
        (&["letters"], &["networkPolicy.letters=true", "edge.optionalSecrets={smtp-url}"]),
        (&["secret-sentry-dsn"], &["edge.optionalSecrets={sentry-dsn}", "worker.optionalSecrets={sentry-dsn}"]),
        (&["secret-bus-urls"], &["edge.optionalSecrets={bus-urls}", "worker.optionalSecrets={bus-urls}"]),
        (&["secret-oauth-42-client-secret"], &["edge.optionalSecrets={oauth-42-client-secret}"]),
        (&["secret-oauth-github-client-secret"], &["edge.optionalSecrets={oauth-github-client-secret}"]),
        (&["secret-oauth-google-client-secret"], &["edge.optionalSecrets={oauth-google-client-secret}"]),
        (&["traces"], &["networkPolicy.collectorNamespaces={monitoring}"]),
        (&["scale-by-matches"], &["worker.matchesPerPod=2000"]),
        (
            &["external-secrets", "secret-bus-urls"],
            &["externalSecrets.store=rally", "edge.optionalSecrets={bus-urls}", "worker.optionalSecrets={bus-urls}"],
        ),
    ] {
        compared.extend(components);
        let mut expected = with_components(components);
        assert_ne!(expected, objects(), "{components:?} add nothing");
        if components.contains(&"external-secrets") {
            // It cannot come before its Secret, and so is no hook; a Job cannot be changed, and so has another name.
            expected.iter_mut().filter(|object| object.kind == "Job").for_each(|job| {
                job.name.push_str("-1");
                job.value["metadata"]["name"] = job.name.clone().into();
            });
        }
        if values.contains(&INGRESS[3]) {
            let config = expected.iter_mut().find(|object| object.to_string() == "ConfigMap/rally-edge").unwrap();
            config.value["data"]["RALLY_PUBLIC_URL"] = "https://rally.example".into();
            config.value["data"]["RALLY_TRUSTED_PROXIES"] = "10.0.0.0/8".into();
        }
        assert_eq!(compare(&set(values).unwrap(), &expected), TEST, "{components:?}");
    }
    // Compared by the test of production's values; and what serves a measurement is no choice of an installation.
    compared.extend(["managed-servers", "monitoring", "load"]);
    let files = files();
    let folders = files.keys().filter_map(|path| path.strip_prefix("deploy/k8s/components/")?.split('/').next());
    assert_eq!(compared, folders.collect::<BTreeSet<_>>(), "a new component wants its row above");
}

#[test]
fn the_test_asks_all_nodes_and_may() {
    if !have_helm() {
        return;
    }
    let rendered = template(&[]).unwrap();
    let pod = rendered.iter().find(|object| object.kind == "Pod").unwrap();
    let asked = pod.value["spec"]["containers"][0]["args"].as_array().unwrap();
    assert_eq!(asked[..3], ["health", "--within-s", "720"], "longer than a drain");
    for node in &asked[3..] {
        let (service, port) = node.as_str().unwrap().split_once(':').unwrap();
        let service: Service = find(&rendered, "Service", service);
        let spec = service.spec.unwrap();
        assert!(spec.cluster_ip.as_deref() == Some("None") && spec.publish_not_ready_addresses == Some(true));
        assert_eq!(spec.ports.unwrap()[0].port.to_string(), port);
    }
    assert_eq!(asked.len(), 5, "both roles");
    // Its labels are those that the policies let through, and no node's.
    let labels = &pod.value["metadata"]["labels"];
    let out: NetworkPolicy = find(&rendered, "NetworkPolicy", "rally-test");
    let into: NetworkPolicy = find(&rendered, "NetworkPolicy", "rally-test-nodes");
    let selected = out.spec.unwrap().pod_selector.unwrap().match_labels.unwrap();
    let admitted = into.spec.unwrap().ingress.unwrap().remove(0).from.unwrap().remove(0).pod_selector.unwrap();
    assert_eq!(admitted.match_labels.as_ref(), Some(&selected));
    assert!(
        selected.iter().all(|(key, value)| labels[key] == **value) && labels["app.kubernetes.io/component"] == "test"
    );
}

/// Two trials in one namespace have nothing to do with each other.
#[test]
fn a_trial_s_servers_are_its_own() {
    if !have_helm() {
        return;
    }
    let rendered = template(&["--values", "deploy/helm/rally/ci/trial.yaml"]).unwrap();
    let mut seen = 0;
    for object in &rendered {
        let path = match object.kind.as_str() {
            "Service" => "/spec/selector",
            "StatefulSet" => "/spec/selector/matchLabels",
            // Policies of servers, which select by their name.
            "NetworkPolicy" if object.value["spec"]["podSelector"]["matchExpressions"].is_array() => {
                "/spec/podSelector/matchLabels"
            }
            _ => continue,
        };
        let selector = object.value.pointer(path).unwrap_or_else(|| panic!("{object} selects by no label"));
        assert_eq!(selector["app.kubernetes.io/instance"], "rally", "{object}");
        let peers = object.value.pointer("/spec/ingress").and_then(Value::as_array).into_iter().flatten();
        let peers = peers.flat_map(|rule| rule["from"].as_array().unwrap());
        // Those of other namespaces have names that are no release's.
        for peer in peers.filter(|peer| peer["podSelector"].is_object() && peer["namespaceSelector"].is_null()) {
            assert_eq!(peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"], "rally", "{object}");
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
    for object in rendered.iter().filter(|object| object.kind == "StatefulSet") {
        assert_eq!(
            object.value.pointer("/spec/template/metadata/labels/app.kubernetes.io~1instance").unwrap(),
            "rally"
        );
    }
}

/// Only an installation prints the notes; they are rendered here as an object of a copy of the chart.
fn notes(values: &[&str]) -> String {
    let copy = tempfile::tempdir().unwrap();
    let chart = copy.path().join("rally");
    output("cp", &["-r", CHART, chart.to_str().unwrap()]).unwrap();
    std::fs::rename(chart.join("templates/NOTES.txt"), chart.join("notes")).unwrap();
    let object = "kind: Notes\nmetadata: { name: notes }\ntext: {{ tpl (.Files.Get \"notes\") . | quote }}\n";
    std::fs::write(chart.join("templates/notes.yaml"), object).unwrap();
    let values = values.iter().flat_map(|value| ["--set", value]);
    let args: Vec<&str> =
        ["template", "rally", chart.to_str().unwrap()].into_iter().chain(KUBE_VERSION).chain(values).collect();
    let rendered = parse_all(&output("helm", &args).unwrap()).unwrap();
    let notes = rendered.iter().find(|object| object.kind == "Notes").unwrap();
    notes.value["text"].as_str().unwrap().to_owned()
}

#[test]
fn the_notes_name_what_must_be_in_secrets() {
    if !have_helm() {
        return;
    }
    let values = ["edge.optionalSecrets={smtp-url}", "worker.existingSecret=of-workers"];
    let notes_of_both = notes(&values);
    let mut named = 0;
    for object in set(&values).unwrap() {
        let Some(pod) = crate::support::pod_of(&object) else { continue };
        for source in pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()) {
            let keys: Vec<&str> = source.items.iter().flatten().map(|item| item.key.as_str()).collect();
            let line = format!("  {} ({})", source.secret_name.as_deref().unwrap(), keys.join(", "));
            assert!(notes_of_both.lines().any(|each| each == line), "no {line:?} in\n{notes_of_both}");
            named += 1;
        }
    }
    assert_eq!(named, 4);
    assert!(notes_of_both.contains("Secrets that must be there"));
    assert!(notes(&["externalSecrets.store=vault"]).contains("Secrets that must be in the store vault"));
    let of_trial = notes(&TRIAL);
    assert!(of_trial.contains("on trial") && !of_trial.contains("must be"), "{of_trial}");
}

#[test]
fn wrong_values_are_refused_with_a_message() {
    if !have_helm() {
        return;
    }
    let with_trial = |value| [&TRIAL[..], &[value]].concat();
    for (values, message) in [
        (&["edge.replica.min=3"][..], "additional properties 'replica' not allowed"),
        (&["edge.replicas.min=0"], "minimum: got 0, want 1"),
        (&["edge.replicas.min=11"], "edge.replicas.min is above edge.replicas.max"),
        (&["edge.settings.rally_log=debug"], "does not match pattern"),
        (&["edge.settings.RALLY_LOG=1"], "got number, want string"),
        (
            &["worker.settings.RALLY_REDIS_URL=redis://x"],
            "is a secret: put it into the Secret rally-worker as redis-url",
        ),
        (
            &["edge.settings.RALLY_OAUTH_GITHUB_CLIENT_SECRET=abc"],
            "as oauth-github-client-secret, and that into edge.optionalSecrets",
        ),
        (
            &["worker.settings.RALLY_SENTRY_DSN=https://x"],
            "is a secret: put it into the Secret rally-worker as sentry-dsn",
        ),
        (&["edge.settings.RALLY_TYPO=x"], "edge.settings.RALLY_TYPO is no variable of a node of this role"),
        (
            &["worker.settings.RALLY_PUBLIC_URL=https://x"],
            "is no variable of a node of this role: `rally worker --help`",
        ),
        (&["edge.settings.RALLY_NODE_NAME=x"], "is no variable of a node of this role"),
        (&["worker.optionalSecrets={smtp-url}"], "worker.optionalSecrets: smtp-url is none of bus-urls, sentry-dsn"),
        (&["edge.matchesPerPod=2000"], "edge.matchesPerPod: only workers have matches"),
        (&with_trial("edge.optionalSecrets={smtp-url}"), "edge.optionalSecrets needs edge.existingSecret"),
        (&with_trial("externalSecrets.store=a"), "exclude each other"),
        (&["worker.terminationGracePeriodSeconds=30"], "must be at least 605"),
        (&["worker.scaleDown.periodSeconds=60"], "must not be below worker.terminationGracePeriodSeconds"),
        (&["worker.scaleDown.periodSeconds=3600"], "maximum: got 3,600, want 1,800"),
        (&["backup.schedule=daily"], "does not match pattern"),
        (&["image.pullPolicy=Sometimes"], "value must be one of"),
        (&[INGRESS[0], INGRESS[3], INGRESS[4]], "ingress.host must be set"),
        (&[INGRESS[0], INGRESS[1], INGRESS[3], INGRESS[4]], "ingress.tlsSecret must be set"),
        (&INGRESS[..4], "edge.settings.RALLY_TRUSTED_PROXIES must be set with ingress.enabled"),
        (
            &[INGRESS[0], INGRESS[1], INGRESS[2], INGRESS[4]],
            "edge.settings.RALLY_PUBLIC_URL must be set with ingress.enabled",
        ),
        (&["ingress.className=haproxy"], "value must be one of"),
        (&["trial.enabled=true"], "trial.redisPassword must be set"),
        (&["trial.redisPassword=a@b"], "does not match pattern"),
        (&["serversTls.authorities=A/b"], "does not match pattern"),
        (&["networkPolicy.serverBlocks.redis[0].cidr=10.0.0.1"], "does not match pattern"),
        (&["networkPolicy.serverBlocks.redis[0].cidr=10.0.0.1/32"], "missing property 'ports'"),
    ] {
        let said = set(values).err().unwrap_or_else(|| panic!("{values:?} are taken"));
        assert!(said.contains(message), "{values:?}: {said}");
    }
}
