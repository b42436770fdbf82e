//! The page as a browser gets it. With and without a built client: what differs is asked for first.

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn get(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response =
        rally_web::router_beside(|| vec!["http://localhost:8081".into()]).oneshot(request).await.expect("it answers");
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.expect("a body").to_bytes().to_vec())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

/// Paths of the files that the page loads.
async fn assets() -> Vec<String> {
    let (_, _, page) = get("/", &[]).await;
    let page = String::from_utf8(page).expect("UTF-8");
    page.split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned).collect()
}

fn built() -> bool {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("client/dist/index.html").is_file()
}

#[tokio::test]
async fn the_page_is_at_the_root_and_at_every_link_to_a_match() {
    let (_, _, root) = get("/", &[]).await;
    for path in ["/", "/index.html", "/play/0191e8a4-7b1c-7def-8123-456789abcdef", "/watch/x", "/match/x", "/replay/x"]
    {
        let (status, headers, body) = get(path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(text(&headers, "content-type").starts_with("text/html"), "{path}");
        assert_eq!(text(&headers, "cache-control"), "no-cache", "{path}");
        assert_eq!(body, root, "{path}");
    }
    for path in ["/play", "/play/a/b", "/assets/none.js", "/..%2fCargo.toml"] {
        assert_eq!(get(path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_page_comes_with_its_policy() {
    let (_, headers, _) = get("/play/x", &[]).await;
    let policy = text(&headers, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    assert!(policy.contains("connect-src 'self' http://localhost:8081 ws://localhost:8081;"));
    for (name, value) in rally_web::SECURITY_HEADERS {
        assert_eq!(text(&headers, name), *value);
    }
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let (_, headers, _) = get("/", &[]).await;
    let etag = text(&headers, "etag").to_owned();
    assert!(etag.len() > 10, "{etag}");
    let (status, headers, body) = get("/", &[("if-none-match", &etag)]).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert!(body.is_empty());
    assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(get("/", &[("if-none-match", "\"other\"")]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn files_are_kept_for_good_and_come_compressed() {
    let assets = assets().await;
    assert_eq!(assets.is_empty(), !built(), "a built page loads files, the placeholder none");
    for path in assets.iter().filter(|path| !path.ends_with(".svg")) {
        let (status, headers, plain) = get(path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(text(&headers, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(text(&headers, "x-content-type-options"), "nosniff");
        for encoding in ["br", "gzip"] {
            let (_, headers, small) = get(path, &[("accept-encoding", encoding)]).await;
            assert_eq!(text(&headers, "content-encoding"), encoding, "{path}");
            assert_eq!(text(&headers, "vary"), "accept-encoding");
            assert!(small.len() * 2 < plain.len(), "{path}: {} of {}", small.len(), plain.len());
        }
    }
}
