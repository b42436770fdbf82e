//! Names in what is said: `@ada`.

use rally_protocol::limits::{USERNAME_CHARS_MAX, USERNAME_CHARS_MIN};
use rally_store::MENTIONS_MAX;

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names that a text calls, in small letters, each once, the first [`MENTIONS_MAX`] of them. What stands in the middle
/// of a word (an address of e-mail) is none.
pub(super) fn names_in(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, _) in text.match_indices('@') {
        if names.len() == MENTIONS_MAX {
            break;
        }
        if text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let name: String = text[at + 1..].chars().take_while(|c| is_part(*c)).take(USERNAME_CHARS_MAX + 1).collect();
        let name = name.to_ascii_lowercase();
        if (USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&name.len()) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_called() {
        assert_eq!(names_in("hi @Ada, @bob_2! (@ADA) @eve"), ["ada", "bob_2", "eve"]);
        for none in ["", "@", "@ab", "ada@example.com", "é@ada", "@@", "@ ada", "@123456789012345678901", "@аda"] {
            assert_eq!(names_in(none), <[String; 0]>::default(), "{none}");
        }
        assert_eq!(names_in("@@ada"), ["ada"]);
        let many: String = (0..20).map(|n| format!("@user_{n} ")).collect();
        assert_eq!(names_in(&many).len(), MENTIONS_MAX);
    }
}
