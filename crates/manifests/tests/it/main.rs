//! The files of `deploy/` against the typed objects, and the objects against each other.

#![allow(clippy::unwrap_used)]

mod compose;
mod documents;
mod helm;
mod kustomize;
mod relations;
mod support;
mod watching;
mod workflow;
mod written;
