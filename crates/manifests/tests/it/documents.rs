//! What documents say is shown by a test, is.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use rally_manifests::{objects, repository};

use crate::support::find;

/// Names of all test functions below a folder.
fn tests_below(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "node_modules" && entry.file_name() != "target" {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                    found.insert(rest.split('(').next().unwrap().to_owned());
                    is_test = false;
                }
                is_test |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
            }
        }
    }
}

/// What stands in backquotes on the lines of tables.
fn quoted(document: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("docs").join(document)).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).map(str::to_owned);
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn tests_that_documents_name_exist() {
    let mut tests = BTreeSet::new();
    tests_below(&repository().join("crates"), &mut tests);
    assert!(tests.len() > 200);
    let mut named = 0;
    for document in ["AUDIT.md", "SECURITY.md", "ARCHITECTURE.md"] {
        let words = quoted(document);
        for (file, name) in words.iter().zip(words.iter().skip(1)) {
            let is_name =
                name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
            // A test's name follows its file's.
            if file.ends_with(".rs") && is_name && name.matches('_').count() >= 2 {
                assert!(tests.contains(name), "{document}: there is no test {name} ({file})");
                named += 1;
            }
        }
    }
    assert!(named > 30, "{named}");
}

/// What OPERATIONS.md has done to the backup's pod before it restores: another script, and who may make tables.
#[test]
fn a_restore_runs_as_the_owner_of_the_tables() {
    let text = fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();
    let expression = text.lines().find_map(|line| line.trim().strip_prefix("sed '")?.split('\'').next()).unwrap();
    let cron: CronJob = find(&objects(), "CronJob", "rally-backup");
    let template = cron.spec.unwrap().job_template;
    let job = Job { metadata: template.metadata.unwrap_or_default(), spec: template.spec, ..Default::default() };
    let mut sed = Command::new("sed").arg(expression).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // As kubectl prints it.
    let json = serde_json::to_string_pretty(&job).unwrap();
    sed.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = sed.wait_with_output().unwrap();
    assert!(output.status.success(), "{expression}");
    let job: Job = serde_json::from_slice(&output.stdout).unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].command.as_ref().unwrap()[1], "/scripts/restore.sh");
    let secrets = pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref());
    assert_eq!(secrets.collect::<Vec<_>>(), ["rally-migrate"]);
}
