//! `rally admin`: what operators do with people.

use rally_client::Api;
use serde_json::{Value, json};

use crate::support::{
    Raw, Site,
    http::post,
    process::{run, said},
    unique,
};

#[tokio::test]
async fn reports_are_listed_and_closed() {
    let site = Site::start().await;
    let edge = site.edge("edge-1", &[]).await;
    let api = Api::new(edge.url());
    let ada = api.sign_in_as_guest(&unique("ada")).await.unwrap();
    let bob = api.sign_in_as_guest(&unique("bob")).await.unwrap();
    let nothing = run(&["admin", "reports"], &site.vars());
    assert!(nothing.status.success() && said(&nothing).contains("no report is open"), "{}", said(&nothing));

    let bearer = format!("Bearer {}", ada.tokens.access);
    let body = json!({ "user": bob.user.id, "reason": "spam", "text": "buys\u{1b}[2J everything" }).to_string();
    let made = post([127, 0, 0, 1], edge.port, "/api/v1/reports", &[("authorization", &bearer)], &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();

    let listed = said(&run(&["admin", "reports"], &site.vars()));
    for wanted in [&id, "spam", &ada.user.name, &bob.user.name, "buys [2J everything"] {
        assert!(listed.contains(wanted), "{wanted} in {listed}");
    }
    assert!(!listed.contains('\u{1b}'), "what people write does not move the cursor");
    let listed: Value = serde_json::from_slice(&run(&["admin", "reports", "--json"], &site.vars()).stdout).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["user"]["id"]), (&json!(id), &json!(bob.user.id)));

    let closed = run(&["admin", "reports", "close", &id, "warned"], &site.vars());
    assert!(closed.status.success(), "{}", said(&closed));
    let again = run(&["admin", "reports", "close", &id, "warned"], &site.vars());
    assert!(!again.status.success() && said(&again).contains("no such report"), "{}", said(&again));
    assert!(said(&run(&["admin", "reports"], &site.vars())).contains("no report is open"));
    assert!(said(&run(&["admin", "reports", "--closed"], &site.vars())).contains("warned"));
}

#[tokio::test]
async fn a_channel_is_made_slow() {
    let site = Site::start().await;
    let edge = site.edge("edge-1", &[]).await;
    for wrong in [["admin", "slow", "group:x", "5"], ["admin", "slow", "global", "999999"]] {
        assert!(!run(&wrong, &site.vars()).status.success(), "{wrong:?}");
    }
    let slow = run(&["admin", "slow", "global", "60"], &site.vars());
    assert!(slow.status.success(), "{}", said(&slow));
    let ada = Api::new(edge.url()).sign_in_as_guest(&unique("ada")).await.unwrap();
    let mut raw = Raw::open(edge.port, &ada.tokens.access).await;
    raw.say(json!({ "type": "channel_join", "channel": "global" })).await;
    raw.until("channel_joined").await;
    raw.say(json!({ "type": "chat_send", "channel": "global", "text": "one", "nonce": "1" })).await;
    raw.until("chat_message").await;
    raw.say(json!({ "type": "chat_send", "channel": "global", "text": "two", "nonce": "2" })).await;
    let refused = raw.until("error").await;
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["until"].is_u64(), "{refused}");
}
