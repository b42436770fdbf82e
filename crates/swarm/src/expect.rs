//! Thresholds: `snapshots>=0.98,input_p99_ms<=50`, and what fell short of them.

use std::str::FromStr;

use anyhow::{Context as _, bail};

/// One threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    name: String,
    at_least: bool,
    bound: f64,
}

impl FromStr for Expectation {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, at_least, bound) = match (text.split_once(">="), text.split_once("<=")) {
            (Some((name, bound)), None) => (name, true, bound),
            (None, Some((name, bound))) => (name, false, bound),
            _ => bail!("expected NAME>=NUMBER or NAME<=NUMBER"),
        };
        let bound: f64 = bound.trim().parse().with_context(|| format!("{bound} is not a number"))?;
        Ok(Self { name: name.trim().to_owned(), at_least, bound })
    }
}

impl Expectation {
    /// What to say when `figures` do not meet it. A figure that does not exist is a fault of the threshold, and one
    /// that was not measured meets none.
    pub fn shortfall(&self, figures: &[(&str, Option<f64>)]) -> Option<String> {
        let Self { name, at_least, bound } = self;
        let sign = if *at_least { ">=" } else { "<=" };
        match figures.iter().find(|(known, _)| known == name) {
            None => {
                let known: Vec<_> = figures.iter().map(|(name, _)| *name).collect();
                Some(format!("{name} {sign} {bound}: there is no such figure; there are {}", known.join(", ")))
            }
            Some((_, None)) => Some(format!("{name} {sign} {bound}: was not measured")),
            Some((_, Some(got))) => {
                let met = if *at_least { got >= bound } else { got <= bound };
                (!met).then(|| format!("{name} {sign} {bound}: is {got:.4}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_fell_short() {
        let figures = [("snapshots", Some(0.97)), ("input_p99_ms", None)];
        let shortfall = |text: &str| text.parse::<Expectation>().expect(text).shortfall(&figures);
        assert_eq!(shortfall("snapshots>=0.97"), None);
        assert_eq!(shortfall("snapshots <= 0.97"), None);
        assert_eq!(shortfall("snapshots>=0.98").as_deref(), Some("snapshots >= 0.98: is 0.9700"));
        assert_eq!(shortfall("input_p99_ms<=50").as_deref(), Some("input_p99_ms <= 50: was not measured"));
        assert!(shortfall("typo<=50").expect("unknown").contains("there are snapshots, input_p99_ms"));
        assert!("snapshots=1".parse::<Expectation>().is_err() && "snapshots>=x".parse::<Expectation>().is_err());
    }

    #[test]
    fn not_a_number_meets_nothing() {
        let expectation: Expectation = "snapshots>=0.5".parse().expect("one");
        assert!(expectation.shortfall(&[("snapshots", Some(f64::NAN))]).is_some());
    }
}
