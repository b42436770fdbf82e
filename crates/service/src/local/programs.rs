//! Finding the servers' programs: on PATH, and where distributions hide Postgres's.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::LocalError;

/// A program and its major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Major version, such as `15`.
    pub major: String,
}

/// Where `redis-server` is.
///
/// # Errors
/// [`LocalError::ProgramMissing`], naming the package.
pub fn find_redis() -> Result<PathBuf, LocalError> {
    on_path("redis-server")
        .next()
        .ok_or(LocalError::ProgramMissing { program: "redis-server", package: "redis-server" })
}

/// Where `postgres` is: every installed major version, newest first. Beside each lies its `initdb`.
///
/// # Errors
/// [`LocalError::ProgramMissing`], naming the package.
pub fn find_postgres() -> Result<Vec<Program>, LocalError> {
    let hidden = ["/usr/lib/postgresql", "/usr/local"]
        .into_iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten())
        .map(|entry| entry.path().join("bin/postgres"))
        .filter(|p| executable(p));
    let mut found: Vec<Program> = Vec::new();
    for path in on_path("postgres").chain(hidden) {
        if path.with_file_name("initdb").exists()
            && let Some(major) = postgres_major(&path)
            && !found.iter().any(|p| p.major == major)
        {
            found.push(Program { path, major });
        }
    }
    found.sort_by_key(|p| std::cmp::Reverse(p.major.parse::<u32>().unwrap_or(0)));
    if found.is_empty() {
        return Err(LocalError::ProgramMissing { program: "postgres", package: "postgresql" });
    }
    Ok(found)
}

/// From `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn postgres_major(program: &Path) -> Option<String> {
    let out = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    major_of(&text)
}

fn major_of(version: &str) -> Option<String> {
    let number = version.split_once(") ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = std::env::split_paths(&path)
        // Where `make run` puts servers without their services, and where distributions do; a plain user's PATH lacks
        // some of these.
        .chain(
            ["/usr/local/lib/rally/bin", "/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"]
                .map(PathBuf::from),
        )
        .map(|dir| dir.join(OsStr::new(name)))
        .filter(|p| executable(p))
        .collect();
    candidates.into_iter()
}

fn executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_read_from_what_postgres_says() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n").as_deref(), Some("15"));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n").as_deref(), Some("18"));
        assert_eq!(major_of("something else"), None);
    }
}
