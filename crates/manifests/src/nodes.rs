//! A role's Deployment, and what keeps it up: Services, an autoscaler, a disruption budget.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        autoscaling::v2::{
            CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
            HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
            ResourceMetricSource,
        },
        core::v1::{
            ConfigMap, Container, Lifecycle, LifecycleHandler, PodTemplateSpec, ResourceRequirements, Service,
            ServiceAccount, ServicePort, ServiceSpec, SleepAction, TopologySpreadConstraint,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use crate::{
    ADMIN_PORT, HTTP_PORT, Object, Role,
    names::{IMAGE, USER, labels, metadata, selected, selector},
    pods::{self, confined, env_from_config, env_of_field, port, probe, secret_env, secret_volume},
    settings,
};

/// What differs between the roles.
struct Shape {
    ports: &'static [(&'static str, i32)],
    resources: ResourceRequirements,
    /// How long a pod serves on after it has been told to end, until nobody sends it anything new.
    pre_stop_s: i64,
    /// After this it is killed; longer than what comes before it, `RALLY_DRAIN_MS` and the last second together.
    grace_s: i64,
    scaling: Scaling,
}

struct Scaling {
    replicas_min: i32,
    replicas_max: i32,
    cpu_percent: i32,
    /// A pod less in this time at most: the next one is not taken before its predecessor has drained.
    down_one_per_s: i32,
    down_after_s: i32,
}

impl Shape {
    fn of(role: Role) -> Self {
        match role {
            Role::Edge => Self {
                ports: &[("http", HTTP_PORT), ("admin", ADMIN_PORT)],
                resources: pods::resources(["250m", "256Mi"], (Some("500m"), "512Mi")),
                // An ingress learns of an ending pod after that pod does.
                pre_stop_s: 5,
                grace_s: 45,
                scaling: Scaling {
                    replicas_min: 3,
                    replicas_max: 10,
                    cpu_percent: 70,
                    down_one_per_s: 60,
                    down_after_s: 300,
                },
            },
            Role::Worker => Self {
                ports: &[("admin", ADMIN_PORT)],
                resources: pods::resources(["500m", "256Mi"], (None, "512Mi")),
                // Nobody finds a worker by a Service.
                pre_stop_s: 0,
                grace_s: 630,
                scaling: Scaling {
                    replicas_min: 3,
                    replicas_max: 10,
                    cpu_percent: 70,
                    // Autoscalers know no longer period than half an hour.
                    down_one_per_s: 660,
                    down_after_s: 600,
                },
            },
        }
    }
}

/// All objects of a role.
pub(crate) fn objects(role: Role) -> Vec<Object> {
    let mut objects = vec![
        Object::of(&account(role.object(), role.as_str())),
        Object::of(&config(role)),
        Object::of(&deployment(role)),
        Object::of(&admin_service(role)),
        Object::of(&autoscaler(role)),
        Object::of(&budget(role)),
    ];
    if role == Role::Edge {
        objects.push(Object::of(&http_service()));
    }
    objects
}

/// An account that may do nothing, and whose token nobody has.
pub(crate) fn account(name: &str, component: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(name, component),
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}

pub(crate) fn config(role: Role) -> ConfigMap {
    ConfigMap {
        metadata: metadata(role.object(), role.as_str()),
        data: Some(settings::config(role)),
        ..Default::default()
    }
}

fn deployment(role: Role) -> Deployment {
    let shape = Shape::of(role);
    let secrets = settings::secrets(role);
    let (secret_volume, secret_mount) = secret_volume(role.object(), &secrets);
    let mut env = vec![env_of_field("RALLY_NODE_NAME", "metadata.name")];
    env.extend(secret_env(&secrets));
    let container = Container {
        name: role.as_str().to_owned(),
        image: Some(IMAGE.to_owned()),
        args: Some(vec![role.as_str().to_owned()]),
        env: Some(env),
        env_from: Some(vec![env_from_config(role.object())]),
        lifecycle: (shape.pre_stop_s > 0).then(|| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: shape.pre_stop_s }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        // Alive as long as it answers at all: a node that waits for Redis or Postgres is not mended by a restart.
        liveness_probe: Some(probe("/healthz", 10, 3)),
        ports: Some(shape.ports.iter().map(|(name, number)| port(name, *number)).collect()),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        resources: Some(shape.resources),
        security_context: Some(confined()),
        startup_probe: Some(probe("/healthz", 1, 60)),
        volume_mounts: Some(vec![secret_mount]),
        ..Default::default()
    };
    let spread = |key: &str| TopologySpreadConstraint {
        label_selector: Some(selector(role.as_str())),
        max_skew: 1,
        topology_key: key.to_owned(),
        // Better two on one machine than one less.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..Default::default()
    };
    let mut pod = pods::pod(role.object(), USER, vec![container], vec![secret_volume]);
    pod.termination_grace_period_seconds = Some(shape.grace_s);
    pod.topology_spread_constraints =
        Some(vec![spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")]);
    Deployment {
        metadata: metadata(role.object(), role.as_str()),
        spec: Some(DeploymentSpec {
            // No `replicas`: the autoscaler's number would be overwritten by each apply.
            revision_history_limit: Some(5),
            selector: selector(role.as_str()),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(role.as_str())), ..Default::default() }),
                spec: Some(pod),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn service_port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        ..Default::default()
    }
}

fn http_service() -> Service {
    Service {
        metadata: metadata(Role::Edge.object(), Role::Edge.as_str()),
        spec: Some(ServiceSpec {
            ports: Some(vec![service_port("http", 80)]),
            selector: Some(selected(Role::Edge.as_str())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// For those who ask each pod by itself: Prometheus. Pods that are not ready are asked as well.
fn admin_service(role: Role) -> Service {
    Service {
        metadata: metadata(&format!("{}-admin", role.object()), role.as_str()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            ports: Some(vec![service_port("admin", ADMIN_PORT)]),
            publish_not_ready_addresses: Some(true),
            selector: Some(selected(role.as_str())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn autoscaler(role: Role) -> HorizontalPodAutoscaler {
    let Scaling { replicas_min, replicas_max, cpu_percent, down_one_per_s, down_after_s } = Shape::of(role).scaling;
    let policy =
        |type_: &str, value, period_seconds| HPAScalingPolicy { type_: type_.to_owned(), value, period_seconds };
    HorizontalPodAutoscaler {
        metadata: metadata(role.object(), role.as_str()),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: role.object().to_owned(),
            },
            min_replicas: Some(replicas_min),
            max_replicas: replicas_max,
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(cpu_percent),
                        ..Default::default()
                    },
                }),
                ..Default::default()
            }]),
            behavior: Some(HorizontalPodAutoscalerBehavior {
                scale_up: Some(HPAScalingRules {
                    policies: Some(vec![policy("Percent", 100, 15), policy("Pods", 2, 15)]),
                    select_policy: Some("Max".to_owned()),
                    stabilization_window_seconds: Some(0),
                    ..Default::default()
                }),
                scale_down: Some(HPAScalingRules {
                    policies: Some(vec![policy("Pods", 1, down_one_per_s)]),
                    stabilization_window_seconds: Some(down_after_s),
                    ..Default::default()
                }),
            }),
        }),
        ..Default::default()
    }
}

/// Drains of machines take one pod of a role at a time.
fn budget(role: Role) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(role.object(), role.as_str()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(role.as_str())),
            ..Default::default()
        }),
        ..Default::default()
    }
}
