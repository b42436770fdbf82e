//! Both encodings of the client protocol.
//!
//! A msgpack message is flat: `[number, field, field, ...]`. Its body is what `rmp-serde` makes of the struct, an
//! array too, whose header byte is replaced by one that counts the number in.

use std::io::Read;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::v1::{SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};

/// How a connection's messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text frames.
    Json,
    /// Binary frames.
    Msgpack,
}

impl Encoding {
    /// The subprotocol that names it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => SUBPROTOCOL_JSON,
            Self::Msgpack => SUBPROTOCOL_MSGPACK,
        }
    }

    /// The encoding of the first subprotocol offered that we speak; JSON where none is offered at all, `None` where
    /// only others are.
    pub fn negotiate<'a>(offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut any = false;
        for name in offered {
            any = true;
            match name {
                SUBPROTOCOL_JSON => return Some(Self::Json),
                SUBPROTOCOL_MSGPACK => return Some(Self::Msgpack),
                _ => {}
            }
        }
        (!any).then_some(Self::Json)
    }
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, not an object, or no `type`; not a msgpack array that begins with a number.
    #[error("malformed: {0}")]
    Malformed(String),
    /// No message has that type.
    #[error("unknown type")]
    UnknownType,
    /// A field is missing, of the wrong type or out of its range.
    #[error("{0}")]
    Field(String),
}

impl DecodeError {
    /// A fixed label for counters.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownType => "unknown_type",
            Self::Field(_) => "field",
        }
    }
}

/// A message that cannot be written: a bug, since every message of ours can be.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// JSON.
    #[error("as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Msgpack.
    #[error("as msgpack: {0}")]
    Msgpack(#[from] rmp_serde::encode::Error),
}

/// What a message looks like, for documents and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The first element of its msgpack array.
    pub number: u8,
    /// Its `type` in JSON.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its fields in order.
    pub fields: &'static [Field],
}

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Its type, as the code names it.
    pub ty: &'static str,
}

/// The name in JSON of a field whose name is a word of the language.
pub(super) const fn wire_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        b"match_id" => "match",
        b"join_as" => "as",
        _ => field,
    }
}

/// One message.
pub trait Message: Serialize {
    /// What it looks like.
    const SHAPE: Shape;
}

/// All messages of one direction.
pub trait Messages: Sized {
    /// The shape of each.
    const TABLE: &'static [Shape];

    /// The shape of this one.
    fn shape(&self) -> Shape;

    /// The message called `name` from the whole JSON object.
    fn from_json(name: &str, bytes: &[u8]) -> Result<Self, DecodeError>;

    /// The message of this number from the msgpack of its `fields` fields.
    fn from_msgpack(number: u8, fields: usize, body: &[u8]) -> Result<Self, DecodeError>;

    /// Appends the message to `out`.
    fn encode_into(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Reads a message.
    fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Json => Self::from_json(&json_name(bytes)?, bytes),
            Encoding::Msgpack => {
                let (number, fields, body) = msgpack_head(bytes)?;
                Self::from_msgpack(number, fields, body)
            }
        }
    }

    /// The name of the type that these bytes claim to be, if there is such a type: for the answer to a message that
    /// cannot be read.
    fn name_of(encoding: Encoding, bytes: &[u8]) -> Option<&'static str> {
        let shape = match encoding {
            Encoding::Json => {
                let name = json_name(bytes).ok()?;
                Self::TABLE.iter().find(|shape| shape.name == name)
            }
            Encoding::Msgpack => {
                let (number, ..) = msgpack_head(bytes).ok()?;
                Self::TABLE.iter().find(|shape| shape.number == number)
            }
        };
        shape.map(|shape| shape.name)
    }

    /// The message on its own.
    fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(128);
        self.encode_into(encoding, &mut out)?;
        Ok(out)
    }
}

/// A JSON message's `type`.
fn json_name(bytes: &[u8]) -> Result<std::borrow::Cow<'_, str>, DecodeError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, rename = "type")]
        name: std::borrow::Cow<'a, str>,
    }
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    Ok(head.name)
}

/// A msgpack message's number, how many fields follow, and those fields.
fn msgpack_head(bytes: &[u8]) -> Result<(u8, usize, &[u8]), DecodeError> {
    let mut body = bytes;
    let items = rmp::decode::read_array_len(&mut body).map_err(|_| DecodeError::Malformed("not an array".into()))?;
    let number = rmp::decode::read_int(&mut body)
        .map_err(|_| DecodeError::Malformed("the first element is not a type's number".into()))?;
    // An array's length is only a claim; the fields are read one by one.
    Ok((number, items.saturating_sub(1) as usize, body))
}

/// Appends one message to `out`.
pub fn encode_into<M: Message>(message: &M, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match encoding {
        Encoding::Json => {
            #[derive(Serialize)]
            struct Tagged<'a, M> {
                #[serde(rename = "type")]
                name: &'static str,
                #[serde(flatten)]
                body: &'a M,
            }
            serde_json::to_writer(out, &Tagged { name: M::SHAPE.name, body: message })?;
        }
        Encoding::Msgpack => {
            const { assert!(M::SHAPE.fields.len() < FIX_ARRAY_LEN_MAX && M::SHAPE.number < 0x80) };
            // One byte in front of the body makes room for both: the header byte of the flat array, then the number
            // where the body's own header byte stands.
            let start = out.len();
            out.push(FIX_ARRAY | (M::SHAPE.fields.len() as u8 + 1));
            rmp_serde::encode::write(out, message)?;
            debug_assert_eq!(out[start + 1], FIX_ARRAY | M::SHAPE.fields.len() as u8);
            out[start + 1] = M::SHAPE.number;
        }
    }
    Ok(())
}

/// The high bits of a msgpack array of up to 15 items.
const FIX_ARRAY: u8 = 0x90;
const FIX_ARRAY_LEN_MAX: usize = 15;

pub(super) fn body_from_json<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| DecodeError::Field(error.to_string()))
}

pub(super) fn body_from_msgpack<M: Message + DeserializeOwned>(fields: usize, body: &[u8]) -> Result<M, DecodeError> {
    // Fields that we do not know yet stand behind ours: claim fewer items, and they are never read.
    let header = [FIX_ARRAY | fields.min(M::SHAPE.fields.len()) as u8];
    let mut deserializer = rmp_serde::Deserializer::new(header.as_slice().chain(body));
    // Our deepest message has four levels.
    deserializer.set_max_depth(16);
    M::deserialize(&mut deserializer).map_err(|error| DecodeError::Field(error.to_string()))
}
