//! What telemetry sends to others over HTTP: by a thread of its own, so that neither a node's work nor its end waits for
//! whoever takes it.

use std::{
    io,
    sync::{Arc, mpsc},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::{runtime::Handle, sync::oneshot};

/// An answer is whole by then.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    _thread: Arc<oneshot::Sender<()>>,
}

impl Outgoing {
    /// Starts the thread. Who is asked over https must have a certificate of an authority that this machine trusts.
    ///
    /// # Errors
    /// No thread or no runtime can be had.
    pub(super) fn start() -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel(1);
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(runtime.handle().clone())));
            let _ = runtime.block_on(ended);
        })?;
        let runtime = told.recv().map_err(io::Error::other)??;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { client, runtime, _thread: Arc::new(alive) })
    }

    /// Asks, and returns the whole answer. May be awaited on any executor.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let client = self.client.clone();
        let asked = async move {
            let answer = client.request(request.map(Full::new)).await.map_err(|error| error.to_string())?;
            let (head, body) = answer.into_parts();
            // To the end, so that the connection can be used again.
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let within = self.runtime.spawn(async { tokio::time::timeout(ANSWER_WITHIN, asked).await });
        match within.await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err("no answer in time".to_owned()),
            Err(_) => Err("shutting down".to_owned()),
        }
    }

    /// Where futures are run.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
