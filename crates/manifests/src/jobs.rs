//! What runs once or now and then: the migration, backups, and the drill that restores one.

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec},
        core::v1::{
            ConfigMap, Container, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
            PodSpec, PodTemplateSpec, Volume, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use crate::{
    Object,
    names::{IMAGE, POSTGRES_IMAGE, POSTGRES_USER, USER, labels, metadata},
    nodes::account,
    pods::{self, confined, env, mount, resources, scratch_volume, secret_env, secret_volume},
    settings,
};

pub(crate) const MIGRATE: &str = "rally-migrate";
pub(crate) const BACKUP: &str = "rally-backup";
pub(crate) const DRILL: &str = "rally-restore-drill";

/// The scripts of backups: the same for compose, and run by a test against a real server.
pub(crate) const SCRIPTS: [(&str, &str); 4] = [
    ("backup.sh", include_str!("../../../deploy/backup/backup.sh")),
    ("restore-drill.sh", include_str!("../../../deploy/backup/restore-drill.sh")),
    ("restore.sh", include_str!("../../../deploy/backup/restore.sh")),
    ("url.sh", include_str!("../../../deploy/backup/url.sh")),
];

pub(crate) fn objects() -> Vec<Object> {
    vec![
        Object::of(&account(MIGRATE, "migrate")),
        Object::of(&migrate()),
        Object::of(&account(BACKUP, "backup")),
        Object::of(&scripts()),
        Object::of(&claim()),
        Object::of(&cron(BACKUP, "17 3 * * *", backup())),
        Object::of(&cron(DRILL, "17 5 * * 0", drill())),
    ]
}

fn template(component: &str, mut pod: PodSpec) -> PodTemplateSpec {
    pod.restart_policy = Some("Never".to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(component)), ..Default::default() }),
        spec: Some(pod),
    }
}

/// Nodes of the new version are not ready until it has succeeded, so that it may run beside them.
fn migrate() -> Job {
    let secrets = [settings::database_secret()];
    let (volume, secret_mount) = secret_volume(MIGRATE, &secrets);
    let container = Container {
        name: "migrate".to_owned(),
        image: Some(IMAGE.to_owned()),
        args: Some(vec!["migrate".to_owned()]),
        env: Some(secret_env(&secrets)),
        resources: Some(resources(["50m", "64Mi"], (None, "128Mi"))),
        security_context: Some(confined()),
        volume_mounts: Some(vec![secret_mount]),
        ..Default::default()
    };
    let mut metadata = metadata(MIGRATE, "migrate");
    metadata.annotations = Some(
        // A Job cannot be changed: who deploys by Argo CD has it made anew at each sync. Among the other objects, not
        // before them: it needs its ServiceAccount, and perhaps a Secret that is fetched. Nodes wait for the schema.
        [("argocd.argoproj.io/hook", "Sync"), ("argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    );
    Job {
        metadata,
        spec: Some(JobSpec {
            // Longer than the 600 s that a migration may take.
            active_deadline_seconds: Some(900),
            backoff_limit: Some(4),
            template: template("migrate", pods::pod(MIGRATE, USER, vec![container], vec![volume])),
            ttl_seconds_after_finished: Some(600),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn scripts() -> ConfigMap {
    ConfigMap {
        metadata: metadata(BACKUP, "backup"),
        data: Some(SCRIPTS.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
        ..Default::default()
    }
}

fn claim() -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: metadata(BACKUP, "backup"),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity("20Gi".to_owned()))].into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn backups_volume() -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: BACKUP.to_owned(), read_only: None };
    Volume { name: "backups".to_owned(), persistent_volume_claim: Some(source), ..Default::default() }
}

/// A pod with the tools of Postgres that runs one of [`SCRIPTS`].
fn tools(component: &str, script: &str, container: Container, volumes: Vec<Volume>) -> PodSpec {
    let container = Container {
        name: component.to_owned(),
        image: Some(POSTGRES_IMAGE.to_owned()),
        command: Some(vec!["bash".to_owned(), format!("/scripts/{script}")]),
        resources: Some(resources(["100m", "128Mi"], (None, "1Gi"))),
        security_context: Some(confined()),
        ..container
    };
    pods::pod(BACKUP, POSTGRES_USER, vec![container], volumes)
}

fn backup() -> PodTemplateSpec {
    let secrets = [settings::database_secret()];
    let (secret_volume, secret_mount) = secret_volume(BACKUP, &secrets);
    let mut variables = vec![env("BACKUP_DIR", "/backups"), env("BACKUP_KEEP_DAYS", "30")];
    variables.extend(secret_env(&secrets));
    let container = Container {
        env: Some(variables),
        volume_mounts: Some(vec![
            mount("backups", "/backups", false),
            mount("scripts", "/scripts", true),
            mount("tmp", "/tmp", false),
            secret_mount,
        ]),
        ..Default::default()
    };
    let volumes = vec![
        backups_volume(),
        pods::config_volume("scripts", BACKUP, Some(0o444)),
        scratch_volume("tmp", "64Mi"),
        secret_volume,
    ];
    template("backup", tools("backup", "backup.sh", container, volumes))
}

/// Restores the newest backup into a server of its own, which ends with the pod.
fn drill() -> PodTemplateSpec {
    let container = Container {
        env: Some(vec![env("BACKUP_DIR", "/backups"), env("DRILL_DIR", "/drill"), env("BACKUP_AGE_HOURS_MAX", "26")]),
        volume_mounts: Some(vec![
            mount("backups", "/backups", true),
            mount("drill", "/drill", false),
            mount("scripts", "/scripts", true),
            mount("tmp", "/tmp", false),
        ]),
        ..Default::default()
    };
    let volumes = vec![
        backups_volume(),
        scratch_volume("drill", "20Gi"),
        pods::config_volume("scripts", BACKUP, Some(0o444)),
        scratch_volume("tmp", "64Mi"),
    ];
    // It reaches nobody: its label is in no policy that lets something through.
    template("restore-drill", tools("restore-drill", "restore-drill.sh", container, volumes))
}

fn cron(name: &str, schedule: &str, template: PodTemplateSpec) -> CronJob {
    CronJob {
        metadata: metadata(name, "backup"),
        spec: Some(CronJobSpec {
            concurrency_policy: Some("Forbid".to_owned()),
            failed_jobs_history_limit: Some(3),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    active_deadline_seconds: Some(3_600),
                    backoff_limit: Some(2),
                    template,
                    ..Default::default()
                }),
            },
            schedule: schedule.to_owned(),
            starting_deadline_seconds: Some(3_600),
            successful_jobs_history_limit: Some(1),
            time_zone: Some("Etc/UTC".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}
