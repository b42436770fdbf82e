//! Commands to Redis: timed, counted, and their errors in our own words.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::Bytes;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::LuaInterface as _,
    types::Value,
};
use futures_util::future::join_all;

use crate::{RedisCause, RedisError, link::Replaceable};

/// Commands of one call that are on their way at once.
const PIPELINE_MAX: usize = 256;

/// A Lua script, sent by its hash once Redis knows it.
pub(crate) struct Script {
    code: Cow<'static, str>,
    hash: OnceLock<String>,
}

impl Script {
    pub(crate) const fn fixed(code: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), hash: OnceLock::new() }
    }

    /// A script that is put together from parts.
    pub(crate) const fn joined(code: String) -> Self {
        Self { code: Cow::Owned(code), hash: OnceLock::new() }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| fred::util::sha1_hash(&self.code))
    }
}

/// KEYS: one. ARGV: ms, a value.
pub(crate) static PUT: Script = Script::fixed("return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])");
/// KEYS: one.
pub(crate) static GET: Script = Script::fixed("return redis.call('GET', KEYS[1])");

/// What a script is called with.
#[derive(Debug, Default)]
pub(crate) struct Call {
    keys: Vec<String>,
    args: Vec<Value>,
}

impl Call {
    /// All keys must be in one slot.
    pub(crate) fn keys(keys: impl IntoIterator<Item = String>) -> Self {
        Self { keys: keys.into_iter().collect(), args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl fmt::Display) -> Self {
        self.args.push(Value::from(arg.to_string()));
        self
    }

    pub(crate) fn bytes(mut self, arg: impl Into<Bytes>) -> Self {
        self.args.push(Value::Bytes(arg.into()));
        self
    }
}

/// The client for commands.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    link: Arc<Replaceable>,
}

impl Commands {
    pub(crate) fn new(link: Arc<Replaceable>) -> Self {
        Self { link }
    }

    pub(crate) fn replace_link(&self) {
        self.link.replace();
    }

    /// Whether the connection stands as far as the library knows.
    pub(crate) fn is_connected(&self) -> bool {
        self.link.connected().is_some()
    }

    /// Runs one command.
    pub(crate) async fn run<T, F: Future<Output = Result<T, Error>>>(
        &self,
        operation: &'static str,
        command: impl FnOnce(Client) -> F,
    ) -> Result<T, RedisError> {
        let started = Instant::now();
        let result = command(self.link.client()).await;
        metrics::histogram!("rally_fabric_redis_command_seconds", "operation" => operation)
            .record(started.elapsed().as_secs_f64());
        result.map_err(|error| {
            let error = RedisError::new(operation, cause_of(&error));
            metrics::counter!("rally_fabric_redis_errors_total", "operation" => operation, "cause" => error.cause.label())
                .increment(1);
            error
        })
    }

    /// Runs a script.
    pub(crate) async fn eval(&self, operation: &'static str, script: &Script, call: Call) -> Result<Value, RedisError> {
        self.run(operation, |client| evaluate(client, script, call)).await
    }

    /// Runs a script many times, in pipelines. The first error ends it.
    pub(crate) async fn eval_many(
        &self,
        operation: &'static str,
        script: &Script,
        // Not an iterator: with a caller's closure inside, its future would not be known to be `Send`.
        calls: Vec<Call>,
    ) -> Result<Vec<Value>, RedisError> {
        let mut calls = calls.into_iter();
        let mut answers = Vec::new();
        loop {
            let some: Vec<Call> = calls.by_ref().take(PIPELINE_MAX).collect();
            if some.is_empty() {
                return Ok(answers);
            }
            let client = self.link.client();
            let runs = some.into_iter().map(|call| evaluate(client.clone(), script, call));
            for answer in self.run(operation, |_| async { Ok(join_all(runs).await) }).await? {
                answers.push(answer.map_err(|error| RedisError::new(operation, cause_of(&error)))?);
            }
        }
    }
}

async fn evaluate(client: Client, script: &Script, call: Call) -> Result<Value, Error> {
    match client.evalsha(script.hash(), call.keys.clone(), call.args.clone()).await {
        Err(error) if error.details().starts_with("NOSCRIPT") => client.eval(&*script.code, call.keys, call.args).await,
        result => result,
    }
}

fn cause_of(error: &Error) -> RedisCause {
    match error.kind() {
        ErrorKind::Timeout => RedisCause::Timeout,
        ErrorKind::Backpressure => RedisCause::Backpressure,
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Cluster | ErrorKind::Routing | ErrorKind::Sentinel => {
            RedisCause::Disconnected
        }
        // The library's own words for a client that is not connected.
        ErrorKind::Unknown
            if error.details().contains("not initialized") || error.details().starts_with("Failed to") =>
        {
            RedisCause::Disconnected
        }
        _ => RedisCause::Reply(error.details().to_owned()),
    }
}

/// Reads an answer of an unexpected shape as an error of its operation.
pub(crate) fn malformed(operation: &'static str, what: &'static str) -> RedisError {
    RedisError::new(operation, RedisCause::Malformed(what))
}
