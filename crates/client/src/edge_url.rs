//! The address of an edge.

use std::{fmt, net::IpAddr, str::FromStr};

/// `http://host[:port]` of an edge: what `welcome.edges` lists and users type.
///
/// It has no path: an edge serves everything below its root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EdgeUrl {
    host: String,
    port: u16,
}

/// Why text is not the address of an edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeUrlError {
    /// Not a URL.
    #[error("not a URL: {0}")]
    NotAUrl(String),
    /// Another scheme than `http`.
    #[error("only http:// edges are supported")]
    Scheme,
    /// A path, a query or a user's name.
    #[error("expected http://host:port and nothing behind it")]
    Extra,
}

impl EdgeUrl {
    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 80 where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for EdgeUrl {
    type Err = EdgeUrlError;

    fn from_str(text: &str) -> Result<Self, EdgeUrlError> {
        let url: http::Uri =
            text.trim().parse().map_err(|e: http::uri::InvalidUri| EdgeUrlError::NotAUrl(e.to_string()))?;
        match url.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(EdgeUrlError::Scheme),
            None => return Err(EdgeUrlError::NotAUrl("no scheme".into())),
        }
        let authority = url.authority().ok_or_else(|| EdgeUrlError::NotAUrl("no host".into()))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || authority.as_str().contains('@') {
            return Err(EdgeUrlError::Extra);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80) })
    }
}

impl fmt::Display for EdgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_welcome_lists() {
        for (text, shown) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://localhost:8081/", "http://localhost:8081"),
            (" http://10.0.0.7 ", "http://10.0.0.7:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(text.parse::<EdgeUrl>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_it_could_not_reach() {
        assert_eq!("https://rally.example".parse::<EdgeUrl>(), Err(EdgeUrlError::Scheme));
        assert_eq!("http://a/b".parse::<EdgeUrl>(), Err(EdgeUrlError::Extra));
        assert_eq!("http://me@a".parse::<EdgeUrl>(), Err(EdgeUrlError::Extra));
        assert!(matches!("localhost:8080".parse::<EdgeUrl>(), Err(EdgeUrlError::Scheme | EdgeUrlError::NotAUrl(_))));
        assert!(matches!("".parse::<EdgeUrl>(), Err(EdgeUrlError::NotAUrl(_))));
    }
}
