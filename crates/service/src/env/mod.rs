//! Typed configuration that reports every fault at once.
//!
//! Each concern declares its variables as a table of [`Var`] and reads them into a struct of its own:
//!
//! ```
//! use std::time::Duration;
//!
//! use rally_service::env::{Env, MapEnv, Unit, Var};
//!
//! const LEASE_MS: Var = Var::new("RALLY_LEASE_MS", Unit::Milliseconds, "How long a lease lives.").or("1000");
//! const RENEW_MS: Var = Var::new("RALLY_RENEW_MS", Unit::Milliseconds, "How often it is renewed.").or("250");
//! const VARS: &[Var] = &[LEASE_MS, RENEW_MS];
//!
//! struct LeaseConfig {
//!     lease: Duration,
//!     renew: Duration,
//! }
//!
//! impl LeaseConfig {
//!     fn read(env: &mut Env<'_>) -> Option<Self> {
//!         // Read everything first: a `?` before the last one would hide the faults of the rest.
//!         let lease = env.get::<Duration>(&LEASE_MS);
//!         let renew = env.get::<Duration>(&RENEW_MS);
//!         let read = Self { lease: lease?, renew: renew? };
//!         env.check(read.renew * 2 < read.lease, &RENEW_MS, "must be less than half of RALLY_LEASE_MS");
//!         Some(read)
//!     }
//! }
//!
//! let strings = MapEnv::new([("RALLY_RENEW_MS", "soon")]);
//! let mut env = Env::new(&strings);
//! let config = LeaseConfig::read(&mut env);
//! let faults = env.finish(config).err().expect("a fault");
//! assert!(faults.to_string().contains("RALLY_RENEW_MS is not a whole number of milliseconds"));
//! ```

mod secret;
mod strings;
mod value;
mod var;

use std::{fmt, ops::RangeInclusive};

use secrecy::SecretString;
pub use secret::{KEY_BYTES_MIN, Key};
pub use strings::{MapEnv, ProcessEnv, Strings};
pub use value::{HttpUrl, Origin, Value};
pub use var::{Unit, Var, help};

/// What a process exits with when its configuration is faulty: `EX_CONFIG` of sysexits.h.
pub const EXIT_CONFIG: u8 = 78;

/// All names of ours begin so.
const PREFIX: &str = "RALLY_";

/// How much of a bad value is repeated in a message.
const SHOWN_CHARS_MAX: usize = 64;

/// Reads variables and collects what is wrong with them. Each method returns `None` where it found a fault, and has
/// recorded it.
pub struct Env<'a> {
    strings: &'a dyn Strings,
    faults: Vec<String>,
}

/// What is wrong with the configuration, all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Each fault: a variable's name and what is wrong with it. Never a secret's value.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.len();
        write!(f, "the configuration has {n} {}:", if n == 1 { "fault" } else { "faults" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl<'a> Env<'a> {
    /// A reader without faults so far.
    pub fn new(strings: &'a dyn Strings) -> Self {
        Self { strings, faults: Vec::new() }
    }

    /// A value that is set or has a default.
    pub fn get<T: Value>(&mut self, var: &Var) -> Option<T> {
        let read = self.optional(var)?;
        if read.is_none() {
            self.fault(var, "is not set");
        }
        read
    }

    /// A number within bounds.
    pub fn get_in<T: Value + PartialOrd + fmt::Debug>(&mut self, var: &Var, range: RangeInclusive<T>) -> Option<T> {
        let value = self.get::<T>(var)?;
        if range.contains(&value) {
            return Some(value);
        }
        self.fault(var, &format!("is {value:?}, not within {:?} to {:?}", range.start(), range.end()));
        None
    }

    /// A value that may be unset: `Some(None)` then.
    pub fn optional<T: Value>(&mut self, var: &Var) -> Option<Option<T>> {
        let text = self.text(var)?.or_else(|| var.default.map(str::to_owned));
        let Some(text) = text else { return Some(None) };
        match T::parse(text.trim(), var.unit) {
            Ok(value) => Some(Some(value)),
            Err(e) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                self.fault(var, &format!("{e} ({shown:?})"));
                None
            }
        }
    }

    /// A password or token. Set it, or `NAME_FILE`; both is a fault.
    pub fn secret(&mut self, var: &Var) -> Option<SecretString> {
        self.required_secret(var, secret::password)
    }

    /// A key: base64 of at least [`KEY_BYTES_MIN`] random bytes.
    pub fn key(&mut self, var: &Var) -> Option<Key> {
        self.required_secret(var, secret::key)
    }

    /// Several keys separated by commas, the first of which signs: that is how they are rolled.
    pub fn keys(&mut self, var: &Var) -> Option<Vec<Key>> {
        self.required_secret(var, |text| items(text).map(secret::key).collect())
            .filter(|keys: &Vec<Key>| !keys.is_empty())
            .or_else(|| {
                self.check(!self.faults.is_empty(), var, "is empty");
                None
            })
    }

    /// A URL of one of `schemes` that may have a password in it.
    pub fn secret_url(&mut self, var: &Var, schemes: &[&str]) -> Option<SecretString> {
        self.required_secret(var, |text| secret::url(text, schemes))
    }

    /// The same, where it may be unset: `Some(None)` then.
    pub fn optional_secret_url(&mut self, var: &Var, schemes: &[&str]) -> Option<Option<SecretString>> {
        self.optional_secret(var, |text| secret::url(text, schemes))
    }

    /// Several such URLs, separated by commas; none when unset.
    pub fn secret_urls(&mut self, var: &Var, schemes: &[&str]) -> Option<Vec<SecretString>> {
        let read = self.optional_secret(var, |text| items(text).map(|u| secret::url(u, schemes)).collect())?;
        Some(read.unwrap_or_default())
    }

    /// What the file holds whose path a variable is, as text; `Some(None)` when it is unset.
    pub fn file(&mut self, var: &Var) -> Option<Option<String>> {
        let Some(path) = self.text(var)? else { return Some(None) };
        match self.strings.file(path.trim()) {
            Ok(text) => Some(Some(text)),
            Err(e) => {
                self.fault(var, &format!("names {path}, which cannot be read: {e}"));
                None
            }
        }
    }

    /// Records a fault that only several values together show.
    pub fn check(&mut self, holds: bool, var: &Var, otherwise: &str) {
        if !holds {
            self.fault(var, otherwise);
        }
    }

    /// The configuration, or everything that is wrong with it.
    ///
    /// # Errors
    /// [`Faults`]; the process should print them and exit with [`EXIT_CONFIG`].
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Faults> {
        match read {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(Faults(self.faults)),
        }
    }

    fn required_secret<T>(&mut self, var: &Var, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = self.optional_secret(var, parse)?;
        if read.is_none() {
            self.fault(var, &format!("is not set, nor is {}", var.file_name()));
        }
        read
    }

    fn optional_secret<T>(&mut self, var: &Var, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<Option<T>> {
        debug_assert!(var.is_secret, "{} is read as a secret but not declared as one", var.name);
        let file_var = var.file_name();
        let path = match self.strings.get(&file_var) {
            Ok(path) => path,
            Err(e) => {
                self.faults.push(format!("{file_var} {e}"));
                return None;
            }
        };
        let text = match (self.text(var)?, path) {
            (Some(_), Some(_)) => {
                self.fault(var, &format!("and {file_var} are both set"));
                return None;
            }
            (Some(text), None) => text,
            (None, None) => return Some(None),
            (None, Some(path)) => match self.strings.file(&path) {
                Ok(text) => text,
                Err(e) => {
                    self.faults.push(format!("{file_var} names {path}, which cannot be read: {e}"));
                    return None;
                }
            },
        };
        match parse(text.trim()) {
            Ok(value) => Some(Some(value)),
            Err(e) => {
                // Without the value, which a log would keep.
                self.fault(var, &e);
                None
            }
        }
    }

    fn text(&mut self, var: &Var) -> Option<Option<String>> {
        self.strings.get(var.name).map_err(|e| self.fault(var, &e)).ok()
    }

    fn fault(&mut self, var: &Var, what: &str) {
        self.faults.push(format!("{} {what}", var.name));
    }
}

/// Warnings about variables that begin like ours but are not in any of `tables`: most are mistyped, and a mistyped
/// one would silently leave a default in place. Give the tables of all roles, since they may share one environment.
pub fn unknown(strings: &dyn Strings, tables: &[&[Var]]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for var in tables.iter().copied().flatten() {
        known.push(var.name.to_owned());
        if var.is_secret {
            known.push(var.file_name());
        }
    }
    let mut warnings: Vec<String> = strings
        .names()
        .iter()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_service_link(name))
        .map(|name| {
            let nearest = known.iter().map(|k| (strsim::osa_distance(name, k), k)).min();
            match nearest {
                // A third of the letters wrong is not a slip any more.
                Some((distance, k)) if distance * 3 <= k.len() - PREFIX.len() => {
                    format!("{name} is not a variable of ours; did you mean {k}?")
                }
                _ => format!("{name} is not a variable of ours"),
            }
        })
        .collect();
    warnings.sort();
    warnings
}

/// Kubernetes sets variables like `RALLY_EDGE_SERVICE_HOST` for a service `rally-edge` beside us.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret as _;

    use super::*;

    const PORT: Var = Var::new("RALLY_TEST_PORT", Unit::Count, "A port.").or("8080");
    const WAIT_MS: Var = Var::new("RALLY_WAIT_MS", Unit::Milliseconds, "A time.");
    const REDIS_URL: Var = Var::secret("RALLY_REDIS_URL", Unit::Url, "Where Redis is.");
    const CLUSTER_KEY: Var = Var::secret("RALLY_CLUSTER_KEY", Unit::Key, "A key.");
    const VARS: &[Var] = &[PORT, WAIT_MS, REDIS_URL, CLUSTER_KEY];
    const GOOD_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn faults_of(strings: &MapEnv, read: impl FnOnce(&mut Env<'_>)) -> Vec<String> {
        let mut env = Env::new(strings);
        read(&mut env);
        env.finish(Some(())).err().map(|f| f.0).unwrap_or_default()
    }

    #[test]
    fn defaults_apply_and_values_override() {
        let (unset, set) = (MapEnv::default(), MapEnv::new([("RALLY_TEST_PORT", " 9 ")]));
        assert_eq!(Env::new(&unset).get::<u16>(&PORT), Some(8080));
        assert_eq!(Env::new(&set).get::<u16>(&PORT), Some(9));
        assert_eq!(Env::new(&unset).optional::<Duration>(&WAIT_MS), Some(None));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let strings = MapEnv::new([
            ("RALLY_TEST_PORT", "ninety"),
            ("RALLY_REDIS_URL", "redis://:changeme@host"),
            ("RALLY_CLUSTER_KEY", "c2hvcnQ="),
        ]);
        let mut env = Env::new(&strings);
        let (port, wait) = (env.get::<u16>(&PORT), env.get::<Duration>(&WAIT_MS));
        let (url, key) = (env.secret_url(&REDIS_URL, &["redis"]), env.key(&CLUSTER_KEY));
        assert!(port.is_none() && wait.is_none() && url.is_none() && key.is_none());
        let text = env.finish(port).expect_err("faults").to_string();
        assert_eq!(
            text,
            "the configuration has 4 faults:
  RALLY_TEST_PORT is not a whole number from 0 to 65535 (\"ninety\")
  RALLY_WAIT_MS is not set
  RALLY_REDIS_URL has a password that is a placeholder
  RALLY_CLUSTER_KEY has 5 bytes; a key has at least 32 (`rally keys` makes one)"
        );
    }

    #[test]
    fn no_fault_shows_a_secret() {
        let secret = "s3cr3t-but-not-base64!";
        let strings = MapEnv::new([("RALLY_CLUSTER_KEY", secret), ("RALLY_REDIS_URL", &format!("ftp://u:{secret}@h"))]);
        let faults = faults_of(&strings, |env| {
            let _ = (env.key(&CLUSTER_KEY), env.secret_url(&REDIS_URL, &["redis"]));
        });
        assert_eq!(faults.len(), 2);
        assert!(!faults.concat().contains(secret));
    }

    #[test]
    fn a_secret_may_lie_in_a_file() {
        let strings =
            MapEnv::new([("RALLY_CLUSTER_KEY_FILE", "/run/key")]).with_file("/run/key", &format!("{GOOD_KEY}\n"));
        let key = Env::new(&strings).key(&CLUSTER_KEY).expect("the key");
        assert_eq!(key.expose_secret().len(), 32);

        let missing = MapEnv::new([("RALLY_CLUSTER_KEY_FILE", "/run/other")]);
        let faults = faults_of(&missing, |env| _ = env.key(&CLUSTER_KEY));
        assert!(faults[0].starts_with("RALLY_CLUSTER_KEY_FILE names /run/other, which cannot be read"), "{faults:?}");
    }

    #[test]
    fn a_secret_and_its_file_together_are_a_fault() {
        let strings = MapEnv::new([("RALLY_CLUSTER_KEY", GOOD_KEY), ("RALLY_CLUSTER_KEY_FILE", "/run/key")])
            .with_file("/run/key", GOOD_KEY);
        let faults = faults_of(&strings, |env| _ = env.key(&CLUSTER_KEY));
        assert_eq!(faults, ["RALLY_CLUSTER_KEY and RALLY_CLUSTER_KEY_FILE are both set"]);
    }

    #[test]
    fn a_missing_secret_names_both_ways_to_give_it() {
        let faults = faults_of(&MapEnv::default(), |env| _ = env.key(&CLUSTER_KEY));
        assert_eq!(faults, ["RALLY_CLUSTER_KEY is not set, nor is RALLY_CLUSTER_KEY_FILE"]);
    }

    #[test]
    fn keys_are_rolled_by_listing_them() {
        let two = MapEnv::new([("RALLY_CLUSTER_KEY", format!("{GOOD_KEY}, {GOOD_KEY}"))]);
        assert_eq!(Env::new(&two).keys(&CLUSTER_KEY).map(|k| k.len()), Some(2));
        let none = MapEnv::new([("RALLY_CLUSTER_KEY", " ,")]);
        assert_eq!(faults_of(&none, |env| _ = env.keys(&CLUSTER_KEY)), ["RALLY_CLUSTER_KEY is empty"]);
        let bad = MapEnv::new([("RALLY_CLUSTER_KEY", format!("{GOOD_KEY},short"))]);
        assert_eq!(faults_of(&bad, |env| _ = env.keys(&CLUSTER_KEY)).len(), 1);
    }

    #[test]
    fn numbers_have_bounds_of_their_own() {
        let strings = MapEnv::new([("RALLY_TEST_PORT", "80")]);
        let faults = faults_of(&strings, |env| _ = env.get_in(&PORT, 1024..=u16::MAX));
        assert_eq!(faults, ["RALLY_TEST_PORT is 80, not within 1024 to 65535"]);
    }

    #[test]
    fn mistyped_names_are_told_with_the_likely_one() {
        let strings = MapEnv::new([
            ("RALLY_REDSI_URL", "redis://a"),
            ("RALLY_CLUSTER_KEY_FLIE", "x"),
            ("RALLY_SOMETHING_QUITE_DIFFERENT", "x"),
            ("RALLY_WAIT_MS", "1"),
            ("RALLY_EDGE_SERVICE_HOST", "10.0.0.1"),
            ("RALLY_EDGE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("HOME", "/root"),
        ]);
        assert_eq!(
            unknown(&strings, &[VARS]),
            [
                "RALLY_CLUSTER_KEY_FLIE is not a variable of ours; did you mean RALLY_CLUSTER_KEY_FILE?",
                "RALLY_REDSI_URL is not a variable of ours; did you mean RALLY_REDIS_URL?",
                "RALLY_SOMETHING_QUITE_DIFFERENT is not a variable of ours",
            ]
        );
    }

    #[test]
    fn the_processes_environment_and_files_are_read() {
        let dir = crate::local::ScratchDir::new("env").expect("scratch");
        let path = dir.path().join("key");
        std::fs::write(&path, "x".repeat(1_100_000)).expect("write");
        assert!(ProcessEnv.file(&path.display().to_string()).is_err(), "too large");
        std::fs::write(&path, GOOD_KEY).expect("write");
        assert_eq!(ProcessEnv.file(&path.display().to_string()).expect("read"), GOOD_KEY);
        assert!(ProcessEnv.names().iter().any(|n| n == "PATH"));
        assert!(ProcessEnv.get("PATH").is_ok_and(|p| p.is_some()));
    }
}
