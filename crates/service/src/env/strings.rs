//! Where configuration comes from: the process's environment, or a map in a test.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
};

/// A file is not larger: those of all authorities of the world together have a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the environment has.
pub trait Strings {
    /// The value of a variable.
    ///
    /// # Errors
    /// A description, when it is set to something that is not UTF-8.
    fn get(&self, name: &str) -> Result<Option<String>, String>;

    /// The names of all variables.
    fn names(&self) -> Vec<String>;

    /// The content of a file that a variable names.
    ///
    /// # Errors
    /// When it cannot be read, is not UTF-8 or too large.
    fn file(&self, path: &str) -> io::Result<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnv;

impl Strings for ProcessEnv {
    fn get(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("is not UTF-8".to_owned()),
        }
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(text)
    }
}

/// Variables and files of a test.
#[derive(Clone, Debug, Default)]
pub struct MapEnv {
    vars: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl MapEnv {
    /// These variables, no files.
    pub fn new<N: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { vars: vars.into_iter().map(|(n, v)| (n.into(), v.into())).collect(), files: BTreeMap::new() }
    }

    /// With a file.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.to_owned(), content.to_owned());
        self
    }
}

impl Strings for MapEnv {
    fn get(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.vars.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.vars.keys().cloned().collect()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
