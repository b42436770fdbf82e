//! The checkout has what the code writes, and nothing else. `make manifests` writes it anew.

use std::{collections::BTreeSet, fs, path::Path};

use rally_manifests::{files, objects, repository};

/// Folders in which every file is written; files elsewhere are by hand.
const WRITTEN: [&str; 3] = ["deploy/k8s", "deploy/helm/rally/files", "deploy/monitoring/dashboards"];
/// By hand all the same.
const BY_HAND: [&str; 2] = ["deploy/k8s/README.md", "deploy/k8s/secrets.sh"];

#[test]
fn the_files_are_what_the_code_writes() {
    let (root, files) = (repository(), files());
    let stray: Vec<String> = WRITTEN
        .iter()
        .flat_map(|dir| found(&root, dir))
        .filter(|path| !files.contains_key(path) && !BY_HAND.contains(&path.as_str()))
        // Tests of overlays write theirs beside the base, for a moment.
        .filter(|path| !path.contains("/.tmp"))
        .collect();
    if std::env::var("RALLY_GOLDEN").is_ok_and(|mode| mode == "write") {
        for path in stray {
            fs::remove_file(root.join(path)).unwrap();
        }
        for (path, text) in &files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        return;
    }
    assert!(stray.is_empty(), "nothing writes {stray:?}; `make manifests` removes them");
    for (path, text) in &files {
        let there = fs::read_to_string(root.join(path)).unwrap_or_default();
        assert!(there == *text, "{path} differs from the code; `make manifests` writes it anew");
    }
}

fn found(root: &Path, dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(dir)) else { return vec![] };
    let paths = entries.map(|entry| entry.unwrap());
    paths
        .flat_map(|entry| {
            let path = format!("{dir}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() { found(root, &path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn every_object_is_known_to_its_type_and_is_there_once() {
    let objects = objects();
    for object in &objects {
        assert_eq!(object.check(), Ok(true), "{object}");
    }
    let names: BTreeSet<String> = objects.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), objects.len());
}
