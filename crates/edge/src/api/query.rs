//! Reading what stands behind the question mark, with every parameter that is wrong named at once; and cursors, which
//! say where the next page of a list begins.

use std::{fmt, str::FromStr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use rally_store::Cursor;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::body::{Fields, ReadFields};
use crate::error::Problem;

/// Rows of a page, unless fewer are asked for.
const LIMIT: usize = 50;

/// Parameters of a request.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: ReadFields, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let pairs = pairs.map_err(|_| Problem::invalid("the parameters cannot be read"))?.0;
        let object = pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Fields::read_all(object).map(Self)
    }
}

impl Fields {
    /// A parameter that is a word or a number: `Some(None)` if it is absent.
    pub(crate) fn parsed<T: FromStr>(&mut self, field: &'static str, expected: &str) -> Option<Option<T>> {
        let Some(text) = self.optional::<String>(field)? else { return Some(None) };
        let parsed = text.parse().ok();
        self.check(parsed.is_some(), field, expected);
        parsed.map(Some)
    }

    /// A parameter that is one of some words.
    pub(crate) fn word<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Option<Option<T>> {
        let Some(text) = self.optional::<String>(field)? else { return Some(None) };
        let parsed = parse(&text);
        self.check(parsed.is_some(), field, expected);
        parsed.map(Some)
    }

    /// How many rows of a list, and from where on.
    pub(crate) fn paging(&mut self) -> Option<Paging> {
        let limit = self.parsed::<usize>("limit", "expected a number from 1 to 100");
        if let Some(Some(limit)) = limit {
            self.check((1..=rally_store::PAGE_MAX).contains(&limit), "limit", "expected a number from 1 to 100");
        }
        let from = self.parsed("cursor", "expected what `next` said");
        Some(Paging { limit: limit?.unwrap_or(LIMIT), from: from? })
    }
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paging {
    /// Rows.
    pub limit: usize,
    /// Where it begins; absent: at the beginning.
    pub from: Option<PageCursor>,
}

impl Paging {
    /// Rows before this page.
    pub(crate) fn rows_before(self) -> u32 {
        self.from.map_or(0, |from| from.rows_before)
    }

    pub(crate) fn cursor(self) -> Option<Cursor> {
        self.from.map(|from| from.cursor)
    }
}

/// Where a page begins, as text that means nothing to others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageCursor {
    pub(crate) cursor: Cursor,
    /// How many rows there are before it, as far as anybody has looked.
    pub(crate) rows_before: u32,
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}{:08x}", self.cursor.key.to_bits(), self.cursor.id.simple(), self.rows_before)
    }
}

impl FromStr for PageCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let part = |range| text.get(range).ok_or(());
        if text.len() != 56 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let key = f64::from_bits(u64::from_str_radix(part(0..16)?, 16).map_err(drop)?);
        let id = Uuid::try_parse(part(16..48)?).map_err(drop)?;
        let rows_before = u32::from_str_radix(part(48..56)?, 16).map_err(drop)?;
        // What no list is sorted by is no cursor of ours.
        if !key.is_finite() || key.abs() > 1e12 {
            return Err(());
        }
        Ok(Self { cursor: Cursor { key, id }, rows_before })
    }
}

impl Serialize for PageCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_way() {
        let cursor = PageCursor { cursor: Cursor { key: 1623.25, id: Uuid::from_u128(7) }, rows_before: 150 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let nan = PageCursor { cursor: Cursor { key: f64::NAN, ..cursor.cursor }, ..cursor };
        for bad in ["", "x", &cursor.to_string()[1..], &nan.to_string(), &"é".repeat(28), &"' OR 1=1".repeat(7)] {
            assert_eq!(bad.parse::<PageCursor>(), Err(()), "{bad}");
        }
    }
}
