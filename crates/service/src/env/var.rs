//! Declaring variables: name, unit, default and meaning in one place, read by code and by `--help` alike.

use std::fmt::Write as _;

/// What a variable's number or text is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole milliseconds.
    Milliseconds,
    /// Whole seconds.
    Seconds,
    /// Whole microseconds.
    Microseconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// A number of things per second.
    PerSecond,
    /// A share, from 0 to 100.
    Percent,
    /// Plain text.
    Text,
    /// `true` or `false`.
    Flag,
    /// An address and port, such as `0.0.0.0:8080`.
    Address,
    /// A URL.
    Url,
    /// Several, separated by commas.
    List(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Random bytes in base64.
    Key,
}

impl Unit {
    fn describe(self) -> String {
        match self {
            Self::Milliseconds => "ms".to_owned(),
            Self::Seconds => "s".to_owned(),
            Self::Microseconds => "us".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Count => "count".to_owned(),
            Self::PerSecond => "per second".to_owned(),
            Self::Percent => "percent".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Address => "address:port".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::List(of) => format!("{of}, separated by commas"),
            Self::OneOf(words) => words.join(" or "),
            Self::Key => "base64 of at least 32 random bytes".to_owned(),
        }
    }
}

/// One environment variable. Its default is text, parsed as a value from outside would be, so that the help cannot
/// tell a different one than the code uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// `RALLY_…`, with its unit at the end where it has one.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it means, in a sentence or two.
    pub doc: &'static str,
    /// What it is when unset; `None`: it must be set, or is optional, as its reader decides.
    pub default: Option<&'static str>,
    /// Whether it is a secret, which has a `_FILE` twin and is never shown.
    pub is_secret: bool,
}

impl Var {
    /// A variable without default.
    pub const fn new(name: &'static str, unit: Unit, doc: &'static str) -> Self {
        Self { name, unit, doc, default: None, is_secret: false }
    }

    /// A secret: set it, or `NAME_FILE` to the path of a file that holds it.
    pub const fn secret(name: &'static str, unit: Unit, doc: &'static str) -> Self {
        Self { name, unit, doc, default: None, is_secret: true }
    }

    /// With a default.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The name of the variable that holds a path instead of the secret itself.
    pub(super) fn file_name(&self) -> String {
        format!("{}_FILE", self.name)
    }
}

/// The variables of some tables, for `--help`.
pub fn help(tables: &[&[Var]]) -> String {
    let mut text = String::from("Environment:\n");
    for var in tables.iter().copied().flatten() {
        let twin = if var.is_secret { " (or _FILE)" } else { "" };
        let default = match var.default {
            Some("") => ", default: empty".to_owned(),
            Some(default) => format!(", default: {default}"),
            None => String::new(),
        };
        let _ = writeln!(text, "  {}{twin}  [{}{default}]", var.name, var.unit.describe());
        for line in wrapped(var.doc, 92) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > columns_max {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARS: &[Var] = &[
        Var::new("RALLY_LEASE_MS", Unit::Milliseconds, "How long a lease lives.").or("1000"),
        Var::new("RALLY_REGION", Unit::Text, "Where this node is."),
        Var::secret("RALLY_CLUSTER_KEY", Unit::Key, "What nodes prove themselves by."),
    ];

    #[test]
    fn help_tells_name_unit_default_and_meaning() {
        assert_eq!(
            help(&[VARS]),
            "Environment:
  RALLY_LEASE_MS  [ms, default: 1000]
      How long a lease lives.
  RALLY_REGION  [text]
      Where this node is.
  RALLY_CLUSTER_KEY (or _FILE)  [base64 of at least 32 random bytes]
      What nodes prove themselves by.
"
        );
    }

    #[test]
    fn long_meanings_are_wrapped() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
    }
}
