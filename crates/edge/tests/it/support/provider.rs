//! Another site by which people sign in: OAuth 2 with PKCE and OpenID Connect, as strict as the real ones, and on demand
//! as wrong as one can be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rally_edge::oauth::{Endpoints, Site, SiteConfig};
use rally_service::{clock, entropy};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

const CLIENT_ID: &str = "rally-at-a-test";
const CLIENT_SECRET: &str = "what only rally and the site know";
const SEED: [u8; 32] = *b"the seed that the site signs by.";
const STRANGER: [u8; 32] = *b"the seed of somebody who is not.";

/// Somebody who has an account there.
#[derive(Clone, Debug)]
pub(crate) struct Someone {
    pub(crate) id: u64,
    pub(crate) login: &'static str,
    pub(crate) email: Option<&'static str>,
}

/// What is wrong with its next tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wrong {
    #[default]
    Nothing,
    Nonce,
    Audience,
    Issuer,
    Key,
    Expired,
}

#[derive(Default)]
struct Kept {
    /// By code: who, and what the browser came with.
    codes: HashMap<String, (Someone, HashMap<String, String>)>,
    /// By access token.
    tokens: HashMap<String, Someone>,
    wrong: Wrong,
}

#[derive(Clone)]
pub(crate) struct Provider {
    base: String,
    kept: Arc<Mutex<Kept>>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self { base, kept: Arc::default() };
        let routes = Router::new()
            .route("/token", post(token))
            .route("/user", get(user))
            .route("/emails", get(emails))
            .route("/jwks", get(jwks))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        provider
    }

    /// As an edge is told of it.
    pub(crate) fn as_site(&self, site: Site) -> SiteConfig {
        let at = |path: &str| format!("{}/{path}", self.base);
        let is_oidc = site == Site::Google;
        let only = |here: bool, path: &str| if here { at(path) } else { String::new() };
        SiteConfig {
            site,
            client_id: CLIENT_ID.into(),
            client_secret: CLIENT_SECRET.to_owned().into(),
            endpoints: Endpoints {
                authorize: at("authorize"),
                token: at("token"),
                userinfo: only(!is_oidc, "user"),
                emails: only(site == Site::Github, "emails"),
                issuer: if is_oidc { self.base.clone() } else { String::new() },
                jwks: only(is_oidc, "jwks"),
            },
        }
    }

    pub(crate) fn is_wrong_about(&self, wrong: Wrong) {
        self.kept.lock().unwrap().wrong = wrong;
    }

    /// Somebody whose browser was sent to this address agrees; where it is sent back to, below the edge.
    pub(crate) fn agrees(&self, someone: &Someone, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        assert_eq!(format!("{}/authorize", self.base), url.as_str().split('?').next().unwrap());
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT_ID);
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = URL_SAFE_NO_PAD.encode(entropy::random_bytes::<16>());
        let back = Url::parse(&asked["redirect_uri"]).unwrap();
        let back = format!("{}?code={code}&state={}", back.path(), asked["state"]);
        self.kept.lock().unwrap().codes.insert(code, (someone.clone(), asked));
        back
    }

    fn id_token(&self, someone: &Someone, nonce: &str, wrong: Wrong) -> String {
        let seed = if wrong == Wrong::Key { &STRANGER } else { &SEED };
        let key = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("first".into());
        let now_s = clock::wall_ms() / 1_000;
        let pick = |about: Wrong, right: &str| if wrong == about { "another".to_owned() } else { right.to_owned() };
        let mut claims = json!({
            "iss": pick(Wrong::Issuer, &self.base),
            "aud": pick(Wrong::Audience, CLIENT_ID),
            "sub": someone.id.to_string(),
            "nonce": pick(Wrong::Nonce, nonce),
            "name": someone.login,
            "iat": now_s,
            "exp": if wrong == Wrong::Expired { now_s - 3_600 } else { now_s + 60 },
        });
        if let Some(email) = someone.email {
            claims["email"] = email.into();
            claims["email_verified"] = true.into();
        }
        let private = key.to_pkcs8().unwrap();
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(private.as_ref())).unwrap()
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<Someone, StatusCode> {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        self.kept.lock().unwrap().tokens.get(token).cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

async fn token(State(provider): State<Provider>, form: String) -> Result<Json<Value>, StatusCode> {
    let form: HashMap<String, String> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let refuse = StatusCode::BAD_REQUEST;
    if form["client_id"] != CLIENT_ID || form["client_secret"] != CLIENT_SECRET {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (known, wrong) = {
        let mut kept = provider.kept.lock().unwrap();
        (kept.codes.remove(&form["code"]), kept.wrong)
    };
    let (someone, asked) = known.ok_or(refuse)?;
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, form["code_verifier"].as_bytes()));
    if challenge != asked["code_challenge"]
        || form["redirect_uri"] != asked["redirect_uri"]
        || form["grant_type"] != "authorization_code"
    {
        return Err(refuse);
    }
    let access = URL_SAFE_NO_PAD.encode(entropy::random_bytes::<16>());
    let id_token = provider.id_token(&someone, &asked["nonce"], wrong);
    provider.kept.lock().unwrap().tokens.insert(access.clone(), someone);
    Ok(Json(json!({ "access_token": access, "token_type": "bearer", "id_token": id_token })))
}

async fn user(State(provider): State<Provider>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let someone = provider.bearer(&headers)?;
    Ok(Json(json!({ "id": someone.id, "login": someone.login, "email": null })))
}

async fn emails(State(provider): State<Provider>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let someone = provider.bearer(&headers)?;
    let other = json!({ "email": "old@rally.test", "primary": false, "verified": true });
    let own = someone.email.map(|email| json!({ "email": email, "primary": true, "verified": true }));
    Ok(Json(own.into_iter().chain([other]).collect()))
}

async fn jwks() -> Json<Value> {
    let key = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "first", "x": x }] }))
}
