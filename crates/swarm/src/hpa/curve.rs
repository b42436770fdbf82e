//! CPU against players: what was measured, and the line through it.

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Players in matches.
    pub players: usize,
    /// Edges that carried them.
    pub edges: usize,
    /// Workers that hosted them.
    pub workers: usize,
    /// Cores that all edges used.
    pub edge_cores: f64,
    /// Cores that all workers used.
    pub worker_cores: f64,
    /// From an input to the snapshot that acknowledges it: 99 of 100 took no longer.
    pub input_p99_ms: Option<f64>,
}

/// Cores of a pod by its players.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Cores of a pod without players.
    pub at_none: f64,
    /// Cores for each player.
    pub each: f64,
}

impl Line {
    /// Cores of a pod with so many players.
    pub fn at(&self, players: f64) -> f64 {
        self.at_none + self.each * players
    }

    /// The line with the least squares through measurements of (players, cores) of one pod. `None`: they do not say that
    /// players cost anything. Idle pods cost nothing at the least: noise may say less.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let each = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
        let line = if y - each * x >= 0.0 {
            Self { at_none: y - each * x, each }
        } else {
            let squares: f64 = points.iter().map(|point| point.0.powi(2)).sum();
            Self { at_none: 0.0, each: points.iter().map(|point| point.0 * point.1).sum::<f64>() / squares }
        };
        (line.each > 0.0 && line.each.is_finite()).then_some(line)
    }
}

/// The lines of an edge and of a worker.
pub fn lines(samples: &[Sample]) -> Option<(Line, Line)> {
    let of = |pods: fn(&Sample) -> usize, cores: fn(&Sample) -> f64| {
        let points: Vec<_> = samples
            .iter()
            .map(|one| {
                let pods = pods(one).max(1) as f64;
                (one.players as f64 / pods, cores(one) / pods)
            })
            .collect();
        Line::through(&points)
    };
    Some((of(|one| one.edges, |one| one.edge_cores)?, of(|one| one.workers, |one| one.worker_cores)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_with_the_least_squares() {
        let exact = Line::through(&[(0.0, 0.1), (100.0, 0.2), (300.0, 0.4)]).expect("a line");
        assert!((exact.at_none - 0.1).abs() < 1e-9 && (exact.each - 0.001).abs() < 1e-9, "{exact:?}");
        assert!((exact.at(50.0) - 0.15).abs() < 1e-9);
        let noisy = Line::through(&[(0.0, 0.0), (1.0, 1.0), (2.0, 1.0)]).expect("a line");
        assert!((noisy.each - 0.5).abs() < 1e-9 && (noisy.at_none - 1.0 / 6.0).abs() < 1e-9, "{noisy:?}");
    }

    #[test]
    fn nothing_costs_less_than_nothing() {
        let line = Line::through(&[(10.0, 0.05), (20.0, 0.2)]).expect("a line");
        assert_eq!(line.at_none, 0.0);
        assert!((line.each - 4.5 / 500.0).abs() < 1e-9, "{line:?}");
        for none in [&[][..], &[(10.0, 1.0)], &[(10.0, 1.0), (10.0, 2.0)], &[(10.0, 2.0), (20.0, 1.0)]] {
            assert_eq!(Line::through(none), None, "{none:?}");
        }
    }

    #[test]
    fn pods_share_what_was_measured() {
        let sample = |players, edge_cores, worker_cores| Sample {
            players,
            edges: 2,
            workers: 1,
            edge_cores,
            worker_cores,
            input_p99_ms: None,
        };
        let (edge, worker) = lines(&[sample(200, 0.3, 0.03), sample(400, 0.5, 0.05)]).expect("lines");
        assert!((edge.each - 0.001).abs() < 1e-9 && (edge.at_none - 0.05).abs() < 1e-9, "{edge:?}");
        assert!((worker.each - 0.0001).abs() < 1e-9 && (worker.at_none - 0.01).abs() < 1e-9, "{worker:?}");
        assert_eq!(lines(&[]), None);
    }
}
