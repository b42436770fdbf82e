//! Who takes what, agreed upon without a word between the nodes.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::NodeId;

/// Rendezvous hashing: of `nodes`, the one to which `key` belongs. All who know the same nodes name the same one,
/// and when a node leaves only its own keys change hands.
///
/// `None` if there are no nodes. The order of `nodes` does not matter.
pub fn rendezvous(key: &[u8], nodes: impl IntoIterator<Item = NodeId>) -> Option<NodeId> {
    nodes.into_iter().max_by_key(|node| (xxh3_64_with_seed(key, node.to_bits()), *node))
}

/// A node that could take a match, with its load in `matches` hosted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Matches it hosts.
    pub matches: u32,
}

/// Power of two choices: two candidates drawn by `random`, the less loaded takes it. This spreads load almost as
/// well as asking all and, unlike "the least loaded of all", does not send a whole burst to one node when the
/// loads known are a little old.
///
/// `None` if there are no candidates.
pub fn two_choices(candidates: &[Candidate], random: u64) -> Option<NodeId> {
    let n = candidates.len() as u64;
    if n == 0 {
        return None;
    }
    let first = random % n;
    // The second is drawn from the others, so that with two candidates both are always compared.
    let second = if n == 1 { first } else { (first + 1 + (random >> 32) % (n - 1)) % n };
    let (a, b) = (candidates[first as usize], candidates[second as usize]);
    Some(if b.matches < a.matches { b.node } else { a.node })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: u64) -> Vec<NodeId> {
        (0..n).map(|i| NodeId::of_name(&format!("worker-{i}"))).collect()
    }

    #[test]
    fn a_leaving_node_moves_only_its_own_keys() {
        let all = nodes(5);
        let gone = all[2];
        for key in 0..1_000u32 {
            let key = key.to_le_bytes();
            let before = rendezvous(&key, all.iter().copied());
            let after = rendezvous(&key, all.iter().copied().filter(|n| *n != gone));
            if before != Some(gone) {
                assert_eq!(before, after);
            }
            assert_ne!(after, Some(gone));
        }
    }

    #[test]
    fn keys_spread_over_the_nodes() {
        let all = nodes(4);
        let mut counts = [0u32; 4];
        for key in 0..4_000u32 {
            let taken = rendezvous(&key.to_le_bytes(), all.iter().copied());
            counts[all.iter().position(|n| Some(*n) == taken).expect("one of them")] += 1;
        }
        assert!(counts.iter().all(|c| (800..1_200).contains(c)), "{counts:?}");
    }

    #[test]
    fn the_less_loaded_of_two_takes_it() {
        let [a, b] = [0, 1].map(|i| nodes(2)[i]);
        let pair = [Candidate { node: a, matches: 9 }, Candidate { node: b, matches: 3 }];
        for random in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            assert_eq!(two_choices(&pair, random), Some(b));
        }
        assert_eq!(two_choices(&[], 3), None);
        assert_eq!(two_choices(&pair[..1], 3), Some(a));
    }
}
