//! All files that are written from the objects, and where they lie.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Object, Role,
    components::{self, Component},
    dashboards, ingress, jobs, load, monitoring, network, nodes, overlays, settings, trial,
};

const HEAD: &str = "# Written by crates/manifests. Change it there, then `make manifests`.\n";

/// The checkout's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Contents by path, relative to the checkout's root.
pub fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    base_files(&mut files);
    for component in components::all() {
        component_files(&component, &mut files);
    }
    let mut put = |path: &str, text: String| files.insert(format!("deploy/k8s/{path}"), text);
    put("ingress-nginx/configmap.yaml", yaml(&[ingress::nginx_controller()]));
    put(
        "ingress-traefik/values.yaml",
        format!("# {}\n{}", ingress::TRAEFIK_ABOUT, document(&ingress::traefik_values())),
    );
    put("overlays/dev/kustomization.yaml", document(&overlays::dev()));
    put("overlays/dev/namespace.yaml", yaml(&[overlays::namespace("rally-dev")]));
    put("overlays/dev/servers.yaml", yaml(&trial::objects()));
    put("overlays/prod/kustomization.yaml", document(&overlays::prod()));
    put("overlays/prod/namespace.yaml", yaml(&[overlays::namespace(overlays::NAMESPACE)]));
    put("load/kustomization.yaml", document(&load::kustomization()));
    put("load/namespace.yaml", yaml(&[overlays::namespace(load::NAMESPACE)]));
    put("load/jobs.yaml", yaml(&load::objects()));
    for (name, _, text) in load::SCRIPTS {
        put(&format!("load/{name}"), text.to_owned());
    }
    helm_files(&mut files);
    for (name, text) in dashboards::files() {
        files.insert(format!("deploy/monitoring/dashboards/{name}"), text);
    }
    files
}

fn base_files(files: &mut BTreeMap<String, String>) {
    // Generators make the ConfigMaps, with their contents' hash in their names, so that a change rolls the pods.
    let without_config = |objects: Vec<Object>| -> Vec<Object> {
        objects.into_iter().filter(|object| object.kind != "ConfigMap").collect()
    };
    let mut put = |path: &str, text: String| files.insert(format!("deploy/k8s/base/{path}"), text);
    for role in Role::ALL {
        put(&format!("{}.yaml", role.as_str()), yaml(&without_config(nodes::objects(role))));
        put(&format!("{}.env", role.as_str()), env_file(role));
    }
    put("jobs.yaml", yaml(&without_config(jobs::objects())));
    put("network.yaml", yaml(&network::objects()));
    for (name, text) in jobs::SCRIPTS {
        put(name, text.to_owned());
    }
    let from_env = Role::ALL.map(|role| json!({ "name": role.object(), "envs": [format!("{}.env", role.as_str())] }));
    let mut generators = from_env.to_vec();
    generators.push(json!({ "name": jobs::BACKUP, "files": jobs::SCRIPTS.map(|(name, _)| name) }));
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["edge.yaml", "worker.yaml", "jobs.yaml", "network.yaml"],
        "configMapGenerator": generators,
    });
    put("kustomization.yaml", document(&kustomization));
}

fn env_file(role: Role) -> String {
    settings::config(role).iter().fold(HEAD.to_owned(), |text, (name, value)| format!("{text}{name}={value}\n"))
}

fn component_files(component: &Component, files: &mut BTreeMap<String, String>) {
    let Component { name, about, objects, patches, settings } = component;
    let mut kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
    });
    let mut put = |path: &str, text: String| files.insert(format!("deploy/k8s/components/{name}/{path}"), text);
    if !objects.is_empty() {
        kustomization["resources"] = json!(["objects.yaml"]);
        put("objects.yaml", yaml(objects));
    }
    if !patches.is_empty() {
        kustomization["patches"] = json!(patches);
    }
    if !settings.is_empty() {
        kustomization["configMapGenerator"] = json!(settings);
    }
    put("kustomization.yaml", format!("# {about}\n{}", document(&kustomization)));
}

/// What the chart reads of files: settings as maps, and scripts.
fn helm_files(files: &mut BTreeMap<String, String>) {
    let mut put = |path: &str, text: String| files.insert(format!("deploy/helm/rally/files/{path}"), text);
    for role in Role::ALL {
        put(&format!("{}.yaml", role.as_str()), document(&json!(settings::config(role))));
    }
    let known: BTreeMap<&str, Value> = Role::ALL.map(|role| (role.as_str(), known(role))).into();
    put("variables.yaml", document(&json!(known)));
    for (name, text) in jobs::SCRIPTS {
        put(name, text.to_owned());
    }
    put("rules.yaml", monitoring::RULES.to_owned());
}

/// What values may say of a role's variables.
fn known(role: Role) -> Value {
    let keys = |secrets: Vec<settings::SecretKey>| -> Vec<Value> {
        secrets.iter().map(|secret| json!({ "variable": secret.variable, "key": secret.key })).collect()
    };
    json!({
        "settings": settings::plain(role),
        "secrets": keys(settings::secrets(role)),
        "optionalSecrets": keys(settings::optional_secrets(role)),
    })
}

/// One document after the other.
fn yaml(objects: &[Object]) -> String {
    let documents: Vec<String> = objects.iter().map(|object| plain(&object.value)).collect();
    format!("{HEAD}{}", documents.join("---\n"))
}

fn document(value: &Value) -> String {
    format!("{HEAD}{}", plain(value))
}

fn plain(value: &impl Serialize) -> String {
    // Maps with texts as keys can always be said in YAML.
    quoted(&serde_yaml_ng::to_string(value).unwrap_or_default())
}

/// Puts quotes around values that YAML 1.2 takes as texts and YAML 1.1, which kubectl reads, as yes or no.
fn quoted(yaml: &str) -> String {
    const WORDS: [&str; 6] = ["y", "yes", "on", "n", "no", "off"];
    let mut text = String::with_capacity(yaml.len());
    // The indentation of the line that began a block of text, whose lines are no YAML.
    let mut block: Option<usize> = None;
    for line in yaml.lines() {
        let indentation = line.len() - line.trim_start().len();
        if block.is_some_and(|began| line.trim().is_empty() || indentation > began) {
            text.push_str(line);
        } else {
            let (head, word) = line.rsplit_once(' ').unwrap_or(("", line));
            let begins_block = word.starts_with(['|', '>']) && head.ends_with([':', '-']);
            block = begins_block.then_some(indentation);
            let is_value =
                head.ends_with(':') || (!head.trim().is_empty() && head.split_whitespace().all(|word| word == "-"));
            if is_value && WORDS.contains(&word.to_lowercase().as_str()) {
                text.push_str(&format!("{head} '{word}'"));
            } else {
                text.push_str(line);
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base, parse_all};

    #[test]
    fn words_of_yaml_1_1_are_quoted() {
        let value = json!({
            "a": "on", "b": ["No", "Yes", "none"], "c": { "d": "off", "e": true }, "f": [["y", { "g": "n" }]],
            "text": "h: on\n\n- off\n  no\n", "after": "OFF", "said": "it is: on", "listed": "- on",
        });
        let text = plain(&value);
        assert_eq!(serde_yaml_ng::from_str::<Value>(&text).expect("YAML"), value, "{text}");
        for line in [
            "a: 'on'",
            "- 'No'",
            "- 'Yes'",
            "- none",
            "  d: 'off'",
            "  e: true",
            "- - 'y'",
            "  - g: 'n'",
            "after: 'OFF'",
        ] {
            assert!(text.lines().any(|each| each == line), "no {line} in\n{text}");
        }
        for line in ["  h: on", "  - off"] {
            assert!(text.lines().any(|each| each == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let objects = base::objects();
        assert_eq!(parse_all(&yaml(&objects)).expect("YAML"), objects);
    }
}
