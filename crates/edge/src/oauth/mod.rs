//! Signing in by another site: OAuth 2 with a code and PKCE, and OpenID Connect where the site has it.
//!
//! A browser is sent there with a `state` that nobody guesses, and comes back with it and a code. What belongs to the
//! state lies in Redis, since it may come back to another edge; it is taken once, and counts only for the browser that
//! was sent, which a cookie tells. The code is exchanged by us, with the secret and the verifier that only we have.
//!
//! The crates for this bring a calendar, a second implementation of RSA and a client each; what is left of the flow when
//! tokens are verified by the crate that already verifies ours is this file.

mod config;
mod outbound;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use rally_service::entropy;
use rally_units::UserId;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

pub use config::{Endpoints, Site, SiteConfig, VARS, read};
use outbound::{Outbound, OutboundError};

/// How long somebody may take to sign in there.
pub(crate) const AWAY_FOR: Duration = Duration::from_secs(10 * 60);
/// Keys of a site are asked for again when one is missing, but not more often than this.
const KEYS_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// And after this in any case.
const KEYS_FOR: Duration = Duration::from_secs(60 * 60);
/// Characters of what a site calls somebody.
const SUBJECT_CHARS_MAX: usize = 255;
/// Characters of an address.
const EMAIL_CHARS_MAX: usize = 254;

/// What we keep while a browser is away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Away {
    pub(crate) site: String,
    nonce: String,
    verifier: String,
    /// What the browser's cookie hashes to.
    pub(crate) browser: String,
    /// Who was signed in when it left: that user is linked.
    pub(crate) user: Option<UserId>,
    /// Whether that one is an account, and proved to be its owner.
    #[serde(default)]
    pub(crate) proved: bool,
}

/// A browser that leaves.
pub(crate) struct Departure {
    /// Where it goes.
    pub(crate) url: String,
    /// The name under which `away` is kept.
    pub(crate) state: String,
    /// For its cookie.
    pub(crate) cookie: String,
    pub(crate) away: Away,
}

/// Somebody, as a site says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// For good.
    pub(crate) subject: String,
    /// What a name could be made of.
    pub(crate) name: String,
    /// One that the site has verified.
    pub(crate) email: Option<String>,
}

/// Why somebody is not who a site says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OauthError {
    /// It does not answer.
    #[error("the site does not answer: {0}")]
    Away(#[source] OutboundError),
    /// It refuses the code, or says what cannot be.
    #[error("{0}")]
    Refused(&'static str),
}

impl From<OutboundError> for OauthError {
    fn from(error: OutboundError) -> Self {
        match error {
            // A code that was used, made up or too old.
            OutboundError::Status(status) if status.is_client_error() => Self::Refused("the site refuses the code"),
            error => Self::Away(error),
        }
    }
}

/// All sites by which people may sign in.
pub struct Oauth {
    sites: Vec<SiteConfig>,
    /// What comes before the paths of callbacks.
    public_url: String,
    outbound: Outbound,
    /// The keys of each site, and since when they are known.
    keys: Mutex<HashMap<&'static str, (Instant, Arc<JwkSet>)>>,
}

impl Oauth {
    /// With these sites, which send browsers back to this URL.
    ///
    /// # Errors
    /// TLS cannot be had.
    pub fn new(sites: Vec<SiteConfig>, public_url: &str) -> Result<Self, rustls::Error> {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Ok(Self { sites, public_url, outbound: Outbound::new()?, keys: Mutex::default() })
    }

    /// Whether there is a site of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.site(name).is_some()
    }

    /// The sites.
    pub(crate) fn sites(&self) -> impl Iterator<Item = Site> {
        self.sites.iter().map(|site| site.site)
    }

    fn site(&self, name: &str) -> Option<&SiteConfig> {
        self.sites.iter().find(|site| site.site.as_str() == name)
    }

    fn callback(&self, site: Site) -> String {
        format!("{}/api/v1/auth/oauth/{}/callback", self.public_url, site.as_str())
    }

    /// Sends a browser to a site; `None`: there is no such site.
    pub(crate) fn depart(&self, name: &str, user: Option<UserId>, proved: bool) -> Option<Departure> {
        let config = self.site(name)?;
        let [state, nonce, verifier, cookie] = std::array::from_fn(|_| random_text());
        let mut url = Url::parse(&config.endpoints.authorize).ok()?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", &self.callback(config.site))
            .append_pair("scope", config.site.scope())
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &hashed(&verifier))
            .append_pair("code_challenge_method", "S256");
        let away = Away { site: config.site.as_str().into(), nonce, verifier, browser: hashed(&cookie), user, proved };
        Some(Departure { url: url.into(), state, cookie, away })
    }

    /// Who the browser that came back with this code is.
    pub(crate) async fn arrive(&self, away: &Away, code: &str) -> Result<Person, OauthError> {
        let config = self.site(&away.site).ok_or(OauthError::Refused("there is no such site any more"))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.callback(config.site))
            .append_pair("client_id", &config.client_id)
            .append_pair("client_secret", config.client_secret.expose_secret())
            .append_pair("code_verifier", &away.verifier)
            .finish();
        let request = Request::post(&config.endpoints.token)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))
            .map_err(|_| OauthError::Refused("the site has no such address"))?;
        let tokens = self.outbound.ask(request).await?;
        let token = |name: &str| tokens[name].as_str().map(str::to_owned);
        let person = if config.endpoints.issuer.is_empty() {
            // GitHub refuses with 200.
            let access = token("access_token").ok_or(OauthError::Refused("the site refuses the code"))?;
            self.read_person(config, &access).await?
        } else {
            let id = token("id_token").ok_or(OauthError::Refused("the site does not say who it is"))?;
            self.verify(config, &id, &away.nonce).await?
        };
        let fits = (1..=SUBJECT_CHARS_MAX).contains(&person.subject.chars().count());
        if fits { Ok(person) } else { Err(OauthError::Refused("the site does not say who it is")) }
    }

    /// Asks with a token of theirs.
    async fn get(&self, url: &str, access: Option<&str>) -> Result<Value, OauthError> {
        let mut request = Request::get(url);
        if let Some(access) = access {
            let mut bearer = HeaderValue::try_from(format!("Bearer {access}"))
                .map_err(|_| OauthError::Refused("the site's token is none"))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request =
            request.body(Full::<Bytes>::default()).map_err(|_| OauthError::Refused("the site has no such address"))?;
        Ok(self.outbound.ask(request).await?)
    }

    async fn read_person(&self, config: &SiteConfig, access: &str) -> Result<Person, OauthError> {
        let said = self.get(&config.endpoints.userinfo, Some(access)).await?;
        // Numbers at both sites that are asked so.
        let subject = match &said["id"] {
            Value::Number(id) => id.to_string(),
            Value::String(id) => id.clone(),
            _ => String::new(),
        };
        let name = said["login"].as_str().unwrap_or_default().to_owned();
        let email = if config.endpoints.emails.is_empty() {
            said["email"].as_str().and_then(address)
        } else {
            // The profile shows what one has chosen to show; which are verified is said apart. Not being told is fine.
            let all = self.get(&config.endpoints.emails, Some(access)).await.unwrap_or_default();
            let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
            let good = |one: &&Value| one["verified"] == true && one["primary"] == true;
            all.iter().find(good).and_then(|one| one["email"].as_str()).and_then(address)
        };
        Ok(Person { subject, name, email })
    }

    async fn verify(&self, config: &SiteConfig, token: &str, nonce: &str) -> Result<Person, OauthError> {
        #[derive(Deserialize)]
        struct Claims {
            sub: String,
            nonce: Option<String>,
            email: Option<String>,
            #[serde(default)]
            email_verified: bool,
            name: Option<String>,
        }
        const WRONG: OauthError = OauthError::Refused("what the site says does not verify");
        let header = jsonwebtoken::decode_header(token).map_err(|_| WRONG)?;
        // Never one that we could have made ourselves by what everybody knows.
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA | Algorithm::PS256) {
            return Err(WRONG);
        }
        let kid = header.kid.ok_or(WRONG)?;
        let keys = self.keys_with(config, &kid).await?;
        let key = keys.find(&kid).and_then(|jwk| DecodingKey::from_jwk(jwk).ok()).ok_or(WRONG)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = crate::auth::LEEWAY.as_secs();
        validation.set_issuer(&[&config.endpoints.issuer]);
        validation.set_audience(&[&config.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| WRONG)?.claims;
        if claims.nonce.as_deref() != Some(nonce) {
            return Err(OauthError::Refused("what the site says was said to somebody else"));
        }
        let email = claims.email.as_deref().filter(|_| claims.email_verified).and_then(address);
        let local = email.as_deref().and_then(|email| email.split('@').next());
        let name = claims.name.as_deref().or(local).unwrap_or_default().to_owned();
        Ok(Person { subject: claims.sub, name, email })
    }

    /// The site's keys, with the one of this name if it has it by now.
    async fn keys_with(&self, config: &SiteConfig, kid: &str) -> Result<Arc<JwkSet>, OauthError> {
        let site = config.site.as_str();
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(site).cloned();
        if let Some((since, keys)) = known {
            let age = since.elapsed();
            if (keys.find(kid).is_some() && age < KEYS_FOR) || age < KEYS_AGAIN_AFTER {
                return Ok(keys);
            }
        }
        let read = self.get(&config.endpoints.jwks, None).await?;
        let keys: JwkSet = serde_json::from_value(read).map_err(|_| OauthError::Refused("the site's keys are none"))?;
        let keys = Arc::new(keys);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(site, (Instant::now(), keys.clone()));
        Ok(keys)
    }
}

/// An address that we keep.
fn address(text: &str) -> Option<String> {
    let fits = text.len() <= EMAIL_CHARS_MAX && text.contains('@') && !text.chars().any(char::is_control);
    fits.then(|| text.to_ascii_lowercase())
}

/// 32 random bytes as text.
pub(crate) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(entropy::random_bytes::<32>())
}

/// SHA-256 as text: what is told of a secret.
pub(crate) fn hashed(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, secret.as_bytes()))
}

/// A name of ours that is like one of theirs: letters, digits and underscores, 3 to 20.
pub(crate) fn name_like(theirs: &str) -> String {
    let mut name: String = theirs
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect::<String>()
        .trim_matches('_')
        .chars()
        .take(20)
        .collect();
    while name.len() < 3 {
        name.push_str("_player");
    }
    name.truncate(20);
    name
}

/// The same for the case that it is taken.
pub(crate) fn another_name(name: &str) -> String {
    let short: String = name.chars().take(15).collect();
    format!("{short}_{:04}", entropy::random_u64() % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ours() {
        for (theirs, ours) in [
            ("octo-cat", "octo_cat"),
            ("Ada Lovelace", "Ada_Lovelace"),
            ("é", "_player"),
            ("", "_player"),
            ("ab", "ab_player"),
        ] {
            assert_eq!(name_like(theirs), ours);
        }
        assert_eq!(name_like(&"x".repeat(60)).len(), 20);
        for name in ["abc", &"x".repeat(20)] {
            let another = another_name(name);
            assert!(another.len() <= 20 && another != name, "{another}");
        }
    }
}
