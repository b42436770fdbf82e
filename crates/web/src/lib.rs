//! The web client, built and embedded.
//!
//! [`router`] serves the page at `/` and for the links to matches, and the files that it loads. Files carry a hash in
//! their names and may be kept for good; the page itself is asked for again each time and answered with 304 while it
//! is the same. What a browser may do with the page is said by [`SECURITY_HEADERS`] and [`CONTENT_SECURITY_POLICY`].
//!
//! The files come from `client/dist` at compile time; without it a placeholder is served (see `build.rs`).

mod policy;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};
use memory_serve::CacheControl;

pub use policy::{CONTENT_SECURITY_POLICY, SECURITY_HEADERS, content_security_policy};

/// The page and its files, for an edge that is alone.
pub fn router() -> Router {
    router_beside(Vec::new)
}

/// The page and its files. `edges` gives the public URLs of all edges, to which the page may turn when its own is gone;
/// it is asked for each page that is served.
///
/// The assets of the binary are leaked: to be called once per process.
pub fn router_beside(edges: impl Fn() -> Vec<String> + Clone + Send + Sync + 'static) -> Router {
    memory_serve::load!()
        .index_file(Some("/index.html"))
        // The page finds out by itself what the path means.
        .add_alias("/play/{match}", "/index.html")
        .add_alias("/watch/{match}", "/index.html")
        .add_alias("/match/{match}", "/index.html")
        .add_alias("/replay/{match}", "/index.html")
        .add_alias("/player/{player}", "/index.html")
        .add_alias("/account", "/index.html")
        .add_alias("/leaderboard", "/index.html")
        .add_alias("/docs", "/index.html")
        .add_alias("/talk", "/index.html")
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Custom("public, max-age=31536000, immutable"))
        .enable_brotli(true)
        .enable_gzip(true)
        .into_router()
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let edges = edges.clone();
            async move {
                let mut response = next.run(request).await;
                secure(&mut response, || content_security_policy(edges()));
                response
            }
        }))
}

fn secure(response: &mut Response, policy: impl FnOnce() -> HeaderValue) {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy());
    }
}
