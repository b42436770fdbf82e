//! `docs/asyncapi.json`, the socket's protocol as AsyncAPI 3.0, made from the table of messages. It describes the JSON
//! form; the msgpack form is the same fields in the same order, after the number that `x-msgpack-number` gives.
//!
//! Every sample message is checked against its schema here, so that the document does not only look right.

use rally_protocol::{
    client::{
        Encoding,
        codec::{Messages, Shape},
        v1::*,
    },
    limits::*,
};
use serde_json::{Map, Value, json};

use crate::{golden::compare, samples};

#[test]
fn the_document_is_that_of_the_code() {
    compare("../../docs/asyncapi.json", &format!("{:#}\n", document()));
}

#[test]
fn every_sample_is_what_the_document_says() {
    let document = document();
    check_samples(&document, "client", &samples::from_client());
    check_samples(&document, "edge", &samples::from_server());
}

#[test]
fn what_the_document_does_not_say_is_found() {
    let document = document();
    let schema = &document["components"]["messages"]["client.match_join"]["payload"];
    let good = json!({ "type": "match_join", "match": "0191e8a4-7b1c-7def-8123-456789abcdef", "as": "player" });
    assert_eq!(fault(&document, schema, &good), None);
    for (field, wrong) in [("type", json!("ping")), ("match", json!(7)), ("as", json!("referee")), ("as", Value::Null)]
    {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert!(fault(&document, schema, &bad).is_some(), "{bad}");
    }
    assert!(fault(&document, schema, &json!({ "type": "match_join", "as": "player" })).is_some());
}

#[test]
fn every_type_that_is_named_is_described() {
    fn visit(value: &Value, schemas: &Value) {
        if let Some(name) = value["$ref"].as_str().and_then(|to| to.strip_prefix("#/components/schemas/")) {
            assert!(schemas[name].is_object(), "say in schemas() of asyncapi.rs what {name} looks like");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| visit(value, schemas)),
            Value::Array(values) => values.iter().for_each(|value| visit(value, schemas)),
            _ => {}
        }
    }
    let document = document();
    visit(&document, &document["components"]["schemas"]);
}

fn check_samples<M: Messages>(document: &Value, sender: &str, samples: &[M]) {
    for sample in samples {
        let name = sample.shape().name;
        let json: Value = serde_json::from_slice(&sample.encode(Encoding::Json).unwrap()).unwrap();
        let schema = &document["components"]["messages"][format!("{sender}.{name}")]["payload"];
        assert_eq!(fault(document, schema, &json), None, "{name}: {json}");
    }
}

fn document() -> Value {
    let mut messages = Map::new();
    describe(&mut messages, "client", &samples::from_client());
    describe(&mut messages, "edge", &samples::from_server());
    let names = |shapes: &[Shape], sender: &str| {
        let at = format!("#/channels/socket/messages/{sender}");
        shapes.iter().map(|shape| json!({ "$ref": format!("{at}.{}", shape.name) })).collect::<Vec<_>>()
    };
    let of_channel: Map<String, Value> =
        messages.keys().map(|name| (name.clone(), refer(&format!("messages/{name}")))).collect();
    let channel = json!({ "$ref": "#/channels/socket" });
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rally's WebSocket",
            "version": "1",
            "description": "Subprotocol rally.v1.json; rally.v1.msgpack has the same messages as arrays: the number of the \
                type (x-msgpack-number), then the fields in the order of x-fields. The rules of use are in PROTOCOL.md.",
            "license": { "name": "MIT" },
        },
        "defaultContentType": "application/json",
        "servers": { "edge": { "host": "localhost:8080", "protocol": "ws", "description": "Any edge of a cluster." } },
        "channels": { "socket": { "address": "/ws", "messages": of_channel } },
        "operations": {
            "from_client": {
                "action": "receive",
                "summary": "What an edge takes.",
                "channel": channel,
                "messages": names(ClientMessage::TABLE, "client"),
            },
            "from_edge": {
                "action": "send",
                "summary": "What an edge sends.",
                "channel": channel,
                "messages": names(ServerMessage::TABLE, "edge"),
            },
        },
        "components": { "messages": messages, "schemas": schemas() },
    })
}

fn refer(to: &str) -> Value {
    json!({ "$ref": format!("#/components/{to}") })
}

fn clean(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Client and edge may each have a message of the same name: keys say who sends it.
fn describe<M: Messages>(messages: &mut Map<String, Value>, sender: &str, samples: &[M]) {
    for shape in M::TABLE {
        let examples: Vec<_> = samples
            .iter()
            .filter(|sample| sample.shape().name == shape.name)
            .map(|sample| {
                json!({ "payload": serde_json::from_slice::<Value>(&sample.encode(Encoding::Json).unwrap()).unwrap() })
            })
            .collect();
        let mut payload = body(shape);
        payload["properties"]["type"] = json!({ "const": shape.name });
        payload["required"].as_array_mut().unwrap().insert(0, "type".into());
        let fields: Vec<_> = shape.fields.iter().map(|field| field.name).collect();
        let message = json!({
            "name": shape.name,
            "summary": clean(shape.doc),
            "payload": payload,
            "examples": examples,
            "x-msgpack-number": shape.number,
            "x-fields": fields,
        });
        messages.insert(format!("{sender}.{}", shape.name), message);
    }
}

/// The fields of a message, as an object.
fn body(shape: &Shape) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in shape.fields {
        let mut schema = schema_of(&field.ty.replace(' ', ""));
        // Beside a reference nothing else is read by all.
        if schema.get("$ref").is_none() {
            schema["description"] = clean(field.doc).into();
        }
        properties.insert(field.name.into(), schema);
        // What may be null may also be left out.
        if !field.ty.starts_with("Option") && !DEFAULTED.contains(&(shape.name, field.name)) {
            required.push(Value::from(field.name));
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Fields that are not optional and yet may be left out.
const DEFAULTED: &[(&str, &str)] = &[("input", "press")];

/// What a type of the code looks like in JSON.
fn schema_of(ty: &str) -> Value {
    let inside = |start: &str| ty.strip_prefix(start).and_then(|rest| rest.strip_suffix('>'));
    let integer = |min: i64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    if let Some(inner) = inside("Option<") {
        return json!({ "oneOf": [schema_of(inner), { "type": "null" }] });
    }
    if let Some(inner) = inside("Vec<") {
        return json!({ "type": "array", "items": schema_of(inner) });
    }
    if let Some((inner, max)) = inside("Bounded<").and_then(|inner| inner.rsplit_once(',')) {
        return json!({ "type": "array", "items": schema_of(inner), "maxItems": constant(max) });
    }
    if let Some((min, max)) = inside("Text<").and_then(|inner| inner.split_once(',')) {
        return json!({ "type": "string", "minLength": constant(min), "maxLength": constant(max) });
    }
    if let Some(inner) = ty.strip_prefix('[').and_then(|rest| rest.strip_suffix(";2]")) {
        return json!({ "type": "array", "items": schema_of(inner), "minItems": 2, "maxItems": 2 });
    }
    if let Some(inner) = ty.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let items: Vec<_> = inner.split(',').map(schema_of).collect();
        let n = items.len();
        return json!({ "type": "array", "prefixItems": items, "minItems": n, "maxItems": n });
    }
    match ty {
        "bool" => json!({ "type": "boolean" }),
        "u8" => integer(0, u8::MAX.into()),
        "u16" => integer(0, u16::MAX.into()),
        "u32" | "Tick" | "SubStep" | "Epoch" => integer(0, u32::MAX.into()),
        "u64" => integer(0, u64::MAX),
        "i16" => integer(i16::MIN.into(), i16::MAX as u64),
        "i32" => integer(i32::MIN.into(), i32::MAX as u64),
        "String" => json!({ "type": "string" }),
        "MatchId" | "UserId" | "SessionId" => json!({ "type": "string", "format": "uuid" }),
        "Token" => schema_of("Text<1,TOKEN_BYTES_MAX>"),
        "ChannelName" => schema_of("Text<1,CHANNEL_CHARS_MAX>"),
        "Nonce" => schema_of("Text<1,64>"),
        "Dir" => json!({ "type": "integer", "enum": [-1, 0, 1] }),
        "PaddleState" => schema_of("(i16,Dir)"),
        "BallState" => schema_of("(i16,i16,i16,i16)"),
        "SkillState" => schema_of("(u16,u16)"),
        "PowerUpState" => schema_of("(u16,PowerUp,i16,i16,u16)"),
        "EffectState" => json!({
            "type": "array", "minItems": 3, "maxItems": 3,
            "prefixItems": [schema_of("PowerUp"), schema_of("Option<Side>"), schema_of("u16")],
        }),
        other => refer(&format!("schemas/{other}")),
    }
}

fn constant(text: &str) -> usize {
    match text {
        "BALLS_MAX" => BALLS_MAX,
        "POWER_UPS_MAX" => POWER_UPS_MAX,
        "EFFECTS_MAX" => EFFECTS_MAX,
        "CHAT_TEXT_CHARS_MAX" => CHAT_TEXT_CHARS_MAX,
        "TOKEN_BYTES_MAX" => TOKEN_BYTES_MAX,
        "CHANNEL_CHARS_MAX" => CHANNEL_CHARS_MAX,
        "RESUME_CHANNELS_MAX" => RESUME_CHANNELS_MAX,
        number => number.parse().unwrap_or_else(|_| panic!("say in constant() of asyncapi.rs what {number} is")),
    }
}

/// Types that messages share, which are no messages, and messages that stand in others.
fn schemas() -> Value {
    let mut schemas = Map::new();
    macro_rules! words {
        ($($name:ident),+) => { $(
            let words: Vec<_> = $name::ALL.iter().map(|word| word.as_str()).collect();
            schemas.insert(stringify!($name).into(), json!({
                "type": "string", "enum": words, "description": clean($name::DOC),
            }));
        )+ };
    }
    words!(Mode, Side, Place, JoinAs, Phase, Skill, Level, PowerUp, EndReason, EventKind, Status);
    schemas.insert("ErrorCode".into(), json!({ "type": "string", "description": "Why something was refused." }));
    let mut object = |name: &str, doc: &str, fields: &[(&str, &str)]| {
        let types: Map<String, Value> = fields.iter().map(|(name, ty)| ((*name).to_owned(), schema_of(ty))).collect();
        let required: Vec<_> =
            fields.iter().filter(|(_, ty)| !ty.starts_with("Option")).map(|(name, _)| *name).collect();
        schemas.insert(
            name.into(),
            json!({ "type": "object", "description": doc, "properties": types, "required": required }),
        );
    };
    object(
        "Resume",
        "The session to go on with.",
        &[("session", "SessionId"), ("channels", "Bounded<ChannelOffset,RESUME_CHANNELS_MAX>")],
    );
    object("ChannelOffset", "How far one has read a channel.", &[("channel", "ChannelName"), ("offset", "u64")]);
    object("UserInfo", "A user, as others see one.", &[("id", "UserId"), ("name", "String"), ("guest", "bool")]);
    let player = [
        ("user", "Option<UserId>"),
        ("name", "String"),
        ("bot", "Option<Level>"),
        ("skill", "Option<Skill>"),
        ("connected", "bool"),
        ("ready", "bool"),
        ("pauses_left", "u8"),
        ("away_left_s", "u8"),
    ];
    object("Player", "Who plays on a side.", &player);
    for shape in
        ServerMessage::TABLE.iter().filter(|shape| ["snapshot", "game_over", "chat_message"].contains(&shape.name))
    {
        let fields: Vec<_> = shape.fields.iter().map(|field| (field.name, field.ty.replace(' ', ""))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, ty)| (*name, ty.as_str())).collect();
        let name = match shape.name {
            "snapshot" => "Snapshot",
            "game_over" => "GameOver",
            _ => "ChatMessage",
        };
        object(name, "As the message of this name, without its type.", &fields);
    }
    schemas.into()
}

/// What of a value is not as its schema says, if anything: as much of JSON Schema as this document uses.
fn fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let wrong = |what: &str| Some(format!("{value} is not {what} of {schema}"));
    if let Some(to) = schema["$ref"].as_str() {
        return fault(document, document.pointer(&to[1..]).unwrap(), value);
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let fits = ways.iter().filter(|way| fault(document, way, value).is_none()).count();
        return if fits == 1 { None } else { wrong("exactly one") };
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong("the constant");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong("one of the words");
    }
    let at_least = |name: &str, n: usize| schema[name].as_u64().is_none_or(|min| n as u64 >= min);
    let at_most = |name: &str, n: usize| schema[name].as_u64().is_none_or(|max| n as u64 <= max);
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(name.as_str().unwrap()) {
                    return wrong(&format!("whole without {name}: not one"));
                }
            }
            let known = schema["properties"].as_object().unwrap();
            fields.iter().find_map(|(name, field)| match known.get(name) {
                Some(schema) => fault(document, schema, field),
                None => wrong(&format!("known by its field {name}: not one")),
            })
        }
        (Some("array"), Value::Array(items)) => {
            if !at_least("minItems", items.len()) || !at_most("maxItems", items.len()) {
                return wrong("of the length");
            }
            items.iter().enumerate().find_map(|(n, item)| match schema["prefixItems"].get(n) {
                Some(schema) => fault(document, schema, item),
                None => fault(document, &schema["items"], item),
            })
        }
        (Some("string"), Value::String(text)) => {
            let chars = text.chars().count();
            if at_least("minLength", chars) && at_most("maxLength", chars) { None } else { wrong("of the length") }
        }
        (Some("integer"), Value::Number(number)) if !number.is_f64() => {
            let least = schema["minimum"].as_i64().is_none_or(|min| number.as_i64().is_none_or(|n| n >= min));
            let most = schema["maximum"].as_u64().is_none_or(|max| number.as_u64().is_none_or(|n| n <= max));
            if least && most { None } else { wrong("in the range") }
        }
        (Some("boolean"), Value::Bool(_)) | (Some("null"), Value::Null) | (None, _) => None,
        _ => wrong("of the type"),
    }
}
