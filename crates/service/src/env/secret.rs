//! What a secret must be: not a placeholder, and long enough where it is a key.

use base64::{Engine as _, engine::general_purpose};
use secrecy::{SecretBox, SecretString};

/// Shorter keys are refused.
pub const KEY_BYTES_MIN: usize = 32;

/// 32 random bytes have about 30 different ones; fewer than ten come from a keyboard.
const DISTINCT_BYTES_MIN: usize = 10;

/// What people write into examples, alone or as part of a longer value.
const PLACEHOLDERS: &[&str] =
    &["changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me", "placeholder", "example", "todo"];

/// What is a placeholder only where it is the whole value: a password may contain these letters.
const PLACEHOLDERS_WHOLE: &[&str] =
    &["secret", "password", "passwd", "pass", "default", "test", "admin", "root", "postgres", "redis", "rally", "key"];

/// Key material, wiped when dropped and never shown.
pub type Key = SecretBox<Vec<u8>>;

/// # Errors
/// What is wrong, without the value.
pub(super) fn password(text: &str) -> Result<SecretString, String> {
    refuse_placeholder(text)?;
    Ok(text.to_owned().into())
}

/// A URL of one of `schemes` that may have a password in it.
///
/// # Errors
/// What is wrong, without the value.
pub(super) fn url(text: &str, schemes: &[&str]) -> Result<SecretString, String> {
    let expected = || format!("is not a URL that begins with {}://", schemes.join(":// or "));
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    if !schemes.contains(&scheme) || rest.is_empty() {
        return Err(expected());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if let Some((user, host)) = authority.rsplit_once('@') {
        if host.is_empty() {
            return Err(expected());
        }
        if let Some((_, pass)) = user.split_once(':') {
            refuse_placeholder(pass).map_err(|e| format!("has a password that {e}"))?;
        }
    }
    Ok(text.to_owned().into())
}

/// # Errors
/// What is wrong, without the value.
pub(super) fn key(text: &str) -> Result<Key, String> {
    refuse_placeholder(text)?;
    let unpadded = text.trim_end_matches('=');
    let bytes = general_purpose::STANDARD_NO_PAD
        .decode(unpadded)
        .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(unpadded))
        .map_err(|_| "is not base64".to_owned())?;
    if bytes.len() < KEY_BYTES_MIN {
        return Err(format!("has {} bytes; a key has at least {KEY_BYTES_MIN} (`rally keys` makes one)", bytes.len()));
    }
    if distinct(&bytes) < DISTINCT_BYTES_MIN {
        return Err("is not random (`rally keys` makes one that is)".to_owned());
    }
    Ok(SecretBox::new(Box::new(bytes)))
}

fn refuse_placeholder(text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    // Long random base64 may contain a short word by chance, so only short values are searched for them.
    let looks_typed = lower.len() < KEY_BYTES_MIN || lower.contains(['-', '_', ' ']);
    if bare.is_empty() {
        Err("is empty".to_owned())
    } else if distinct(bare.as_bytes()) == 1
        || PLACEHOLDERS_WHOLE.contains(&bare)
        || (looks_typed && PLACEHOLDERS.iter().any(|p| bare.contains(p)))
    {
        Err("is a placeholder".to_owned())
    } else {
        Ok(())
    }
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().for_each(|b| seen[usize::from(*b)] = true);
    seen.iter().filter(|s| **s).count()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn placeholders_are_refused() {
        for bad in ["changeme", "CHANGEME!", "<secret>", "password", "xxxxxxxx", "my-example-password", "", "  ", "***"]
        {
            assert!(password(bad).is_err(), "{bad:?}");
        }
        for good in ["correct horse battery", "passwordless-7", "Tr0ub4dor"] {
            assert!(password(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn keys_are_long_and_random() {
        let bytes: Vec<u8> = (0..32).map(|i: u8| i.wrapping_mul(37)).collect();
        for text in [
            general_purpose::STANDARD.encode(&bytes),
            general_purpose::URL_SAFE_NO_PAD.encode(&bytes),
            general_purpose::STANDARD_NO_PAD.encode(&bytes),
        ] {
            assert_eq!(key(&text).expect("a key").expose_secret(), &bytes);
        }
        let short = general_purpose::STANDARD.encode(&bytes[..31]);
        assert!(key(&short).is_err_and(|e| e.contains("31 bytes")));
        assert!(key(&general_purpose::STANDARD.encode([0; 32])).is_err());
        assert!(key("not base64 at all, whoever wrote it down").is_err());
    }

    #[test]
    fn urls_may_have_a_password_but_not_a_placeholder() {
        let schemes = &["redis", "rediss"];
        for good in ["redis://127.0.0.1:6379", "rediss://rally:x8Kd!2@r.internal", "redis://:x8Kd@host/0?a=b"] {
            assert!(url(good, schemes).is_ok(), "{good}");
        }
        for bad in
            ["127.0.0.1:6379", "http://a", "redis://", "redis://:changeme@a", "redis://rally:rally@a", "redis://a:b@"]
        {
            assert!(url(bad, schemes).is_err(), "{bad}");
        }
    }
}
