//! What a HorizontalPodAutoscaler decides, by the documented algorithm of `autoscaling/v2`: a state machine without a
//! clock.
//!
//! At each sync the wanted number is `ceil(current * metric / target)`, unless the ratio is within the tolerance of 1.
//! Pods that are not ready yet count as idle when that would add pods, and as exactly on target when it would remove
//! some; if the direction changes by that, nothing happens. Of what was wanted within the stabilisation window the most
//! cautious counts (the highest before removing, the lowest before adding); then the policies bound how many pods come or
//! go within their periods.

use std::collections::VecDeque;

use serde::Deserialize;

/// How far from the target the metric may be without anything happening.
pub const TOLERANCE: f64 = 0.1;
/// Between two decisions.
pub const SYNC_PERIOD_S: u32 = 15;

/// How a policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PolicyType {
    /// Pods.
    Pods,
    /// Percent of the pods that there were at the beginning of the period.
    Percent,
}

/// How many pods may come or go within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub kind: PolicyType,
    /// How many.
    pub value: u32,
    /// Within so many seconds.
    pub period_seconds: u32,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SelectPolicy {
    /// The one that allows most.
    #[default]
    Max,
    /// The one that allows least.
    Min,
    /// None: there is no scaling in this direction.
    Disabled,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Which bound it.
    pub policies: Vec<Policy>,
    /// How these go together.
    #[serde(default)]
    pub select_policy: SelectPolicy,
    /// What was wanted within so many seconds counts.
    pub stabilization_window_seconds: u32,
}

/// What an autoscaler is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pods at least.
    pub replicas_min: u32,
    /// Pods at most.
    pub replicas_max: u32,
    /// Of the CPU that a pod requests, on average: 0.7 for 70 %.
    pub target: f64,
    /// Adding.
    pub up: Rules,
    /// Removing.
    pub down: Rules,
}

/// What it decides by, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Pods that there are to be.
    pub replicas: u32,
    /// Those whose usage is known.
    pub measured: u32,
    /// Their use of what they request, on average: 0.7 for 70 %.
    pub usage: f64,
}

/// An autoscaler with what it remembers.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    config: Config,
    /// What was wanted, and when.
    wanted: VecDeque<(u32, u32)>,
    /// By how many pods it has changed, and when: positive where they were added.
    changes: VecDeque<(u32, i64)>,
}

/// So many whole pods. The autoscaler counts in thousandths of a core: what rounding adds beyond them asks for no pod.
fn pods(wanted: f64) -> u32 {
    (wanted - 1e-6).ceil() as u32
}

impl Autoscaler {
    /// One that has decided nothing yet.
    pub fn new(config: Config) -> Self {
        Self { config, wanted: VecDeque::new(), changes: VecDeque::new() }
    }

    /// How many pods there are to be from now on.
    pub fn sync(&mut self, now_s: u32, seen: Seen) -> u32 {
        let current = seen.replicas;
        let Config { replicas_min, replicas_max, .. } = self.config;
        let wanted = self.wanted(seen).clamp(replicas_min, replicas_max);
        let keep_s = self.config.up.stabilization_window_seconds.max(self.config.down.stabilization_window_seconds);
        self.wanted.push_back((now_s, wanted));
        self.wanted.retain(|(at_s, _)| now_s - at_s <= keep_s);
        let within = |window_s: u32| {
            let recent = self.wanted.iter().filter(move |(at_s, _)| now_s - at_s <= window_s);
            recent.map(|(_, wanted)| *wanted)
        };
        let lowest = within(self.config.up.stabilization_window_seconds).min().unwrap_or(wanted);
        let highest = within(self.config.down.stabilization_window_seconds).max().unwrap_or(wanted);
        let stable = if current < lowest {
            lowest
        } else if current > highest {
            highest
        } else {
            current
        };
        let decided = if stable > current {
            stable.min(self.limit(now_s, current, &self.config.up, true).max(current))
        } else {
            stable.max(self.limit(now_s, current, &self.config.down, false).min(current))
        };
        let decided = decided.clamp(replicas_min, replicas_max);
        let longest_s = self.config.up.policies.iter().chain(&self.config.down.policies).map(|one| one.period_seconds);
        let longest_s = longest_s.max().unwrap_or(0);
        self.changes.retain(|(at_s, _)| now_s - at_s < longest_s);
        if decided != current {
            self.changes.push_back((now_s, i64::from(decided) - i64::from(current)));
        }
        decided
    }

    fn wanted(&self, Seen { replicas, measured, usage }: Seen) -> u32 {
        if measured == 0 || replicas == 0 {
            return replicas;
        }
        let target = self.config.target;
        let ratio = usage / target;
        let missing = replicas.saturating_sub(measured);
        if missing == 0 {
            let is_close = (ratio - 1.0).abs() <= TOLERANCE;
            return if is_close { replicas } else { pods(f64::from(measured) * ratio) };
        }
        let filled = if ratio > 1.0 { 0.0 } else { target };
        let all = f64::from(replicas);
        let again = (usage * f64::from(measured) + filled * f64::from(missing)) / all / target;
        let turned = (ratio > 1.0) != (again > 1.0);
        if turned || (again - 1.0).abs() <= TOLERANCE {
            return replicas;
        }
        let wanted = pods(all * again);
        // What is filled in never turns the direction.
        if (again > 1.0) == (wanted >= replicas) { wanted } else { replicas }
    }

    /// How many pods there may be by now, by the policies.
    fn limit(&self, now_s: u32, current: u32, rules: &Rules, up: bool) -> u32 {
        let each = rules.policies.iter().map(|policy| {
            let recent = self.changes.iter().filter(|(at_s, _)| now_s - at_s < policy.period_seconds);
            let changed: i64 = recent.map(|(_, by)| *by).sum();
            let before = i64::from(current) - changed;
            let value = i64::from(policy.value);
            let bound = match (policy.kind, up) {
                (PolicyType::Pods, true) => before + value,
                (PolicyType::Pods, false) => before - value,
                // Adding is rounded up, what is left is rounded down.
                (PolicyType::Percent, true) => (before * (100 + value) + 99).div_euclid(100),
                (PolicyType::Percent, false) => (before * (100 - value)).div_euclid(100),
            };
            u32::try_from(bound.max(0)).unwrap_or(u32::MAX)
        });
        // To allow most is to reach furthest.
        let furthest = (rules.select_policy == SelectPolicy::Max) == up;
        match rules.select_policy {
            SelectPolicy::Disabled => current,
            _ if furthest => each.max().unwrap_or(current),
            _ => each.min().unwrap_or(current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(kind: PolicyType, value: u32, period_seconds: u32) -> Policy {
        Policy { kind, value, period_seconds }
    }

    fn config() -> Config {
        Config {
            replicas_min: 3,
            replicas_max: 10,
            target: 0.7,
            up: Rules {
                policies: vec![policy(PolicyType::Percent, 100, 15), policy(PolicyType::Pods, 2, 15)],
                select_policy: SelectPolicy::Max,
                stabilization_window_seconds: 0,
            },
            down: Rules {
                policies: vec![policy(PolicyType::Pods, 1, 60)],
                select_policy: SelectPolicy::Max,
                stabilization_window_seconds: 300,
            },
        }
    }

    fn all(replicas: u32, usage: f64) -> Seen {
        Seen { replicas, measured: replicas, usage }
    }

    fn first(seen: Seen) -> u32 {
        Autoscaler::new(config()).sync(0, seen)
    }

    #[test]
    fn it_wants_as_many_as_bring_the_metric_to_its_target() {
        assert_eq!(first(all(3, 1.0)), 5, "ceil(3 * 1.0 / 0.7)");
        assert_eq!(first(all(4, 0.84)), 5);
        assert_eq!(first(all(3, 0.1)), 3, "not below the least");
        assert_eq!(first(all(9, 2.0)), 10, "nor above the most");
    }

    #[test]
    fn within_the_tolerance_nothing_happens() {
        for usage in [0.7, 0.7 * 1.09, 0.7 * 0.91] {
            assert_eq!(first(all(5, usage)), 5, "{usage}");
        }
        assert_eq!(first(all(5, 0.7 * 1.11)), 6);
    }

    #[test]
    fn pods_that_are_not_ready_hold_it_back() {
        // 6 were wanted, 3 of them have just been started: idle, they would bring the average to 0.6.
        assert_eq!(first(Seen { replicas: 6, measured: 3, usage: 1.2 }), 6);
        assert_eq!(first(Seen { replicas: 6, measured: 3, usage: 2.1 }), 9);
        // Those that are missing count as on target before any is taken away, which would not be now in any case.
        assert_eq!(first(Seen { replicas: 6, measured: 0, usage: 0.0 }), 6);
    }

    #[test]
    fn it_at_most_doubles_each_period_or_adds_two() {
        let mut one = Autoscaler::new(config());
        assert_eq!(one.sync(0, all(3, 3.0)), 6);
        assert_eq!(one.sync(5, all(6, 3.0)), 6, "within the same period");
        assert_eq!(one.sync(15, all(6, 3.0)), 10);
        let two = Config { replicas_min: 1, ..config() };
        assert_eq!(Autoscaler::new(two).sync(0, all(1, 3.0)), 3, "two more are more than twice one");
    }

    #[test]
    fn it_removes_one_a_minute_once_nothing_more_was_wanted_for_a_while() {
        let mut one = Autoscaler::new(config());
        assert_eq!(one.sync(0, all(8, 0.7)), 8);
        let mut replicas = 8;
        let mut at = Vec::new();
        for now_s in (15..=600).step_by(15) {
            let next = one.sync(now_s, all(replicas, 0.2));
            if next != replicas {
                assert_eq!(next, replicas - 1);
                at.push(now_s);
            }
            replicas = next;
        }
        assert_eq!(at, [315, 375, 435, 495, 555]);
        assert_eq!(replicas, 3);
    }

    #[test]
    fn a_short_dip_removes_nothing() {
        let mut one = Autoscaler::new(config());
        for now_s in (0..3_600).step_by(15) {
            let usage = if (now_s / 240) % 2 == 0 { 0.7 } else { 0.2 };
            assert_eq!(one.sync(now_s, all(8, usage)), 8, "{now_s}");
        }
    }

    #[test]
    fn a_direction_can_be_closed() {
        let mut closed = config();
        closed.down.select_policy = SelectPolicy::Disabled;
        closed.down.stabilization_window_seconds = 0;
        assert_eq!(Autoscaler::new(closed).sync(0, all(8, 0.1)), 8);
        let mut least = config();
        least.up.select_policy = SelectPolicy::Min;
        assert_eq!(Autoscaler::new(least).sync(0, all(5, 3.0)), 7, "two, not five");
    }
}
