//! Randomness from the operating system: the only place that draws it.
//!
//! State machines below take their random numbers as arguments, so that a test can choose them.

/// Fills `bytes` from the kernel's generator.
///
/// # Panics
/// When the kernel has none. Nothing that this program does is safe without, and Linux always has it once booted.
pub fn fill(bytes: &mut [u8]) {
    if let Err(e) = getrandom::fill(bytes) {
        panic!("the operating system gives no random bytes: {e}");
    }
}

/// 64 random bits.
pub fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(random_bytes::<32>(), random_bytes::<32>());
        assert_ne!(random_u64(), random_u64());
    }
}
