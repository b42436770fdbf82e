//! Who works on a folder: a lock that ends with its holder's process, however that ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::LocalError;

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by process {holder}", dir.display())]
    Held {
        /// The folder.
        dir: PathBuf,
        /// What the holder wrote into the lock file: its pid.
        holder: String,
    },
    /// The lock file could not be opened or written.
    #[error("cannot lock {}: {source}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Says that this process works on a folder. Released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Locks `dir` by the file `lock` in it, making the folder where it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] with the pid of the holder.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held { dir: dir.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Opens a server's log, empty, locked for as long as the server has it open: as its stdout it is inherited, and the
/// lock with it. So two servers never work on the same files, even when the first one's parent was killed a moment ago
/// and it is still shutting down: we wait for it up to `within`.
pub(super) async fn open_log(path: &Path, within: Duration) -> Result<File, LocalError> {
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(LocalError::io("open", path))?;
    let started = std::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < within => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(LocalError::InUse { dir: path.parent().unwrap_or(path).to_owned() });
            }
            Err(TryLockError::Error(e)) => return Err(LocalError::io("lock", path)(e)),
        }
    }
    // Only the last run's log is kept: that bounds it.
    file.set_len(0).map_err(LocalError::io("empty", path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_is_told_who_the_first_is() {
        let dir = super::super::ScratchDir::new("lock").expect("scratch");
        let held = DirLock::take(dir.path()).expect("first");
        let Err(LockError::Held { holder, .. }) = DirLock::take(dir.path()) else { panic!("two holders") };
        assert_eq!(holder, std::process::id().to_string());
        drop(held);
        DirLock::take(dir.path()).expect("free again");
    }
}
