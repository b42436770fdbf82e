//! Finding things in objects, and running programs.

use std::process::Command;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use rally_manifests::{Object, repository};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The one object of this kind and name.
pub(crate) fn find<T: DeserializeOwned>(objects: &[Object], kind: &str, name: &str) -> T {
    let mut found = objects.iter().filter(|object| object.kind == kind && object.name == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    object.read().unwrap()
}

/// All of a kind.
pub(crate) fn all<T: DeserializeOwned>(objects: &[Object], kind: &str) -> Vec<T> {
    objects.iter().filter(|object| object.kind == kind).map(|object| object.read().unwrap()).collect()
}

/// The pod that an object makes, if it makes any.
pub(crate) fn pod_of(object: &Object) -> Option<PodSpec> {
    let template = match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "Job" => "/spec/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Pod" => "/spec",
        _ => return None,
    };
    let spec = object.value.pointer(template).unwrap_or_else(|| panic!("{object} has no pod"));
    Some(serde_json::from_value(spec.clone()).unwrap())
}

/// The base with components of kustomize, by their files: objects are added, and patches applied as far as ours go, which
/// only ever add. Settings, which change names, are left out.
pub(crate) fn with_components(names: &[&str]) -> Vec<Object> {
    let (files, mut all) = (rally_manifests::files(), rally_manifests::objects());
    for name in names {
        let folder = format!("deploy/k8s/components/{name}");
        if let Some(text) = files.get(&format!("{folder}/objects.yaml")) {
            all.extend(rally_manifests::parse_all(text).unwrap());
        }
        let kustomization: Value = serde_yaml_ng::from_str(&files[&format!("{folder}/kustomization.yaml")]).unwrap();
        for patch in kustomization["patches"].as_array().into_iter().flatten() {
            let target = &patch["target"];
            let is_target = |object: &&mut Object| object.kind == target["kind"] && object.name == target["name"];
            let Some(object) = all.iter_mut().find(is_target) else { continue };
            let operations: Value = serde_json::from_str(patch["patch"].as_str().unwrap()).unwrap();
            for operation in operations.as_array().unwrap() {
                let path = operation["path"].as_str().unwrap().strip_suffix("/-").unwrap();
                assert_eq!(operation["op"], "add", "{name}");
                let list = object.value.pointer_mut(path).unwrap_or_else(|| panic!("{name}: no {path}"));
                list.as_array_mut().unwrap().push(operation["value"].clone());
            }
        }
    }
    all
}

/// A container's variable.
pub(crate) fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.env.as_deref()?.iter().find(|env| env.name == name)?.value.as_deref()
}

/// Whether there is such a program; says so if not.
pub(crate) fn have(program: &str, args: &[&str]) -> bool {
    let found = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {program} is missing");
    }
    found
}

/// What a program prints, run in the checkout's root.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).current_dir(repository()).output().map_err(|e| e.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr) + &text(output.stdout)) }
}
