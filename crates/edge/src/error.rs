//! What went wrong, as `application/problem+json` (RFC 9457) with a stable `code`.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rally_protocol::client::v1::ErrorCode;
use rally_store::{CreateUserError, StoreError};
use rally_units::MatchId;
use serde::Serialize;

use crate::hub::Refusal;

const CONTENT_TYPE: &str = "application/problem+json";

/// When to come back after something was away or full, in seconds.
const COME_BACK_AFTER_S: u64 = 2;

/// One field of a body that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Its name.
    pub field: &'static str,
    /// What is wrong with it.
    pub detail: String,
}

/// An error on its way to a client. Boxed, since it stands in the results of what mostly goes well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    match_id: Option<MatchId>,
    retry_after_s: Option<u64>,
    headers: HeaderMap,
}

/// Its body.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    match_id: Option<MatchId>,
}

impl Problem {
    /// One of the codes that HTTP and WebSocket share.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry = matches!(code, ErrorCode::RateLimited | ErrorCode::AtCapacity | ErrorCode::Unavailable);
        let mut problem = Self::http(status_of(code), code.as_str(), detail);
        problem.0.retry_after_s = retry.then_some(COME_BACK_AFTER_S);
        problem
    }

    /// One that only HTTP has.
    pub fn http(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            match_id: None,
            retry_after_s: None,
            headers: HeaderMap::new(),
        }))
    }

    /// A body that is not what it should be.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidInput, detail)
    }

    /// Fields of a body that are not what they should be.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::invalid("some fields are missing or not what they should be");
        problem.0.errors = errors;
        problem
    }

    /// One field that is not what it should be.
    pub fn field(field: &'static str, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field, detail: detail.into() }])
    }

    /// No good access token came along.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unauthenticated, detail)
    }

    /// Our fault; what it was stands in the log.
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "this edge has failed")
    }

    /// Names the match that it is about.
    #[must_use]
    pub fn about(mut self, match_id: Option<MatchId>) -> Self {
        self.0.match_id = match_id;
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// With these headers too.
    #[must_use]
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// As a whole answer of HTTP/1.1, for a connection that is not served.
    pub(crate) fn to_http1(&self) -> Vec<u8> {
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut head = format!(
            "HTTP/1.1 {}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
             connection: close\r\n",
            self.0.status,
            body.len()
        );
        if let Some(seconds) = self.0.retry_after_s {
            head.push_str(&format!("retry-after: {seconds}\r\n"));
        }
        [head.as_bytes(), b"\r\n", &body].concat()
    }

    /// Its stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The body, as it travels.
    pub(crate) fn body(&self) -> impl Serialize + '_ {
        Body {
            r#type: format!("urn:rally:problem:{}", self.0.code),
            title: self.0.status.canonical_reason().unwrap_or("Error"),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            code: self.0.code,
            errors: &self.0.errors,
            match_id: self.0.match_id,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.0.headers);
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rally\""));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(%error, "the database is away");
            return Self::new(ErrorCode::Unavailable, "the database is away");
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        Self::internal()
    }
}

impl From<CreateUserError> for Problem {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::UsernameTaken => Self::new(ErrorCode::UsernameTaken, "the name belongs to an account"),
            CreateUserError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.detail)
    }
}

const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated | ErrorCode::TotpRequired => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::AlreadyInQueue | ErrorCode::AlreadyInMatch | ErrorCode::UsernameTaken => StatusCode::CONFLICT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::AtCapacity | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
