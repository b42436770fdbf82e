//! `.github/workflows/ci.yml`, as far as it can be judged without running it.

use std::{collections::BTreeMap, fs};

use rally_manifests::repository;
use serde_json::Value;

fn workflow() -> Value {
    let text = fs::read_to_string(repository().join(".github/workflows/ci.yml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

fn jobs() -> BTreeMap<String, Value> {
    serde_json::from_value(workflow()["jobs"].clone()).unwrap()
}

fn steps(job: &Value) -> Vec<Value> {
    job["steps"].as_array().unwrap().clone()
}

/// Places of steps of a job whose `run` or `uses` contains this.
fn places(job: &Value, word: &str) -> Vec<usize> {
    let says =
        |step: &Value| [&step["run"], &step["uses"]].iter().any(|it| it.as_str().is_some_and(|it| it.contains(word)));
    steps(job).iter().enumerate().filter(|(_, step)| says(step)).map(|(place, _)| place).collect()
}

#[test]
fn every_job_ends_and_has_those_before_it() {
    let jobs = jobs();
    for (name, job) in &jobs {
        assert!(job["timeout-minutes"].as_u64().is_some_and(|minutes| minutes <= 60), "{name} may run for six hours");
        let needed = match &job["needs"] {
            Value::String(one) => vec![one.clone()],
            several => several.as_array().into_iter().flatten().map(|each| each.as_str().unwrap().to_owned()).collect(),
        };
        assert!(needed.iter().all(|each| jobs.contains_key(each)), "{name} needs {needed:?}");
    }
    // The weekly audit of main and a push to it are different runs; only what a newer push to a request replaces is cut.
    let concurrency = &workflow()["concurrency"];
    assert!(concurrency["group"].as_str().unwrap().contains("github.event_name"));
    assert_eq!(concurrency["cancel-in-progress"], "${{ github.event_name == 'pull_request' }}");
}

#[test]
fn an_image_is_weighed_before_it_is_pushed() {
    let jobs = jobs();
    let image = &jobs["image"];
    let platforms = image["strategy"]["matrix"]["include"].as_array().unwrap();
    let named: Vec<&str> = platforms.iter().map(|each| each["platform"].as_str().unwrap()).collect();
    assert_eq!(named, ["linux/amd64", "linux/arm64"]);
    // Each on a machine of its kind.
    assert!(
        platforms
            .iter()
            .all(|each| each["runner"].as_str().unwrap().ends_with("-arm") == (each["platform"] == "linux/arm64"))
    );
    let weighed = places(image, "docker image inspect");
    let builds = places(image, "docker/build-push-action");
    let [load, push] = builds[..] else { panic!("{builds:?}") };
    assert!(matches!(weighed[..], [place] if load < place && place < push), "{weighed:?}");
    let steps = steps(image);
    assert!(steps[weighed[0]]["run"].as_str().unwrap().contains("60000000"));
    assert_eq!(steps[load]["with"]["load"], true);
    assert_eq!(steps[push]["if"], "github.event_name == 'push'");
}

#[test]
fn what_make_skips_without_is_installed() {
    let installed = |job: &str| {
        let jobs = jobs();
        let tools = steps(&jobs[job]).into_iter().map(|step| step["with"]["tool"].clone());
        tools.filter_map(|tool| tool.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    for job in ["test", "audit"] {
        assert!(installed(job).contains(&"cargo-deny".to_owned()), "{job}");
    }
}
