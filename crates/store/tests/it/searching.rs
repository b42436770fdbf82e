use rally_store::{NewMessage, SEARCH_MESSAGES_SQL, channel_query};
use rally_units::UserId;
use serde_json::Value;

use crate::support::{Fixture, setup};

fn say(user: UserId, nonce: &str, text: &str) -> NewMessage {
    NewMessage { user, nonce: nonce.into(), text: text.into(), edits: None, mentions: Vec::new() }
}

async fn texts(t: &Fixture, user: UserId, words: &str, channels: &[&str]) -> Vec<String> {
    let channels: Vec<String> = channels.iter().map(|&channel| channel.to_owned()).collect();
    let hits = t.store.search_messages(user, words, &channels, None, 50).await.unwrap();
    hits.into_iter().map(|hit| hit.message.text).collect()
}

#[tokio::test]
async fn what_was_said_is_found_by_its_words_where_one_may_read() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let said = [
        say(a, "1", "A good serve wins the match"),
        say(b, "1", "A good match, well served!"),
        say(a, "2", "#global is no word: it's a channel's name"),
    ];
    t.store.append_messages("global", &said).await.unwrap();
    t.store.append_messages("direct:x:y", &[say(b, "1", "a secret about the match")]).await.unwrap();
    let everywhere = ["global", "direct:x:y"];
    assert_eq!(
        texts(&t, a, "match", &everywhere).await,
        ["a secret about the match", "A good match, well served!", "A good serve wins the match"]
    );
    assert_eq!(texts(&t, a, "match", &["global"]).await.len(), 2, "only where one may read");
    assert_eq!(texts(&t, a, "MATCH serve", &everywhere).await, ["A good serve wins the match"]);
    assert_eq!(texts(&t, a, "\"good match\"", &everywhere).await, ["A good match, well served!"]);
    assert_eq!(texts(&t, a, "match -good", &everywhere).await, ["a secret about the match"]);
    assert_eq!(texts(&t, a, "-good", &["global"]).await.len(), 1, "nothing but what is not there");
    let nothing = ["", "!!!", "' OR 1=1 --", "#global", "':*", "mat", "%"];
    for words in &nothing[..3] {
        assert_eq!(texts(&t, a, words, &everywhere).await, <[String; 0]>::default(), "{words}");
    }
    for words in &nothing[3..] {
        assert!(texts(&t, a, words, &everywhere).await.len() <= 1, "{words}");
    }
    assert_eq!(texts(&t, a, "match", &[]).await, <[String; 0]>::default());
    assert_eq!(texts(&t, a, "match", &["no'such\\channel", "x | y"]).await, <[String; 0]>::default());

    // Page by page.
    let channels = everywhere.map(str::to_owned);
    let first = t.store.search_messages(a, "match", &channels, None, 2).await.unwrap();
    let rest = t.store.search_messages(a, "match", &channels, Some(first[1].message.id), 2).await.unwrap();
    assert_eq!((first.len(), rest.len(), rest[0].message.offset), (2, 1, 1));

    // What is edited is found by what it says now, what is taken back not at all; nor is whom one blocks.
    let edit = NewMessage { edits: Some(1), ..say(a, "3", "A lucky serve wins the match") };
    t.store.append_messages("global", &[edit]).await.unwrap();
    assert_eq!(texts(&t, a, "serve", &everywhere).await, ["A lucky serve wins the match"]);
    let take_back = NewMessage { edits: Some(1), ..say(a, "4", "") };
    t.store.append_messages("global", &[take_back]).await.unwrap();
    assert_eq!(texts(&t, a, "serve", &everywhere).await, <[String; 0]>::default());
    t.store.block(a, b).await.unwrap();
    assert_eq!(texts(&t, a, "match", &everywhere).await, <[String; 0]>::default());
}

fn nodes(plan: &Value) -> Vec<&Value> {
    let mut found = vec![plan];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        found.extend(nodes(child));
    }
    found
}

#[tokio::test]
async fn one_look_up_meets_only_what_was_said_where_one_may_read() {
    let t = setup().await;
    let [me, other] = t.guests().await;
    // A word that is everywhere, and a channel of one's own in which it was said ten times.
    let said = format!(
        "INSERT INTO channels (name) VALUES ('global'), ('direct:me');
        INSERT INTO channel_messages (channel, message_offset, id, user_id, nonce, body)
            SELECT 'global', n, gen_random_uuid(), '{other}', n, 'hello number ' || n FROM generate_series(1, 50000) n;
        INSERT INTO channel_messages (channel, message_offset, id, user_id, nonce, body)
            SELECT 'direct:me', n, gen_random_uuid(), '{other}', n, 'hello number ' || n FROM generate_series(1, 10) n;
        ANALYZE"
    );
    t.sql.batch_execute(&said).await.unwrap();
    let channels = ["direct:me".to_owned()];
    let prepare = format!(
        "SET plan_cache_mode = force_generic_plan;
        PREPARE q (text, text, text[], uuid, uuid, bigint) AS {SEARCH_MESSAGES_SQL}"
    );
    t.sql.batch_execute(&prepare).await.unwrap();
    let named = channel_query(&channels).replace('\'', "''");
    let max = uuid::Uuid::max();
    let explain =
        format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE q ('hello', '{named}', '{{direct:me}}', '{me}', '{max}', 50)");
    let explained = t.sql.query_one(&explain, &[]).await.unwrap().get::<_, Value>(0)[0].clone();
    let nodes = nodes(&explained["Plan"]);
    let look_up = nodes.iter().find(|node| node["Index Name"] == "channel_messages_words");
    let found = look_up.unwrap_or_else(|| panic!("{explained:#}"))["Actual Rows"].as_f64().unwrap();
    assert!(found <= 10.0, "{found} rows in {explained:#}");
    for node in nodes {
        let of_messages = node["Relation Name"] == "channel_messages";
        assert!(!of_messages || node["Node Type"] != "Seq Scan", "{explained:#}");
    }
    let hits = t.store.search_messages(me, "hello", &channels, None, 50).await.unwrap();
    assert_eq!(hits.len(), 10);
}
