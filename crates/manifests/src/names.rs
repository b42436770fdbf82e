//! Names, labels, ports and paths that objects agree on.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// The label by which objects of a cluster are one application.
const PART_OF: &str = "app.kubernetes.io/part-of";
/// The label by which selectors tell what a pod does.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";
/// The label by which everybody else's charts name Redis and Postgres.
pub(crate) const NAME: &str = "app.kubernetes.io/name";

/// Where the page, the API and the WebSocket are.
pub const HTTP_PORT: i32 = 8080;
/// Where probes and metrics are.
pub const ADMIN_PORT: i32 = 9090;
pub(crate) const REDIS_PORT: i32 = 6379;
pub(crate) const SENTINEL_PORT: i32 = 26379;
/// Where collectors of traces take OTLP over HTTP.
pub(crate) const OTLP_PORT: i32 = 4318;
pub(crate) const POSTGRES_PORT: i32 = 5432;

/// The image of both roles, as overlays and registries rename it.
pub(crate) const IMAGE: &str = "rally:0.1.0";
/// Postgres with its tools: for backups, and on trial.
pub(crate) const POSTGRES_IMAGE: &str = "postgres:16";
pub(crate) const REDIS_IMAGE: &str = "redis:7.4";

/// Who the image's processes are.
pub(crate) const USER: i64 = 10_001;
/// Who the `postgres` image's are, on Debian.
pub(crate) const POSTGRES_USER: i64 = 999;

/// Where a pod finds its secrets.
pub(crate) const SECRETS_DIR: &str = "/run/secrets/rally";

/// Where a pod finds the authorities of servers that it reaches over TLS.
pub(crate) const AUTHORITIES_DIR: &str = "/run/authorities";

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Holds connections of players.
    Edge,
    /// Runs matches.
    Worker,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Edge, Self::Worker];

    /// The subcommand, and the label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Worker => "worker",
        }
    }

    /// What its Deployment and all that belongs to it are called.
    pub const fn object(self) -> &'static str {
        match self {
            Self::Edge => "rally-edge",
            Self::Worker => "rally-worker",
        }
    }
}

/// What a pod of this component is found by. Never changes: a Deployment's selector cannot.
pub(crate) fn selected(component: &str) -> BTreeMap<String, String> {
    [(NAME, "rally"), (COMPONENT, component)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

pub(crate) fn selector(component: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selected(component)), ..Default::default() }
}

/// All labels of an object.
pub(crate) fn labels(component: &str) -> BTreeMap<String, String> {
    let mut labels = selected(component);
    labels.insert(PART_OF.to_owned(), "rally".to_owned());
    labels
}

pub(crate) fn metadata(name: &str, component: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels(component)), ..Default::default() }
}
