//! A client of whom each byte is the test's own.

use std::net::Ipv4Addr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::{LONG, http::connect_from};

/// A WebSocket of JSON.
pub(crate) struct Raw {
    ws: WebSocketStream<TcpStream>,
}

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        Self::connect_from([127, 0, 0, 1], port, &[]).await.expect("an upgrade")
    }

    /// With these headers; the error has the status and `Retry-After`.
    pub(crate) async fn connect_from(
        from: [u8; 4],
        port: u16,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, Option<String>)> {
        let stream = connect_from(from, port).await.unwrap();
        let mut request = format!("ws://{}:{port}/ws", Ipv4Addr::LOCALHOST).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "rally.v1.json".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match timeout(LONG, client_async(request, stream)).await.unwrap() {
            Ok((ws, _)) => Ok(Self { ws }),
            Err(Error::Http(answer)) => {
                let retry_after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
                Err((answer.status().as_u16(), retry_after))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Connected and welcome.
    pub(crate) async fn open(port: u16, token: &str) -> Self {
        let mut raw = Self::connect(port).await;
        raw.hello(token).await;
        raw.until("welcome").await;
        raw
    }

    pub(crate) async fn hello(&mut self, token: &str) {
        self.say(json!({ "type": "hello", "token": token })).await;
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends what it can: the edge may have closed already.
    pub(crate) async fn send(&mut self, message: Message) {
        let _ = self.ws.send(message).await;
    }

    /// Bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.ws.get_mut().write_all(bytes).await.unwrap();
    }

    /// The next message of this type; others are passed over.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        let mut passed = Vec::new();
        let search = async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] == name {
                            return message;
                        }
                        if message["type"] != "snapshot" {
                            passed.push(message);
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("no {name} but {other:?} after {passed:?}"),
                }
            }
        };
        timeout(LONG, search).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    /// The error that a message brings: its code, and the type that it answers.
    pub(crate) async fn refused(&mut self, message: Value) -> (String, Option<String>) {
        self.say(message).await;
        let error = self.until("error").await;
        (error["code"].as_str().unwrap().to_owned(), error["of"].as_str().map(str::to_owned))
    }

    /// Codes of the errors until the close, and its code.
    pub(crate) async fn closed(&mut self) -> (Vec<String>, u16) {
        let mut errors = Vec::new();
        let search = async {
            loop {
                match self.ws.next().await.expect("a close before the end") {
                    Ok(Message::Text(text)) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] == "error" {
                            errors.push(message["code"].as_str().unwrap().to_owned());
                        }
                    }
                    Ok(Message::Close(frame)) => return frame.expect("a code").code.into(),
                    Ok(_) => {}
                    Err(error) => panic!("no close but {error}"),
                }
            }
        };
        let code = timeout(LONG, search).await.expect("a close in time");
        (errors, code)
    }
}
