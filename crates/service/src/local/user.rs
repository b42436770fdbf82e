//! Whom a server runs as: the caller, or, when the caller is root and the server refuses root, an unprivileged user.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::LocalError;

/// A user and its group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// Whom to change to for a server that refuses root; `None` when this process is not root.
    pub(super) fn instead_of_root() -> Result<Option<Self>, LocalError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"].into_iter().find_map(Self::named).map(Some).ok_or(LocalError::NoUser)
    }

    /// Asks `id`, which knows every name service that this machine is configured for.
    fn named(name: &str) -> Option<Self> {
        let number = |flag: &str| -> Option<u32> {
            let out = Command::new("id").args([flag, "--", name]).stderr(Stdio::null()).output().ok()?;
            out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().parse().ok()).flatten()
        };
        Some(Self { uid: number("-u")?, gid: number("-g")? })
    }

    /// Whether this user can enter `dir`, whatever rules apply on the way there: found by trying.
    pub(super) fn can_enter(self, dir: &Path) -> bool {
        Command::new("/bin/sh")
            .args(["-c", r#"cd -- "$1""#, "sh"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .uid(self.uid)
            .gid(self.gid)
            .status()
            .is_ok_and(|s| s.success())
    }
}
