//! The wire, byte by byte.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub)]

mod asyncapi;
mod bundles;
mod document;
mod golden;
mod hostile;
mod samples;
