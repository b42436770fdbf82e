//! Lengths of vectors, to the last bit as the old game took them.
//!
//! A ball that meets a paddle one unit in the last place elsewhere leaves at another angle, and each further hit makes
//! some thirty times as much of the difference. So a world can only follow a recording if it rounds as the recorder
//! did. That one scaled a vector by its larger part before it took its length, in which `libm::hypot` differs in the
//! last bit: with it, one rally of half a minute in ten strays by more than 1e-6. Sines differ too rarely to matter and
//! come from `libm`. Every operation here is exact by IEEE 754, hence equal on every machine.

/// Length of (x, y), for finite numbers.
pub(crate) fn hypot(x: f64, y: f64) -> f64 {
    let (x, y) = (x.abs(), y.abs());
    let max = x.max(y);
    if max == 0.0 {
        return 0.0;
    }
    let (x, y) = (x / max, y / max);
    (x * x + y * y).sqrt() * max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_lengths() {
        assert_eq!(hypot(3.0, -4.0), 5.0);
        assert_eq!(hypot(0.0, 0.0), 0.0);
        assert_eq!(hypot(-1500.0, 0.0), 1500.0);
        for (x, y) in [(1e-9, 7.0), (600.0, 600.0), (-1234.5, 0.001)] {
            let error = (hypot(x, y) - libm::hypot(x, y)).abs();
            assert!(error <= libm::hypot(x, y) * f64::EPSILON, "{x} {y}");
        }
    }
}
