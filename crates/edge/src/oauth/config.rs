//! By which other sites people may sign in, and where those sites are.

use rally_service::env::{Env, Unit, Value, Var};
use secrecy::SecretString;

/// A site that we know how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// OAuth 2, with a call that says who it is.
    Github,
    /// The same, of the 42 schools.
    FortyTwo,
    /// OpenID Connect.
    Google,
}

/// Where a site is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where the browser goes.
    pub authorize: String,
    /// Where its code is exchanged.
    pub token: String,
    /// Where one reads who it is; of sites without OpenID Connect.
    pub userinfo: String,
    /// Where the addresses are, if elsewhere.
    pub emails: String,
    /// Who signs identity tokens; of sites with OpenID Connect.
    pub issuer: String,
    /// Where the keys of that are.
    pub jwks: String,
}

/// A site by which people may sign in.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// Which.
    pub site: Site,
    /// What it calls us.
    pub client_id: String,
    /// What proves that we are that.
    pub client_secret: SecretString,
    /// Where it is.
    pub endpoints: Endpoints,
}

impl Site {
    /// All that we know.
    pub const ALL: [Self; 3] = [Self::Github, Self::FortyTwo, Self::Google];

    /// Its name, in paths and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::FortyTwo => "42",
            Self::Google => "google",
        }
    }

    /// What people call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::FortyTwo => "42",
            Self::Google => "Google",
        }
    }

    /// What we ask to be told.
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Github => "read:user user:email",
            Self::FortyTwo => "public",
            Self::Google => "openid email profile",
        }
    }

    fn endpoints(self) -> Endpoints {
        let [authorize, token, userinfo, emails, issuer, jwks] = match self {
            Self::Github => [
                "https://github.com/login/oauth/authorize",
                "https://github.com/login/oauth/access_token",
                "https://api.github.com/user",
                "https://api.github.com/user/emails",
                "",
                "",
            ],
            Self::FortyTwo => [
                "https://api.intra.42.fr/oauth/authorize",
                "https://api.intra.42.fr/oauth/token",
                "https://api.intra.42.fr/v2/me",
                "",
                "",
                "",
            ],
            Self::Google => [
                "https://accounts.google.com/o/oauth2/v2/auth",
                "https://oauth2.googleapis.com/token",
                "",
                "",
                "https://accounts.google.com",
                "https://www.googleapis.com/oauth2/v3/certs",
            ],
        }
        .map(str::to_owned);
        Endpoints { authorize, token, userinfo, emails, issuer, jwks }
    }

    const fn vars(self) -> [&'static Var; 3] {
        match self {
            Self::Github => [&GITHUB_ID, &GITHUB_SECRET, &GITHUB_ENDPOINTS],
            Self::FortyTwo => [&FORTY_TWO_ID, &FORTY_TWO_SECRET, &FORTY_TWO_ENDPOINTS],
            Self::Google => [&GOOGLE_ID, &GOOGLE_SECRET, &GOOGLE_ENDPOINTS],
        }
    }
}

const ENDPOINTS: &str =
    "Where that site is asked, if elsewhere: NAME=URL of authorize, token, userinfo, emails, issuer, jwks.";
const ENDPOINTS_UNIT: Unit = Unit::List("NAME=URL");
const GITHUB_ID: Var = Var::new(
    "RALLY_OAUTH_GITHUB_CLIENT_ID",
    Unit::Text,
    "What GitHub calls this cluster; unset: nobody signs in by it. Its callback is RALLY_PUBLIC_URL followed by \
     /api/v1/auth/oauth/github/callback.",
);
const GITHUB_SECRET: Var =
    Var::secret("RALLY_OAUTH_GITHUB_CLIENT_SECRET", Unit::Text, "What proves to GitHub that we are that.");
const GITHUB_ENDPOINTS: Var = Var::new("RALLY_OAUTH_GITHUB_ENDPOINTS", ENDPOINTS_UNIT, ENDPOINTS);
const FORTY_TWO_ID: Var = Var::new(
    "RALLY_OAUTH_42_CLIENT_ID",
    Unit::Text,
    "What 42 calls this cluster; unset: nobody signs in by it. Callback: /api/v1/auth/oauth/42/callback.",
);
const FORTY_TWO_SECRET: Var =
    Var::secret("RALLY_OAUTH_42_CLIENT_SECRET", Unit::Text, "What proves to 42 that we are that.");
const FORTY_TWO_ENDPOINTS: Var = Var::new("RALLY_OAUTH_42_ENDPOINTS", ENDPOINTS_UNIT, ENDPOINTS);
const GOOGLE_ID: Var = Var::new(
    "RALLY_OAUTH_GOOGLE_CLIENT_ID",
    Unit::Text,
    "What Google calls this cluster; unset: nobody signs in by it. Callback: /api/v1/auth/oauth/google/callback.",
);
const GOOGLE_SECRET: Var =
    Var::secret("RALLY_OAUTH_GOOGLE_CLIENT_SECRET", Unit::Text, "What proves to Google that we are that.");
const GOOGLE_ENDPOINTS: Var = Var::new("RALLY_OAUTH_GOOGLE_ENDPOINTS", ENDPOINTS_UNIT, ENDPOINTS);

/// The variables.
pub const VARS: &[Var] = &[
    GITHUB_ID,
    GITHUB_SECRET,
    GITHUB_ENDPOINTS,
    FORTY_TWO_ID,
    FORTY_TWO_SECRET,
    FORTY_TWO_ENDPOINTS,
    GOOGLE_ID,
    GOOGLE_SECRET,
    GOOGLE_ENDPOINTS,
];

/// Reads which sites there are.
pub fn read(env: &mut Env<'_>) -> Option<Vec<SiteConfig>> {
    let mut sites = Some(Vec::new());
    for site in Site::ALL {
        let read = read_site(env, site);
        sites = match (sites, read) {
            (Some(mut sites), Some(read)) => {
                sites.extend(read);
                Some(sites)
            }
            _ => None,
        };
    }
    sites
}

fn read_site(env: &mut Env<'_>, site: Site) -> Option<Option<SiteConfig>> {
    let [id, secret, endpoints] = site.vars();
    let client_id = env.optional::<String>(id);
    let changes = env.optional::<Vec<Change>>(endpoints);
    let Some(client_id) = client_id? else { return Some(None) };
    let client_secret = env.secret(secret);
    let mut endpoints = site.endpoints();
    for Change { name, url } in changes?.unwrap_or_default() {
        let place = match name {
            Name::Authorize => &mut endpoints.authorize,
            Name::Token => &mut endpoints.token,
            Name::Userinfo => &mut endpoints.userinfo,
            Name::Emails => &mut endpoints.emails,
            Name::Issuer => &mut endpoints.issuer,
            Name::Jwks => &mut endpoints.jwks,
        };
        *place = url;
    }
    Some(Some(SiteConfig { site, client_id, client_secret: client_secret?, endpoints }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Authorize,
    Token,
    Userinfo,
    Emails,
    Issuer,
    Jwks,
}

/// `NAME=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    name: Name,
    url: String,
}

impl Value for Change {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        let expected = || "is not NAME=URL".to_owned();
        let (name, url) = text.split_once('=').ok_or_else(expected)?;
        let name = match name {
            "authorize" => Name::Authorize,
            "token" => Name::Token,
            "userinfo" => Name::Userinfo,
            "emails" => Name::Emails,
            "issuer" => Name::Issuer,
            "jwks" => Name::Jwks,
            _ => return Err(expected()),
        };
        let is_http = url.starts_with("https://") || url.starts_with("http://");
        if is_http && url.parse::<http::Uri>().is_ok() {
            Ok(Self { name, url: url.to_owned() })
        } else {
            Err(expected())
        }
    }
}
