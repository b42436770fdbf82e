//! Logs, metrics, panics and traces, set up once per process.

mod log_queue;
mod logs;
mod metrics;
mod otlp;
mod outgoing;
mod panics;
mod sentry;

use ::metrics::SetRecorderError;
use metrics_exporter_prometheus::PrometheusRecorder;
use secrecy::ExposeSecret as _;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::EnvFilter;

use self::{log_queue::LogQueue, otlp::Otlp, outgoing::Outgoing, sentry::Sentry};
pub use self::{
    logs::LogFormat,
    metrics::{BYTES_BUCKETS, COUNT_BUCKETS, Metrics, SECONDS_BUCKETS, US_BUCKETS},
    sentry::Dsn,
};
use crate::env::{Env, HttpUrl, Unit, Var};

const LOG: Var = Var::new(
    "RALLY_LOG",
    Unit::Text,
    "What is logged: a level (error, warn, info, debug, trace), or levels by target such as info,rally_edge=debug.",
)
.or("info");

const LOG_FORMAT: Var = Var::new("RALLY_LOG_FORMAT", Unit::OneOf(&["json", "text"]), "How log lines look.").or("json");

const SENTRY_DSN: Var = Var::secret(
    "RALLY_SENTRY_DSN",
    Unit::Url,
    "Where errors and panics are sent besides the log: the DSN of a project in Sentry, https://KEY@HOST/PROJECT. Default: nowhere.",
);

const OTLP_URL: Var = Var::new(
    "RALLY_OTLP_URL",
    Unit::Url,
    "Where traces are sent: a collector that takes OTLP over HTTP, such as http://collector:4318; /v1/traces is added. Default: nowhere.",
);

const TRACES_PERCENT: Var = Var::new(
    "RALLY_TRACES_PERCENT",
    Unit::Percent,
    "How many matches, requests and messages are traced where there is a collector. Give all nodes the same: each decides by itself.",
)
.or("1");

/// The variables of this concern.
pub const VARS: &[Var] = &[LOG, LOG_FORMAT, SENTRY_DSN, OTLP_URL, TRACES_PERCENT];

/// What is logged, and how it looks.
#[derive(Debug)]
pub struct TelemetryConfig {
    /// Levels by target.
    pub filter: EnvFilter,
    /// The look of a line.
    pub format: LogFormat,
    /// Where errors go besides.
    pub sentry: Option<Dsn>,
    /// Where traces go.
    pub otlp: Option<HttpUrl>,
    /// How many of them, from 0 to 100.
    pub traces_percent: f64,
}

impl TelemetryConfig {
    /// Reads [`VARS`].
    pub fn read(env: &mut Env<'_>) -> Option<Self> {
        let filter = env.get(&LOG);
        let format = env.get(&LOG_FORMAT);
        let sentry = env.optional_secret_url(&SENTRY_DSN, &["http", "https"]);
        let sentry = match sentry {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => {
                let dsn = Dsn::parse(text.expose_secret());
                env.check(dsn.is_some(), &SENTRY_DSN, "is no DSN: https://KEY@HOST/PROJECT");
                dsn.map(Some)
            }
        };
        let (otlp, traces_percent) = (env.optional::<HttpUrl>(&OTLP_URL), env.get_in(&TRACES_PERCENT, 0.0..=100.0));
        if let Some(Some(url)) = &otlp {
            let is_bare = !url.as_str().contains(['@', '?', '#']);
            env.check(is_bare, &OTLP_URL, "has more than scheme, host, port and path: no password, no query");
        }
        Some(Self { filter: filter?, format: format?, sentry: sentry?, otlp: otlp?, traces_percent: traces_percent? })
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The process has a subscriber for its events already.
    #[error("logging is set up already")]
    Logs(#[from] SetGlobalDefaultError),
    /// The process has a recorder for its metrics already.
    #[error("metrics are set up already")]
    Metrics(#[from] SetRecorderError<PrometheusRecorder>),
    /// The exporter of traces does not like its address.
    #[error("cannot send traces: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A bucket list is empty: a mistake of ours.
    #[error("cannot build the metrics recorder: {0}")]
    Buckets(#[from] metrics_exporter_prometheus::BuildError),
    /// The thread that writes log lines, or that which sends errors and traces away, could not be started.
    #[error("cannot start a thread of telemetry: {0}")]
    Thread(#[from] std::io::Error),
}

/// The telemetry of this process. Keep it until the end: dropped, it writes what is still queued.
#[derive(Debug)]
pub struct Telemetry {
    /// What `/metrics` renders.
    pub metrics: Metrics,
    logs: LogQueue,
    sentry: Option<Sentry>,
    otlp: Option<Otlp>,
}

impl Telemetry {
    /// Installs metrics, logs to stderr, the panic hook, and what is sent elsewhere. Every log line carries `role` and
    /// `node`. Call it within the runtime, which runs the upkeep.
    ///
    /// # Errors
    /// When the process has telemetry already.
    pub fn start(config: TelemetryConfig, role: &str, node: &str) -> Result<Self, TelemetryError> {
        let metrics = Metrics::install()?;
        let prefix = config.format.prefix(&[("role", role), ("node", node)]);
        let logs = LogQueue::start(std::io::stderr(), prefix)?;
        let version = env!("CARGO_PKG_VERSION");
        let sends = config.sentry.is_some() || config.otlp.is_some();
        let outgoing = sends.then(Outgoing::start).transpose()?;
        let sentry = config.sentry.zip(outgoing.clone());
        let sentry = sentry.map(|(dsn, outgoing)| Sentry::start(dsn, outgoing, role, node, version));
        let otlp = config.otlp.zip(outgoing);
        let start = |(url, outgoing)| Otlp::start(&url, config.traces_percent, outgoing, role, node, version);
        let otlp = otlp.map(start).transpose()?;
        let traces = otlp.as_ref().map(Otlp::layer);
        let subscriber = logs::subscriber(config.filter, config.format, logs.clone(), sentry.clone(), traces);
        tracing::subscriber::set_global_default(subscriber)?;
        panics::install(logs.clone());
        tokio::spawn(metrics.clone().upkeep());
        Ok(Self { metrics, logs, sentry, otlp })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // A second each at most; the last has been logged by then.
        if let Some(sentry) = &self.sentry {
            sentry.flush();
        }
        if let Some(otlp) = &self.otlp {
            otlp.flush();
        }
        self.logs.flush();
    }
}
