//! What all pods have in common: who they run as, what they may do, and how they get settings and secrets.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapEnvSource, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
        EnvFromSource, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector, PodSecurityContext,
        PodSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use crate::{names::SECRETS_DIR, settings::SecretKey};

/// A pod that passes the `restricted` standard: no root, no token, nothing that it could gain.
pub(crate) fn pod(account: &str, user: i64, containers: Vec<Container>, volumes: Vec<Volume>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        containers,
        // Services of the namespace would all appear as variables, some of which look like ours.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            // Files of secrets belong to this group.
            fs_group: Some(user),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            run_as_group: Some(user),
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        service_account_name: Some(account.to_owned()),
        volumes: Some(volumes),
        ..Default::default()
    }
}

/// What the `restricted` standard asks of a container, and a root that cannot be written.
pub(crate) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Default::default() }),
        read_only_root_filesystem: Some(true),
        ..Default::default()
    }
}

/// Requests and limits of CPU and memory. No limit of CPU: throttling stops all threads for the rest of a period of 100
/// ms, which is six ticks.
pub(crate) fn resources(requests: [&str; 2], limits: (Option<&str>, &str)) -> ResourceRequirements {
    let map = |cpu: Option<&str>, memory: &str| -> BTreeMap<String, Quantity> {
        let cpu = cpu.map(|cpu| ("cpu".to_owned(), Quantity(cpu.to_owned())));
        cpu.into_iter().chain([("memory".to_owned(), Quantity(memory.to_owned()))]).collect()
    };
    ResourceRequirements {
        requests: Some(map(Some(requests[0]), requests[1])),
        limits: Some(map(limits.0, limits.1)),
        ..Default::default()
    }
}

pub(crate) fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: port, ..Default::default() }
}

/// A probe of the admin port.
pub(crate) fn probe(path: &str, period_s: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..Default::default()
        }),
        period_seconds: Some(period_s),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Default::default()
    }
}

pub(crate) fn env(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..Default::default() }
}

/// A variable that tells a field of the pod.
pub(crate) fn env_of_field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { field_path: path.to_owned(), ..Default::default() };
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn env_from_config(name: &str) -> EnvFromSource {
    let source = ConfigMapEnvSource { name: name.to_owned(), ..Default::default() };
    EnvFromSource { config_map_ref: Some(source), ..Default::default() }
}

/// Variables that name the files of secrets: an environment is shown in places where a file is not.
pub(crate) fn secret_env(keys: &[SecretKey]) -> Vec<EnvVar> {
    keys.iter().map(|secret| env(&secret.variable, &format!("{SECRETS_DIR}/{}", secret.key))).collect()
}

/// The volume with these keys of a Secret, and where it is mounted.
pub(crate) fn secret_volume(secret: &str, keys: &[SecretKey]) -> (Volume, VolumeMount) {
    let items = keys.iter().map(|each| KeyToPath { key: each.key.clone(), path: each.key.clone(), mode: None });
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        items: Some(items.collect()),
        default_mode: Some(0o440),
        ..Default::default()
    };
    let volume = Volume { name: "secrets".to_owned(), secret: Some(source), ..Default::default() };
    (volume, mount("secrets", SECRETS_DIR, true))
}

pub(crate) fn config_volume(name: &str, config: &str, mode: Option<i32>) -> Volume {
    let source = ConfigMapVolumeSource { name: config.to_owned(), default_mode: mode, ..Default::default() };
    Volume { name: name.to_owned(), config_map: Some(source), ..Default::default() }
}

/// Space that lasts as long as its pod.
pub(crate) fn scratch_volume(name: &str, size: &str) -> Volume {
    let source = EmptyDirVolumeSource { size_limit: Some(Quantity(size.to_owned())), ..Default::default() };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Default::default() }
}

pub(crate) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..Default::default()
    }
}
