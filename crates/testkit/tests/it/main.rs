//! The servers and faults that other crates' tests rely on.

#![allow(clippy::unwrap_used)]

mod orphans;
mod postgres;
mod proxy;
mod redis;

use std::path::Path;

/// Whether a process exists and is not merely waiting to be reaped.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X'])))
}

/// The working folder of a process: that of the server's files.
fn folder_of(pid: u32) -> std::path::PathBuf {
    std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd")).unwrap()
}
