//! What an edge asks of other sites over HTTP: few questions at a time, each within bounds of time and size.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

/// Questions under way at once; who comes beyond that is refused.
const UNDER_WAY_MAX: usize = 32;
/// An answer is whole by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    /// Too many questions are under way.
    #[error("too many questions are under way")]
    Full,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// Nobody answers there, or not as HTTP.
    #[error("nobody answers: {0}")]
    Unreachable(String),
    /// The answer breaks off or is too large.
    #[error("the answer cannot be read")]
    Unreadable,
    /// It is a refusal.
    #[error("answered {0}")]
    Status(StatusCode),
    /// It is no JSON.
    #[error("the answer is not JSON")]
    NotJson,
}

/// Asks.
pub(crate) struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Semaphore,
}

impl Outbound {
    /// One that trusts whom this machine trusts.
    ///
    /// # Errors
    /// TLS cannot be had: a fault of the build.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("this machine has no certificates of authorities: no site can be asked over https");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(2).build(connector);
        Ok(Self { client, places: Semaphore::new(UNDER_WAY_MAX) })
    }

    /// The JSON that is answered. Redirections are not followed.
    pub(crate) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Value, OutboundError> {
        let _place = self.places.try_acquire().map_err(|_| OutboundError::Full)?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, header::HeaderValue::from_static("rally"));
        let asked = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| OutboundError::Unreachable(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| OutboundError::Unreadable)?.to_bytes();
            if !status.is_success() {
                return Err(OutboundError::Status(status));
            }
            serde_json::from_slice(&body).map_err(|_| OutboundError::NotJson)
        };
        timeout(ANSWER_WITHIN, asked).await.map_err(|_| OutboundError::Late)?
    }
}
