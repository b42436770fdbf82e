//! All objects of a cluster, whatever is in front of it and around it.

use crate::{Object, Role, jobs, network, nodes};

/// All of them. The Helm chart with its default values renders the same.
pub fn objects() -> Vec<Object> {
    let mut objects: Vec<Object> = Role::ALL.into_iter().flat_map(nodes::objects).collect();
    objects.extend(jobs::objects());
    objects.extend(network::objects());
    objects
}
