//! Reading a request's body: a JSON object within bounds, with every field that is wrong named at once.

use std::time::Duration;

use axum::{
    body::Body as RawBody,
    extract::{FromRequest, OptionalFromRequest, Request},
};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rally_protocol::client::v1::ErrorCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{FieldError, Problem};

/// Bytes of a body. The largest is a refresh token.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024;

/// A body has come by then, however slowly.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Characters of a fault's description, which may quote what came.
const DETAIL_CHARS_MAX: usize = 200;

/// What is read from a body's fields.
pub(crate) trait ReadFields: Sized {
    /// Reads them all; a fault in one does not keep others from being found. `None`: there were faults.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// The fields of a body, and what is wrong with them. Those that nobody asks for are ignored.
pub(crate) struct Fields {
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads an object.
    pub(crate) fn read_all<T: ReadFields>(object: Map<String, Value>) -> Result<T, Problem> {
        let mut fields = Self { object, errors: Vec::new() };
        match T::read(&mut fields) {
            Some(read) if fields.errors.is_empty() => Ok(read),
            _ => Err(Problem::fields(fields.errors)),
        }
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, field: &'static str) -> bool {
        self.object.get(field).is_some_and(|value| !value.is_null())
    }

    /// One that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, field: &'static str) -> Option<T> {
        let value = self.optional(field)?;
        self.check(value.is_some(), field, "missing");
        value
    }

    /// One that may be absent or null: `Some(None)` then.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, field: &'static str) -> Option<Option<T>> {
        match self.object.remove(field) {
            None | Some(Value::Null) => Some(None),
            Some(value) => match serde_json::from_value(value) {
                Ok(value) => Some(Some(value)),
                Err(error) => {
                    self.check(false, field, &error.to_string());
                    None
                }
            },
        }
    }

    /// Records a fault, unless `holds`.
    pub(crate) fn check(&mut self, holds: bool, field: &'static str, otherwise: &str) {
        if !holds {
            let detail = otherwise.chars().take(DETAIL_CHARS_MAX).collect();
            self.errors.push(FieldError { field, detail });
        }
    }
}

/// A request's body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: ReadFields, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::InvalidInput.as_str(),
                "expected a body of Content-Type application/json",
            ));
        }
        parse(&collect(request.into_body(), BODY_BYTES_MAX).await?).map(Self)
    }
}

/// A body that may be left out altogether.
impl<T: ReadFields, S: Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// All of a body, within its bounds.
pub(crate) async fn collect(body: RawBody, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let collected = tokio::time::timeout(BODY_WITHIN, Limited::new(body, bytes_max).collect())
        .await
        .map_err(|_| Problem::http(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time"))?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(ErrorCode::PayloadTooLarge, format!("a body has at most {bytes_max} bytes")))
        }
        Err(_) => Err(Problem::invalid("the body did not come to its end")),
    }
}

fn parse<T: ReadFields>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::invalid("the body is not UTF-8"))?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| Problem::invalid(format!("the body is not JSON: {error}")))?;
    let Value::Object(object) = value else {
        return Err(Problem::invalid("the body is not a JSON object"));
    };
    Fields::read_all(object)
}

#[cfg(test)]
mod tests {
    use rally_protocol::client::v1::{Level, Skill};

    use super::*;
    use crate::api::types::{NewMatchMode, NewMatchRequest};

    fn read(body: &[u8]) -> Result<NewMatchRequest, Value> {
        parse(body).map_err(|problem| serde_json::to_value(problem.body()).expect("JSON"))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let expected =
            NewMatchRequest { mode: NewMatchMode::Duel, level: Level::Normal, skill: Skill::Smash, classic: false };
        assert_eq!(read(br#"{"mode": "private", "level": null, "other": [1]}"#), Ok(expected));
        assert_eq!(read(br#"{"mode": "duel"}"#), Ok(expected));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let problem = read(br#"{"level": "godlike", "skill": 1, "classic": "yes"}"#).expect_err("faulty");
        let named: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
        assert_eq!(named, ["mode", "level", "skill", "classic"]);
        assert_eq!(problem["errors"][0]["detail"], "missing");
        assert_eq!(problem["code"], "invalid_input");
    }

    #[test]
    fn quotes_are_short() {
        let body = format!(r#"{{"mode": "{}"}}"#, "x".repeat(5_000));
        let problem = read(body.as_bytes()).expect_err("faulty");
        assert_eq!(problem["errors"][0]["detail"].as_str().map(str::len), Some(DETAIL_CHARS_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_not_waited_for() {
        let drops = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(BODY_WITHIN / 4).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        });
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(RawBody::from_stream(drops))
            .expect("a request");
        let started = tokio::time::Instant::now();
        let read = <Body<NewMatchRequest> as FromRequest<()>>::from_request(request, &());
        let Err(problem) = read.await else { panic!("a body") };
        assert_eq!(serde_json::to_value(problem.body()).expect("JSON")["status"], 408);
        assert_eq!(started.elapsed(), BODY_WITHIN);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = "[".repeat(10_000);
        for body in [&b""[..], b"{", b"[]", b"1", b"null", b"{\"mode\": \"\xff\"}", deep.as_bytes()] {
            assert_eq!(read(body).expect_err("faulty")["code"], "invalid_input");
        }
    }
}
