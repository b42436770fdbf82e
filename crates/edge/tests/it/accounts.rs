//! Accounts over HTTP: every way in, every way out, and what is refused on the way.

use std::time::Duration;

use http::Method;
use rally_edge::passwords::PasswordConfig;
use rally_service::clock;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::support::{
    Cluster,
    site::{Answer, Bounds, Browser, Site, cheap_passwords},
};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const SESSIONS: &str = "/api/v1/auth/sessions";
const PASSWORD: &str = "/api/v1/auth/password";
const RECOVER: &str = "/api/v1/auth/recover";
const ENROL: &str = "/api/v1/auth/totp/enrol";
const CONFIRM: &str = "/api/v1/auth/totp/confirm";
const DISABLE: &str = "/api/v1/auth/totp/disable";
const ME: &str = "/api/v1/users/me";

const GOOD: &str = "correct horse battery staple";
const OTHER: &str = "six blue lamps on a boat";

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

async fn register(browser: &mut Browser, name: &str) -> Value {
    let answer = browser.post(REGISTER, &json!({ "username": name, "password": GOOD })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let signed_in = answer.json();
    browser.token = Some(text(&signed_in, "access_token").to_owned());
    signed_in
}

async fn login(browser: &Browser, name: &str, password: &str) -> Answer {
    browser.post(LOGIN, &json!({ "username": name, "password": password })).await
}

async fn refresh(browser: &Browser, token: &Value) -> Answer {
    browser.post(REFRESH, &json!({ "refresh_token": token })).await
}

/// What an authenticator shows.
pub(crate) struct Totp(totp_rs::Totp);

impl Totp {
    pub(crate) fn of(base32: &str) -> Self {
        let secret = Secret::try_from_base32(base32).unwrap();
        Self(Builder::new().with_secret(secret).with_account_name("ada").build().unwrap())
    }

    /// The code of the step that is so many after this one.
    pub(crate) fn at(&self, steps: i64) -> String {
        let now_s = clock::wall_ms() / 1_000;
        self.0.generate(now_s.saturating_add_signed(steps * 30)).to_string()
    }

    /// None of those that are good now or soon.
    pub(crate) fn wrong(&self) -> String {
        let good: Vec<_> = (-2..=2).map(|step| self.at(step)).collect();
        (0..).map(|n| format!("{n:06}")).find(|code| !good.contains(code)).unwrap()
    }
}

async fn site() -> (Cluster, Site) {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    (cluster, site)
}

#[tokio::test]
async fn who_registers_can_sign_in_again_at_any_edge() {
    let (cluster, site) = site().await;
    let elsewhere = cluster.site(Bounds::default()).await;
    let made = register(&mut site.browser(), "Ada_1815").await;
    assert_eq!((&made["user"]["name"], &made["user"]["guest"]), (&json!("Ada_1815"), &json!(false)));
    assert!(text(&made, "recovery_code").len() > 26);
    let answer = login(&elsewhere.browser(), "aDA_1815", GOOD).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, Some("no-store")));
    assert!(!answer.headers.contains_key("set-cookie"), "only who asks for it gets one");
    let signed_in = answer.json();
    assert_eq!(signed_in["user"], made["user"]);
    assert_eq!(signed_in["recovery_code"], Value::Null);
    let mut browser = site.browser();
    browser.token = Some(text(&signed_in, "access_token").to_owned());
    assert_eq!(browser.get(ME).await.json()["user"]["id"], made["user"]["id"]);
}

#[tokio::test]
async fn names_and_passwords_must_be_good() {
    let (_cluster, site) = site().await;
    let browser = site.browser();
    register(&mut site.browser(), "Grace").await;
    let post = async |name: &str, password: &str| {
        browser.post(REGISTER, &json!({ "username": name, "password": password })).await
    };
    post("gRACE", GOOD).await.problem(409, "username_taken");
    assert_eq!(post("a b", "short").await.fields(), ["username", "password"]);
    for weak in ["password1", "graciehopper", "aaaaaaaaaaaa", &"x7$Kq".repeat(60)] {
        assert_eq!(post("GracieHopper", weak).await.fields(), ["password"], "{weak}");
    }
    assert_eq!(browser.post(REGISTER, &json!({})).await.fields(), ["username", "password"]);
    let wrong = json!({ "username": "ada", "password": 5, "cookie": "yes" });
    assert_eq!(browser.post(REGISTER, &wrong).await.fields(), ["password", "cookie"]);
    browser.post("/api/v1/auth/guest", &json!({ "username": "grace" })).await.problem(409, "username_taken");
}

#[tokio::test]
async fn a_guest_becomes_an_account() {
    let (_cluster, site) = site().await;
    let mut browser = site.browser();
    let guest = browser.sign_in("visitor").await;
    let made = register(&mut browser, "Ada").await;
    assert_eq!(made["user"]["id"], guest["user"]["id"]);
    refresh(&browser, &guest["refresh_token"]).await.problem(401, "unauthenticated");
    // Not twice.
    let again = json!({ "username": "Ada2", "password": GOOD });
    browser.post(REGISTER, &again).await.problem(403, "forbidden");
    browser.token = Some(text(&guest, "access_token").to_owned());
    browser.post(REGISTER, &again).await.problem(401, "unauthenticated");
    browser.token = Some("garbage".into());
    browser.post(REGISTER, &again).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_are_answered_alike() {
    let cluster = Cluster::start().await;
    // Dear enough to be measured, and still far below what is usual.
    let passwords = PasswordConfig { memory_kib: 4 * 1024, passes: 8 };
    let site = cluster.site(Bounds { passwords, ..Bounds::default() }).await;
    let browser = site.browser();
    register(&mut site.browser(), "ada").await;
    let mut took = [Duration::MAX; 2];
    for _ in 0..4 {
        let mut said = Vec::new();
        for (n, name) in ["ada", "nobody"].into_iter().enumerate() {
            let started = std::time::Instant::now();
            let answer = login(&browser, name, OTHER).await;
            // The shortest of several says most: whatever else the machine did only adds.
            took[n] = took[n].min(started.elapsed());
            said.push(answer.problem(401, "unauthenticated"));
        }
        assert_eq!(said[0], said[1]);
    }
    let [known, unknown] = took;
    assert!(known < unknown * 2 && unknown < known * 2, "{took:?}");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_login() {
    let (_cluster, site) = site().await;
    let browser = site.browser();
    let first = register(&mut site.browser(), "ada").await["refresh_token"].clone();
    let elsewhere = login(&browser, "ada", GOOD).await.json()["refresh_token"].clone();
    let second = refresh(&browser, &first).await.json()["refresh_token"].clone();
    assert_ne!(first, second);
    refresh(&browser, &first).await.problem(401, "unauthenticated");
    refresh(&browser, &second).await.problem(401, "unauthenticated");
    assert_eq!(refresh(&browser, &elsewhere).await.status, 200, "another login goes on");
}

#[tokio::test]
async fn one_signs_out_here_there_and_everywhere() {
    let (_cluster, site) = site().await;
    let mut browser = site.browser();
    let here = register(&mut browser, "ada").await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(login(&browser, "ada", GOOD).await.json()["refresh_token"].clone());
    }
    let listed = browser.get(SESSIONS).await.json();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 5);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);

    // Another one, by its id; not somebody else's.
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("{SESSIONS}/{}", text(other, "id"));
    let mut eve = site.browser();
    register(&mut eve, "eve").await;
    eve.send(Method::DELETE, &path, axum::body::Body::empty()).await.problem(404, "not_found");
    assert_eq!(browser.send(Method::DELETE, &path, axum::body::Body::empty()).await.status, 204);
    browser.send(Method::DELETE, &path, axum::body::Body::empty()).await.problem(404, "not_found");
    let nonsense = format!("{SESSIONS}/nonsense");
    browser.send(Method::DELETE, &nonsense, axum::body::Body::empty()).await.problem(404, "not_found");
    assert_eq!(browser.get(SESSIONS).await.json()["sessions"].as_array().unwrap().len(), 4);

    // Here, by the access token, or by a refresh token alone.
    assert_eq!(browser.post(LOGOUT, &json!({})).await.status, 204);
    refresh(&browser, &here["refresh_token"]).await.problem(401, "unauthenticated");
    let last = refresh(&browser, &tokens.remove(0)).await.json();
    let anonymous = site.browser();
    assert_eq!(anonymous.post(LOGOUT, &json!({ "refresh_token": last["refresh_token"] })).await.status, 204);
    refresh(&browser, &last["refresh_token"]).await.problem(401, "unauthenticated");
    anonymous.post(LOGOUT, &json!({})).await.problem(401, "unauthenticated");

    let mut left = 0;
    for token in &tokens {
        left += usize::from(refresh(&browser, token).await.status == 200);
    }
    assert_eq!(left, 2, "one was ended by its id");
    // What has ended does nothing any more.
    browser.post(LOGOUT, &json!({ "everywhere": true })).await.problem(401, "unauthenticated");
    let again = login(&anonymous, "ada", GOOD).await.json();
    browser.token = Some(text(&again, "access_token").to_owned());
    assert_eq!(browser.get(SESSIONS).await.json()["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(browser.post(LOGOUT, &json!({ "everywhere": true })).await.status, 204);
    browser.get(SESSIONS).await.problem(401, "unauthenticated");
    refresh(&browser, &again["refresh_token"]).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn browsers_keep_the_token_where_scripts_and_other_sites_cannot_use_it() {
    let cluster = Cluster::start().await;
    let bounds = Bounds { public_url: Some("https://rally.example".into()), ..Bounds::default() };
    let site = cluster.site(bounds).await;
    let answer = site.browser().post(REGISTER, &json!({ "username": "ada", "password": GOOD, "cookie": true })).await;
    assert_eq!(answer.json()["refresh_token"], Value::Null);
    let set = answer.header("set-cookie").unwrap().to_owned();
    let (pair, attributes) = set.split_once(';').unwrap();
    assert!(pair.starts_with("__Secure-rally_refresh_test="), "{pair}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/api/v1/auth"] {
        assert!(attributes.contains(attribute), "{attribute} in {attributes}");
    }
    // Another site's page, and a page that does not say whose it is.
    let foreign = site.browser().saying("cookie", pair).saying("origin", "https://evil.example");
    foreign.post(REFRESH, &json!({})).await.problem(403, "forbidden");
    site.browser().saying("cookie", pair).post(REFRESH, &json!({})).await.problem(403, "forbidden");
    site.browser().post(REFRESH, &json!({})).await.problem(401, "unauthenticated");

    let own = site.browser().saying("cookie", pair).saying("origin", "https://rally.example");
    let answer = own.post(REFRESH, &json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["refresh_token"]), (200, &Value::Null));
    let (next, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
    assert_ne!(next, pair);
    let own = site.browser().saying("cookie", next).saying("origin", "https://rally.example");
    let answer = own.post(LOGOUT, &json!({})).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").unwrap().starts_with("__Secure-rally_refresh_test=; "));
    own.post(REFRESH, &json!({})).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_password_is_changed_by_its_owner() {
    let (_cluster, site) = site().await;
    let mut browser = site.browser();
    let ada = register(&mut browser, "ada").await;
    let elsewhere = login(&browser, "ada", GOOD).await.json();
    let change = async |password: &str, new: &str| {
        browser.post(PASSWORD, &json!({ "password": password, "new_password": new })).await
    };
    change(OTHER, OTHER).await.problem(401, "unauthenticated");
    assert_eq!(change(GOOD, "weak").await.fields(), ["new_password"]);
    assert_eq!(change(GOOD, OTHER).await.status, 204);
    refresh(&browser, &elsewhere["refresh_token"]).await.problem(401, "unauthenticated");
    assert_eq!(refresh(&browser, &ada["refresh_token"]).await.status, 200, "who changed it stays signed in");
    login(&browser, "ada", GOOD).await.problem(401, "unauthenticated");
    assert_eq!(login(&browser, "ada", OTHER).await.status, 200);
    let mut guest = site.browser();
    guest.sign_in("visitor").await;
    let body = json!({ "password": GOOD, "new_password": OTHER });
    guest.post(PASSWORD, &body).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_lost_password_is_replaced_by_the_recovery_code() {
    let (_cluster, site) = site().await;
    let mut browser = site.browser();
    let ada = register(&mut browser, "ada").await;
    let recover = async |name: &str, code: &str| {
        browser.post(RECOVER, &json!({ "username": name, "recovery_code": code, "new_password": OTHER })).await
    };
    let code = text(&ada, "recovery_code").to_lowercase();
    let wrong = recover("ada", "AAAAA-AAAAA").await.problem(401, "unauthenticated");
    assert_eq!(recover("nobody", &code).await.problem(401, "unauthenticated"), wrong);
    let recovered = recover("ada", &code).await;
    assert_eq!(recovered.status, 200, "{}", recovered.text());
    assert_ne!(recovered.json()["recovery_code"], ada["recovery_code"]);
    refresh(&browser, &ada["refresh_token"]).await.problem(401, "unauthenticated");
    recover("ada", &code).await.problem(401, "unauthenticated");
    assert_eq!(login(&browser, "ada", OTHER).await.status, 200);
    assert_eq!(browser.post(RECOVER, &json!({})).await.fields(), ["username", "recovery_code", "new_password"]);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let (_cluster, site) = site().await;
    let mut browser = site.browser();
    let ada = register(&mut browser, "ada").await;
    browser.post(ENROL, &json!({ "password": OTHER })).await.problem(401, "unauthenticated");
    let enrolled = browser.post(ENROL, &json!({ "password": GOOD })).await.json();
    assert!(text(&enrolled, "url").starts_with("otpauth://totp/"), "{enrolled}");
    let totp = Totp::of(text(&enrolled, "secret"));
    // Not in effect before the first code.
    assert_eq!(login(&browser, "ada", GOOD).await.status, 200);
    assert_eq!(browser.post(CONFIRM, &json!({ "code": totp.wrong() })).await.fields(), ["code"]);
    let confirmed = browser.post(CONFIRM, &json!({ "code": totp.at(-1) })).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    let papers = confirmed.json()["recovery_codes"].as_array().unwrap().clone();
    assert_eq!(papers.len(), 10);

    let with =
        async |code: &str| browser.post(LOGIN, &json!({ "username": "ada", "password": GOOD, "totp": code })).await;
    login(&browser, "ada", GOOD).await.problem(401, "totp_required");
    login(&browser, "ada", OTHER).await.problem(401, "unauthenticated");
    with(&totp.wrong()).await.problem(401, "unauthenticated");
    with(&totp.at(-1)).await.problem(401, "unauthenticated");
    let now = totp.at(0);
    assert_eq!(with(&now).await.status, 200);
    with(&now).await.problem(401, "unauthenticated");
    let paper = papers[0].as_str().unwrap();
    assert_eq!(with(&paper.to_lowercase()).await.status, 200);
    with(paper).await.problem(401, "unauthenticated");

    // A recovery code alone does not do either.
    let lost = json!({ "username": "ada", "recovery_code": ada["recovery_code"], "new_password": OTHER });
    browser.post(RECOVER, &lost).await.problem(401, "totp_required");
    browser.post(DISABLE, &json!({ "password": GOOD })).await.problem(401, "totp_required");
    browser.post(ENROL, &json!({ "password": GOOD, "totp": papers[1] })).await.problem(403, "forbidden");
    assert_eq!(browser.post(DISABLE, &json!({ "password": GOOD, "totp": papers[2] })).await.status, 204);
    assert_eq!(login(&browser, "ada", GOOD).await.status, 200);
}

#[tokio::test]
async fn guessing_is_slow_over_all_edges_together() {
    let (cluster, site) = site().await;
    let elsewhere = cluster.site(Bounds::default()).await;
    register(&mut site.browser(), "ada").await;
    let browsers = [site.browser(), elsewhere.browser_at([127, 0, 0, 9])];
    let mut refused = None;
    for n in 0..12 {
        let answer = login(&browsers[n % 2], "ada", OTHER).await;
        if answer.status == 429 {
            refused = Some((n, answer));
            break;
        }
        answer.problem(401, "unauthenticated");
    }
    let (n, answer) = refused.expect("a limit");
    assert_eq!(n, 10, "ten at once");
    answer.problem(429, "rate_limited");
    // The right password has to wait too, or the answer would tell that it is the right one.
    login(&browsers[0], "ada", GOOD).await.problem(429, "rate_limited");
    // Nobody else has to, and who succeeds is not counted.
    register(&mut site.browser(), "grace").await;
    for _ in 0..12 {
        assert_eq!(login(&browsers[1], "grace", GOOD).await.status, 200);
    }
}

#[tokio::test]
async fn a_storm_of_sign_ins_is_refused_and_not_queued_for_ever() {
    let cluster = Cluster::start().await;
    let passwords = PasswordConfig { memory_kib: 16 * 1024, passes: 20 };
    let site = cluster.site(Bounds { passwords, background: [1, 1], ..Bounds::default() }).await;
    let browser = site.browser();
    let names: Vec<String> = (0..6).map(|n| format!("nobody_{n}")).collect();
    let answers = futures_util::future::join_all(names.iter().map(|name| login(&browser, name, GOOD))).await;
    let full = answers.iter().filter(|answer| answer.status == 503).collect::<Vec<_>>();
    assert!(!full.is_empty() && full.len() < answers.len(), "{answers:?}");
    full[0].problem(503, "at_capacity");
}

#[tokio::test]
async fn without_redis_one_can_still_sign_in() {
    let (mut cluster, site) = site().await;
    register(&mut site.browser(), "ada").await;
    cluster.redis.stop().await;
    assert_eq!(login(&site.browser(), "ada", GOOD).await.status, 200);
    login(&site.browser(), "ada", OTHER).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn text_is_data() {
    let (_cluster, site) = site().await;
    let browser = site.browser();
    let bounds = cheap_passwords();
    assert!(bounds.memory_kib < 64, "or this takes long");
    for evil in ["' OR 1=1 --", "<script>alert(1)</script>", "$1; DROP TABLE users", "\u{202e}\u{0}"] {
        let answer = browser.post(LOGIN, &json!({ "username": evil, "password": evil, "totp": evil })).await;
        assert_eq!(answer.fields(), ["username"], "{evil}");
        login(&browser, "nobody", evil).await.problem(401, "unauthenticated");
        let body = json!({ "username": "nobody", "recovery_code": evil, "new_password": GOOD });
        browser.post(RECOVER, &body).await.problem(401, "unauthenticated");
        browser.post(REFRESH, &json!({ "refresh_token": evil })).await.problem(401, "unauthenticated");
    }
}
