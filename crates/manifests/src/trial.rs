//! A Redis and a Postgres for the overlay `dev`: one of each, without copies, and with one user who may do everything.
//! Production has its own.

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{
            Container, ExecAction, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Probe,
            Service, ServicePort, ServiceSpec, Volume, VolumeMount, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use crate::{
    Object,
    names::{NAME, POSTGRES_IMAGE, POSTGRES_PORT, POSTGRES_USER, REDIS_IMAGE, REDIS_PORT, SECRETS_DIR},
    nodes::account,
    pods::{self, confined, env, mount, port, resources, scratch_volume, secret_volume},
    settings::SecretKey,
};

/// What Postgres may have of connections; see the test that adds up everybody's pools.
pub(crate) const MAX_CONNECTIONS: u32 = 200;

pub(crate) fn objects() -> Vec<Object> {
    [server("redis", REDIS_PORT, redis()), server("postgres", POSTGRES_PORT, postgres())].concat()
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(format!("rally-{name}")),
        labels: Some([(NAME.to_owned(), name.to_owned())].into()),
        ..Default::default()
    }
}

fn server(name: &str, port: i32, pod: PodSpec) -> Vec<Object> {
    let labels = [(NAME.to_owned(), name.to_owned())];
    let mut account = account(&format!("rally-{name}"), name);
    account.metadata = metadata(name);
    let service = Service {
        metadata: metadata(name),
        spec: Some(ServiceSpec {
            ports: Some(vec![ServicePort { name: Some(name.to_owned()), port, ..Default::default() }]),
            selector: Some(labels.clone().into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".to_owned()), ..Default::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity("5Gi".to_owned()))].into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let set = StatefulSet {
        metadata: metadata(name),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            selector: LabelSelector { match_labels: Some(labels.clone().into()), ..Default::default() },
            service_name: Some(format!("rally-{name}")),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels.into()), ..Default::default() }),
                spec: Some(pod),
            },
            volume_claim_templates: Some(vec![claim]),
            ..Default::default()
        }),
        ..Default::default()
    };
    vec![Object::of(&account), Object::of(&service), Object::of(&set)]
}

/// The password, by the Secret of the server's name.
fn password(server: &str) -> (Volume, VolumeMount) {
    let key = SecretKey { variable: String::new(), key: "password".to_owned() };
    secret_volume(&format!("rally-{server}"), &[key])
}

fn answers(command: &[&str]) -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(command.iter().map(|word| (*word).to_owned()).collect()) }),
        period_seconds: Some(5),
        timeout_seconds: Some(3),
        ..Default::default()
    }
}

fn redis() -> PodSpec {
    let (volume, secret_mount) = password("redis");
    // Nodes refuse a Redis that evicts keys.
    let run = format!(
        "exec redis-server --requirepass \"$(cat {SECRETS_DIR}/password)\" --appendonly yes --dir /data \
         --maxmemory-policy noeviction"
    );
    let ping = format!("REDISCLI_AUTH=\"$(cat {SECRETS_DIR}/password)\" redis-cli ping | grep -q PONG");
    let container = Container {
        name: "redis".to_owned(),
        image: Some(REDIS_IMAGE.to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), run]),
        ports: Some(vec![port("redis", REDIS_PORT)]),
        // redis-cli succeeds also with an answer that is an error: without a password, or while data are loaded.
        readiness_probe: Some(answers(&["sh", "-c", &ping])),
        resources: Some(resources(["100m", "64Mi"], (None, "512Mi"))),
        security_context: Some(confined()),
        volume_mounts: Some(vec![mount("data", "/data", false), secret_mount]),
        ..Default::default()
    };
    pods::pod("rally-redis", POSTGRES_USER, vec![container], vec![volume])
}

fn postgres() -> PodSpec {
    let (volume, secret_mount) = password("postgres");
    let container = Container {
        name: "postgres".to_owned(),
        image: Some(POSTGRES_IMAGE.to_owned()),
        args: Some(vec!["-c".to_owned(), format!("max_connections={MAX_CONNECTIONS}")]),
        env: Some(vec![
            env("POSTGRES_USER", "rally"),
            env("POSTGRES_DB", "rally"),
            env("POSTGRES_PASSWORD_FILE", &format!("{SECRETS_DIR}/password")),
            env("PGDATA", "/var/lib/postgresql/data/pgdata"),
        ]),
        ports: Some(vec![port("postgres", POSTGRES_PORT)]),
        readiness_probe: Some(answers(&["pg_isready", "-U", "rally"])),
        resources: Some(resources(["100m", "256Mi"], (None, "1Gi"))),
        security_context: Some(confined()),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/postgresql/data", false),
            mount("run", "/var/run/postgresql", false),
            mount("tmp", "/tmp", false),
            secret_mount,
        ]),
        ..Default::default()
    };
    let volumes = vec![scratch_volume("run", "16Mi"), scratch_volume("tmp", "256Mi"), volume];
    pods::pod("rally-postgres", POSTGRES_USER, vec![container], volumes)
}
