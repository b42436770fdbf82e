//! The cookie in which a browser keeps its refresh token, out of reach of every script.
//!
//! It goes to the routes of signing in only. Cookies ignore ports, so several clusters on one machine need names of
//! their own: that is what the suffix is for.

use http::{HeaderMap, HeaderValue, header};

/// Where it goes.
const PATH: &str = "/api/v1/auth";

/// How the cookie is written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshCookie {
    name: String,
    secure: bool,
}

impl RefreshCookie {
    /// One with this suffix to its name; over https only, if that is how browsers come.
    pub fn new(suffix: &str, public_url: Option<&str>) -> Self {
        let secure = public_url.is_some_and(|url| url.starts_with("https://"));
        // The prefix keeps pages without https, and other hosts below ours, from setting it.
        let prefix = if secure { "__Secure-" } else { "" };
        Self { name: format!("{prefix}rally_refresh{suffix}"), secure }
    }

    /// Keeps a token for so long.
    pub(crate) fn keep(&self, token: &str, max_age_s: u64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie =
            format!("{}={token}; Path={PATH}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}", self.name);
        let mut cookie = HeaderValue::try_from(cookie).ok()?;
        cookie.set_sensitive(true);
        Some(cookie)
    }

    /// Has the browser forget it.
    pub(crate) fn forget(&self) -> Option<HeaderValue> {
        self.keep("", 0)
    }

    /// Keeps what tells that a browser that comes back from another site is the one that was sent there. It comes along
    /// when that site leads here, which `Strict` would not allow, and to that one place only.
    pub(crate) fn keep_away(&self, value: &str, max_age_s: u64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.away_name();
        let cookie = format!("{name}={value}; Path={PATH}/oauth; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
        let mut cookie = HeaderValue::try_from(cookie).ok()?;
        cookie.set_sensitive(true);
        Some(cookie)
    }

    fn away_name(&self) -> String {
        self.name.replacen("rally_refresh", "rally_away", 1)
    }

    /// What came along from a browser that was sent to another site.
    pub(crate) fn read_away<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie_of(headers, &self.away_name())
    }

    /// The token that came along.
    pub(crate) fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie_of(headers, &self.name)
    }
}

fn cookie_of<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, token)| token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Option<HeaderValue>) -> String {
        value.expect("a cookie").to_str().expect("text").to_owned()
    }

    #[test]
    fn scripts_and_other_sites_do_not_get_it() {
        let plain = RefreshCookie::new("_8080", Some("http://localhost:8080"));
        let kept = text(plain.keep("a.b.c", 60));
        assert_eq!(kept, "rally_refresh_8080=a.b.c; Path=/api/v1/auth; Max-Age=60; HttpOnly; SameSite=Strict");
        let secure = RefreshCookie::new("", Some("https://rally.example"));
        let kept = text(secure.keep("a.b.c", 60));
        assert!(kept.starts_with("__Secure-rally_refresh=a.b.c;") && kept.ends_with("; Secure"), "{kept}");
        assert!(text(secure.forget()).contains("rally_refresh=; Path=/api/v1/auth; Max-Age=0"));
        assert!(plain.keep("a\nb", 60).is_none());
    }

    #[test]
    fn it_is_found_among_others() {
        let cookie = RefreshCookie::new("_2", None);
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| _ = headers.append(header::COOKIE, HeaderValue::from_static(line)));
            cookie.read(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["a=b; rally_refresh_2=t.o.k; c=d"]).as_deref(), Some("t.o.k"));
        assert_eq!(read(&["a=b", "rally_refresh_2=t"]).as_deref(), Some("t"));
        for none in [&[][..], &["rally_refresh=t"], &["rally_refresh_2="], &["xrally_refresh_2=t"], &[";;="]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
