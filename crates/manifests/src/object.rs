//! One object, of whatever kind, with its type's word that it is well-formed.

use std::fmt;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// An object as it goes into a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// As `Deployment`.
    pub kind: String,
    /// Its `metadata.name`.
    pub name: String,
    /// All of it.
    pub value: Value,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Object {
    /// Of a type of Kubernetes itself.
    pub(crate) fn of<T: Serialize>(typed: &T) -> Self {
        // These types are maps with texts as keys, which JSON can always say.
        Self::from_value(serde_json::to_value(typed).unwrap_or_default())
    }

    /// Of a custom resource, which has no type here.
    pub(crate) fn from_value(value: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self { kind: text(&value["kind"]), name: text(&value["metadata"]["name"]), value }
    }

    /// Reads it as a type of Kubernetes.
    ///
    /// # Errors
    /// It is not of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(self.value.clone()).map_err(|error| format!("{self}: {error}"))
    }

    /// Whether its type knows every field of it; types skip over what they do not know, so that a mistyped name would
    /// pass unseen. `Ok(false)`: a custom resource, of which nothing is known.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<bool, String> {
        match self.kind.as_str() {
            "ConfigMap" => self.round_trip::<ConfigMap>(),
            "CronJob" => self.round_trip::<CronJob>(),
            "Deployment" => self.round_trip::<Deployment>(),
            "HorizontalPodAutoscaler" => self.round_trip::<HorizontalPodAutoscaler>(),
            "Ingress" => self.round_trip::<Ingress>(),
            "Job" => self.round_trip::<Job>(),
            "Namespace" => self.round_trip::<Namespace>(),
            "NetworkPolicy" => self.round_trip::<NetworkPolicy>(),
            "PersistentVolumeClaim" => self.round_trip::<PersistentVolumeClaim>(),
            "Pod" => self.round_trip::<Pod>(),
            "PodDisruptionBudget" => self.round_trip::<PodDisruptionBudget>(),
            "Secret" => self.round_trip::<Secret>(),
            "Service" => self.round_trip::<Service>(),
            "ServiceAccount" => self.round_trip::<ServiceAccount>(),
            "StatefulSet" => self.round_trip::<StatefulSet>(),
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    fn round_trip<T: Serialize + DeserializeOwned>(&self) -> Result<(), String> {
        let again = serde_json::to_value(self.read::<T>()?).map_err(|error| error.to_string())?;
        match difference(&self.value, &again, String::new()) {
            None => Ok(()),
            Some(path) => Err(format!("{self}: {path} is unknown to its type")),
        }
    }
}

/// The first path of `said` that `understood` lacks or has otherwise. Empty lists and maps are as good as none.
fn difference(said: &Value, understood: &Value, path: String) -> Option<String> {
    match (said, understood) {
        (Value::Object(said), _) => said.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
                || value.is_null();
            match understood.get(key) {
                Some(understood) => difference(value, understood, path),
                None => (!is_empty).then_some(path),
            }
        }),
        (Value::Array(said), Value::Array(understood)) if said.len() == understood.len() => said
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(i, (said, understood))| difference(said, understood, format!("{path}[{i}]"))),
        _ => (said != understood).then_some(path),
    }
}

/// Reads all objects of a YAML stream, as `kubectl kustomize` and `helm template` print them.
///
/// # Errors
/// It is no YAML.
pub fn parse_all(yaml: &str) -> Result<Vec<Object>, String> {
    use serde::Deserialize as _;
    let documents = serde_yaml_ng::Deserializer::from_str(yaml).map(Value::deserialize);
    let values = documents.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok(values.into_iter().filter(|value| !value.is_null()).map(Object::from_value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_field_is_found() {
        let yaml = "kind: Service\napiVersion: v1\nmetadata:\n  name: a\nspec:\n  prots: []\n  ports:\n  - port: 1\n    tragetPort: 2\n";
        let objects = parse_all(yaml).expect("YAML");
        let fault = objects[0].check().expect_err("a fault");
        assert_eq!(fault, "Service/a: .spec.ports[0].tragetPort is unknown to its type");
    }

    #[test]
    fn what_has_no_type_is_said_to_have_none() {
        let objects =
            parse_all("kind: ServiceMonitor\nmetadata:\n  name: a\n---\n---\nkind: Pod\nmetadata:\n  name: b\n");
        let objects = objects.expect("YAML");
        assert_eq!(objects.iter().map(Object::check).collect::<Vec<_>>(), [Ok(false), Ok(true)]);
    }
}
