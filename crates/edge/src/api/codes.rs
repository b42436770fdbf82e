//! Codes that people write down: random, in groups of letters that are not mistaken for each other.

use rally_service::entropy;
use rally_store::CodeHash;
use totp_rs::Secret;

/// Characters between two dashes.
const GROUP: usize = 5;

/// Bytes of text that is looked at: the longest code with room for dashes and blanks.
const TEXT_BYTES_MAX: usize = 64;

/// A code and what is kept of it.
pub struct Code {
    /// To be shown once.
    pub text: String,
    /// To be kept.
    pub hash: CodeHash,
}

/// A code of so many random bytes.
pub fn generate<const BYTES: usize>() -> Code {
    let letters = Secret::from(entropy::random_bytes::<BYTES>().to_vec()).to_base32();
    let hash = digest(&letters);
    let mut text = String::with_capacity(letters.len() * 2);
    for (n, letter) in letters.chars().enumerate() {
        if n > 0 && n % GROUP == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    Code { text, hash }
}

/// What would be kept of this code, however it was typed: in lower case, with or without dashes and blanks.
pub fn hash(text: &str) -> CodeHash {
    let typed = text.bytes().take(TEXT_BYTES_MAX);
    let letters: String =
        typed.filter(u8::is_ascii_alphanumeric).map(|letter| char::from(letter.to_ascii_uppercase())).collect();
    digest(&letters)
}

fn digest(letters: &str) -> CodeHash {
    blake3::derive_key("rally 2026-11 codes on paper", letters.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = generate::<16>();
        assert_eq!(code.text.len(), 26 + 5);
        assert_eq!(hash(&code.text), code.hash);
        assert_eq!(hash(&code.text.to_lowercase().replace('-', " ")), code.hash);
        assert_eq!(hash(&code.text.replace('-', "")), code.hash);
        assert_ne!(hash(&code.text[1..]), code.hash);
        assert_ne!(generate::<16>().hash, code.hash);
    }
}
