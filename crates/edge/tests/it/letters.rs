//! Lost passwords: letters to a small server of our own, and codes of an operator.

use std::{sync::Arc, time::Duration};

use rally_edge::{api::codes, mail::MailConfig};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::support::{
    Cluster, LONG,
    site::{Bounds, Browser, Site},
};

const GOOD: &str = "correct horse battery staple";
const OTHER: &str = "six blue lamps on a boat";
const FORGOT: &str = "/api/v1/auth/forgot";
const RECOVER: &str = "/api/v1/auth/recover";

/// Takes letters, as much of SMTP as that needs.
struct Inbox {
    url: String,
    letters: Arc<Mutex<mpsc::Receiver<String>>>,
}

impl Inbox {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (sender, letters) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, sender.clone()));
            }
        });
        Self { url, letters: Arc::new(Mutex::new(letters)) }
    }

    fn config(&self) -> MailConfig {
        MailConfig { url: self.url.clone().into(), from: "Rally <rally@rally.test>".parse().unwrap() }
    }

    /// The next letter, and the code in it.
    async fn next(&self) -> (String, String) {
        let letter = timeout(LONG, self.letters.lock().await.recv()).await.expect("a letter in time").unwrap();
        let is_code = |line: &&str| line.starts_with("    ");
        let code = letter.lines().find(is_code).map(|line| line.trim().to_owned()).unwrap_or_default();
        (letter, code)
    }

    async fn is_empty(&self) -> bool {
        self.letters.lock().await.is_empty()
    }
}

async fn receive(stream: TcpStream, letters: mpsc::Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut say = "220 inbox\r\n".to_owned();
    loop {
        stream.get_mut().write_all(say.as_bytes()).await.unwrap();
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
            return;
        }
        let command = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        say = match command.as_str() {
            "QUIT" => "221 bye\r\n".into(),
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").await.unwrap();
                let mut letter = String::new();
                while !letter.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter).await.unwrap() == 0 {
                        return;
                    }
                }
                letters.send(letter).await.unwrap();
                "250 taken\r\n".into()
            }
            _ => "250 fine\r\n".into(),
        };
    }
}

async fn account(site: &Site, name: &str) -> Browser {
    let mut browser = site.browser();
    let answer = browser.post("/api/v1/auth/register", &json!({ "username": name, "password": GOOD })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    browser.token = answer.json()["access_token"].as_str().map(str::to_owned);
    browser
}

async fn put_email(browser: &Browser, body: Value) -> crate::support::site::Answer {
    let json = Some(("content-type", "application/json"));
    browser.send_with(http::Method::PUT, "/api/v1/auth/email", json, body.to_string().into()).await
}

#[tokio::test]
async fn a_letter_brings_another_password() {
    let cluster = Cluster::start().await;
    let inbox = Inbox::start().await;
    let site = cluster.site(Bounds { mail: Some(inbox.config()), ..Bounds::default() }).await;
    let ada = account(&site, "Ada").await;
    account(&site, "Grace").await;

    let wrong = put_email(&ada, json!({ "email": "not an address" })).await;
    assert_eq!(wrong.fields(), ["password", "email"]);
    put_email(&ada, json!({ "email": "ada@rally.test", "password": OTHER })).await.problem(401, "unauthenticated");
    assert_eq!(put_email(&ada, json!({ "email": "Ada@rally.test", "password": GOOD })).await.status, 204);
    let (letter, code) = inbox.next().await;
    assert!(letter.contains("To: ada@rally.test") && letter.contains("From: Rally <rally@rally.test>"), "{letter}");
    let confirm = async |code: &str| ada.post("/api/v1/auth/email/confirm", &json!({ "code": code })).await;
    assert_eq!(confirm("ABCDE-FGHIJ").await.fields(), ["code"]);
    assert_eq!(confirm(&code).await.status, 204);
    assert_eq!(confirm(&code).await.fields(), ["code"], "it is good once");

    // Nobody's letter box is flooded: of one account, or at one address.
    let again = async || put_email(&ada, json!({ "email": "ada@rally.test", "password": GOOD })).await;
    for _ in 0..2 {
        assert_eq!(again().await.status, 204);
        inbox.next().await;
    }
    let refused = again().await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());

    // Unknown, without an address, with one: answered alike; only the last gets a letter.
    for name in ["nobody_at_all", "Grace", "aDA"] {
        let answer = site.browser().post(FORGOT, &json!({ "username": name })).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{name}");
    }
    let (letter, code) = inbox.next().await;
    assert!(letter.contains("To: ada@rally.test") && letter.contains("password of Ada"), "{letter}");
    assert!(inbox.is_empty().await);
    let recover = async |name: &str, code: &str| {
        let body = json!({ "username": name, "recovery_code": code, "new_password": OTHER });
        site.browser().post(RECOVER, &body).await
    };
    recover("Grace", &code).await.problem(401, "unauthenticated");
    assert_eq!(recover("Ada", &code).await.status, 200);
    recover("Ada", &code).await.problem(401, "unauthenticated");
    let login = json!({ "username": "Ada", "password": OTHER });
    assert_eq!(site.browser().post("/api/v1/auth/login", &login).await.status, 200);
    ada.get("/api/v1/users/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn without_a_server_an_operator_helps() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    account(&site, "Ada").await;
    site.browser().post(FORGOT, &json!({ "username": "Ada" })).await.problem(403, "forbidden");
    let ada = cluster.store.credentials("ada").await.unwrap().unwrap().user.id;
    let code = codes::generate::<16>();
    let offer = async |for_s: i64| {
        let good_for = Duration::from_secs(for_s.unsigned_abs());
        assert!(cluster.store.offer_password_code(ada, &code.hash, good_for).await.unwrap());
    };
    let body = json!({ "username": "ada", "recovery_code": code.text.to_lowercase(), "new_password": OTHER });
    offer(0).await;
    site.browser().post(RECOVER, &body).await.problem(401, "unauthenticated");
    offer(60).await;
    assert_eq!(site.browser().post(RECOVER, &body).await.status, 200);
    site.browser().post(RECOVER, &body).await.problem(401, "unauthenticated");
}
