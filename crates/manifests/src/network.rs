//! Who may speak to whom. Nothing may that is not said here.
//!
//! Redis and Postgres are found by the labels that their usual charts set ([`Servers`]). Servers outside the cluster are
//! let through by the component `managed-servers`.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use crate::{
    ADMIN_PORT, HTTP_PORT, Object,
    names::{COMPONENT, NAME, POSTGRES_PORT, REDIS_PORT, SENTINEL_PORT, metadata, selector},
};

/// A kind of server: how charts name it, and where nodes reach it.
struct Servers {
    name: &'static str,
    named: &'static [&'static str],
    ports: &'static [i32],
    /// Where an exporter beside the server has its metrics, as the usual charts have it.
    metrics: i32,
}

const REDIS: Servers =
    Servers { name: "redis", named: &["redis", "redis-cluster"], ports: &[REDIS_PORT, SENTINEL_PORT], metrics: 9121 };
const POSTGRES: Servers =
    Servers { name: "postgres", named: &["postgres", "postgresql"], ports: &[POSTGRES_PORT], metrics: 9187 };

/// Namespaces of what comes in front of the edges.
const INGRESS_NAMESPACES: [&str; 2] = ["ingress-nginx", "traefik"];
/// The namespace of Prometheus.
pub(crate) const MONITORING_NAMESPACE: &str = "monitoring";

pub(crate) fn objects() -> Vec<Object> {
    let to_both = || vec![dns(), to(&REDIS), to(&POSTGRES)];
    let to_postgres = || vec![dns(), to(&POSTGRES)];
    let scraped = || from(vec![namespaces(&[MONITORING_NAMESPACE])], &[ADMIN_PORT]);
    [
        // Whatever is of Rally and has no policy of its own below, such as the restore drill, is alone.
        policy("rally-deny", "all", rally(), vec![], vec![]),
        policy(
            "rally-edge",
            "edge",
            selector("edge"),
            vec![from(vec![namespaces(&INGRESS_NAMESPACES)], &[HTTP_PORT]), scraped()],
            to_both(),
        ),
        policy("rally-worker", "worker", selector("worker"), vec![scraped()], to_both()),
        policy("rally-migrate", "migrate", selector("migrate"), vec![], to_postgres()),
        policy("rally-backup", "backup", selector("backup"), vec![], to_postgres()),
        servers(&REDIS, &["edge", "worker"]),
        servers(&POSTGRES, &["edge", "worker", "migrate", "backup"]),
    ]
    .iter()
    .map(Object::of)
    .collect()
}

fn policy(
    name: &str,
    component: &str,
    pods: LabelSelector,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(name, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}

/// Who may reach servers of a kind: nodes and jobs; Prometheus an exporter beside them, and exporters the servers. Replicas
/// speak to each other on ports of their own, such as a Redis Cluster's bus, and to whom they like.
fn servers(servers: &Servers, components: &[&str]) -> NetworkPolicy {
    let Servers { name, named, ports, metrics } = servers;
    let replicas = NetworkPolicyPeer { pod_selector: Some(one_of(NAME, named)), ..Default::default() };
    let among_replicas = NetworkPolicyIngressRule { from: Some(vec![replicas]), ports: None };
    let watched = from(vec![namespaces(&[MONITORING_NAMESPACE])], &[*metrics]);
    let mut exporters = namespaces(&[MONITORING_NAMESPACE]);
    exporters.pod_selector = Some(one_of(NAME, &[&format!("prometheus-{name}-exporter")]));
    let ingress = vec![from(vec![pods(components)], ports), among_replicas, watched, from(vec![exporters], ports)];
    let mut policy = policy(&format!("rally-{name}"), name, one_of(NAME, named), ingress, vec![]);
    if let Some(spec) = &mut policy.spec {
        spec.policy_types = Some(vec!["Ingress".to_owned()]);
    }
    policy
}

fn matching(key: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: Some([(key.to_owned(), value.to_owned())].into()), ..Default::default() }
}

fn rally() -> LabelSelector {
    matching(NAME, "rally")
}

fn one_of(key: &str, values: &[&str]) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: key.to_owned(),
            operator: "In".to_owned(),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        }]),
        ..Default::default()
    }
}

fn pods(components: &[&str]) -> NetworkPolicyPeer {
    let mut selector = one_of(COMPONENT, components);
    selector.match_labels = rally().match_labels;
    NetworkPolicyPeer { pod_selector: Some(selector), ..Default::default() }
}

pub(crate) fn namespaces(names: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(one_of("kubernetes.io/metadata.name", names)), ..Default::default() }
}

fn ports(protocol: &str, numbers: &[i32]) -> Option<Vec<NetworkPolicyPort>> {
    let port = |number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*number)),
        protocol: Some(protocol.to_owned()),
        ..Default::default()
    };
    Some(numbers.iter().map(port).collect())
}

pub(crate) fn from(peers: Vec<NetworkPolicyPeer>, numbers: &[i32]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: Some(peers), ports: ports("TCP", numbers) }
}

pub(crate) fn to_namespaces(names: &[&str], number: i32) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to: Some(vec![namespaces(names)]), ports: ports("TCP", &[number]) }
}

fn to(servers: &Servers) -> NetworkPolicyEgressRule {
    let peer = NetworkPolicyPeer { pod_selector: Some(one_of(NAME, servers.named)), ..Default::default() };
    NetworkPolicyEgressRule { to: Some(vec![peer]), ports: ports("TCP", servers.ports) }
}

/// The cluster's name server, wherever it is.
fn dns() -> NetworkPolicyEgressRule {
    let mut all = ports("UDP", &[53]).unwrap_or_default();
    all.extend(ports("TCP", &[53]).unwrap_or_default());
    NetworkPolicyEgressRule { to: Some(vec![namespaces(&["kube-system"])]), ports: Some(all) }
}
