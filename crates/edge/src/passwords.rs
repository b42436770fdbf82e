//! Passwords: which are good enough, and their hashes. Argon2id is slow by design, and is computed in the background.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use rally_service::entropy;
use secrecy::{ExposeSecret as _, SecretString};
use zxcvbn::{Score, zxcvbn};

use crate::{background::Background, error::Problem};

/// Characters of a password at least: fewer are guessed however odd they are.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Bytes of a password at most: whoever sends more wants to make us work.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Characters that are judged. The judge's time grows faster than their number, and what follows adds to the strength.
const JUDGED_CHARS_MAX: usize = 40;

/// What hashing may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordConfig {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        // OWASP's: some 40 ms of one core.
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// Argon2 cannot be computed so.
#[derive(Debug, thiserror::Error)]
#[error("the cost of passwords is out of Argon2's bounds: {0}")]
pub struct CostError(argon2::Error);

/// Hashes and verifies.
#[derive(Clone)]
pub struct Passwords {
    background: Background,
    argon2: Argon2<'static>,
    /// Of no password: what is verified against where there is no account, so that it takes the same time.
    nobodys: Arc<str>,
}

impl Passwords {
    /// Passwords of this cost.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn new(config: PasswordConfig, background: Background) -> Result<Self, CostError> {
        let params = Params::new(config.memory_kib, config.passes, 1, None).map_err(CostError)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = hash(&argon2, &entropy::random_bytes::<32>())?.into();
        Ok(Self { background, argon2, nobodys })
    }

    /// Hashes a password, as a PHC string.
    ///
    /// # Errors
    /// `at_capacity`: too many wait.
    pub async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        self.background.run("password", move || hash(&argon2, password.expose_secret().as_bytes())).await?.map_err(
            |error| {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot hash a password");
                Problem::internal()
            },
        )
    }

    /// Whether a password is the one that was hashed. Where there is no hash it is not, and takes as long.
    ///
    /// # Errors
    /// `at_capacity`: too many wait.
    pub async fn verify(&self, password: SecretString, phc: Option<String>) -> Result<bool, Problem> {
        let (argon2, nobodys) = (self.argon2.clone(), self.nobodys.clone());
        self.background
            .run("password", move || {
                let exists = phc.is_some();
                let phc = phc.as_deref().unwrap_or(&nobodys);
                let verified = PasswordHash::new(phc)
                    .is_ok_and(|phc| argon2.verify_password(password.expose_secret().as_bytes(), &phc).is_ok());
                exists && verified
            })
            .await
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, CostError> {
    let salt = entropy::random_bytes::<16>();
    match argon2.hash_password_with_salt(password, &salt) {
        Ok(hash) => Ok(hash.to_string()),
        // The password's length is bounded, and so are the parameters.
        Err(_) => Err(CostError(argon2::Error::PwdTooLong)),
    }
}

/// What is wrong with a password that somebody of this name wants to have; `None`: it will do.
pub fn fault(password: &str, name: &str) -> Option<String> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Some(format!("expected at least {PASSWORD_CHARS_MIN} characters"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Some(format!("expected at most {PASSWORD_BYTES_MAX} bytes"));
    }
    let judged: String = password.chars().take(JUDGED_CHARS_MAX).collect();
    let judgement = zxcvbn(&judged, &[name, "rally", "pong"]);
    if judgement.score() >= Score::Three {
        return None;
    }
    let warning = judgement.feedback().and_then(|feedback| feedback.warning()).map(|warning| warning.to_string());
    Some(warning.unwrap_or_else(|| "too easy to guess: add another word or two".into()))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn passwords(config: PasswordConfig) -> Passwords {
        let count = |n| NonZeroUsize::new(n).expect("more than none");
        Passwords::new(config, Background::start(count(1), count(8)).expect("threads")).expect("within bounds")
    }

    fn cheap() -> Passwords {
        passwords(PasswordConfig { memory_kib: 8, passes: 1 })
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let passwords = cheap();
        let phc = passwords.hash("correct horse".into()).await.expect("hashed");
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert_ne!(phc, passwords.hash("correct horse".into()).await.expect("hashed"), "salted");
        assert_eq!(passwords.verify("correct horse".into(), Some(phc.clone())).await, Ok(true));
        assert_eq!(passwords.verify("incorrect horse".into(), Some(phc)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse".into(), None).await, Ok(false));
        assert_eq!(passwords.verify("correct horse".into(), Some("garbage".into())).await, Ok(false));
    }

    #[tokio::test]
    async fn the_cost_may_change_while_passwords_stay() {
        let old = cheap().hash("correct horse".into()).await.expect("hashed");
        let dearer = passwords(PasswordConfig { memory_kib: 16, passes: 2 });
        assert_eq!(dearer.verify("correct horse".into(), Some(old)).await, Ok(true));
    }

    #[test]
    fn weak_passwords_are_told_why() {
        for weak in ["", "short1!", "password", "12345678", "qwertyuiop", "adalovelace", "rallyrally", "aaaaaaaaaaaa"] {
            assert!(fault(weak, "adalovelace").is_some(), "{weak}");
        }
        assert!(fault(&"x7$Kq".repeat(100), "ada").is_some(), "too long");
        for good in ["correct horse battery staple", "x7$Kq-99vLmt", "пароль-из-многих-слов"] {
            assert_eq!(fault(good, "ada"), None, "{good}");
        }
    }
}
