//! What comes in front of the edges: two variants with the same limits, as far as each knows them.
//!
//! Per address: 10 requests a second to the API (20 at once), 5 WebSocket handshakes a second (5 at once), 10
//! connections and 3 WebSockets, and 500 KB/s after 10 MB of an answer. The edges' own limits hold behind them. An
//! address may be a school: whoever serves such raises the limit of WebSockets.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::ConfigMap,
    networking::v1::{
        HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
        IngressSpec, IngressTLS, ServiceBackendPort,
    },
};
use serde_json::{Value, json};

use crate::{
    Object, Role,
    names::{labels, metadata},
};

/// To be replaced by the installation's own; the overlay says where.
pub(crate) const HOST: &str = "rally.example";
const TLS_SECRET: &str = "rally-tls";
const API_PER_S: u32 = 10;
const API_BURST: u32 = 20;
const UPGRADES_PER_S: u32 = 5;
const UPGRADES_BURST: u32 = 5;
const CONNECTIONS: u32 = 10;
const SOCKETS: u32 = 3;

/// For ingress-nginx: three Ingresses, since its limits are those of a whole Ingress.
pub(crate) fn nginx() -> Vec<Object> {
    let annotate = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), value.clone())).collect()
    };
    let common = [
        ("ssl-redirect", "true".to_owned()),
        // The edges refuse more as well.
        ("proxy-body-size", "16k".to_owned()),
        ("proxy-connect-timeout", "5".to_owned()),
    ];
    let rate = |per_s: u32, burst: u32, connections: u32| {
        [
            ("limit-rps", per_s.to_string()),
            ("limit-burst-multiplier", (burst / per_s).to_string()),
            ("limit-connections", connections.to_string()),
        ]
    };
    // In KB. It counts what is buffered, so buffering must be on.
    let bandwidth = [
        ("limit-rate-after", "10240".to_owned()),
        ("limit-rate", "500".to_owned()),
        ("proxy-buffering", "on".to_owned()),
    ];
    // An edge answers within 10 s, or not at all.
    let quick = [("proxy-read-timeout", "15".to_owned()), ("proxy-send-timeout", "15".to_owned())];
    // An edge closes a silent WebSocket after 60 s by itself, and pings before that.
    let lasting = [
        ("proxy-read-timeout", "120".to_owned()),
        ("proxy-send-timeout", "120".to_owned()),
        ("proxy-buffering", "off".to_owned()),
    ];
    let api = rate(API_PER_S, API_BURST, CONNECTIONS);
    let ws = rate(UPGRADES_PER_S, UPGRADES_BURST, SOCKETS);
    [
        ingress("rally-page", "/", "Prefix", annotate(&[&common[..], &bandwidth, &quick].concat())),
        ingress("rally-api", "/api", "Prefix", annotate(&[&common[..], &api, &bandwidth, &quick].concat())),
        ingress("rally-ws", "/ws", "Exact", annotate(&[&common[..], &ws, &lasting].concat())),
    ]
    .iter()
    .map(Object::of)
    .collect()
}

fn ingress(name: &str, path: &str, path_type: &str, annotations: BTreeMap<String, String>) -> Ingress {
    let service = IngressServiceBackend {
        name: Role::Edge.object().to_owned(),
        port: Some(ServiceBackendPort { name: Some("http".to_owned()), number: None }),
    };
    let path = HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: path_type.to_owned(),
        backend: IngressBackend { service: Some(service), resource: None },
    };
    let mut metadata = metadata(name, Role::Edge.as_str());
    metadata.annotations = Some(annotations);
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some("nginx".to_owned()),
            rules: Some(vec![IngressRule {
                host: Some(HOST.to_owned()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: Some(vec![IngressTLS {
                hosts: Some(vec![HOST.to_owned()]),
                secret_name: Some(TLS_SECRET.to_owned()),
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Settings of ingress-nginx that hold for the whole controller, for its own namespace.
pub(crate) fn nginx_controller() -> Object {
    let settings = [
        ("client-header-timeout", "10"),
        ("client-body-timeout", "10"),
        ("keep-alive", "75"),
        ("keep-alive-requests", "1000"),
        ("upstream-keepalive-connections", "64"),
        ("upstream-keepalive-requests", "1000"),
        ("upstream-keepalive-timeout", "75"),
        ("use-gzip", "true"),
        ("enable-brotli", "true"),
        ("hsts", "true"),
        ("hsts-max-age", "31536000"),
        ("hsts-include-subdomains", "false"),
        ("limit-req-status-code", "429"),
        ("limit-conn-status-code", "429"),
        ("ssl-protocols", "TLSv1.2 TLSv1.3"),
        // A worker of nginx that is replaced lets its WebSockets go this soon; the players come back at once.
        ("worker-shutdown-timeout", "240s"),
    ];
    let mut metadata = metadata("ingress-nginx-controller", "controller");
    metadata.labels = None;
    metadata.namespace = Some("ingress-nginx".to_owned());
    let data = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Object::of(&ConfigMap { metadata, data: Some(data), ..Default::default() })
}

/// Above the settings of Traefik itself.
pub(crate) const TRAEFIK_ABOUT: &str = "Values for Traefik's own chart: helm upgrade --install traefik traefik/traefik --namespace traefik --values THIS\n\
    # Slow requests are cut after 10 s; a WebSocket is no request any more once it is upgraded. Traefik knows no limit of bandwidth.";

/// Settings of Traefik that hold for the whole of it, for its own chart. By flags, whose names all versions of that chart
/// pass on as they are.
pub(crate) fn traefik_values() -> Value {
    let of_entry = ["web", "websecure"].into_iter().flat_map(|entry| {
        let transport = format!("--entryPoints.{entry}.transport");
        [
            // From the first byte of a request to its last. Go's server lifts it from connections that are upgraded.
            format!("{transport}.respondingTimeouts.readTimeout=10s"),
            format!("{transport}.respondingTimeouts.idleTimeout=75s"),
            format!("{transport}.keepAliveMaxRequests=1000"),
        ]
    });
    let of_servers =
        ["--serversTransport.maxIdleConnsPerHost=64", "--serversTransport.forwardingTimeouts.idleConnTimeout=75s"];
    let arguments: Vec<String> = of_entry.chain(of_servers.map(str::to_owned)).collect();
    json!({
        "additionalArguments": arguments,
        // Otherwise limits by address see the addresses of machines.
        "service": { "spec": { "externalTrafficPolicy": "Local" } },
    })
}

/// For Traefik, by its own resources. It knows no limit of bandwidth.
pub(crate) fn traefik() -> Vec<Object> {
    let by_address = json!({ "ipStrategy": { "depth": 0 } });
    let rate = |average: u32, burst: u32| json!({ "rateLimit": { "average": average, "burst": burst, "period": "1s", "sourceCriterion": by_address } });
    let at_once = |amount: u32| json!({ "inFlightReq": { "amount": amount, "sourceCriterion": by_address } });
    let middlewares = [
        ("rally-https", json!({ "redirectScheme": { "scheme": "https", "permanent": true } })),
        ("rally-hsts", json!({ "headers": { "stsSeconds": 31_536_000 } })),
        ("rally-compress", json!({ "compress": { "encodings": ["br", "gzip"] } })),
        ("rally-body", json!({ "buffering": { "maxRequestBodyBytes": 16_384 } })),
        ("rally-api-rate", rate(API_PER_S, API_BURST)),
        ("rally-api-connections", at_once(CONNECTIONS)),
        ("rally-ws-rate", rate(UPGRADES_PER_S, UPGRADES_BURST)),
        ("rally-ws-connections", at_once(SOCKETS)),
    ];
    let custom = |kind: &str, name: &str, spec: Value| {
        Object::from_value(json!({
            "apiVersion": "traefik.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": name, "labels": labels(Role::Edge.as_str()) },
            "spec": spec,
        }))
    };
    let route = |path: &str, middlewares: &[&str]| {
        let rule = if path.is_empty() { format!("Host(`{HOST}`)") } else { format!("Host(`{HOST}`) && {path}") };
        json!({
            "kind": "Rule",
            "match": rule,
            "middlewares": middlewares.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "services": [{ "name": Role::Edge.object(), "port": "http" }],
        })
    };
    let secure = json!({
        "entryPoints": ["websecure"],
        "routes": [
            route("", &["rally-hsts", "rally-compress"]),
            route("PathPrefix(`/api`)", &["rally-api-rate", "rally-api-connections", "rally-body", "rally-hsts"]),
            route("Path(`/ws`)", &["rally-ws-rate", "rally-ws-connections"]),
        ],
        "tls": { "secretName": TLS_SECRET },
    });
    let plain = json!({ "entryPoints": ["web"], "routes": [route("", &["rally-https"])] });
    let mut objects: Vec<Object> =
        middlewares.into_iter().map(|(name, spec)| custom("Middleware", name, spec)).collect();
    objects.push(custom("IngressRoute", "rally", secure));
    objects.push(custom("IngressRoute", "rally-plain", plain));
    objects
}
