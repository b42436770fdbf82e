//! A role under its autoscaler, second by second: players come and go, pods start, carry them and are taken away.
//!
//! What a player costs is measured, the rest is said here. Players are on a pod until they leave it by themselves; who
//! comes goes to the pods that are ready. A pod does the work of a second in that second as far as it may use that much
//! CPU; what is left over waits, and that is the lateness that is shown. It is no more than a second's work: a node drops
//! what nobody waits for any more.

use serde::Serialize;

use super::{
    autoscaler::{Autoscaler, SYNC_PERIOD_S, Seen},
    curve::Line,
    manifest::RoleManifest,
};

/// From the decision for a pod until it is ready: scheduled, started, connected. The image is there already.
const START_S: u32 = 20;
/// Between two readings of a pod's usage, which is its average since the last one. A decision is made on the one before:
/// readings take a while to arrive.
const METRICS_PERIOD_S: u32 = 15;
/// Work that waits at a pod at most, in seconds of its CPU.
const BACKLOG_S_MAX: f64 = 1.0;
/// A tick: what comes later than this is late.
const LATE_MS: f64 = 1_000.0 / 60.0;
/// A change of direction within this time is a reversal: one of the two was in vain.
const REVERSAL_WITHIN_S: u32 = 20 * 60;
/// Seconds between two rows of the result.
pub const ROW_EVERY_S: u32 = 15;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The autoscaler, and what pods may use.
    pub manifest: RoleManifest,
    /// Cores of a pod by its players.
    pub cost: Line,
    /// Cores that a pod can use where nothing limits it.
    pub cores_max: f64,
    /// How long a player stays on a pod, in seconds: an edge's for a visit, a worker's for a match.
    pub stay_s: f64,
}

/// How it stood at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Of the day.
    pub second: u32,
    /// In matches.
    pub players: f64,
    /// Pods that there are to be.
    pub replicas: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Use of what ready pods request, on average: 0.7 for 70 %.
    pub usage: f64,
    /// Of the pod that was latest since the row before.
    pub late_ms: f64,
}

/// What is to be said of a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Pods added.
    pub added: u32,
    /// Pods taken away.
    pub removed: u32,
    /// Times that the direction changed within 20 minutes.
    pub reversals: u32,
    /// Pods at most.
    pub replicas_max: u32,
    /// Pods on average.
    pub replicas_mean: f64,
    /// Seconds in which some pod was late by more than a tick.
    pub late_s: u32,
    /// The latest.
    pub late_ms_max: f64,
}

struct Pod {
    ready_at_s: u32,
    players: f64,
    backlog: f64,
    /// CPU used since the last reading.
    used_s: f64,
    read: Option<f64>,
    read_before: Option<f64>,
}

impl Pod {
    fn starting(ready_at_s: u32) -> Self {
        Self { ready_at_s, players: 0.0, backlog: 0.0, used_s: 0.0, read: None, read_before: None }
    }
}

impl Scene {
    /// Cores that a pod may use.
    fn cores(&self) -> f64 {
        self.manifest.limit.unwrap_or(f64::INFINITY).min(self.cores_max)
    }

    /// Players that so many pods carry with the autoscaler's target just met.
    pub fn carried_by(&self, pods: u32) -> f64 {
        let cores = self.manifest.request * self.manifest.autoscaler.target - self.cost.at_none;
        (cores / self.cost.each).max(0.0) * f64::from(pods)
    }

    /// Runs for so many seconds.
    pub fn run(&self, seconds: u32, players: impl Fn(u32) -> f64) -> (Vec<Row>, Outcome) {
        let mut autoscaler = Autoscaler::new(self.manifest.autoscaler.clone());
        let mut pods: Vec<Pod> = (0..self.manifest.autoscaler.replicas_min).map(|_| Pod::starting(0)).collect();
        let (mut rows, mut late_ms_since) = (Vec::new(), 0.0_f64);
        let mut outcome = Outcome {
            added: 0,
            removed: 0,
            reversals: 0,
            replicas_max: pods.len() as u32,
            replicas_mean: 0.0,
            late_s: 0,
            late_ms_max: 0.0,
        };
        let mut last_change: Option<(u32, bool)> = None;
        for now_s in 0..seconds {
            let wanted = players(now_s);
            self.place(&mut pods, now_s, wanted);
            let late_ms = self.work(&mut pods, now_s);
            late_ms_since = late_ms_since.max(late_ms);
            outcome.late_ms_max = outcome.late_ms_max.max(late_ms);
            outcome.late_s += u32::from(late_ms > LATE_MS);
            outcome.replicas_mean += pods.len() as f64 / f64::from(seconds);
            if now_s % ROW_EVERY_S == 0 {
                let ready: Vec<&Pod> = pods.iter().filter(|pod| pod.ready_at_s <= now_s).collect();
                let cores: f64 = ready.iter().map(|pod| self.cost.at(pod.players).min(self.cores())).sum();
                rows.push(Row {
                    second: now_s,
                    players: wanted,
                    replicas: pods.len() as u32,
                    ready: ready.len() as u32,
                    usage: cores / self.manifest.request / ready.len().max(1) as f64,
                    late_ms: late_ms_since,
                });
                late_ms_since = 0.0;
            }
            if now_s % METRICS_PERIOD_S == METRICS_PERIOD_S - 1 {
                read(&mut pods, now_s);
            }
            if now_s % SYNC_PERIOD_S == SYNC_PERIOD_S - 1 {
                let decided = autoscaler.sync(now_s, self.seen(&pods));
                let (before, after) = (pods.len() as u32, decided);
                if after == before {
                    continue;
                }
                let up = after > before;
                outcome.added += after.saturating_sub(before);
                outcome.removed += before.saturating_sub(after);
                let turned = last_change.is_some_and(|(at_s, was_up)| was_up != up && now_s - at_s < REVERSAL_WITHIN_S);
                outcome.reversals += u32::from(turned);
                last_change = Some((now_s, up));
                while (pods.len() as u32) < after {
                    pods.push(Pod::starting(now_s + START_S));
                }
                // The youngest go; who was there goes elsewhere with the next second.
                pods.truncate(after as usize);
                outcome.replicas_max = outcome.replicas_max.max(after);
            }
        }
        (rows, outcome)
    }

    /// Some leave, others come, in all as many as there are to be. With nobody ready, those who are there stay.
    fn place(&self, pods: &mut [Pod], now_s: u32, wanted: f64) {
        let stays = (1.0 - 1.0 / self.stay_s).max(0.0);
        pods.iter_mut().for_each(|pod| pod.players *= stays);
        let there: f64 = pods.iter().map(|pod| pod.players).sum();
        if there > wanted {
            pods.iter_mut().for_each(|pod| pod.players *= wanted / there);
            return;
        }
        let ready = pods.iter().filter(|pod| pod.ready_at_s <= now_s).count();
        for pod in pods.iter_mut().filter(|pod| pod.ready_at_s <= now_s) {
            pod.players += (wanted - there) / ready as f64;
        }
    }

    /// The work of a second; how late the latest pod is with it.
    fn work(&self, pods: &mut [Pod], now_s: u32) -> f64 {
        let cores = self.cores();
        let mut late_ms = 0.0_f64;
        for pod in pods.iter_mut().filter(|pod| pod.ready_at_s <= now_s) {
            let due = pod.backlog + self.cost.at(pod.players);
            let done = due.min(cores);
            pod.used_s += done;
            pod.backlog = (due - done).min(BACKLOG_S_MAX * cores);
            late_ms = late_ms.max(pod.backlog / cores * 1_000.0);
        }
        late_ms
    }

    fn seen(&self, pods: &[Pod]) -> Seen {
        let read: Vec<f64> = pods.iter().filter_map(|pod| pod.read_before).collect();
        let cores: f64 = read.iter().sum();
        let measured = read.len() as u32;
        let usage = cores / f64::from(measured.max(1)) / self.manifest.request;
        Seen { replicas: pods.len() as u32, measured, usage }
    }
}

/// Reads the usage of pods that have been ready for a whole period.
fn read(pods: &mut [Pod], now_s: u32) {
    for pod in pods {
        pod.read_before = pod.read;
        let whole = pod.ready_at_s + METRICS_PERIOD_S <= now_s + 1;
        pod.read = whole.then(|| pod.used_s / f64::from(METRICS_PERIOD_S));
        pod.used_s = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpa::autoscaler::{Config, Policy, PolicyType, Rules, SelectPolicy};

    fn rules(kind: PolicyType, value: u32, period_seconds: u32, stabilization_window_seconds: u32) -> Rules {
        let policies = vec![Policy { kind, value, period_seconds }];
        Rules { policies, select_policy: SelectPolicy::Max, stabilization_window_seconds }
    }

    /// Pods of 250m, of which each carries 350 players at 70 %, and up to 1,000 in all.
    fn scene() -> Scene {
        let autoscaler = Config {
            replicas_min: 3,
            replicas_max: 10,
            target: 0.7,
            up: rules(PolicyType::Percent, 100, 15, 0),
            down: rules(PolicyType::Pods, 1, 60, 300),
        };
        let manifest = RoleManifest { autoscaler, request: 0.25, limit: Some(0.5) };
        Scene { manifest, cost: Line { at_none: 0.0, each: 0.0005 }, cores_max: 1.0, stay_s: 300.0 }
    }

    #[test]
    fn a_steady_load_is_carried_by_as_many_as_it_needs() {
        let scene = scene();
        assert_eq!(scene.carried_by(2).round(), 700.0);
        let (rows, outcome) = scene.run(3_600, |_| 2_000.0);
        let last = rows.last().expect("rows");
        assert_eq!((last.replicas, last.ready, outcome.removed, outcome.reversals), (6, 6, 0, 0), "{last:?}");
        assert!((last.usage - 2_000.0 / 350.0 / 6.0 * 0.7).abs() < 0.01, "{last:?}");
        assert_eq!(outcome.late_ms_max, 0.0);
        assert_eq!(rows.len(), 240);
    }

    #[test]
    fn more_than_all_can_carry_is_late() {
        let (rows, outcome) = scene().run(1_800, |_| 11_000.0);
        let last = rows.last().expect("rows");
        assert_eq!((last.replicas, last.late_ms), (10, 1_000.0), "no more than a second");
        assert!(outcome.late_s > 1_700, "{outcome:?}");
    }

    #[test]
    fn after_a_jump_it_takes_some_periods_until_there_are_enough() {
        let jump = |now_s| if now_s < 600 { 600.0 } else { 2_700.0 };
        let (rows, outcome) = scene().run(1_800, jump);
        let enough = rows.iter().find(|row| row.ready >= 6).expect("enough at last").second;
        assert!((640..700).contains(&enough), "reading, deciding and starting take {} s", enough - 600);
        assert_eq!((outcome.reversals, outcome.removed), (0, 0));
        assert_eq!(outcome.late_s, 0, "three pods can do the work of 3,000, beyond their target");
    }

    #[test]
    fn a_load_that_swings_within_the_window_does_not_take_pods_away() {
        let swings = |now_s: u32| if (now_s / 200).is_multiple_of(2) { 2_400.0 } else { 1_600.0 };
        let (_, calm) = scene().run(7_200, swings);
        assert_eq!((calm.reversals, calm.removed), (0, 0));
        let mut hasty = scene();
        hasty.manifest.autoscaler.down = rules(PolicyType::Percent, 100, 15, 0);
        let (_, flaps) = hasty.run(7_200, swings);
        assert!(flaps.reversals > 20, "without a window it flaps: {flaps:?}");
    }

    #[test]
    fn players_are_neither_lost_nor_made() {
        let scene = scene();
        let mut pods = vec![Pod::starting(0), Pod::starting(0), Pod::starting(50)];
        for now_s in 0..100 {
            let wanted = 1_000.0 - f64::from(now_s) * 7.0;
            scene.place(&mut pods, now_s, wanted);
            let there: f64 = pods.iter().map(|pod| pod.players).sum();
            assert!((there - wanted).abs() < 1e-6, "{now_s}: {there}");
            assert!(now_s >= 50 || pods[2].players == 0.0);
        }
    }
}
