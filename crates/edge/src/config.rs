//! What an operator may choose of an edge.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
};

use ipnet::IpNet;
use lettre::message::Mailbox;
use rally_service::env::{Env, HttpUrl, Key, Origin, Unit, Var};
use secrecy::ExposeSecret as _;

use crate::{
    address::Addresses,
    auth::SEED_BYTES,
    limits::{LimitsConfig, Rate},
    mail::MailConfig,
    oauth::{self, SiteConfig},
    passwords::PasswordConfig,
};

pub(crate) const HTTP_ADDR: Var =
    Var::new("RALLY_HTTP_ADDR", Unit::Address, "Where the page, the API and the WebSocket are.").or("0.0.0.0:8080");
const PUBLIC_URL: Var = Var::new(
    "RALLY_PUBLIC_URL",
    Unit::Url,
    "What browsers reach this edge by, such as https://eu-1.rally.example. Clients are told of it when another edge \
     ends. With https, browsers are told to use nothing else.",
);
const SIGNING_KEYS: Var = Var::secret(
    "RALLY_SIGNING_KEYS",
    Unit::Key,
    "Seeds of Ed25519 keys for access tokens, 32 bytes each, the same on all edges, separated by commas: the first \
     signs, all verify.",
);
const ALLOWED_ORIGINS: Var = Var::new(
    "RALLY_ALLOWED_ORIGINS",
    Unit::List("origins"),
    "Other origins whose pages may use the API and the WebSocket: those of the other edges, where each has its own.",
)
.or("");
const TRUSTED_PROXIES: Var =
    Var::new("RALLY_TRUSTED_PROXIES", Unit::List("ranges of addresses"), "Proxies whose X-Forwarded-For is believed.")
        .or("");
const LIMIT_EXEMPT: Var = Var::new(
    "RALLY_LIMIT_EXEMPT",
    Unit::List("ranges of addresses"),
    "Clients that limits by address do not count for: load generators.",
)
.or("");
const CONNECTIONS_MAX: Var = Var::new(
    "RALLY_CONNECTIONS_MAX",
    Unit::Count,
    "WebSockets of this edge at most. An eighth more connections are taken for plain HTTP.",
)
.or("10000");
const HANDSHAKES_PER_S: Var = Var::new(
    "RALLY_HANDSHAKES_PER_S",
    Unit::Count,
    "WebSocket handshakes of this edge a second; a quarter of them may come at once, others wait up to 4 s.",
)
.or("400");
const CONNECTIONS_PER_ADDRESS_MAX: Var = Var::new(
    "RALLY_CONNECTIONS_PER_ADDRESS_MAX",
    Unit::Count,
    "Connections of one address (IPv6: of one /64) at most. A school or an office may share one.",
)
.or("200");
const CONNECTIONS_PER_USER_MAX: Var =
    Var::new("RALLY_CONNECTIONS_PER_USER_MAX", Unit::Count, "WebSockets of one user on this edge at most.").or("10");
const AUTH_PER_MINUTE: Var =
    Var::new("RALLY_AUTH_PER_MINUTE", Unit::Count, "Sign-ins of one address a minute; as many may come at once.")
        .or("60");
const API_PER_MINUTE: Var = Var::new(
    "RALLY_API_PER_MINUTE",
    Unit::Count,
    "API requests of one address, and of one user, a minute; a quarter of them may come at once.",
)
.or("600");
const UPGRADES_PER_MINUTE: Var = Var::new(
    "RALLY_UPGRADES_PER_MINUTE",
    Unit::Count,
    "WebSocket handshakes of one address a minute; as many may come at once, since all come back when an edge ends.",
)
.or("240");
const PAGES_PER_MINUTE: Var = Var::new(
    "RALLY_PAGES_PER_MINUTE",
    Unit::Count,
    "Requests of one address for the page and its files a minute; a quarter of them may come at once.",
)
.or("6000");

const ARGON2_MEMORY_KIB: Var =
    Var::new("RALLY_ARGON2_MEMORY_KIB", Unit::Count, "Memory that hashing a password takes, in KiB.").or("19456");
const ARGON2_PASSES: Var =
    Var::new("RALLY_ARGON2_PASSES", Unit::Count, "Passes over that memory: the time grows with it.").or("2");
const BACKGROUND_THREADS: Var = Var::new(
    "RALLY_BACKGROUND_THREADS",
    Unit::Count,
    "Threads that hash passwords and draw pictures, of lower priority than the one that serves sockets.",
)
.or("2");
const BACKGROUND_QUEUE_MAX: Var = Var::new(
    "RALLY_BACKGROUND_QUEUE_MAX",
    Unit::Count,
    "Requests that wait for one of these threads at most; further ones are answered 503.",
)
.or("64");
const COOKIE_SUFFIX: Var = Var::new(
    "RALLY_COOKIE_SUFFIX",
    Unit::Text,
    "What the name of the refresh cookie ends with, such as _8080: letters, digits and underscores. Clusters that share \
     a host name need different ones, since cookies ignore ports.",
);

const SMTP_URL: Var = Var::secret(
    "RALLY_SMTP_URL",
    Unit::Url,
    "Where letters are handed in: smtps://NAME:PASSWORD@HOST, or smtp:// with ?tls=required (or without TLS, within a \
     network of one's own). Unset: no letters are written, and lost passwords are an operator's affair.",
);
const MAIL_FROM: Var = Var::new(
    "RALLY_MAIL_FROM",
    Unit::Text,
    "Whom letters are from, such as Rally <rally@rally.example>; goes with RALLY_SMTP_URL.",
);

/// An edge's own settings.
#[derive(Debug)]
pub struct EdgeConfig {
    /// Where it listens.
    pub http_addr: SocketAddr,
    /// What browsers reach it by.
    pub public_url: Option<String>,
    /// Seeds of the keys of access tokens.
    pub signing_keys: Vec<Key>,
    /// Other origins that may use it.
    pub allowed_origins: Vec<Origin>,
    /// Whose word on addresses is believed, and who is exempt from limits.
    pub addresses: Addresses,
    /// How much each may have.
    pub limits: LimitsConfig,
    /// What hashing a password costs.
    pub passwords: PasswordConfig,
    /// Threads for what takes long.
    pub background_threads: NonZeroUsize,
    /// How many requests may wait for them.
    pub background_queue_max: NonZeroUsize,
    /// What the name of the refresh cookie ends with.
    pub cookie_suffix: String,
    /// Other sites by which people sign in.
    pub sites: Vec<SiteConfig>,
    /// Where letters are handed in.
    pub mail: Option<MailConfig>,
}

impl EdgeConfig {
    /// Its variables.
    pub const VARS: &'static [Var] = &[
        HTTP_ADDR,
        PUBLIC_URL,
        SIGNING_KEYS,
        ALLOWED_ORIGINS,
        TRUSTED_PROXIES,
        LIMIT_EXEMPT,
        CONNECTIONS_MAX,
        HANDSHAKES_PER_S,
        CONNECTIONS_PER_ADDRESS_MAX,
        CONNECTIONS_PER_USER_MAX,
        AUTH_PER_MINUTE,
        API_PER_MINUTE,
        UPGRADES_PER_MINUTE,
        PAGES_PER_MINUTE,
        ARGON2_MEMORY_KIB,
        ARGON2_PASSES,
        BACKGROUND_THREADS,
        BACKGROUND_QUEUE_MAX,
        COOKIE_SUFFIX,
        SMTP_URL,
        MAIL_FROM,
    ];

    /// Reads it.
    pub fn read(env: &mut Env<'_>) -> Option<Self> {
        let http_addr = env.get(&HTTP_ADDR);
        let public_url = env.optional::<HttpUrl>(&PUBLIC_URL);
        let signing_keys = env.keys(&SIGNING_KEYS);
        let allowed_origins = env.get(&ALLOWED_ORIGINS);
        let trusted_proxies = env.get::<Vec<IpNet>>(&TRUSTED_PROXIES);
        let limit_exempt = env.get::<Vec<IpNet>>(&LIMIT_EXEMPT);
        let limits = read_limits(env);
        let passwords = read_passwords(env);
        let background_threads = env.get_in(&BACKGROUND_THREADS, 1..=64usize);
        let background_queue_max = env.get_in(&BACKGROUND_QUEUE_MAX, 1..=10_000usize);
        let cookie_suffix = env.optional::<String>(&COOKIE_SUFFIX);
        if let Some(Some(suffix)) = &cookie_suffix {
            let plain = suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            env.check(plain && suffix.len() <= 32, &COOKIE_SUFFIX, "is not up to 32 letters, digits and underscores");
        }
        let sites = oauth::read(env);
        let has_sites = sites.as_ref().is_some_and(|sites| !sites.is_empty());
        env.check(
            !has_sites || !matches!(public_url, Some(None)),
            &PUBLIC_URL,
            "must be set where people sign in by other sites",
        );
        let mail = read_mail(env);
        if let Some(keys) = &signing_keys {
            let seeds = keys.iter().all(|key| key.expose_secret().len() == SEED_BYTES);
            env.check(seeds, &SIGNING_KEYS, "has a key that is not 32 bytes long (`rally keys` makes one)");
        }
        Some(Self {
            http_addr: http_addr?,
            public_url: public_url?.map(|url| url.as_str().to_owned()),
            signing_keys: signing_keys?,
            allowed_origins: allowed_origins?,
            addresses: Addresses { trusted_proxies: trusted_proxies?, limit_exempt: limit_exempt? },
            limits: limits?,
            passwords: passwords?,
            background_threads: NonZeroUsize::new(background_threads?)?,
            background_queue_max: NonZeroUsize::new(background_queue_max?)?,
            cookie_suffix: cookie_suffix?.unwrap_or_default(),
            sites: sites?,
            mail: mail?,
        })
    }
}

fn read_mail(env: &mut Env<'_>) -> Option<Option<MailConfig>> {
    let url = env.optional_secret_url(&SMTP_URL, &["smtp", "smtps"]);
    let from = env.optional::<String>(&MAIL_FROM);
    let Some(url) = url? else { return Some(None) };
    let from = from?.unwrap_or_default().parse::<Mailbox>();
    env.check(from.is_ok(), &MAIL_FROM, "is not an address such as Rally <rally@rally.example>");
    Some(Some(MailConfig { url, from: from.ok()? }))
}

fn read_passwords(env: &mut Env<'_>) -> Option<PasswordConfig> {
    // Below 8 KiB there is no Argon2; beyond 1 GiB one sign-in would be an attack on ourselves.
    let memory_kib = env.get_in(&ARGON2_MEMORY_KIB, 8..=1_048_576u32);
    let passes = env.get_in(&ARGON2_PASSES, 1..=100u32);
    Some(PasswordConfig { memory_kib: memory_kib?, passes: passes? })
}

fn read_limits(env: &mut Env<'_>) -> Option<LimitsConfig> {
    let sockets_max = env.get_in(&CONNECTIONS_MAX, 1..=1_000_000usize);
    let handshakes_per_s = env.get_in(&HANDSHAKES_PER_S, 1..=1_000_000u32);
    let connections_per_address_max = env.get_in(&CONNECTIONS_PER_ADDRESS_MAX, 1..=1_000_000usize);
    let sockets_per_user_max = env.get_in(&CONNECTIONS_PER_USER_MAX, 1..=1_000_000usize);
    let mut rate = |var: &Var, burst_of: u32| {
        let per_minute = NonZeroU32::new(env.get_in(var, 1..=1_000_000u32)?)?;
        let burst = NonZeroU32::new(per_minute.get().div_ceil(burst_of))?;
        Some(Rate { per_minute, burst })
    };
    let auth = rate(&AUTH_PER_MINUTE, 1);
    let api = rate(&API_PER_MINUTE, 4);
    let upgrade = rate(&UPGRADES_PER_MINUTE, 1);
    let page = rate(&PAGES_PER_MINUTE, 4);
    Some(LimitsConfig {
        auth: auth?,
        api: api?,
        upgrade: upgrade?,
        page: page?,
        handshakes_per_s: handshakes_per_s?,
        sockets_max: sockets_max?,
        connections_per_address_max: connections_per_address_max?,
        sockets_per_user_max: sockets_per_user_max?,
    })
}

#[cfg(test)]
mod tests {
    use rally_service::env::MapEnv;

    use super::*;

    const KEY: &str = "mN3x7u0Jp1QWbVd9kS5cRzYhT2aLfGeXoIiC8vD4B6E=";

    fn read(vars: &[(&str, &str)]) -> Result<EdgeConfig, String> {
        let strings = MapEnv::new(vars.iter().copied());
        let mut env = Env::new(&strings);
        let config = EdgeConfig::read(&mut env);
        env.finish(config).map_err(|faults| faults.to_string())
    }

    #[test]
    fn keys_are_all_that_must_be_said() {
        let config = read(&[("RALLY_SIGNING_KEYS", KEY)]).expect("sound");
        assert_eq!(config.http_addr.port(), 8080);
        assert_eq!(config.public_url, None);
        assert!(config.allowed_origins.is_empty() && config.addresses.trusted_proxies.is_empty());
        assert_eq!(config.limits.sockets_max, 10_000);
        assert_eq!(config.limits.api.burst.get(), 150);
        assert_eq!((config.passwords, config.cookie_suffix.as_str()), (PasswordConfig::default(), ""));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = read(&[
            ("RALLY_HTTP_ADDR", "8080"),
            ("RALLY_PUBLIC_URL", "rally.example"),
            ("RALLY_ALLOWED_ORIGINS", "*"),
            ("RALLY_TRUSTED_PROXIES", "10.0.0.0/99"),
            ("RALLY_CONNECTIONS_MAX", "0"),
            ("RALLY_AUTH_PER_MINUTE", "many"),
            ("RALLY_ARGON2_MEMORY_KIB", "7"),
            ("RALLY_COOKIE_SUFFIX", "; Domain=evil"),
        ])
        .expect_err("faulty");
        for name in [
            "RALLY_HTTP_ADDR",
            "RALLY_PUBLIC_URL",
            "RALLY_SIGNING_KEYS",
            "RALLY_ALLOWED_ORIGINS",
            "RALLY_TRUSTED_PROXIES",
            "RALLY_CONNECTIONS_MAX",
            "RALLY_AUTH_PER_MINUTE",
            "RALLY_ARGON2_MEMORY_KIB",
            "RALLY_COOKIE_SUFFIX",
        ] {
            assert!(faults.contains(name), "{name} in {faults}");
        }
    }

    #[test]
    fn signing_keys_have_32_bytes() {
        let longer = format!("{KEY},{}", "mN3x7u0Jp1QWbVd9kS5cRzYhT2aLfGeXoIiC8vD4B6Hh");
        let faults = read(&[("RALLY_SIGNING_KEYS", &longer)]).expect_err("faulty");
        assert!(faults.contains("32 bytes"), "{faults}");
    }
}
