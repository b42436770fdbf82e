//! Headers of every answer, and who may ask: browsers' origins.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

/// Policy of what is no page: nothing may be done with it, should a browser ever show it.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A year, of this name only: who uses the name below ours is not ours to say.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What each answer has.
#[derive(Clone)]
pub(crate) struct SecurityHeaders(Arc<Vec<(HeaderName, HeaderValue)>>);

impl SecurityHeaders {
    /// For an edge that browsers reach by this URL.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        let fixed = rally_web::SECURITY_HEADERS;
        let mut headers: Vec<_> = fixed
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        if public_url.is_some_and(|url| url.starts_with("https://")) {
            headers.push((header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY));
        }
        Self(Arc::new(headers))
    }
}

/// Adds them.
pub(crate) async fn secure(State(secure): State<SecurityHeaders>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in secure.0.iter() {
        headers.insert(name, value.clone());
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    response
}

/// Whose pages may open a WebSocket here.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    own: Option<String>,
    allowed: Vec<String>,
}

impl Origins {
    pub(crate) fn new<'a>(public_url: Option<&str>, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        Self { own: public_url.and_then(origin_of), allowed: allowed.into_iter().filter_map(origin_of).collect() }
    }

    /// For the CORS layer: those beside our own.
    pub(crate) fn others(&self) -> impl Iterator<Item = HeaderValue> {
        self.allowed.iter().filter_map(|origin| HeaderValue::try_from(origin).ok())
    }

    /// Whether a request may come from where it says it comes from. Programs that are no browsers say nothing; they
    /// could say anything. An edge that does not know its own URL takes what was asked for as that.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let mut said = headers.get_all(header::ORIGIN).iter();
        let origin = match (said.next(), said.next()) {
            (None, _) => return true,
            (Some(origin), None) => origin.to_str().ok().and_then(origin_of),
            (Some(_), Some(_)) => None,
        };
        let Some(origin) = origin else { return false };
        let own = match &self.own {
            Some(own) => *own == origin,
            None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| {
                origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
            }),
        };
        own || self.allowed.contains(&origin)
    }
}

/// Scheme, host and port as browsers write them: in lower case, without the scheme's own port.
fn origin_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    Some(match (scheme, uri.port_u16()) {
        ("http" | "https", None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
        ("http" | "https", Some(port)) => format!("{scheme}://{host}:{port}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(origins: &Origins, host: &'static str, said: &[&'static str]) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        for origin in said {
            headers.append(header::ORIGIN, HeaderValue::from_static(origin));
        }
        origins.admit(&headers)
    }

    #[test]
    fn an_edge_that_knows_its_url_admits_that_and_those_named() {
        let origins = Origins::new(Some("https://Play.example:443/"), ["http://localhost:8081"]);
        let admits = |said: &[&'static str]| admits(&origins, "evil.example", said);
        assert!(admits(&["https://play.example"]));
        assert!(admits(&["http://localhost:8081"]));
        assert!(admits(&[]), "no browser");
        for foreign in
            ["https://evil.example", "http://play.example", "http://localhost:8082", "null", "", "play.example"]
        {
            assert!(!admits(&[foreign]), "{foreign:?}");
        }
        assert!(!admits(&["https://play.example", "https://evil.example"]), "two");
    }

    #[test]
    fn an_edge_without_url_admits_what_it_was_asked_by() {
        let origins = Origins::new(None, []);
        assert!(admits(&origins, "localhost:8080", &["http://localhost:8080"]));
        assert!(admits(&origins, "play.example", &["https://play.example"]));
        assert!(!admits(&origins, "localhost:8080", &["http://localhost:8081"]));
        assert!(!admits(&origins, "play.example", &["https://evil.example"]));
    }
}
