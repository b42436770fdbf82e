//! What kustomize makes of the files, where it is installed (it comes with kubectl).

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service},
    networking::v1::{Ingress, NetworkPolicy},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rally_manifests::{ADMIN_PORT, HTTP_PORT, Object, objects, parse_all};

use crate::support::{all, find, have, output};

fn built(path: &str) -> Vec<Object> {
    let objects = parse_all(&output("kubectl", &["kustomize", path]).unwrap()).unwrap();
    for object in &objects {
        object.check().unwrap();
    }
    objects
}

fn have_kustomize() -> bool {
    have("kubectl", &["version", "--client"])
}

/// The ConfigMap whose name begins so and ends in the hash of its contents.
fn config<'a>(objects: &'a [Object], name: &str) -> (String, ConfigMap, &'a Object) {
    let with_hash = |object: &&Object| {
        let rest = object.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        object.kind == "ConfigMap" && rest.is_some_and(|hash| hash.len() == 10 && !hash.contains('-'))
    };
    let object = objects.iter().find(with_hash).unwrap_or_else(|| panic!("no ConfigMap {name}"));
    (object.name.clone(), object.read().unwrap(), object)
}

#[test]
fn the_base_is_the_typed_objects() {
    if !have_kustomize() {
        return;
    }
    let (built, ours) = (built("deploy/k8s/base"), objects());
    assert_eq!(built.len(), ours.len());
    let mut text = serde_json::to_string(&ours.iter().map(|object| &object.value).collect::<Vec<_>>()).unwrap();
    let mut renamed = Vec::new();
    for object in &ours {
        if object.kind == "ConfigMap" {
            let (hashed, made, _) = config(&built, &object.name);
            assert_eq!(made.data, object.read::<ConfigMap>().unwrap().data, "{object}");
            renamed.push((object.name.clone(), hashed));
        }
    }
    // References follow the ConfigMaps' names; nothing else differs.
    for (name, hashed) in &renamed {
        for reference in [
            (
                format!("\"configMapRef\":{{\"name\":\"{name}\"}}"),
                format!("\"configMapRef\":{{\"name\":\"{hashed}\"}}"),
            ),
            (format!("\"defaultMode\":292,\"name\":\"{name}\""), format!("\"defaultMode\":292,\"name\":\"{hashed}\"")),
        ] {
            text = text.replace(&reference.0, &reference.1);
        }
    }
    let expected: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (object, expected) in ours.iter().zip(expected).filter(|(object, _)| object.kind != "ConfigMap") {
        let made = built.iter().find(|made| made.kind == object.kind && made.name == object.name);
        assert_eq!(made.unwrap_or_else(|| panic!("no {object}")).value, expected, "{object}");
    }
}

#[test]
fn overlays_change_what_they_say() {
    if !have_kustomize() {
        return;
    }
    let (dev, prod) = (built("deploy/k8s/overlays/dev"), built("deploy/k8s/overlays/prod"));
    for (objects, namespace, image) in
        [(&dev, "rally-dev", "rally:dev"), (&prod, "rally", "registry.example/rally:0.1.0")]
    {
        for object in objects.iter().filter(|object| object.kind != "Namespace") {
            assert_eq!(object.value["metadata"]["namespace"], namespace, "{object}");
        }
        let edge: Deployment = find(objects, "Deployment", "rally-edge");
        let container = &edge.spec.unwrap().template.spec.unwrap().containers[0];
        assert_eq!(container.image.as_deref(), Some(image));
        // A changed setting changes the name, and so rolls the pods.
        let config_ref = &container.env_from.as_ref().unwrap()[0].config_map_ref.as_ref().unwrap().name;
        assert_eq!(*config_ref, config(objects, "rally-edge").0);
    }
    let data = |objects: &[Object]| config(objects, "rally-edge").1.data.unwrap();
    assert_eq!(data(&prod)["RALLY_PUBLIC_URL"], "https://rally.example");
    assert!(!data(&dev).contains_key("RALLY_PUBLIC_URL"));
    let scaled: HorizontalPodAutoscaler = find(&dev, "HorizontalPodAutoscaler", "rally-worker");
    assert_eq!(scaled.spec.map(|spec| (spec.min_replicas, spec.max_replicas)), Some((Some(1), 2)));
    assert!(dev.iter().any(|object| object.kind == "StatefulSet" && object.name == "rally-redis"));
    // Production has its servers elsewhere, and pods may get there.
    assert!(!prod.iter().any(|object| object.kind == "StatefulSet"));
    let policy: NetworkPolicy = find(&prod, "NetworkPolicy", "rally-migrate");
    let blocks: Vec<_> = policy.spec.unwrap().egress.unwrap().into_iter().flat_map(|rule| rule.to.unwrap()).collect();
    assert!(blocks.iter().any(|peer| peer.ip_block.is_some()));
    assert!(prod.iter().any(|object| object.value.to_string().contains("rally-authorities")), "over TLS");
    assert_eq!(all::<Ingress>(&prod, "Ingress").len(), 3);
    assert!(prod.iter().any(|object| object.kind == "ServiceMonitor"));
}

#[test]
fn every_component_can_be_added() {
    if !have_kustomize() {
        return;
    }
    let root = rally_manifests::repository();
    for entry in std::fs::read_dir(root.join("deploy/k8s/components")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let dir = tempfile::tempdir_in(root.join("deploy/k8s")).unwrap();
        let kustomization = format!("resources: [../base]\ncomponents: [../components/{name}]\n");
        std::fs::write(dir.path().join("kustomization.yaml"), kustomization).unwrap();
        let with = built(dir.path().to_str().unwrap());
        let changed = with.iter().filter(|object| !objects().iter().any(|base| base.value == object.value)).count();
        assert!(changed > 0, "{name} changes nothing");
    }
}

#[test]
fn the_script_of_secrets_makes_all_that_pods_mount() {
    if !have_kustomize() || !have("openssl", &["version"]) {
        return;
    }
    let secrets = parse_all(&output("deploy/k8s/secrets.sh", &[]).unwrap()).unwrap();
    for secret in &secrets {
        assert_eq!(secret.check(), Ok(true));
    }
    let mut used = std::collections::BTreeSet::new();
    for object in built("deploy/k8s/overlays/dev") {
        let Some(pod) = crate::support::pod_of(&object) else { continue };
        for source in pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()) {
            let name = source.secret_name.as_deref().unwrap();
            let secret = secrets.iter().find(|secret| secret.name == name).unwrap_or_else(|| panic!("no {name}"));
            let keys = source.items.iter().flatten().map(|item| item.key.as_str());
            let made: Vec<&str> = secret.value["stringData"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys.collect::<std::collections::BTreeSet<_>>(), made.into_iter().collect(), "{object}");
            used.insert(name.to_owned());
        }
    }
    assert_eq!(used.len(), secrets.len());
}

#[test]
fn load_generators_find_their_scripts() {
    if !have_kustomize() {
        return;
    }
    let built = built("deploy/k8s/load");
    let cluster = crate::support::with_components(&["load"]);
    let (name, scripts, _) = config(&built, "k6");
    let scripts = scripts.data.unwrap();
    let jobs = all::<k8s_openapi::api::batch::v1::Job>(&built, "Job");
    assert_eq!(jobs.len(), 5);
    let mut asked = std::collections::BTreeSet::new();
    for job in jobs {
        let spec = job.spec.unwrap();
        assert_eq!(spec.suspend, Some(true), "a load starts when somebody wants it to");
        let pod = spec.template.spec.unwrap();
        let volume = pod.volumes.unwrap().into_iter().find_map(|volume| volume.config_map).unwrap();
        assert_eq!(volume.name, name);
        let items = volume.items.unwrap();
        assert!(items.iter().all(|item| scripts.contains_key(&item.key)));
        let script = pod.containers[0].args.as_ref().unwrap()[2].strip_prefix("/loadtests/").unwrap().to_owned();
        let item = items.iter().find(|item| item.path == script).unwrap_or_else(|| panic!("no {script}"));
        // Each address is a Service of the cluster in the namespace of production, and the pods behind it let k6 in.
        let urls = pod.containers[0].env.iter().flatten().filter(|variable| variable.name.ends_with("_URLS"));
        for url in urls.flat_map(|variable| variable.value.as_ref().unwrap().split(',').map(str::to_owned)) {
            let at = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
            let (host, port) = at.split_once(':').unwrap_or((&at, "80"));
            let service: Service = find(&cluster, "Service", host.strip_suffix(".rally").unwrap());
            let service = service.spec.unwrap();
            let opened = service.ports.unwrap().into_iter().find(|each| each.port.to_string() == port).unwrap();
            let role = &service.selector.unwrap()["app.kubernetes.io/component"];
            let policy: NetworkPolicy = find(&cluster, "NetworkPolicy", &format!("rally-{role}"));
            let target = match opened.target_port.unwrap() {
                IntOrString::String(name) if name == "http" => HTTP_PORT,
                _ => ADMIN_PORT,
            };
            let admits = policy.spec.unwrap().ingress.unwrap().into_iter().any(|rule| {
                let is_open = rule.ports.iter().flatten().any(|port| port.port == Some(IntOrString::Int(target)));
                is_open && serde_json::to_string(&rule.from).unwrap().contains("\"rally-load\"")
            });
            assert!(admits, "{url} is closed to k6");
            asked.insert(url);
        }
        // What it is given, it or k6 itself reads.
        let is_k6_s = |name: &str| name.starts_with("K6_") || name == "BASE_URLS";
        for variable in pod.containers[0].env.iter().flatten().filter(|variable| !is_k6_s(&variable.name)) {
            let known =
                [&item.key, "lib.js"].iter().any(|key| scripts[*key].contains(&format!("__ENV.{}", variable.name)));
            assert!(known, "{script} does not know {}", variable.name);
        }
    }
    assert_eq!(asked.len(), 3, "{asked:?}");
}

/// All players of a load come from one pod's address.
#[test]
fn a_load_is_exempt_from_limits_by_address() {
    if !have_kustomize() {
        return;
    }
    let root = rally_manifests::repository().join("deploy/k8s");
    let dir = tempfile::tempdir_in(&root).unwrap();
    let kustomization = "resources: [../overlays/prod]\ncomponents: [../components/load]\n";
    std::fs::write(dir.path().join("kustomization.yaml"), kustomization).unwrap();
    let with = built(dir.path().to_str().unwrap());
    let settings = |objects: &[Object]| config(objects, "rally-edge").1.data.unwrap();
    assert_eq!(settings(&built("deploy/k8s/overlays/prod"))["RALLY_LIMIT_EXEMPT"], "");
    assert_eq!(settings(&with)["RALLY_LIMIT_EXEMPT"], "10.0.0.0/8");
    assert_eq!(settings(&with)["RALLY_PUBLIC_URL"], "https://rally.example", "the overlay's own");
}
