//! Signing in by another site, at one that does what the real ones do.

use http::Method;
use rally_edge::oauth::Site as Elsewhere;
use serde_json::{Value, json};

use crate::accounts::Totp;
use crate::support::{
    Cluster,
    provider::{Provider, Someone, Wrong},
    site::{Answer, Bounds, Browser, Site},
};

const PUBLIC: &str = "https://rally.example";
const CONFIRM: &str = "/api/v1/auth/oauth/confirm";
const OWN: &str = "/api/v1/users/me/account";
const GOOD: &str = "correct horse battery staple";
const REFRESH: &str = "/api/v1/auth/refresh";
const OCTO: Someone = Someone { id: 583_231, login: "octo-cat", email: Some("Octo@Rally.test") };

struct Scene {
    cluster: Cluster,
    site: Site,
    provider: Provider,
}

async fn scene() -> Scene {
    let cluster = Cluster::start().await;
    let provider = Provider::start().await;
    let sites = [Elsewhere::Github, Elsewhere::FortyTwo, Elsewhere::Google].map(|site| provider.as_site(site));
    let bounds = Bounds { public_url: Some(PUBLIC.into()), sites: sites.to_vec(), ..Bounds::default() };
    let site = cluster.site(bounds).await;
    Scene { cluster, site, provider }
}

/// The cookie of this name that an answer sets, as it is sent back.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap());
    let mut pairs = all.filter_map(|set| set.split(';').next());
    pairs.find(|pair| pair.starts_with(&format!("__Secure-{name}_test="))).map(str::to_owned)
}

/// A browser that was sent to the site, and the address that it was sent to.
struct Sent {
    cookie: String,
    url: String,
}

impl Scene {
    async fn leaves(&self, by: &str) -> Sent {
        let answer = self.site.browser().get(&format!("/api/v1/auth/oauth/{by}/start")).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        Sent { cookie: cookie(&answer, "rally_away").unwrap(), url: answer.header("location").unwrap().to_owned() }
    }

    /// The same from a page on which somebody is signed in.
    async fn leaves_as(&self, browser: &Browser, by: &str) -> Sent {
        let answer = browser.post(&format!("/api/v1/auth/oauth/{by}/start"), &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        Sent { cookie: cookie(&answer, "rally_away").unwrap(), url }
    }

    async fn returns(&self, sent: &Sent, to: &str) -> Answer {
        self.site.browser().saying("cookie", &sent.cookie).get(to).await
    }

    /// All the way; whom the browser's cookie speaks for afterwards.
    async fn signs_in(&self, by: &str, someone: &Someone) -> Value {
        let sent = self.leaves(by).await;
        self.arrives(by, &sent, someone).await
    }

    async fn arrives(&self, by: &str, sent: &Sent, someone: &Someone) -> Value {
        let answer = self.returns(sent, &self.provider.agrees(someone, &sent.url)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some(&*format!("/account?by={by}"))));
        assert_eq!(cookie(&answer, "rally_away").as_deref(), Some("__Secure-rally_away_test="), "it is forgotten");
        let kept = cookie(&answer, "rally_refresh").unwrap();
        let page = self.site.browser().saying("cookie", &kept).saying("origin", PUBLIC);
        let answer = page.post(REFRESH, &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The last step of who has a second factor, in a browser with this cookie.
    async fn confirms(&self, cookie: &str, code: &str) -> Answer {
        let page = self.site.browser().saying("cookie", cookie).saying("origin", PUBLIC);
        page.post(CONFIRM, &json!({ "code": code })).await
    }

    async fn signed_in(&self, answer: &Value) -> Browser {
        let mut browser = self.site.browser();
        browser.token = Some(answer["access_token"].as_str().unwrap().to_owned());
        browser
    }
}

fn failed(answer: &Answer, code: &str) {
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("location"), Some(&*format!("/account?failed={code}")));
    assert_eq!(cookie(answer, "rally_refresh"), None);
}

#[tokio::test]
async fn who_comes_back_has_an_account_and_keeps_it() {
    let scene = scene().await;
    let listed = scene.site.browser().get("/api/v1/auth/oauth").await.json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|site| site["name"].clone()).collect();
    assert_eq!(names, ["github", "42", "google"]);
    for by in ["github", "42", "google"] {
        let first = scene.signs_in(by, &OCTO).await;
        assert_eq!(first["user"]["guest"], false);
        assert_eq!(scene.signs_in(by, &OCTO).await["user"], first["user"], "{by}");
    }
    // The same number at three sites is three people: numbers mean something only where they are from.
    let names = ["github", "42", "google"];
    let mut ids = Vec::new();
    for by in names {
        ids.push(scene.signs_in(by, &OCTO).await["user"]["id"].to_string());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    scene.site.browser().get("/api/v1/auth/oauth/elsewhere/start").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_name_that_is_taken_gets_a_number_and_an_address_may_be_missing() {
    let scene = scene().await;
    let silent = Someone { id: 7, login: "octo-cat", email: None };
    assert_eq!(scene.signs_in("github", &OCTO).await["user"]["name"], "octo_cat");
    for by in ["github", "google"] {
        let named = scene.signs_in(by, &silent).await["user"]["name"].as_str().unwrap().to_owned();
        assert!(named.starts_with("octo_cat_") && named.len() == 13, "{named}");
    }
}

#[tokio::test]
async fn only_the_browser_that_was_sent_may_come_back_and_once() {
    let scene = scene().await;
    let sent = scene.leaves("github").await;
    let back = scene.provider.agrees(&OCTO, &sent.url);
    let other = scene.leaves("github").await;

    // Somebody else's browser: led here by one who wants the victim to play as them.
    failed(&scene.site.browser().get(&back).await, "unauthenticated");
    let again = scene.leaves("github").await;
    let back = scene.provider.agrees(&OCTO, &again.url);
    failed(&scene.returns(&other, &back).await, "unauthenticated");
    // A state that nobody was given, and one that was given for another site.
    let again = scene.leaves("github").await;
    let back = scene.provider.agrees(&OCTO, &again.url);
    let (code, _) = back.split_once("&state=").unwrap();
    failed(&scene.returns(&again, &format!("{code}&state=made-up")).await, "unauthenticated");
    failed(&scene.returns(&again, &back.replace("github", "42")).await, "unauthenticated");

    // What has served does not serve again: neither the state, nor the code with another one.
    let sent = scene.leaves("github").await;
    let back = scene.provider.agrees(&OCTO, &sent.url);
    assert_eq!(scene.returns(&sent, &back).await.header("location"), Some("/account?by=github"));
    failed(&scene.returns(&sent, &back).await, "unauthenticated");
    let (code, _) = back.split_once("&state=").unwrap();
    let fresh = scene.leaves("github").await;
    let state = scene.provider.agrees(&OCTO, &fresh.url);
    let (_, state) = state.split_once("&state=").unwrap();
    failed(&scene.returns(&fresh, &format!("{code}&state={state}")).await, "unauthenticated");

    // Who says no there.
    let sent = scene.leaves("github").await;
    let back = scene.provider.agrees(&OCTO, &sent.url);
    let (path, _) = back.split_once("?code=").unwrap();
    let (_, state) = back.split_once("&state=").unwrap();
    failed(&scene.returns(&sent, &format!("{path}?error=access_denied&state={state}")).await, "forbidden");
    assert_eq!(scene.site.browser().get(path).await.fields(), ["state"]);
}

#[tokio::test]
async fn what_does_not_verify_is_nobody() {
    let scene = scene().await;
    for wrong in [Wrong::Nonce, Wrong::Audience, Wrong::Issuer, Wrong::Key, Wrong::Expired] {
        scene.provider.is_wrong_about(wrong);
        let sent = scene.leaves("google").await;
        let answer = scene.returns(&sent, &scene.provider.agrees(&OCTO, &sent.url)).await;
        assert_eq!(answer.header("location"), Some("/account?failed=unauthenticated"), "{wrong:?}");
    }
    scene.provider.is_wrong_about(Wrong::Nothing);
    assert_eq!(scene.signs_in("google", &OCTO).await["user"]["name"], "octo_cat");
}

#[tokio::test]
async fn a_guest_keeps_its_history_and_an_account_gets_another_way_in() {
    let scene = scene().await;
    let mut guest = scene.site.browser();
    let visitor = guest.sign_in("visitor").await;
    let sent = scene.leaves_as(&guest, "github").await;
    let made = scene.arrives("github", &sent, &OCTO).await;
    assert_eq!((&made["user"]["id"], &made["user"]["name"]), (&visitor["user"]["id"], &json!("octo_cat")));
    guest.get("/api/v1/users/me").await.problem(401, "unauthenticated");

    // An account adds a site; the site then leads to it.
    let octo = scene.signed_in(&made).await;
    let sent = scene.leaves_as(&octo, "42").await;
    let ada = Someone { id: 42, login: "ada", email: None };
    assert_eq!(scene.arrives("42", &sent, &ada).await["user"], made["user"]);
    assert_eq!(scene.signs_in("42", &ada).await["user"], made["user"]);
    // Not somebody else's identity, nor a second one of the same site.
    let grace = scene.signed_in(&scene.signs_in("google", &ada).await).await;
    let sent = scene.leaves_as(&grace, "42").await;
    failed(&scene.returns(&sent, &scene.provider.agrees(&ada, &sent.url)).await, "forbidden");
    let sent = scene.leaves_as(&octo, "42").await;
    let other = Someone { id: 43, ..ada.clone() };
    failed(&scene.returns(&sent, &scene.provider.agrees(&other, &sent.url)).await, "forbidden");

    // Without a password, a sign-in that is new proves who one is; no password fits.
    let login = json!({ "username": "octo_cat", "password": "correct horse battery staple" });
    scene.site.browser().post("/api/v1/auth/login", &login).await.problem(401, "unauthenticated");
    let change = json!({ "password": "none", "new_password": "correct horse battery staple" });
    assert_eq!(octo.post("/api/v1/auth/password", &change).await.status, 204);
    assert_eq!(scene.site.browser().post("/api/v1/auth/login", &login).await.status, 200);
    assert_eq!(
        scene
            .cluster
            .store
            .identities(serde_json::from_value(made["user"]["id"].clone()).unwrap())
            .await
            .unwrap()
            .len(),
        2
    );
}

async fn unlink(browser: &Browser, by: &str, proof: Value) -> Answer {
    let json = Some(("content-type", "application/json"));
    browser.send_with(Method::DELETE, &format!("/api/v1/auth/oauth/{by}"), json, proof.to_string().into()).await
}

#[tokio::test]
async fn a_second_factor_is_asked_for_also_when_another_site_vouches() {
    let scene = scene().await;
    let octo = scene.signed_in(&scene.signs_in("github", &OCTO).await).await;
    let enrolled = octo.post("/api/v1/auth/totp/enrol", &json!({ "password": "none" })).await.json();
    let totp = Totp::of(enrolled["secret"].as_str().unwrap());
    let confirmed = octo.post("/api/v1/auth/totp/confirm", &json!({ "code": totp.at(-1) })).await.json();
    let papers = confirmed["recovery_codes"].as_array().unwrap().clone();
    let paper = |n: usize| papers[n].as_str().unwrap().to_owned();

    let sent = scene.leaves("github").await;
    let answer = scene.returns(&sent, &scene.provider.agrees(&OCTO, &sent.url)).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/account?code_for=github")));
    assert_eq!(cookie(&answer, "rally_refresh"), None, "not signed in yet");
    let ticket = cookie(&answer, "rally_away").unwrap();
    // A code of nobody, of a browser that was not there, from a page that is not ours.
    scene.confirms(&ticket, &totp.wrong()).await.problem(401, "unauthenticated");
    scene.confirms("__Secure-rally_away_test=made-up", &paper(0)).await.problem(401, "unauthenticated");
    scene.confirms(&sent.cookie, &paper(0)).await.problem(401, "unauthenticated");
    let elsewhere = scene.site.browser().saying("cookie", &ticket).saying("origin", "https://evil.example");
    assert_eq!(elsewhere.post(CONFIRM, &json!({ "code": paper(0) })).await.status, 403);
    let silent = scene.site.browser().saying("cookie", &ticket);
    silent.post(CONFIRM, &json!({ "code": paper(0) })).await.problem(403, "forbidden");
    // The right one, once.
    let answer = scene.confirms(&ticket, &paper(0)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["user"]["name"]), (200, &json!("octo_cat")));
    assert!(cookie(&answer, "rally_refresh").is_some() && answer.json()["refresh_token"].is_null());
    scene.confirms(&ticket, &paper(1)).await.problem(401, "unauthenticated");

    // Nor does a new sign-in stand in for it: only both take it away.
    octo.post("/api/v1/auth/totp/disable", &json!({ "password": "none" })).await.problem(401, "totp_required");
    let both = json!({ "password": "none", "totp": paper(2) });
    assert_eq!(octo.post("/api/v1/auth/totp/disable", &both).await.status, 204);
    assert_eq!(scene.signs_in("github", &OCTO).await["user"]["name"], "octo_cat");
}

#[tokio::test]
async fn an_account_adds_a_site_by_its_password_and_takes_it_away_again() {
    let scene = scene().await;
    let mut ada = scene.site.browser();
    let made = ada.post("/api/v1/auth/register", &json!({ "username": "Ada", "password": GOOD })).await.json();
    ada.token = made["access_token"].as_str().map(str::to_owned);
    let start = "/api/v1/auth/oauth/github/start";
    // Whoever has found a token does not have a way in for good.
    assert_eq!(ada.post(start, &json!({})).await.fields(), ["password"]);
    ada.post(start, &json!({ "password": "six blue lamps" })).await.problem(401, "unauthenticated");
    let answer = ada.post(start, &json!({ "password": GOOD })).await;
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    let sent = Sent { cookie: cookie(&answer, "rally_away").unwrap(), url };
    assert_eq!(scene.arrives("github", &sent, &OCTO).await["user"], made["user"]);

    let own = ada.get(OWN).await.json();
    assert_eq!((&own["has_password"], &own["has_totp"], &own["email"]), (&json!(true), &json!(false), &json!(null)));
    let linked = &own["linked"][0];
    assert_eq!((&linked["name"], &linked["label"]), (&json!("github"), &json!("GitHub")));
    assert_eq!(linked["email"], "octo@rally.test");

    // All logins that may have come by it end with it, but for the one that asks.
    let by_site = scene.signed_in(&scene.signs_in("github", &OCTO).await).await;
    assert_eq!(unlink(&ada, "github", json!({})).await.fields(), ["password"]);
    unlink(&ada, "google", json!({ "password": GOOD })).await.problem(404, "not_found");
    assert_eq!(unlink(&ada, "github", json!({ "password": GOOD })).await.status, 204);
    by_site.get(OWN).await.problem(401, "unauthenticated");
    assert_eq!(ada.get(OWN).await.json()["linked"], json!([]));
    assert_ne!(scene.signs_in("github", &OCTO).await["user"]["id"], made["user"]["id"], "somebody new");
}

#[tokio::test]
async fn the_last_way_in_stays() {
    let scene = scene().await;
    let octo = scene.signed_in(&scene.signs_in("github", &OCTO).await).await;
    unlink(&octo, "github", json!({})).await.problem(403, "forbidden");
    let sent = scene.leaves_as(&octo, "42").await;
    scene.arrives("42", &sent, &OCTO).await;
    // Of two that are taken away at once one stays.
    let (github, forty_two) = tokio::join!(unlink(&octo, "github", json!({})), unlink(&octo, "42", json!({})));
    let mut statuses = [github.status.as_u16(), forty_two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 403]);
    assert_eq!(octo.get(OWN).await.json()["linked"].as_array().unwrap().len(), 1);
    let change = json!({ "password": "none", "new_password": GOOD });
    assert_eq!(octo.post("/api/v1/auth/password", &change).await.status, 204);
    let left = octo.get(OWN).await.json()["linked"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(unlink(&octo, &left, json!({ "password": GOOD })).await.status, 204);
}

#[tokio::test]
async fn a_site_that_is_away_is_said_to_be() {
    let cluster = Cluster::start().await;
    let provider = Provider::start().await;
    let mut config = provider.as_site(Elsewhere::Github);
    // Nobody listens there.
    config.endpoints.token = "http://127.0.0.1:1/token".into();
    let bounds = Bounds { public_url: Some(PUBLIC.into()), sites: vec![config], ..Bounds::default() };
    let scene = Scene { site: cluster.site(bounds).await, cluster, provider };
    let sent = scene.leaves("github").await;
    failed(&scene.returns(&sent, &scene.provider.agrees(&OCTO, &sent.url)).await, "unavailable");
}
