//! Alerts get where `deploy/monitoring/alertmanager.yml` says: a real Alertmanager, where one is installed, a small Slack
//! and a small mail server.

use std::{fs, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rally_manifests::repository;
use rally_service::local::{Guarded, ScratchDir, Signal, free_port};
use rally_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{
    LONG,
    http::{get, post},
    process::{Vars, guarded},
    receivers::{Received, Receiver},
};

const WEBHOOK: &str = "/services/T0/B0/from-a-file";
const SMTP_PASSWORD: &str = "smtp-9Qv4xLb2";

/// Where Debian's looks for its words for messages.
const WORDS: &str = "/usr/share/prometheus/alertmanager";

/// How it is started: as Debian calls it, or as its makers do. The error says why it is not.
fn program() -> Result<Vec<String>, &'static str> {
    let answers =
        |words: &[&str]| Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success());
    if answers(&["alertmanager", "--version"]) {
        return Ok(vec!["alertmanager".to_owned()]);
    }
    if !answers(&["prometheus-alertmanager", "--version"]) {
        return Err("alertmanager is missing");
    }
    let name = "prometheus-alertmanager".to_owned();
    if Path::new(WORDS).exists() {
        return Ok(vec![name]);
    }
    // Unpacked beside the system (scripts/setup.sh): its words are beside it too, and it gets a /usr/share of its own.
    let folders = std::env::var("PATH").unwrap_or_default();
    let mut words = folders.split(':').map(|bin| Path::new(bin).join("../share/alertmanager"));
    let words = words.find(|dir| dir.join("default.tmpl").exists()).ok_or("alertmanager's templates are missing")?;
    if !answers(&["unshare", "--map-root-user", "--mount", "true"]) {
        return Err("namespaces are not allowed here");
    }
    let own = format!(
        "cp -r '{}' /tmp/words-$$ && mount -t tmpfs tmpfs /usr/share && mkdir -p {WORDS} && \
         mv /tmp/words-$$/* {WORDS} && rmdir /tmp/words-$$ && exec \"$0\" \"$@\"",
        words.display()
    );
    Ok(["unshare", "--map-root-user", "--mount", "sh", "-c", &own, &name].map(str::to_owned).into())
}

struct Alertmanager {
    port: u16,
    slack: Receiver<Received>,
    mail: Receiver<String>,
    _process: Guarded,
    _dir: ScratchDir,
}

impl Alertmanager {
    /// With the file of the repository, in which only addresses, paths and waiting times are others.
    async fn start(program: &[String]) -> Self {
        let dir = ScratchDir::new("alertmanager").unwrap();
        let (slack, mail) = (Receiver::http().await, Receiver::smtp().await);
        let (webhook, password) = (dir.path().join("webhook"), dir.path().join("password"));
        fs::write(&webhook, format!("http://127.0.0.1:{}{WEBHOOK}", slack.port)).unwrap();
        fs::write(&password, SMTP_PASSWORD).unwrap();
        let mut config = fs::read_to_string(repository().join("deploy/monitoring/alertmanager.yml")).unwrap();
        let smarthost = format!("smtp_smarthost: 127.0.0.1:{}\n  smtp_require_tls: false", mail.port);
        for (from, to) in [
            ("smtp_smarthost: smtp.example:587", &*smarthost),
            ("/run/secrets/smtp_password", password.to_str().unwrap()),
            ("/run/secrets/slack_webhook", webhook.to_str().unwrap()),
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_wait: 10s", "group_wait: 1s"),
            ("group_interval: 5m", "group_interval: 1s"),
        ] {
            assert!(config.contains(from), "{from} is not there any more");
            config = config.replace(from, to);
        }
        let file = dir.path().join("alertmanager.yml");
        fs::write(&file, config).unwrap();
        for _ in 0..5 {
            let port = free_port().unwrap();
            let args = [
                format!("--config.file={}", file.display()),
                format!("--storage.path={}", dir.path().join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--cluster.listen-address=".to_owned(),
            ];
            let args: Vec<&str> = program[1..].iter().chain(&args).map(String::as_str).collect();
            let log = dir.path().join("log");
            let process = std::cell::RefCell::new(guarded(&[], &program[0], &args, &Vars::new(), &log, Signal::KILL));
            let is_ready = async || get(port, "/-/ready").await.is_ok_and(|answer| answer.status == 200);
            eventually(LONG, async || process.borrow_mut().exit().is_some() || is_ready().await).await;
            let mut process = process.into_inner();
            if process.exit().is_none() {
                return Self { port, slack, mail, _process: process, _dir: dir };
            }
            let said = fs::read_to_string(&log).unwrap();
            assert!(said.contains("in use"), "{said}");
        }
        panic!("no free port");
    }

    /// As Prometheus tells it.
    async fn alert(&self, name: &str, severity: &str, labels: Value, ends_at: Option<&str>) {
        let mut alert = json!({
            "labels": { "alertname": name, "severity": severity },
            "annotations": {
                "summary": format!("{name} has happened"),
                "runbook_url": format!("https://git.example/rally/docs/OPERATIONS.md#{}", name.to_lowercase()),
            },
        });
        for (label, value) in labels.as_object().unwrap() {
            alert["labels"][label] = value.clone();
        }
        if let Some(ends_at) = ends_at {
            alert["startsAt"] = json!("2026-11-23T09:00:00Z");
            alert["endsAt"] = json!(ends_at);
        }
        let headers = [("content-type", "application/json")];
        let body = json!([alert]).to_string();
        let answer = post([127, 0, 0, 1], self.port, "/api/v2/alerts", &headers, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The next message: channel, title and text.
    async fn message(&mut self) -> (String, String, String) {
        let received = self.slack.next().await;
        assert_eq!(received.path, WEBHOOK);
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        let first = &body["attachments"][0];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        (text(&body["channel"]), text(&first["title"]), text(&first["text"]))
    }
}

#[tokio::test]
async fn alerts_arrive_at_slack_and_by_mail() {
    let program = match program() {
        Ok(program) => program,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let mut alerts = Alertmanager::start(&program).await;

    // A page: to Slack and by mail, with the page of the runbook.
    alerts.alert("RallyPanics", "page", json!({}), None).await;
    let (channel, title, text) = alerts.message().await;
    assert_eq!((&*channel, &*title), ("#rally-pages", "FIRING: RallyPanics"));
    assert!(text.contains("RallyPanics has happened") && text.contains("OPERATIONS.md#rallypanics"), "{text}");
    let letter = alerts.mail.next().await;
    let proof = STANDARD.encode(format!("\0rally@example.com\0{SMTP_PASSWORD}"));
    assert!(letter.contains(&format!("AUTH PLAIN {proof}")) && letter.contains("<oncall@example.com>"), "{letter}");
    assert!(letter.contains("From: rally@example.com") && letter.contains("RallyPanics"), "{letter}");

    // Its end.
    alerts.alert("RallyPanics", "page", json!({}), Some("2026-11-23T09:01:00Z")).await;
    let (channel, title, _) = alerts.message().await;
    assert_eq!((&*channel, &*title), ("#rally-pages", "RESOLVED: RallyPanics"));
    assert!(alerts.mail.next().await.contains("RESOLVED"));

    // A ticket: to Slack alone; and none for what follows from a role that is gone.
    alerts.alert("RallyRoleGone", "page", json!({ "role": "worker" }), None).await;
    let (channel, title, _) = alerts.message().await;
    assert_eq!((&*channel, &*title), ("#rally-pages", "FIRING: RallyRoleGone"));
    alerts.mail.next().await;
    let down = json!({ "role": "worker", "job": "rally-worker", "instance": "worker-1:9090" });
    alerts.alert("RallyNodeDown", "ticket", down, None).await;
    alerts.alert("RallyQueueWaits", "ticket", json!({ "role": "edge" }), None).await;
    let (channel, title, _) = alerts.message().await;
    assert_eq!((&*channel, &*title), ("#rally-tickets", "FIRING: RallyQueueWaits"));
    assert!(alerts.slack.rest().is_empty() && alerts.mail.rest().is_empty());
}
