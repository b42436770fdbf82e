//! A player with the SDK.

use rally_client::{
    Api, Client, Config, EdgeUrl, Encoding, Event, Identity,
    protocol::{
        ClientMessage, Dir, ErrorMessage, EventKind, GameOver, JoinAs, MatchEvent, MatchFound, MatchJoin, MatchJoined,
        Mode, QueueJoin, Ready, ServerMessage, Side, Welcome,
    },
};
use rally_units::MatchId;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::{LONG, unique};

/// Somebody signed in and connected.
pub(crate) struct Player {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) welcome: Welcome,
    /// Events of matches that have come so far, in their order.
    pub(crate) events: Vec<MatchEvent>,
    /// Codes of the connections lost so far.
    pub(crate) lost: Vec<Option<u16>>,
}

impl Player {
    /// A new guest, who knows this edge and those that it names.
    pub(crate) async fn at(edge: EdgeUrl, encoding: Encoding) -> Self {
        let identity = Api::new(edge.clone()).sign_in_as_guest(&unique("guest")).await.unwrap();
        Self::again(edge, encoding, identity).await
    }

    /// The same person on another connection.
    pub(crate) async fn again(edge: EdgeUrl, encoding: Encoding, identity: Identity) -> Self {
        let config = Config { encoding, ..Config::new([edge]) };
        let mut client = Client::start(config, identity.clone());
        let welcome = loop {
            match timeout(LONG, client.next()).await.expect("a welcome").expect("not the end") {
                Event::Connected { welcome, .. } => break *welcome,
                Event::Disconnected { .. } => {}
                other => panic!("not a welcome: {other:?}"),
            }
        };
        assert_eq!(welcome.user, identity.user);
        Self { client, identity, welcome, events: Vec::new(), lost: Vec::new() }
    }

    pub(crate) fn send(&self, message: impl Into<ClientMessage>) {
        self.client.send(message).unwrap();
    }

    /// The first event of which `pick` makes something.
    #[track_caller]
    pub(crate) fn until<'a, T: 'a>(
        &'a mut self,
        mut pick: impl FnMut(&Event) -> Option<T> + 'a,
    ) -> impl Future<Output = T> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut last = Vec::new();
            let search = async {
                while let Some(event) = self.client.next().await {
                    match &event {
                        Event::Message(ServerMessage::MatchEvent(event)) => self.events.push(event.clone()),
                        Event::Disconnected { code, .. } => self.lost.push(*code),
                        _ => {}
                    }
                    if let Some(picked) = pick(&event) {
                        return Some(picked);
                    }
                    if !matches!(event, Event::Message(ServerMessage::Snapshot(_)) | Event::RoundTrip(_)) {
                        last.push(event);
                    }
                }
                None
            };
            let found = timeout(LONG, search).await;
            match found {
                Ok(Some(picked)) => picked,
                Ok(None) => panic!("{caller}: the client has ended; it heard {last:#?}"),
                Err(_) => panic!("{caller}: not within {LONG:?}; it heard {last:#?}"),
            }
        }
    }

    /// The same among messages.
    #[track_caller]
    pub(crate) fn message<'a, T: 'a>(
        &'a mut self,
        mut pick: impl FnMut(&ServerMessage) -> Option<T> + 'a,
    ) -> impl Future<Output = T> + 'a {
        self.until(move |event| match event {
            Event::Message(message) => pick(message),
            _ => None,
        })
    }

    /// The next event of this kind.
    #[track_caller]
    pub(crate) fn event(&mut self, kind: EventKind) -> impl Future<Output = MatchEvent> {
        self.message(move |message| match message {
            ServerMessage::MatchEvent(event) if event.event == kind => Some(event.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn error(&mut self) -> impl Future<Output = ErrorMessage> {
        self.message(|message| match message {
            ServerMessage::ErrorMessage(error) => Some(error.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn found(&mut self) -> impl Future<Output = MatchFound> {
        self.message(|message| match message {
            ServerMessage::MatchFound(found) => Some(found.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn joined(&mut self) -> impl Future<Output = MatchJoined> {
        self.message(|message| match message {
            ServerMessage::MatchJoined(joined) => Some(joined.clone()),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn over(&mut self) -> impl Future<Output = GameOver> {
        self.message(|message| match message {
            ServerMessage::GameOver(over) => Some(over.clone()),
            _ => None,
        })
    }

    /// Comes into a match.
    #[track_caller]
    pub(crate) fn join(&mut self, match_id: MatchId, join_as: JoinAs) -> impl Future<Output = MatchJoined> {
        self.send(MatchJoin { match_id, join_as, skill: None });
        self.joined()
    }

    pub(crate) fn ready(&self, match_id: MatchId) {
        self.send(Ready { match_id });
    }

    /// Moves out of the way of a flat serve, so that goals fall.
    pub(crate) fn step_aside(&self, match_id: MatchId) {
        self.client.input(match_id, Dir::Up, false).unwrap();
    }

    /// Until a snapshot shows that the owner has applied the input with this number of this side.
    #[track_caller]
    pub(crate) fn applied(&mut self, side: Side, seq: u32) -> impl Future<Output = ()> {
        self.message(move |message| match message {
            ServerMessage::Snapshot(snapshot) => (snapshot.ack[side.index()] == seq).then_some(()),
            _ => None,
        })
    }
}

/// One pair at a time in each queue: tests that run at once must not meet each other's players.
static QUEUES: [Mutex<()>; 3] = [const { Mutex::const_new(()) }; 3];

/// Nobody else of these tests queues in this mode meanwhile.
pub(crate) async fn alone_in_queue(mode: Mode) -> MutexGuard<'static, ()> {
    QUEUES[mode as usize].lock().await
}

/// Has two players find each other. Gives the match, and the side of the first.
pub(crate) async fn pair(mode: Mode, one: &mut Player, other: &mut Player) -> (MatchId, Side) {
    let _alone = alone_in_queue(mode).await;
    one.send(QueueJoin { mode, skill: None });
    other.send(QueueJoin { mode, skill: None });
    let (found, also_found) = tokio::join!(one.found(), other.found());
    assert_eq!(found.match_id, also_found.match_id);
    assert_eq!((found.mode, also_found.mode), (mode, mode));
    assert_eq!(found.side.opponent(), also_found.side);
    assert_eq!(found.opponent.as_ref(), Some(&other.identity.user));
    assert_eq!(also_found.opponent.as_ref(), Some(&one.identity.user));
    (found.match_id, found.side)
}

/// Left and right, when the first is on this side.
pub(crate) fn by_side<'a>(side: Side, one: &'a mut Player, other: &'a mut Player) -> (&'a mut Player, &'a mut Player) {
    match side {
        Side::Left => (one, other),
        Side::Right => (other, one),
    }
}

/// Has two players find each other, come in and say that they are ready.
pub(crate) async fn pair_ready(mode: Mode, one: &mut Player, other: &mut Player) -> (MatchId, Side) {
    let (match_id, side) = pair(mode, one, other).await;
    let (joined, also_joined) = tokio::join!(one.join(match_id, JoinAs::Player), other.join(match_id, JoinAs::Player));
    assert_eq!((joined.side, also_joined.side), (side.into(), side.opponent().into()));
    one.ready(match_id);
    other.ready(match_id);
    (match_id, side)
}
