//! What must hold between numbers and names that stand in different objects.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Service, ServiceAccount},
        networking::v1::{NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPort},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use rally_manifests::{ADMIN_PORT, HTTP_PORT, Role, objects, settings};

use crate::support::{all, find, pod_of, variable};

/// What a Postgres for production is asked to have at least: docs/OPERATIONS.md, docker-compose.yml, the trial's.
const MAX_CONNECTIONS: u32 = 200;
/// For people, exporters and the superuser.
const RESERVE: u32 = 20;

fn setting<T: std::str::FromStr>(role: Role, name: &str) -> T {
    let config: ConfigMap = find(&objects(), "ConfigMap", role.object());
    let value = &config.data.unwrap()[name];
    value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

fn deployment(role: Role) -> Deployment {
    find(&objects(), "Deployment", role.object())
}

fn autoscaler(role: Role) -> k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec {
    find::<HorizontalPodAutoscaler>(&objects(), "HorizontalPodAutoscaler", role.object()).spec.unwrap()
}

#[test]
fn a_pod_is_killed_only_after_its_drain() {
    for role in Role::ALL {
        let pod = deployment(role).spec.unwrap().template.spec.unwrap();
        let pre_stop = pod.containers[0].lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let pre_stop_s = pre_stop.and_then(|handler| handler.sleep.as_ref()).map_or(0, |sleep| sleep.seconds);
        let drain_ms: i64 = setting(role, "RALLY_DRAIN_MS");
        // A role has a second for its last words, and the fabric another tenth to leave; the rest is for slow disks.
        let needed_s = pre_stop_s + drain_ms / 1_000 + 5;
        let grace_s = pod.termination_grace_period_seconds.unwrap();
        assert!(grace_s >= needed_s, "{}: {grace_s} s are less than {needed_s} s", role.as_str());
    }
}

#[test]
fn scaling_in_waits_for_drains() {
    for role in Role::ALL {
        let pod = deployment(role).spec.unwrap().template.spec.unwrap();
        let grace_s = pod.termination_grace_period_seconds.unwrap();
        let spec = autoscaler(role);
        assert!(spec.min_replicas.is_some_and(|min| min >= 3) && spec.max_replicas == 10);
        let down = spec.behavior.unwrap().scale_down.unwrap();
        for policy in down.policies.unwrap() {
            assert_eq!((policy.type_.as_str(), policy.value), ("Pods", 1));
            assert!(
                i64::from(policy.period_seconds) >= grace_s,
                "{}: a pod each {} s",
                role.as_str(),
                policy.period_seconds
            );
            assert!(policy.period_seconds <= 1_800, "the API's bound");
        }
        assert!(down.stabilization_window_seconds.is_some_and(|s| (300..=3_600).contains(&s)));
    }
}

#[test]
fn all_pools_together_leave_a_reserve() {
    let pods = |role: Role| -> u32 {
        let strategy = deployment(role).spec.unwrap().strategy.unwrap().rolling_update.unwrap();
        assert_eq!(
            (strategy.max_surge, strategy.max_unavailable),
            (Some(IntOrString::Int(1)), Some(IntOrString::Int(0)))
        );
        // Pods that are ending still have their connections and are not counted by the surge: at worst all old ones
        // drain while all new ones are up.
        2 * u32::try_from(autoscaler(role).max_replicas).unwrap()
    };
    let pools: u32 = Role::ALL.iter().map(|role| pods(*role) * setting::<u32>(*role, "RALLY_DATABASE_POOL_MAX")).sum();
    // The migration's and pg_dump's.
    let all = pools + 2;
    assert!(all <= MAX_CONNECTIONS - RESERVE, "{all} connections of {MAX_CONNECTIONS} less {RESERVE}");
}

#[test]
fn ports_and_probes_are_the_program_s() {
    for role in Role::ALL {
        let pod = deployment(role).spec.unwrap().template.spec.unwrap();
        let container = &pod.containers[0];
        let ports: BTreeMap<String, i32> =
            container.ports.iter().flatten().map(|port| (port.name.clone().unwrap(), port.container_port)).collect();
        let listens = |name| -> i32 { setting::<std::net::SocketAddr>(role, name).port().into() };
        assert_eq!(ports["admin"], listens("RALLY_ADMIN_ADDR"));
        assert_eq!(ports["admin"], ADMIN_PORT);
        if role == Role::Edge {
            assert_eq!(ports["http"], listens("RALLY_HTTP_ADDR"));
            assert_eq!(ports["http"], HTTP_PORT);
        }
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        for probe in probes {
            let asked = probe.as_ref().unwrap().http_get.as_ref().unwrap();
            assert_eq!(asked.port, IntOrString::String("admin".to_owned()));
        }
    }
}

#[test]
fn services_and_budgets_find_their_pods() {
    let objects = objects();
    let labels = |role: Role| deployment(role).spec.unwrap().template.metadata.unwrap().labels.unwrap();
    let selects = |selector: &BTreeMap<String, String>, role: Role| {
        let labels = labels(role);
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    for service in all::<Service>(&objects, "Service") {
        let name = service.metadata.name.unwrap();
        let spec = service.spec.unwrap();
        let role = if name.starts_with("rally-edge") { Role::Edge } else { Role::Worker };
        let selector = spec.selector.unwrap();
        let found: Vec<Role> = Role::ALL.into_iter().filter(|role| selects(&selector, *role)).collect();
        assert_eq!(found, [role], "{name}");
        let pod = deployment(role).spec.unwrap().template.spec.unwrap();
        let named: BTreeSet<String> =
            pod.containers[0].ports.iter().flatten().filter_map(|port| port.name.clone()).collect();
        for port in spec.ports.unwrap() {
            let Some(IntOrString::String(target)) = port.target_port else { panic!("{name} has a number") };
            assert!(named.contains(&target), "{name}: no port {target}");
        }
    }
    for budget in all::<PodDisruptionBudget>(&objects, "PodDisruptionBudget") {
        let selector = budget.spec.unwrap().selector.unwrap().match_labels.unwrap();
        assert_eq!(Role::ALL.into_iter().filter(|role| selects(&selector, *role)).count(), 1);
    }
}

#[test]
fn every_pod_is_confined() {
    let objects = objects();
    let pods: Vec<_> = objects.iter().filter_map(|object| Some((object, pod_of(object)?))).collect();
    assert_eq!(pods.len(), 5, "two roles and three jobs");
    for (object, pod) in pods {
        let who = pod.security_context.unwrap();
        assert!(who.run_as_non_root == Some(true) && who.run_as_user.is_some_and(|user| user > 0), "{object}");
        assert_eq!(who.seccomp_profile.unwrap().type_, "RuntimeDefault", "{object}");
        assert_eq!(pod.automount_service_account_token, Some(false), "{object}");
        let account: ServiceAccount = find(&objects, "ServiceAccount", &pod.service_account_name.unwrap());
        assert_eq!(account.automount_service_account_token, Some(false), "{object}");
        for container in pod.containers {
            let may = container.security_context.unwrap();
            assert_eq!(may.read_only_root_filesystem, Some(true), "{object}");
            assert_eq!(may.allow_privilege_escalation, Some(false), "{object}");
            assert_eq!(may.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]), "{object}");
            let limits = container.resources.unwrap().limits.unwrap();
            assert!(limits.contains_key("memory"), "{object}");
            // Throttling is lateness.
            assert!(!(container.name == "worker" && limits.contains_key("cpu")), "{object}");
        }
    }
}

#[test]
fn secrets_are_files_and_in_no_object() {
    let objects = objects();
    assert!(!objects.iter().any(|object| object.kind == "Secret"));
    for object in &objects {
        let Some(pod) = pod_of(object) else { continue };
        let container = &pod.containers[0];
        let mounted: BTreeSet<String> = pod
            .volumes
            .iter()
            .flatten()
            .filter_map(|volume| volume.secret.as_ref())
            .flat_map(|secret| secret.items.clone().unwrap())
            .map(|item| format!("/run/secrets/rally/{}", item.path))
            .collect();
        let named: BTreeSet<String> = container
            .env
            .iter()
            .flatten()
            .filter(|env| env.name.ends_with("_FILE"))
            .map(|env| env.value.clone().unwrap())
            .collect();
        assert_eq!(named, mounted, "{object}");
    }
    for role in Role::ALL {
        let container = &deployment(role).spec.unwrap().template.spec.unwrap().containers[0];
        for secret in settings::variables(role).iter().filter(|variable| variable.is_secret) {
            let is_given = variable(container, &format!("{}_FILE", secret.name)).is_some();
            let is_optional = settings::OPTIONAL_SECRETS.contains(&secret.name.as_str());
            assert!(is_given != is_optional, "{}", secret.name);
            assert!(!settings::config(role).contains_key(&secret.name));
        }
    }
    // Who signs tokens is nobody's affair but the edges'.
    assert!(!settings::secrets(Role::Worker).iter().any(|secret| secret.key == "signing-keys"));
}

#[test]
fn only_those_who_need_a_server_reach_it() {
    let objects = objects();
    let policies = all::<NetworkPolicy>(&objects, "NetworkPolicy");
    let reach = |server: &str| -> BTreeSet<String> {
        let policy = policies.iter().find(|policy| policy.metadata.name.as_deref() == Some(server)).unwrap();
        let rules = policy.spec.as_ref().unwrap().ingress.as_ref().unwrap();
        let peers = rules.iter().flat_map(|rule| rule.from.iter().flatten());
        let selectors = peers.filter_map(|peer| peer.pod_selector.as_ref()?.match_expressions.clone());
        let of_components = selectors.flatten().filter(|each| each.key == "app.kubernetes.io/component");
        of_components.flat_map(|expression| expression.values.unwrap()).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(reach("rally-redis"), set(&["edge", "worker"]));
    assert_eq!(reach("rally-postgres"), set(&["backup", "edge", "migrate", "worker"]));
    // Under the names that their usual charts give them, on the ports that nodes ask for; among themselves on any.
    for (server, names, opened) in [
        ("rally-redis", set(&["redis", "redis-cluster"]), vec![6379, 26379]),
        ("rally-postgres", set(&["postgres", "postgresql"]), vec![5432]),
    ] {
        let policy = policies.iter().find(|policy| policy.metadata.name.as_deref() == Some(server)).unwrap();
        let spec = policy.spec.as_ref().unwrap();
        let named: BTreeSet<String> = spec.pod_selector.as_ref().unwrap().match_expressions.as_ref().unwrap()[0]
            .values
            .iter()
            .flatten()
            .cloned()
            .collect();
        assert_eq!(named, names);
        let [nodes, replicas, watchers, exporters] = &spec.ingress.as_ref().unwrap()[..] else { panic!("{server}") };
        let ports = |ports: &Option<Vec<NetworkPolicyPort>>| -> Vec<IntOrString> {
            ports.iter().flatten().filter_map(|port| port.port.clone()).collect()
        };
        let opened: Vec<IntOrString> = opened.into_iter().map(IntOrString::Int).collect();
        assert_eq!(ports(&nodes.ports), opened);
        assert_eq!(replicas.ports, None);
        // An exporter's metrics for whoever watches, the server itself for an exporter that is elsewhere.
        assert!(ports(&watchers.ports).iter().all(|port| !opened.contains(port)));
        assert_eq!(ports(&exporters.ports), opened);
        assert!(watchers.from.as_ref().unwrap().iter().all(|peer| peer.namespace_selector.is_some()));
        let exporters = exporters.from.as_ref().unwrap();
        assert!(exporters.iter().all(|peer| peer.namespace_selector.is_some() && peer.pod_selector.is_some()));
        assert_eq!(replicas.from.as_ref().unwrap()[0].pod_selector.as_ref(), spec.pod_selector.as_ref());
        // And the other end lets them out to the same.
        for role in Role::ALL {
            let policy = policies.iter().find(|policy| policy.metadata.name.as_deref() == Some(role.object())).unwrap();
            let out = policy.spec.as_ref().unwrap().egress.iter().flatten();
            let fits = |rule: &NetworkPolicyEgressRule| {
                rule.to.as_ref().unwrap()[0].pod_selector == spec.pod_selector && ports(&rule.ports) == opened
            };
            assert_eq!(out.filter(|rule| fits(rule)).count(), 1, "{role:?} to {server}");
        }
    }
    // Nobody but Prometheus asks the admin port; kubelets come from the pod's own machine.
    for policy in &policies {
        for rule in policy.spec.as_ref().unwrap().ingress.iter().flatten() {
            let opens = |number| rule.ports.iter().flatten().any(|port| port.port == Some(IntOrString::Int(number)));
            if opens(ADMIN_PORT) {
                let peers = rule.from.as_ref().unwrap();
                assert!(peers.iter().all(|peer| peer.namespace_selector.is_some() && peer.pod_selector.is_none()));
                assert!(!opens(HTTP_PORT), "{:?} opens both to the same", policy.metadata.name);
            }
        }
    }
}

#[test]
fn the_autoscaler_s_targets_exist() {
    for role in Role::ALL {
        let spec = autoscaler(role);
        assert_eq!(
            (spec.scale_target_ref.kind.as_str(), spec.scale_target_ref.name.as_str()),
            ("Deployment", role.object())
        );
        let metric = spec.metrics.unwrap().remove(0).resource.unwrap();
        assert_eq!((metric.name.as_str(), metric.target.average_utilization), ("cpu", Some(70)));
        // Utilisation is of what was requested.
        let container = &deployment(role).spec.unwrap().template.spec.unwrap().containers[0];
        assert!(container.resources.as_ref().unwrap().requests.as_ref().unwrap().contains_key("cpu"));
    }
}
