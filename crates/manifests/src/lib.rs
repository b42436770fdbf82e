//! What a cluster consists of in Kubernetes, as typed objects, and the files that are written from them.
//!
//! [`files`] is all of `deploy/k8s`: a kustomize base, overlays and components, and the files that the Helm chart takes
//! from here. A test fails when the checkout differs; `make manifests` writes it anew. The crate imports none of ours:
//! it sees the program as an operator does, by its help ([`settings`]), and tests of the executable hold the two
//! together.

mod base;
mod components;
mod dashboards;
mod files;
mod ingress;
mod jobs;
mod load;
mod monitoring;
mod names;
mod network;
mod nodes;
mod object;
mod overlays;
mod pods;
pub mod settings;
mod trial;

pub use base::objects;
pub use files::{files, repository};
pub use names::{ADMIN_PORT, HTTP_PORT, Role};
pub use object::{Object, parse_all};
