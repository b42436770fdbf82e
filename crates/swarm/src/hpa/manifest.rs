//! What of a role's manifest the simulation needs: its autoscaler, and what a pod requests and may use.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::autoscaler::{Config, Rules};

/// A role, as its manifest describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleManifest {
    /// Its autoscaler.
    pub autoscaler: Config,
    /// Cores that a pod requests.
    pub request: f64,
    /// Cores that a pod may use; none: as many as it finds.
    pub limit: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    min_replicas: u32,
    max_replicas: u32,
    behavior: Behavior,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Behavior {
    scale_up: Rules,
    scale_down: Rules,
}

impl RoleManifest {
    /// Reads a file with a HorizontalPodAutoscaler on CPU and the Deployment that it scales.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let documents: Vec<Value> =
            serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize).collect::<Result<_, _>>()?;
        let of_kind = |kind: &str| {
            let found = documents.iter().find(|document| document["kind"] == kind);
            found.with_context(|| format!("there is no {kind}"))
        };
        let scaler = &of_kind("HorizontalPodAutoscaler")?["spec"];
        let spec: Spec = serde_yaml_ng::from_value(scaler.clone()).context("the autoscaler is not understood")?;
        let metric = &scaler["metrics"][0]["resource"];
        if metric["name"] != "cpu" {
            bail!("the autoscaler does not look at CPU first");
        }
        let percent = metric["target"]["averageUtilization"].as_f64().context("it has no target in percent")?;
        let resources = &of_kind("Deployment")?["spec"]["template"]["spec"]["containers"][0]["resources"];
        let request = cores(&resources["requests"]["cpu"])?.context("the pods request no CPU")?;
        let autoscaler = Config {
            replicas_min: spec.min_replicas,
            replicas_max: spec.max_replicas,
            target: percent / 100.0,
            up: spec.behavior.scale_up,
            down: spec.behavior.scale_down,
        };
        Ok(Self { autoscaler, request, limit: cores(&resources["limits"]["cpu"])? })
    }
}

/// `250m`, `2`.
fn cores(value: &Value) -> anyhow::Result<Option<f64>> {
    if let Some(whole) = value.as_f64() {
        return Ok(Some(whole));
    }
    let Some(text) = value.as_str() else { return Ok(None) };
    let cores = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().map(|milli| milli / 1_000.0),
        None => text.parse(),
    };
    cores.map(Some).with_context(|| format!("{text} is not a number of cores"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpa::autoscaler::{Policy, PolicyType, SelectPolicy};

    #[test]
    fn our_own_manifests_are_understood() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/k8s/base");
        let [edge, worker] = ["edge", "worker"].map(|role| {
            RoleManifest::read(&base.join(format!("{role}.yaml"))).unwrap_or_else(|error| panic!("{role}: {error:#}"))
        });
        assert!(edge.limit.is_some() && worker.limit.is_none(), "workers are never throttled");
        for role in [edge, worker] {
            let Config { replicas_min, replicas_max, target, up, down } = role.autoscaler;
            assert!(replicas_min < replicas_max && (0.0..1.0).contains(&target) && role.request > 0.0);
            assert!(!up.policies.is_empty() && !down.policies.is_empty());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let scaler = "kind: HorizontalPodAutoscaler\nspec:\n  minReplicas: 1\n  maxReplicas: 2\n  behavior:\n    \
            scaleUp: {policies: [{type: Pods, value: 2, periodSeconds: 15}], stabilizationWindowSeconds: 0}\n    \
            scaleDown: {policies: [], selectPolicy: Disabled, stabilizationWindowSeconds: 60}\n  \
            metrics: [{type: Resource, resource: {name: cpu, target: {averageUtilization: 50}}}]\n";
        let pod =
            "---\nkind: Deployment\nspec: {template: {spec: {containers: [{resources: {requests: {cpu: 1.5}}}]}}}\n";
        let read = RoleManifest::parse(&format!("{scaler}{pod}")).expect("sound");
        assert_eq!((read.request, read.limit, read.autoscaler.target), (1.5, None, 0.5));
        assert_eq!(read.autoscaler.up.policies, [Policy { kind: PolicyType::Pods, value: 2, period_seconds: 15 }]);
        assert_eq!(read.autoscaler.down.select_policy, SelectPolicy::Disabled);
        let fault = |text: &str| format!("{:#}", RoleManifest::parse(text).expect_err("faulty"));
        assert_eq!(fault(pod), "there is no HorizontalPodAutoscaler");
        assert_eq!(fault(scaler), "there is no Deployment");
        assert_eq!(
            fault(&format!("{scaler}{}", pod.replace("1.5", "fast"))),
            "fast is not a number of cores: invalid float literal"
        );
        assert_eq!(
            fault(&format!("{}{pod}", scaler.replace("cpu", "memory"))),
            "the autoscaler does not look at CPU first"
        );
    }
}
