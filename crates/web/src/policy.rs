//! What a browser may do with the page: load its own scripts and styles, talk to the edges, and nothing else.

use axum::http::{HeaderValue, Uri, uri::Scheme};

/// The policy of a page that talks to its own edge only. No script or style stands inline, nothing comes from elsewhere,
/// and no text ever becomes markup (trusted types).
pub const CONTENT_SECURITY_POLICY: &str = include_str!("content_security_policy.txt").trim_ascii_end();

/// The source that [`content_security_policy`] adds to.
const CONNECT_SOURCE: &str = "connect-src 'self'";

/// Headers of every answer, beside the policy of the page.
pub const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// The policy of a page that may also talk to the edges at these URLs. Whatever is no `http` or `https` URL is left out.
pub fn content_security_policy(edges: impl IntoIterator<Item: AsRef<str>>) -> HeaderValue {
    let mut sources = String::from(CONNECT_SOURCE);
    for edge in edges {
        let Ok(uri) = edge.as_ref().parse::<Uri>() else { continue };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { continue };
        let socket = match scheme {
            scheme if *scheme == Scheme::HTTP => "ws",
            scheme if *scheme == Scheme::HTTPS => "wss",
            _ => continue,
        };
        // A port at most: neither user names nor what could end the source belongs here.
        if !authority.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
            continue;
        }
        sources.push_str(&format!(" {scheme}://{authority} {socket}://{authority}"));
    }
    HeaderValue::try_from(CONTENT_SECURITY_POLICY.replace(CONNECT_SOURCE, &sources))
        .unwrap_or(HeaderValue::from_static(CONTENT_SECURITY_POLICY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_but_what_is_named() {
        assert!(CONTENT_SECURITY_POLICY.starts_with("default-src 'none';"));
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
        assert!(!CONTENT_SECURITY_POLICY.contains('\n'));
        assert_eq!(content_security_policy([""; 0]), CONTENT_SECURITY_POLICY);
    }

    #[test]
    fn other_edges_are_added_as_origins_of_requests_and_sockets() {
        let policy = content_security_policy(["http://localhost:8081", "https://eu.rally.example/ignored"]);
        let policy = policy.to_str().expect("text");
        assert!(policy.contains(
            "connect-src 'self' http://localhost:8081 ws://localhost:8081 \
             https://eu.rally.example wss://eu.rally.example;"
        ));
        assert_eq!(policy.matches("connect-src").count(), 1);
    }

    #[test]
    fn what_is_no_edge_is_left_out() {
        let odd = ["", "localhost", "javascript:alert(1)", "http://a;script-src *", "ftp://x", "http://u@host", "*"];
        assert_eq!(content_security_policy(odd), CONTENT_SECURITY_POLICY);
    }
}
