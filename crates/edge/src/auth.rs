//! Tokens: who signs them, what they say, which are good.
//!
//! An access token is a JWT signed with Ed25519 (EdDSA), good for 15 minutes on every edge that has the key; nobody is
//! asked when it is verified. Of several keys the first signs and all verify, so that keys can be rolled.
//!
//! A refresh token differs in its `typ` and its life, and is refused wherever an access token is asked for. It names a
//! login and a number in it, and Postgres knows which number is the good one. Since it is signed, nobody can make one
//! up, and nothing that is kept in Postgres would let one sign in.

use std::time::Duration;

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use rally_protocol::{client::v1::UserInfo, limits::TOKEN_BYTES_MAX};
use rally_service::clock;
use rally_units::{LoginId, UserId};
use serde::{Deserialize, Serialize};

use crate::socket::{Identity, TokenRefused, VerifyToken};

/// How long an access token is good.
pub const ACCESS_FOR: Duration = Duration::from_secs(15 * 60);
/// How long a refresh token is good.
pub const REFRESH_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How far the clocks of two edges may differ: a token is taken for so much longer.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Bytes of an Ed25519 key's seed.
pub const SEED_BYTES: usize = 32;

/// Who issues and who takes our tokens: both are the cluster.
const RALLY: &str = "rally";

/// Bytes of a public key's hash that name it.
const KID_BYTES: usize = 8;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Access,
    Refresh,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    typ: Kind,
    sub: UserId,
    name: String,
    guest: bool,
    /// Where one is signed in; absent in tokens of a version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<LoginId>,
    /// The number of a refresh token in its login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    /// Seconds since 1970, as is `exp`.
    iat: u64,
    exp: u64,
}

/// One token of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginToken {
    /// Where one is signed in.
    pub login: LoginId,
    /// Which of its tokens.
    pub generation: u32,
}

/// Whose access token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserInfo,
    /// Where the user is signed in, if the token says so.
    pub login: Option<LoginId>,
}

/// What signing in gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// For the API and for `hello`.
    pub access: String,
    /// For the next pair.
    pub refresh: String,
}

/// Why the signing keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("no signing key")]
    None,
    /// One is no seed of an Ed25519 key.
    #[error("a signing key is not a seed of {SEED_BYTES} bytes")]
    NotASeed,
}

/// A token could not be signed: a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a token")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

/// Issues tokens and verifies them.
pub struct Tokens {
    header: Header,
    sign: EncodingKey,
    /// By their names.
    verify: Vec<(String, DecodingKey)>,
    validation: Validation,
}

impl Tokens {
    /// With these seeds, the first of which signs.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new<'a>(seeds: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, KeyError> {
        let mut sign = None;
        let mut verify = Vec::new();
        for seed in seeds {
            let seed: &[u8; SEED_BYTES] = seed.try_into().map_err(|_| KeyError::NotASeed)?;
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::NotASeed)?;
            let public = pair.public_key().as_ref();
            let kid = name_of(public);
            verify.push((kid.clone(), DecodingKey::from_ed_der(public)));
            if sign.is_none() {
                let private = pair.to_pkcs8().map_err(|_| KeyError::NotASeed)?;
                sign = Some((kid, EncodingKey::from_ed_der(private.as_ref())));
            }
        }
        let (kid, sign) = sign.ok_or(KeyError::None)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY.as_secs();
        validation.set_issuer(&[RALLY]);
        validation.set_audience(&[RALLY]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(Self { header, sign, verify, validation })
    }

    /// Tokens for this user, who is signed in there.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn issue(&self, user: &UserInfo, token: LoginToken) -> Result<TokenPair, SignError> {
        self.issue_at(user, token, now_s())
    }

    /// The same, as if it were this second since 1970.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn issue_at(&self, user: &UserInfo, token: LoginToken, now_s: u64) -> Result<TokenPair, SignError> {
        Ok(TokenPair {
            access: self.sign(user, token, Kind::Access, now_s)?,
            refresh: self.sign(user, token, Kind::Refresh, now_s)?,
        })
    }

    fn sign(&self, user: &UserInfo, token: LoginToken, typ: Kind, now_s: u64) -> Result<String, SignError> {
        let (good_for, n) = match typ {
            Kind::Access => (ACCESS_FOR, None),
            Kind::Refresh => (REFRESH_FOR, Some(token.generation)),
        };
        let claims = Claims {
            iss: RALLY.into(),
            aud: RALLY.into(),
            typ,
            sub: user.id,
            name: user.name.clone(),
            guest: user.guest,
            sid: Some(token.login),
            n,
            iat: now_s,
            exp: now_s + good_for.as_secs(),
        };
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.sign)?)
    }

    /// Which refresh token this is, and whose. Whether it is the good one of its login, Postgres says.
    ///
    /// # Errors
    /// It is not ours, expired, or an access token.
    pub fn verify_refresh(&self, token: &str) -> Result<(UserId, LoginToken), TokenRefused> {
        let claims = self.claims(token, Kind::Refresh)?;
        match (claims.sid, claims.n) {
            (Some(login), Some(generation)) => Ok((claims.sub, LoginToken { login, generation })),
            _ => Err(TokenRefused::Invalid),
        }
    }

    /// Whose access token this is.
    ///
    /// # Errors
    /// It is not ours, expired, or a refresh token.
    pub fn verify_access(&self, token: &str) -> Result<Bearer, TokenRefused> {
        let claims = self.claims(token, Kind::Access)?;
        let user = UserInfo { id: claims.sub, name: claims.name, guest: claims.guest };
        Ok(Bearer { user, login: claims.sid })
    }

    fn claims(&self, token: &str, kind: Kind) -> Result<Claims, TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenRefused::Invalid)?;
        let (_, key) =
            self.verify.iter().find(|(kid, _)| Some(kid) == header.kid.as_ref()).ok_or(TokenRefused::Invalid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenRefused::Expired,
                _ => TokenRefused::Invalid,
            })?
            .claims;
        if claims.typ == kind { Ok(claims) } else { Err(TokenRefused::Invalid) }
    }
}

impl VerifyToken for Tokens {
    /// A connection may live on for the leeway too: the clock that refuses it may be the one that is wrong.
    fn verify(&self, token: &str) -> Result<Identity, TokenRefused> {
        let claims = self.claims(token, Kind::Access)?;
        let expires_in = Duration::from_secs((claims.exp + LEEWAY.as_secs()).saturating_sub(now_s()));
        let user = UserInfo { id: claims.sub, name: claims.name, guest: claims.guest };
        Ok(Identity { user, login: claims.sid, expires_in })
    }
}

fn now_s() -> u64 {
    clock::wall_ms() / 1_000
}

/// A public key's name in a token's header.
fn name_of(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, public).as_ref()[..KID_BYTES])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SEED: [u8; 32] = *b"a seed that is used in test only";
    const OTHER: [u8; 32] = *b"another one, for keys to be roll";

    fn tokens() -> Tokens {
        Tokens::new([&SEED[..]]).expect("a seed")
    }

    fn login() -> LoginToken {
        LoginToken { login: LoginId::from_bytes([5; 16]), generation: 3 }
    }

    fn user() -> UserInfo {
        UserInfo { id: UserId::from_bytes([7; 16]), name: "ada".into(), guest: true }
    }

    /// A token with this header and these claims, signed by `sign` or not at all.
    fn made(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn kid() -> String {
        tokens().header.kid.expect("a name")
    }

    fn claims() -> Value {
        let exp = now_s() + 600;
        json!({ "iss": "rally", "aud": "rally", "typ": "access", "sub": user().id, "name": "ada", "guest": true,
            "iat": now_s(), "exp": exp })
    }

    fn by_our_key(message: &[u8]) -> Vec<u8> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a seed");
        pair.sign(message).as_ref().to_vec()
    }

    fn verify(claims: &Value) -> Result<Identity, TokenRefused> {
        tokens().verify(&made(&json!({ "alg": "EdDSA", "kid": kid() }), claims, by_our_key))
    }

    #[test]
    fn a_token_says_whose_it_is_and_for_how_long() {
        let pair = tokens().issue(&user(), login()).expect("signed");
        let identity = tokens().verify(&pair.access).expect("good");
        assert_eq!(identity.user, user());
        let good_for = ACCESS_FOR + LEEWAY;
        assert!(identity.expires_in <= good_for && identity.expires_in > good_for - Duration::from_secs(5));
        assert_eq!(tokens().verify_refresh(&pair.refresh), Ok((user().id, login())));
        let bearer = tokens().verify_access(&pair.access).expect("good");
        assert_eq!(bearer, Bearer { user: user(), login: Some(login().login) });
        assert!(pair.refresh.len() < TOKEN_BYTES_MAX);
    }

    #[test]
    fn each_token_serves_its_own_purpose_only() {
        let pair = tokens().issue(&user(), login()).expect("signed");
        assert_eq!(tokens().verify(&pair.refresh), Err(TokenRefused::Invalid));
        assert_eq!(tokens().verify_refresh(&pair.access), Err(TokenRefused::Invalid));
    }

    #[test]
    fn a_token_expires_after_the_leeway() {
        let age = |s: u64| tokens().issue_at(&user(), login(), now_s() - s).expect("signed");
        let access_s = ACCESS_FOR.as_secs();
        assert!(tokens().verify(&age(access_s - 5).access).is_ok());
        let identity = tokens().verify(&age(access_s + 20).access).expect("within the leeway");
        assert!(identity.expires_in <= Duration::from_secs(10));
        assert_eq!(tokens().verify(&age(access_s + 31).access), Err(TokenRefused::Expired));
        assert_eq!(tokens().verify_refresh(&age(REFRESH_FOR.as_secs() + 31).refresh), Err(TokenRefused::Expired));
    }

    #[test]
    fn keys_can_be_rolled() {
        let old = tokens().issue(&user(), login()).expect("signed");
        let rolled = Tokens::new([&OTHER[..], &SEED[..]]).expect("seeds");
        assert!(rolled.verify(&old.access).is_ok());
        let new = rolled.issue(&user(), login()).expect("signed");
        assert!(rolled.verify(&new.access).is_ok());
        assert_eq!(tokens().verify(&new.access), Err(TokenRefused::Invalid));
    }

    #[test]
    fn forged_tokens_are_refused() {
        // By somebody else's key, under our key's name.
        let stranger = Ed25519KeyPair::from_seed_unchecked(&OTHER).expect("a seed");
        let by_stranger = |message: &[u8]| stranger.sign(message).as_ref().to_vec();
        let named = json!({ "alg": "EdDSA", "kid": kid() });
        assert_eq!(tokens().verify(&made(&named, &claims(), by_stranger)), Err(TokenRefused::Invalid));
        // Not signed at all.
        for alg in ["none", "None", "EdDSA"] {
            let header = json!({ "alg": alg, "kid": kid() });
            assert_eq!(tokens().verify(&made(&header, &claims(), |_| Vec::new())), Err(TokenRefused::Invalid), "{alg}");
        }
        // Signed with our public key, taken for a shared secret.
        let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a seed");
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(kid());
        let shared = EncodingKey::from_secret(pair.public_key().as_ref());
        let forged = jsonwebtoken::encode(&header, &claims(), &shared).expect("encoded");
        assert_eq!(tokens().verify(&forged), Err(TokenRefused::Invalid));
        // Ours, but changed.
        let good = tokens().issue(&user(), login()).expect("signed").access;
        let (head, rest) = good.split_once('.').expect("three parts");
        let (_, signature) = rest.split_once('.').expect("three parts");
        let mut changed = claims();
        changed["name"] = "eve".into();
        let changed = URL_SAFE_NO_PAD.encode(changed.to_string());
        assert_eq!(tokens().verify(&format!("{head}.{changed}.{signature}")), Err(TokenRefused::Invalid));
    }

    #[test]
    fn a_token_says_all_or_is_refused() {
        assert!(verify(&claims()).is_ok(), "what follows must fail for its own reason");
        for missing in ["iss", "aud", "typ", "sub", "name", "guest", "exp"] {
            let mut claims = claims();
            claims.as_object_mut().expect("an object").remove(missing);
            assert_eq!(verify(&claims), Err(TokenRefused::Invalid), "{missing}");
        }
        for (name, wrong) in
            [("iss", json!("other")), ("aud", json!("other")), ("typ", json!("admin")), ("sub", json!("me"))]
        {
            let mut claims = claims();
            claims[name] = wrong;
            assert_eq!(verify(&claims), Err(TokenRefused::Invalid), "{name}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        let unnamed = made(&json!({ "alg": "EdDSA" }), &claims(), by_our_key);
        for garbage in ["", ".", "..", "a.b.c", "e30.e30.", "\u{fffd}", &long, &unnamed] {
            assert_eq!(tokens().verify(garbage), Err(TokenRefused::Invalid), "{garbage:.40}");
        }
    }

    #[test]
    fn keys_are_seeds() {
        assert_eq!(Tokens::new([]).err(), Some(KeyError::None));
        assert_eq!(Tokens::new([&SEED[..31]]).err(), Some(KeyError::NotASeed));
        assert_eq!(Tokens::new([&[&SEED[..], &[0]].concat()[..]]).err(), Some(KeyError::NotASeed));
    }
}
