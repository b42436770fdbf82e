//! The description of the API in OpenAPI 3.1, made from the code: `/api/v1/openapi.json`, and `docs/openapi.json`.
//!
//! `described` says of each route what it is for, what it takes and gives; who may ask and what is
//! limited is known from the table of routes, and what a type looks like from the type. What every route may answer
//! (401, 429, 503 and the like) is added here.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{Access, described, routes, schemas};

/// Of one route.
pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
    query: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    refuses: Vec<u16>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Operation {
    /// What it is for, in a sentence.
    pub(super) fn new(method: &'static str, path: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            tag,
            summary,
            query: Vec::new(),
            body: None,
            answers: Map::new(),
            refuses: Vec::new(),
            schemas: Vec::new(),
        }
    }

    /// Takes an object of JSON.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        let content = json!({ "application/json": { "schema": self.refer::<T>() } });
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// Takes an object of JSON, or nothing.
    pub(super) fn may_take<T: ToSchema>(mut self) -> Self {
        self = self.takes::<T>();
        if let Some(body) = &mut self.body {
            body["required"] = false.into();
        }
        self
    }

    /// Takes bytes of these kinds.
    pub(super) fn takes_bytes(mut self, kinds: &[&str]) -> Self {
        let content: Map<String, Value> = kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// Takes this behind the question mark.
    pub(super) fn query(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.query.extend(parameters);
        self
    }

    /// Gives an object of JSON.
    pub(super) fn gives<T: ToSchema>(mut self, status: u16) -> Self {
        let content = json!({ "application/json": { "schema": self.refer::<T>() } });
        self.answers.insert(status.to_string(), json!({ "description": "Done.", "content": content }));
        self
    }

    /// Gives one of two objects of JSON, by what was asked for.
    pub(super) fn gives_either<A: ToSchema, B: ToSchema>(mut self, status: u16) -> Self {
        let either = [self.refer::<A>(), self.refer::<B>()];
        let content = json!({ "application/json": { "schema": { "anyOf": either } } });
        self.answers.insert(status.to_string(), json!({ "description": "Done.", "content": content }));
        self
    }

    /// Names a type that stands only as the parameter of another.
    pub(super) fn names<T: ToSchema>(mut self) -> Self {
        self.refer::<T>();
        self
    }

    /// Gives no body: 204.
    pub(super) fn gives_nothing(mut self) -> Self {
        self.answers.insert("204".into(), json!({ "description": "Done." }));
        self
    }

    /// Gives something of this kind.
    pub(super) fn gives_bytes(mut self, kind: &str) -> Self {
        self.answers.insert("200".into(), json!({ "description": "Done.", "content": { kind: {} } }));
        self
    }

    /// Leads a browser elsewhere.
    pub(super) fn leads_elsewhere(mut self) -> Self {
        let location = json!({ "schema": { "type": "string" }, "description": "Where to go." });
        self.answers.insert("303".into(), json!({ "description": "Elsewhere.", "headers": { "Location": location } }));
        self
    }

    /// May be refused with these, beside those that each route of its kind has.
    pub(super) fn refuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.refuses.extend(statuses);
        self
    }

    fn refer<T: ToSchema>(&mut self) -> Value {
        T::schemas(&mut self.schemas);
        let name = T::name();
        self.schemas.push((name.to_string(), T::schema()));
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn describe(self, access: Access) -> Value {
        let mut refuses = self.refuses;
        refuses.extend([429, 503]);
        if self.body.is_some() {
            refuses.extend([400, 408, 413, 415]);
        }
        if !self.query.is_empty() {
            refuses.push(400);
        }
        match access {
            Access::Anybody => {}
            Access::Signed => refuses.push(401),
            Access::Account => refuses.extend([401, 403]),
        }
        let mut answers = self.answers;
        for status in refuses {
            answers.insert(status.to_string(), refusal(status));
        }
        answers.insert("default".into(), problem("Anything else that goes wrong."));
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<_> = in_path
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": path_schema(name) }))
            .chain(self.query)
            .collect();
        let mut operation = json!({
            "tags": [self.tag],
            "operationId": operation_id(self.method, self.path),
            "summary": self.summary,
            "responses": answers,
            "security": match access {
                Access::Anybody => json!([{}, { "access_token": [] }]),
                Access::Signed | Access::Account => json!([{ "access_token": [] }]),
            },
        });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

fn path_schema(name: &str) -> Value {
    match name {
        "id" => json!({ "type": "string", "format": "uuid" }),
        _ => json!({ "type": "string" }),
    }
}

/// `get_users_id_stats`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

fn problem(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
}

fn refusal(status: u16) -> Value {
    let mut refusal = problem(match status {
        400 => "Something that was sent is missing or not what it should be; each such field is named.",
        401 => "No good token came along, or what should prove who one is does not.",
        403 => "That is not allowed.",
        404 => "There is no such thing.",
        408 => "The body did not come in time.",
        409 => "It is taken, or one is already where one can be only once.",
        413 => "The body is too large.",
        415 => "The body is of another kind.",
        429 => "Too often.",
        503 => "There is no room, or something that this needs is away.",
        _ => "Refused.",
    });
    if matches!(status, 429 | 503) {
        let schema = json!({ "type": "integer", "minimum": 1 });
        refusal["headers"] = json!({ "Retry-After": { "description": "Seconds to wait.", "schema": schema } });
    }
    refusal
}

/// A parameter that is one of some words.
pub(super) fn word(name: &str, words: &[&str], doc: &str) -> Value {
    parameter(name, json!({ "type": "string", "enum": words }), doc)
}

/// A parameter that is a whole number.
pub(super) fn number(name: &str, min: u64, max: u64, doc: &str) -> Value {
    parameter(name, json!({ "type": "integer", "minimum": min, "maximum": max }), doc)
}

/// A parameter of this form.
pub(super) fn text(name: &str, pattern: &str, doc: &str) -> Value {
    parameter(name, json!({ "type": "string", "pattern": pattern }), doc)
}

/// How much of a list, and from where on.
pub(super) fn paging() -> [Value; 2] {
    let cursor = text("cursor", "^[0-9a-f]{56}$", "What `next` of the page before said.");
    [number("limit", 1, rally_store::PAGE_MAX as u64, "Rows at most."), cursor]
}

/// That parameter, which must be there.
pub(super) fn required(mut parameter: Value) -> Value {
    parameter["required"] = true.into();
    parameter
}

fn parameter(name: &str, schema: Value, doc: &str) -> Value {
    json!({ "name": name, "in": "query", "description": doc, "schema": schema })
}

/// The whole description.
///
/// A route without one is left out here, and makes the test fail that looks for it.
pub fn document() -> Value {
    let mut operations = described::operations();
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let problem = <schemas::Problem as PartialSchema>::schema();
    let mut found = vec![("Problem".to_owned(), problem)];
    schemas::Problem::schemas(&mut found);
    for route in routes() {
        let is_its = |operation: &Operation| operation.method == route.method.as_str() && operation.path == route.path;
        let Some(at) = operations.iter().position(is_its) else { continue };
        let mut operation = operations.swap_remove(at);
        found.append(&mut operation.schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation.describe(route.access);
    }
    for (name, schema) in found {
        schemas.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
    }
    let bearer = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "The access token of the last sign-in or refresh; it is good for 15 minutes.",
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rally",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The HTTP API of a Rally cluster. Play itself goes over the WebSocket: see docs/PROTOCOL.md.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/api/v1" }],
        "tags": described::TAGS.iter().map(|(name, doc)| json!({ "name": name, "description": doc })).collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": { "access_token": bearer } },
    })
}

/// What is described, by method and path.
#[cfg(test)]
fn described_routes() -> Vec<(&'static str, &'static str)> {
    described::operations().iter().map(|operation| (operation.method, operation.path)).collect()
}

/// The description of the API.
pub(super) async fn get() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
    let kind = HeaderValue::from_static("application/json");
    let keep = HeaderValue::from_static("no-cache");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], DOCUMENT.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table;

    #[test]
    fn every_route_is_described() {
        let described = described_routes();
        let routes: Vec<_> = table().into_iter().map(|(method, path, ..)| (method, path)).collect();
        for (method, path) in &routes {
            assert!(
                described.iter().any(|(m, p)| m == &method.as_str() && p == path),
                "{method} {path} has no entry in operations() of crates/edge/src/api/described.rs: add one there, \
                 derive ToSchema for the types that it names, and write docs/openapi.json anew with RALLY_GOLDEN=write"
            );
        }
        for (n, (method, path)) in described.iter().enumerate() {
            assert!(routes.iter().any(|(m, p)| m.as_str() == *method && p == path), "{method} {path} is no route");
            assert!(!described[..n].contains(&(method, path)), "{method} {path} is described twice");
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        fn visit(value: &Value, schemas: &Value) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(to)) = object.get("$ref") {
                        let name = to.strip_prefix("#/components/schemas/").expect("of this document");
                        assert!(schemas[name].is_object(), "{name} is not described");
                    }
                    object.values().for_each(|value| visit(value, schemas));
                }
                Value::Array(values) => values.iter().for_each(|value| visit(value, schemas)),
                _ => {}
            }
        }
        let document = document();
        visit(&document, &document["components"]["schemas"]);
    }

    #[test]
    fn the_file_is_that_of_the_code() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let actual = format!("{:#}\n", document());
        if std::env::var("RALLY_GOLDEN").is_ok_and(|mode| mode == "write") {
            return std::fs::write(path, actual).expect("docs can be written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(expected == actual, "docs/openapi.json differs from the code; RALLY_GOLDEN=write writes it anew");
    }
}
