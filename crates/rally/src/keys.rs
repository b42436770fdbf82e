//! `rally keys`: random keys in the form that the configuration takes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rally_service::entropy;

/// A key of 32 random bytes, as base64. It serves for both purposes: a cluster key is any secret of that length, and a
/// signing key is the seed of an Ed25519 key.
pub(crate) fn generate() -> String {
    STANDARD.encode(entropy::random_bytes::<32>())
}

/// How keys are rolled, for `--help`.
pub(crate) const HELP: &str = "\
Rolling a key, without a gap. Of a list the first key signs and all verify. Nodes read their keys when they start, so each
step replaces all nodes, one after another, and is over when the last one has been replaced (on Kubernetes a changed Secret
does nothing by itself: kubectl rollout restart, and wait until the old pods are gone):

  1. RALLY_CLUSTER_KEYS=OLD,NEW    everybody learns the new key, nobody uses it
  2. RALLY_CLUSTER_KEYS=NEW,OLD    it signs; who still has the list of step 1 knows it
  3. RALLY_CLUSTER_KEYS=NEW

The same for RALLY_SIGNING_KEYS, which only edges have. Step 3 may follow step 2 at once for the cluster's key. For the signing
key wait 30 days: that long a refresh token is good, and who holds one that the old key has signed is signed out by step 3.
If a key is known to others, do not wait.";

/// Prints one of each. To roll a key, put the new one in front and keep the old one until nothing signed by it lives.
pub(crate) fn print() -> anyhow::Result<()> {
    println!("RALLY_CLUSTER_KEYS={}", generate());
    println!("RALLY_SIGNING_KEYS={}", generate());
    Ok(())
}
