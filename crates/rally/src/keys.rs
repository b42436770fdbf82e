//! `rally keys`: random keys in the form that the configuration takes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rally_service::entropy;

/// A key of 32 random bytes, as base64. It serves for both purposes: a cluster key is any secret of that length, and a
/// signing key is the seed of an Ed25519 key.
pub(crate) fn generate() -> String {
    STANDARD.encode(entropy::random_bytes::<32>())
}

/// Prints one of each. To roll a key, put the new one in front and keep the old one until nothing signed by it lives.
pub(crate) fn print() -> anyhow::Result<()> {
    println!("RALLY_CLUSTER_KEYS={}", generate());
    println!("RALLY_SIGNING_KEYS={}", generate());
    Ok(())
}
