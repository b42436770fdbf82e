//! The program against what is written about it for Kubernetes and Docker: variables, probes, libraries.

use std::{fs, path::Path, process::Command};

use rally_manifests::{Role, objects, settings};
use rally_service::local::ScratchDir;
use serde_json::Value;

use crate::support::{
    Site,
    http::get,
    process::{RALLY, Vars, run, said},
    site::new_key,
};

fn defaults_path(role: Role) -> std::path::PathBuf {
    rally_manifests::repository().join("crates/manifests/defaults").join(format!("{}.env", role.as_str()))
}

/// Every variable of the program is in the manifests with its default. `make manifests` writes the files anew.
#[test]
fn defaults_are_those_of_the_help() {
    for role in Role::ALL {
        let expected = settings::defaults_from_help(&said(&run(&[role.as_str(), "--help"], &Vars::new())));
        assert!(expected.lines().count() > 5, "{expected}");
        let path = defaults_path(role);
        if std::env::var("RALLY_GOLDEN").is_ok_and(|mode| mode == "write") {
            fs::write(path, expected).unwrap();
            continue;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == expected, "{} differs from the help; `make manifests` writes it anew", path.display());
    }
}

/// The environment of an object's first container as a pod would have it, its secrets' files in `dir`.
fn environment(name: &str, dir: &Path) -> Vars {
    let objects = objects();
    let find = |kind: &str, name: &str| {
        objects.iter().find(|object| object.kind == kind && object.name == name).map(|object| &object.value)
    };
    let owner = ["Deployment", "Job"].into_iter().find_map(|kind| find(kind, name)).unwrap();
    let container = &owner["spec"]["template"]["spec"]["containers"][0];
    let mut all = Vec::new();
    for from in container["envFrom"].as_array().into_iter().flatten() {
        let config = find("ConfigMap", from["configMapRef"]["name"].as_str().unwrap()).unwrap();
        let pairs = config["data"].as_object().unwrap().iter();
        all.extend(pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    }
    for env in container["env"].as_array().unwrap() {
        let name = env["name"].as_str().unwrap().to_owned();
        let value = match &env["value"] {
            Value::String(path) if name.ends_with("_FILE") => {
                let secret = secret_of(&name);
                let file = dir.join(path.rsplit('/').next().unwrap());
                fs::write(&file, secret).unwrap();
                file.display().to_string()
            }
            Value::String(value) => value.clone(),
            // A field of the pod.
            _ => "a-pod".to_owned(),
        };
        all.push((name, value));
    }
    all
}

fn secret_of(variable: &str) -> String {
    match variable {
        "RALLY_REDIS_URL_FILE" => "redis://127.0.0.1:1".to_owned(),
        "RALLY_DATABASE_URL_FILE" => "postgres://rally@127.0.0.1:1/rally".to_owned(),
        _ => new_key(),
    }
}

#[test]
fn the_program_takes_the_environment_of_its_pods() {
    for role in Role::ALL {
        let dir = ScratchDir::new("pod").unwrap();
        let vars = environment(role.object(), dir.path());
        let output = run(&[role.as_str(), "--check-config"], &vars);
        assert!(output.status.success(), "{}", said(&output));
        // A name that is not the program's is warned of.
        assert!(!said(&output).contains("warning"), "{}", said(&output));

        // And every variable of the program is among them, or is one that an overlay may add.
        for variable in settings::variables(role) {
            let has = |name: &str| vars.iter().any(|(each, _)| each == name);
            let optional = variable.default.is_none() && !variable.is_secret
                || settings::OPTIONAL_SECRETS.contains(&variable.name.as_str());
            let given = has(&variable.name) || has(&format!("{}_FILE", variable.name));
            assert!(given || optional, "{} is not given to a {}", variable.name, role.as_str());
        }
    }
}

#[test]
fn the_migration_takes_the_environment_of_its_job() {
    let dir = ScratchDir::new("pod").unwrap();
    let output = run(&["migrate"], &environment("rally-migrate", dir.path()));
    // The configuration is fine; there is no such server.
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[tokio::test]
async fn probes_and_scrapes_ask_for_what_is_there() {
    let site = Site::start().await;
    let nodes = [site.edge("edge-1", &[]).await, site.worker("worker-1", &[]).await];
    for (role, node) in Role::ALL.into_iter().zip(&nodes) {
        let objects = objects();
        let deployment =
            objects.iter().find(|object| object.kind == "Deployment" && object.name == role.object()).unwrap();
        let container = &deployment.value["spec"]["template"]["spec"]["containers"][0];
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().unwrap();
            assert_eq!(get(node.admin, path).await.unwrap().status, 200, "{probe} {path}");
        }
        let monitor = &rally_manifests::files()["deploy/k8s/components/monitoring/objects.yaml"];
        let monitor = rally_manifests::parse_all(monitor).unwrap().remove(0);
        let path = monitor.value["spec"]["endpoints"][0]["path"].as_str().unwrap();
        assert_eq!(get(node.admin, path).await.unwrap().status, 200, "{path}");
    }
}

/// What distroless `cc` has of glibc and gcc.
const IN_THE_IMAGE: [&str; 6] =
    ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0"];

/// The image holds this program and these libraries, and nothing else that it could need: run in such a root.
#[test]
fn the_program_needs_no_more_than_its_image_has() {
    let listed = Command::new("ldd").arg(RALLY).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).collect();
    assert!(libraries.len() >= 2, "{listed}");
    let root = ScratchDir::new("image").unwrap();
    for library in libraries {
        let name = library.rsplit('/').next().unwrap();
        assert!(IN_THE_IMAGE.contains(&name), "{name} is not in the image");
        install(library, root.path(), library);
    }
    install(RALLY, root.path(), "/usr/local/bin/rally");
    let in_root = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--root"]).arg(root.path()).arg("/usr/local/bin/rally").args(args).env_clear();
        command.output().unwrap()
    };
    let version = in_root(&["--version"]);
    if !version.status.success() && said(&version).contains("unshare") {
        eprintln!("skipped: namespaces are not allowed here: {}", said(&version));
        return;
    }
    assert!(said(&version).starts_with("rally "), "{}", said(&version));
    let keys = in_root(&["keys"]);
    assert!(said(&keys).contains("RALLY_SIGNING_KEYS="), "{}", said(&keys));
    assert_eq!(in_root(&["edge", "--check-config"]).status.code(), Some(78));
}

fn install(from: &str, root: &Path, to: &str) {
    let to = root.join(to.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
