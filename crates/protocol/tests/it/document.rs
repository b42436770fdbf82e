//! `docs/PROTOCOL.md`, written from the code: a change of the wire without its document fails here.

use std::fmt::Write as _;

use rally_protocol::client::{
    Encoding,
    codec::{Messages, Shape},
    v1::*,
};

use crate::{golden::compare, samples};

const INTRODUCTION: &str = include_str!("introduction.md");

#[test]
fn the_document_is_that_of_the_code() {
    let mut text = INTRODUCTION.to_owned();
    section(&mut text, "Messages of the client", &samples::from_client());
    section(&mut text, "Messages of the edge", &samples::from_server());
    text.push_str("\n## Words\n\nText in JSON, the number in msgpack.\n");
    macro_rules! words {
        ($($name:ident),+) => { $(
            write!(text, "\n### {}\n\n{}\n\n| text | number | |\n|---|---|---|\n", stringify!($name), clean($name::DOC)).unwrap();
            for word in $name::ALL {
                writeln!(text, "| `{word}` | {} | {} |", word.number(), clean(word.doc())).unwrap();
            }
        )+ };
    }
    words!(Mode, Side, Place, JoinAs, Phase, Skill, Level, PowerUp, EndReason, EventKind, Status);
    compare("../../docs/PROTOCOL.md", &text);
}

fn clean(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn section<M: Messages>(text: &mut String, title: &str, messages: &[M]) {
    writeln!(text, "\n## {title}").unwrap();
    for shape in M::TABLE {
        let Shape { number, name, doc, fields } = *shape;
        write!(text, "\n### `{name}` ({number})\n\n{}\n\n", clean(doc)).unwrap();
        if fields.is_empty() {
            text.push_str("No fields.\n\n");
        } else {
            text.push_str("| field | type | |\n|---|---|---|\n");
            for field in fields {
                writeln!(text, "| `{}` | {} | {} |", field.name, type_name(field.ty), clean(field.doc)).unwrap();
            }
            text.push('\n');
        }
        for message in messages.iter().filter(|message| message.shape().name == name) {
            let json = message.encode(Encoding::Json).unwrap();
            writeln!(text, "```json\n{}\n```", String::from_utf8(json).unwrap()).unwrap();
            writeln!(text, "```text\n{}```", hex_dump(&message.encode(Encoding::Msgpack).unwrap())).unwrap();
        }
    }
}

/// The code's types in words of both encodings.
fn type_name(ty: &str) -> String {
    let ty = ty.replace(' ', "");
    if let Some(inner) = ty.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("{}, or null", type_name(inner));
    }
    if let Some(inner) = ty.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("list of {}", type_name(inner));
    }
    if let Some((inner, max)) =
        ty.strip_prefix("Bounded<").and_then(|rest| rest.strip_suffix('>')).and_then(|rest| rest.rsplit_once(','))
    {
        let max = match max {
            "BALLS_MAX" => "10",
            "POWER_UPS_MAX" => "5",
            "EFFECTS_MAX" => "8",
            other => other,
        };
        return format!("list of at most {max} {}", type_name(inner));
    }
    if let Some(inner) = ty.strip_prefix('[').and_then(|rest| rest.strip_suffix(";2]")) {
        return format!("pair of {}", type_name(inner));
    }
    match ty.as_str() {
        "u8" | "u16" | "u32" | "u64" | "i16" | "i32" | "Tick" | "SubStep" | "Epoch" => "integer".into(),
        "bool" => "boolean".into(),
        "String" => "text".into(),
        "Token" => "text of 1 to 2048 characters".into(),
        "ChannelName" | "Nonce" => "text of 1 to 64 characters".into(),
        "Text<0,CHAT_TEXT_CHARS_MAX>" => "text of at most 500 characters".into(),
        "Text<1,CHAT_TEXT_CHARS_MAX>" => "text of 1 to 500 characters".into(),
        "MatchId" | "UserId" | "SessionId" => "id (UUID as text in JSON, 16 bytes in msgpack)".into(),
        "Dir" => "-1, 0 or 1".into(),
        "PaddleState" => "[y, dir]".into(),
        "BallState" => "[x, y, vx, vy]".into(),
        "SkillState" => "[cooldown, active]".into(),
        "PowerUpState" => "[id, PowerUp, x, y, ticks left]".into(),
        "EffectState" => "[PowerUp, Side or null, ticks left]".into(),
        "(i32,i32)" => "[before, after]".into(),
        other => format!("`{other}`"),
    }
}

fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for line in bytes.chunks(24) {
        for byte in line {
            write!(dump, "{byte:02x} ").unwrap();
        }
        dump.pop();
        dump.push('\n');
    }
    dump
}
