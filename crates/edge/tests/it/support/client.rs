//! A client of the kind that third parties write.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use rally_protocol::client::{
    codec::{Encoding, Messages},
    v1::{
        ClientMessage, Dir, ErrorMessage, Hello, InputMessage, JoinAs, MatchEvent, MatchJoin, MatchJoined, Resume,
        ServerMessage, Snapshot, Token, Welcome,
    },
};
use rally_units::{MatchId, UserId};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use super::{Edge, LONG, token};

pub(crate) struct Client {
    pub(crate) ws: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

impl Client {
    /// Connected, and no more.
    pub(crate) async fn connect(edge: &Edge, encoding: Encoding) -> Self {
        let stream = TcpStream::connect(edge.addr).await.unwrap();
        Self::over(stream, encoding).await
    }

    pub(crate) async fn over(stream: TcpStream, encoding: Encoding) -> Self {
        let (ws, answer) = client_async(handshake(Some(encoding.subprotocol())), stream).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], encoding.subprotocol());
        Self { ws, encoding }
    }

    /// Over a WebSocket of JSON.
    pub(crate) fn of(ws: WebSocketStream<TcpStream>) -> Self {
        Self { ws, encoding: Encoding::Json }
    }

    /// Says who it is, by a real token.
    pub(crate) async fn hello_with(&mut self, token: &str) {
        self.say(Hello { token: Token::try_from(token).unwrap(), resume: None }).await;
    }

    /// Connected, and welcome.
    pub(crate) async fn open(edge: &Edge, encoding: Encoding, user: UserId) -> Self {
        let mut client = Self::connect(edge, encoding).await;
        client.hello(user, None).await;
        client
    }

    pub(crate) async fn hello(&mut self, user: UserId, resume: Option<Resume>) -> Welcome {
        self.say(Hello { token: Token::try_from(token(user)).unwrap(), resume }).await;
        match self.next().await {
            ServerMessage::Welcome(welcome) => welcome,
            other => panic!("not a welcome: {other:?}"),
        }
    }

    pub(crate) async fn say(&mut self, message: impl Into<ClientMessage>) {
        let bytes = message.into().encode(self.encoding).unwrap();
        self.send(match self.encoding {
            Encoding::Json => Message::text(String::from_utf8(bytes).unwrap()),
            Encoding::Msgpack => Message::binary(bytes),
        })
        .await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.ws.send(message).await.unwrap();
    }

    pub(crate) async fn ask_in(&mut self, match_id: MatchId, join_as: JoinAs) {
        self.say(MatchJoin { match_id, join_as, skill: None }).await;
    }

    pub(crate) async fn input(&mut self, match_id: MatchId, seq: u32) {
        self.say(InputMessage { match_id, seq, dir: Dir::Up, press: false, side: None }).await;
    }

    /// The next frame of any kind.
    pub(crate) async fn frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        timeout(LONG, self.ws.next()).await.expect("a frame in time")
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> ServerMessage {
        loop {
            match self.frame().await.expect("not the end").expect("a frame") {
                Message::Text(text) => {
                    assert_eq!(self.encoding, Encoding::Json);
                    return ServerMessage::decode(Encoding::Json, text.as_bytes()).unwrap();
                }
                Message::Binary(bytes) => {
                    assert_eq!(self.encoding, Encoding::Msgpack);
                    return ServerMessage::decode(Encoding::Msgpack, &bytes).unwrap();
                }
                Message::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// The first message of which `pick` makes something; what comes before is passed over.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(&ServerMessage) -> Option<T>) -> T {
        loop {
            let message = self.next().await;
            if let Some(picked) = pick(&message) {
                return picked;
            }
        }
    }

    pub(crate) async fn error(&mut self) -> ErrorMessage {
        self.until(|message| match message {
            ServerMessage::ErrorMessage(error) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn joined(&mut self) -> MatchJoined {
        self.until(|message| match message {
            ServerMessage::MatchJoined(joined) => Some(joined.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        self.until(|message| match message {
            ServerMessage::Snapshot(snapshot) => Some(snapshot.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn event(&mut self) -> MatchEvent {
        self.until(|message| match message {
            ServerMessage::MatchEvent(event) => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// The code with which the edge closes; messages before it are passed over.
    pub(crate) async fn closed(&mut self) -> u16 {
        let code = loop {
            let frame = self.frame().await.expect("a close before the end").expect("a close before a reset");
            if let Message::Close(frame) = frame {
                break frame.expect("a code").code.into();
            }
        };
        // The edge ends the connection itself.
        assert!(self.frame().await.is_none());
        code
    }
}

/// A handshake that offers this.
pub(crate) fn handshake(subprotocols: Option<&str>) -> Request<()> {
    let mut request = "ws://edge.test/ws".into_client_request().unwrap();
    if let Some(subprotocols) = subprotocols {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(subprotocols).unwrap());
    }
    request
}
