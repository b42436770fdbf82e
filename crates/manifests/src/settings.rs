//! Which environment variables a role gets, and how.
//!
//! `defaults/ROLE.env` repeats the help of `rally ROLE`: a test of the executable compares the two and writes the file
//! anew. A variable that the program gains is so in the ConfigMap at the next `make manifests`, with its default; what
//! a cluster in Kubernetes needs otherwise is chosen here.

use std::collections::BTreeMap;

use crate::{
    Role,
    names::{ADMIN_PORT, HTTP_PORT},
};

/// A variable as the program's help tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// `RALLY_...`.
    pub name: String,
    /// Whether it has a `_FILE` twin and comes from a Secret.
    pub is_secret: bool,
    /// Its default, which may be empty; `None`: it has none.
    pub default: Option<String>,
}

/// Which values differ from the program's defaults, and why.
fn chosen(role: Role) -> BTreeMap<&'static str, String> {
    let common = [
        ("RALLY_ADMIN_ADDR", format!("0.0.0.0:{ADMIN_PORT}")),
        // Twice ten pods of each role, old and new ones during an update, and the jobs stay below the 200 connections
        // of a Postgres as docker-compose.yml has it. A connection does about 1,000 operations a second.
        ("RALLY_DATABASE_POOL_MAX", "4".to_owned()),
    ];
    let own = match role {
        Role::Edge => vec![("RALLY_HTTP_ADDR", format!("0.0.0.0:{HTTP_PORT}"))],
        // Matches move to other workers within seconds. Where nobody can take them they are played out, and most last
        // some minutes.
        Role::Worker => vec![("RALLY_DRAIN_MS", "600000".to_owned())],
    };
    common.into_iter().chain(own).collect()
}

/// Variables that come from the pod itself.
pub const FROM_POD: &[&str] = &["RALLY_NODE_NAME"];

/// Secrets that a cluster may do without, and so are not in a pod unless a component or the chart's values add them.
pub const OPTIONAL_SECRETS: &[&str] = &[
    "RALLY_BUS_URLS",
    "RALLY_OAUTH_42_CLIENT_SECRET",
    "RALLY_OAUTH_GITHUB_CLIENT_SECRET",
    "RALLY_OAUTH_GOOGLE_CLIENT_SECRET",
    "RALLY_SENTRY_DSN",
    "RALLY_SMTP_URL",
];

/// All variables of a role.
pub fn variables(role: Role) -> Vec<Variable> {
    let text = match role {
        Role::Edge => include_str!("../defaults/edge.env"),
        Role::Worker => include_str!("../defaults/worker.env"),
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(read).collect()
}

fn read(line: &str) -> Variable {
    let (name, default) = match line.split_once('=') {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (line, None),
    };
    let (name, is_secret) = match name.strip_suffix(" (secret)") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Variable { name: name.to_owned(), is_secret, default }
}

/// `defaults/ROLE.env` as it should be, from what `rally ROLE --help` prints.
pub fn defaults_from_help(help: &str) -> String {
    let mut text =
        String::from("# From the program's help, by `make manifests`: name, and default where there is one.\n");
    for line in help.lines().filter_map(|line| line.strip_prefix("  RALLY_")) {
        let Some((name, rest)) = line.split_once("  [") else { continue };
        let (name, secret) = match name.strip_suffix(" (or _FILE)") {
            Some(name) => (name, " (secret)"),
            None => (name, ""),
        };
        let default = rest.trim_end_matches(']').split_once(", default: ").map(|(_, default)| default);
        let default = match default {
            Some("empty") => "=".to_owned(),
            Some(default) => format!("={default}"),
            None => String::new(),
        };
        text.push_str(&format!("RALLY_{name}{secret}{default}\n"));
    }
    text
}

/// What a role's ConfigMap holds: every variable that is no secret and has a value.
pub fn config(role: Role) -> BTreeMap<String, String> {
    let mut chosen = chosen(role);
    let plain = variables(role).into_iter().filter(|variable| !variable.is_secret);
    plain
        .filter_map(|Variable { name, default, .. }| {
            let value = chosen.remove(name.as_str()).or(default)?;
            Some((name, value))
        })
        .collect()
}

/// A secret of a role: its variable, and its key in the Secret of the role's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// `RALLY_..._FILE`.
    pub variable: String,
    /// Such as `redis-url`.
    pub key: String,
}

/// The secrets that a role must have.
pub fn secrets(role: Role) -> Vec<SecretKey> {
    secrets_that(role, |name| !OPTIONAL_SECRETS.contains(&name))
}

/// Those that it may be given besides.
pub fn optional_secrets(role: Role) -> Vec<SecretKey> {
    secrets_that(role, |name| OPTIONAL_SECRETS.contains(&name))
}

fn secrets_that(role: Role, is_wanted: impl Fn(&str) -> bool) -> Vec<SecretKey> {
    let found = variables(role).into_iter().filter(|variable| variable.is_secret && is_wanted(&variable.name));
    found.map(|variable| secret_key(&variable.name)).collect()
}

/// The variables that an installation may set in plain text.
pub(crate) fn plain(role: Role) -> Vec<String> {
    let names = variables(role).into_iter().filter(|variable| !variable.is_secret).map(|variable| variable.name);
    names.filter(|name| !FROM_POD.contains(&name.as_str())).collect()
}

/// The same for the jobs, which speak to Postgres only.
pub(crate) fn database_secret() -> SecretKey {
    secret_key("RALLY_DATABASE_URL")
}

fn secret_key(name: &str) -> SecretKey {
    let key = name.trim_start_matches("RALLY_").to_lowercase().replace('_', "-");
    SecretKey { variable: format!("{name}_FILE"), key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_exists() {
        for role in Role::ALL {
            let known: Vec<String> = variables(role).into_iter().map(|variable| variable.name).collect();
            for name in chosen(role).keys().chain(FROM_POD) {
                assert!(known.iter().any(|each| each == name), "{name} is no variable of a {}", role.as_str());
            }
        }
        for secret in OPTIONAL_SECRETS {
            let is_one = |variable: &Variable| variable.name == *secret && variable.is_secret;
            assert!(Role::ALL.into_iter().flat_map(variables).any(|v| is_one(&v)), "{secret} is no secret of any role");
        }
    }

    #[test]
    fn help_is_read() {
        let help = "Usage: x\n\nEnvironment:\n  RALLY_A  [ms, default: 5]\n      RALLY_A says.\n  RALLY_KEY (or _FILE)  [base64]\n  RALLY_L  [origins, separated by commas, default: empty]\n  RALLY_N  [text]\n";
        let text = defaults_from_help(help);
        let read: Vec<Variable> = text.lines().skip(1).map(read).collect();
        let variable = |name: &str, is_secret, default: Option<&str>| Variable {
            name: name.to_owned(),
            is_secret,
            default: default.map(str::to_owned),
        };
        assert_eq!(
            read,
            [
                variable("RALLY_A", false, Some("5")),
                variable("RALLY_KEY", true, None),
                variable("RALLY_L", false, Some("")),
                variable("RALLY_N", false, None),
            ]
        );
    }
}
