//! From text to a value, each with a message that says what was expected.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::Uri;
use ipnet::IpNet;

use super::var::Unit;

/// What a variable can hold.
pub trait Value: Sized {
    /// Reads it. `unit` is the variable's, which decides what a bare number means.
    ///
    /// # Errors
    /// What was expected, in words that follow the variable's name.
    fn parse(text: &str, unit: Unit) -> Result<Self, String>;
}

macro_rules! whole_numbers {
    ($($t:ty),*) => {$(
        impl Value for $t {
            fn parse(text: &str, _: Unit) -> Result<Self, String> {
                text.parse().map_err(|_| format!("is not a whole number from {} to {}", <$t>::MIN, <$t>::MAX))
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

impl Value for bool {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }
}

impl Value for f64 {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        text.parse().ok().filter(|number: &Self| number.is_finite()).ok_or_else(|| "is not a number".to_owned())
    }
}

impl Value for String {
    fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        match unit {
            Unit::OneOf(words) if !words.contains(&text) => Err(format!("is none of {}", words.join(", "))),
            _ if text.is_empty() => Err("is empty".to_owned()),
            _ => Ok(text.to_owned()),
        }
    }
}

impl Value for PathBuf {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.into()) }
    }
}

impl Value for Duration {
    /// A whole number of the variable's unit: no suffixes, since the unit is in the name.
    fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        let (name, of): (_, fn(u64) -> Self) = match unit {
            Unit::Microseconds => ("microseconds", Self::from_micros),
            Unit::Seconds => ("seconds", Self::from_secs),
            _ => ("milliseconds", Self::from_millis),
        };
        text.parse().map(of).map_err(|_| format!("is not a whole number of {name}"))
    }
}

impl Value for SocketAddr {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        text.parse().map_err(|_| "is not an address and port such as 0.0.0.0:8080 or [::]:8080".to_owned())
    }
}

impl Value for IpNet {
    /// A range such as `10.0.0.0/8`; an address alone is a range of one.
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        text.parse()
            .or_else(|_| text.parse().map(std::net::IpAddr::into))
            .map_err(|_| "is not a range of addresses such as 10.0.0.0/8".to_owned())
    }
}

impl<T: Value> Value for Vec<T> {
    fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| T::parse(item, unit).map_err(|e| format!("has an item {item:?} that {e}"))).collect()
    }
}

/// An `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// As it was written, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HttpUrl {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some_and(|h| !h.is_empty()) => Ok(Self(text.to_owned())),
            _ => Err("is not an http or https URL".to_owned()),
        }
    }
}

/// What a browser sends as `Origin`: scheme, host and port, nothing after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As a browser writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Origin {
    fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        let HttpUrl(url) = HttpUrl::parse(text, unit)?;
        let after = url.split_once("://").map_or("", |(_, rest)| rest);
        if after.contains(['/', '?', '#', '@']) {
            return Err("is not an origin such as https://play.example.org".to_owned());
        }
        Ok(Self(url.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: Value>(text: &str) -> Result<T, String> {
        T::parse(text, Unit::Text)
    }

    #[test]
    fn numbers_know_their_bounds() {
        assert_eq!(parse::<u16>("8080"), Ok(8080));
        assert_eq!(parse::<u16>("70000"), Err("is not a whole number from 0 to 65535".to_owned()));
        assert!(parse::<u32>("").is_err() && parse::<u32>("-1").is_err() && parse::<u32>("1.5").is_err());
    }

    #[test]
    fn durations_are_counted_in_the_unit_of_the_name() {
        assert_eq!(Duration::parse("250", Unit::Milliseconds), Ok(Duration::from_millis(250)));
        assert_eq!(Duration::parse("250", Unit::Seconds), Ok(Duration::from_secs(250)));
        assert_eq!(Duration::parse("250", Unit::Microseconds), Ok(Duration::from_micros(250)));
        assert!(Duration::parse("250ms", Unit::Milliseconds).is_err());
    }

    #[test]
    fn lists_tolerate_blanks_and_name_the_bad_item() {
        assert_eq!(parse::<Vec<u16>>(" 1, 2 ,,3"), Ok(vec![1, 2, 3]));
        assert_eq!(parse::<Vec<u16>>(""), Ok(vec![]));
        assert!(parse::<Vec<IpNet>>("10.0.0.0/8, nonsense").is_err_and(|e| e.contains("\"nonsense\"")));
    }

    #[test]
    fn ranges_may_be_single_addresses() {
        assert_eq!(parse::<IpNet>("127.0.0.1").map(|n| n.to_string()), Ok("127.0.0.1/32".to_owned()));
        assert_eq!(parse::<IpNet>("fd00::/8").map(|n| n.to_string()), Ok("fd00::/8".to_owned()));
        assert!(parse::<IpNet>("10.0.0.0/33").is_err());
    }

    #[test]
    fn origins_end_at_the_port() {
        assert_eq!(
            parse::<Origin>("https://Play.Example.org/").map(|o| o.0),
            Ok("https://play.example.org".to_owned())
        );
        assert_eq!(parse::<Origin>("http://localhost:8080").map(|o| o.0), Ok("http://localhost:8080".to_owned()));
        for bad in ["localhost:8080", "https://a/b", "ftp://a", "https://", "*"] {
            assert!(parse::<Origin>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_checked_against_the_list() {
        const WORDS: Unit = Unit::OneOf(&["json", "text"]);
        assert_eq!(String::parse("json", WORDS), Ok("json".to_owned()));
        assert_eq!(String::parse("xml", WORDS), Err("is none of json, text".to_owned()));
    }
}
