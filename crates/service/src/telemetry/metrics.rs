//! Metrics as Prometheus reads them.
//!
//! Names are `rally_*`, end in their unit, counters in `_total`. A histogram's buckets follow from the unit at the end
//! of its name; without buckets the exporter would render summaries, which cannot be added over nodes. What the kernel
//! says of the process has the names that all exporters use: `process_*`.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::TelemetryError;

/// For names that end in `_seconds`: from half a millisecond, a good part of which is a loopback's way, to the longest
/// timeout.
pub const SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.016, 0.025, 0.033, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// For names that end in `_us`: steps of a tick, with the tick itself (16,667) as a bound.
pub const US_BUCKETS: &[f64] = &[
    1.0,
    2.5,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    16_667.0,
    33_333.0,
    50_000.0,
    100_000.0,
    250_000.0,
    1_000_000.0,
];

/// For names that end in `_bytes`: from a small frame to the largest bundle.
pub const BYTES_BUCKETS: &[f64] =
    &[64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

/// For every other histogram: a number of things.
pub const COUNT_BUCKETS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0, 16_384.0];

/// How often histograms are folded into their buckets; until then each sample takes memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// What this process measures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Metrics {
    /// Makes the recorder of this process and a handle to it.
    pub(super) fn install() -> Result<Self, TelemetryError> {
        let recorder = recorder()?;
        let metrics = Self { handle: recorder.handle(), process: metrics_process::Collector::default() };
        metrics::set_global_recorder(recorder)?;
        metrics.process.describe();
        Ok(metrics)
    }

    /// The exposition, with fresh figures of the process.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    pub(super) async fn upkeep(self) {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.handle.run_upkeep();
        }
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let by_unit = [("_seconds", SECONDS_BUCKETS), ("_us", US_BUCKETS), ("_bytes", BYTES_BUCKETS)];
    let builder = by_unit.into_iter().try_fold(PrometheusBuilder::new(), |builder, (suffix, buckets)| {
        builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
    })?;
    Ok(builder.set_buckets(COUNT_BUCKETS)?.build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let recorder = recorder().expect("recorder");
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("rally_a_seconds").record(0.02);
            metrics::histogram!("rally_b_us").record(3.0);
            metrics::histogram!("rally_c_bytes").record(100.0);
            metrics::histogram!("rally_d").record(3.0);
            metrics::counter!("rally_e_total", "kind" => "x").increment(2);
        });
        let text = recorder.handle().render();
        for line in [
            "# TYPE rally_a_seconds histogram",
            "rally_a_seconds_bucket{le=\"0.016\"} 0",
            "rally_a_seconds_bucket{le=\"0.025\"} 1",
            "rally_b_us_bucket{le=\"2.5\"} 0",
            "rally_b_us_bucket{le=\"5\"} 1",
            "rally_c_bytes_bucket{le=\"128\"} 1",
            "rally_d_bucket{le=\"4\"} 1",
            "rally_d_bucket{le=\"+Inf\"} 1",
            "rally_e_total{kind=\"x\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn buckets_rise() {
        for buckets in [SECONDS_BUCKETS, US_BUCKETS, BYTES_BUCKETS, COUNT_BUCKETS] {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
