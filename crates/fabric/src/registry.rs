//! Who is in the cluster: a picture of the registry, at most 250 ms old while Redis answers.

use std::collections::BTreeMap;

use rally_protocol::cluster::v1::NodeLoad;
use rally_units::{Incarnation, NodeId, placement::Candidate};
use serde::{Deserialize, Serialize};

use crate::Role;

/// A living node, as it described itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its present life.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// An edge's address for browsers.
    pub public_url: Option<String>,
    /// The version of its program.
    pub version: String,
    /// The version of bundles that it speaks.
    #[serde(default = "first_protocol")]
    pub protocol: u8,
    /// How busy it is.
    pub load: NodeLoad,
}

/// Of those who do not say.
pub(crate) const fn first_protocol() -> u8 {
    1
}

/// The nodes whose leases were alive when this picture was taken.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
}

impl Nodes {
    pub(crate) fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().map(|node| (node.id, node)).collect() }
    }

    /// The node with this id, if it lives.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Whether this very life of the node still lives.
    pub fn lives(&self, id: NodeId, incarnation: Incarnation) -> bool {
        self.get(id).is_some_and(|node| node.incarnation == incarnation)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Workers that take matches.
    pub fn workers(&self) -> Vec<Candidate> {
        self.iter()
            .filter(|node| node.role == Role::Worker && !node.load.draining)
            .map(|node| Candidate { node: node.id, matches: node.load.items })
            .collect()
    }

    /// Addresses of edges that take connections.
    pub fn edge_urls(&self) -> Vec<&str> {
        self.iter()
            .filter(|node| node.role == Role::Edge && !node.load.draining)
            .filter_map(|node| node.public_url.as_deref())
            .collect()
    }
}
