//! The task: whatever can wake it stands in `run`.

mod groups;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use metrics::{counter, gauge};
use rally_fabric::{Fabric, Presence, PresenceChange, TopicEvent};
use rally_link::Talk;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages as _},
        v1::{
            ChannelJoin, ChannelJoined, ErrorCode, ErrorMessage, Friend, ServerMessage, SomebodyRead, SomebodyTypes,
            Status, UserInfo,
        },
    },
    limits::{CHAT_TEXT_CHARS_MAX, RESUME_CHANNELS_MAX},
};
use rally_service::clock;
use rally_store::{MESSAGES_MAX, Message, NewMessage, Store, Stretch};
use rally_units::{Instant, SessionId, UserId};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    Answer, Event,
    channels::{
        ANNOUNCE_FOR, BATCH_FOR, BATCH_MAX, CHANNELS, CaughtUp, Channel, DELIVERED, Feed, HOLES, Member, REFUSED,
        Unread, WAITING_MAX, Waiting,
    },
    duels::{Asker, DUELS_MAX, Duels},
    names::{ChannelName, may_read},
    notices::Notices,
    people::{Here, People, Wishes},
    say::store_batch,
    wire::{ChannelNews, PEOPLE, PeopleNews, Said, announce, tell, topic_of},
};
use crate::{
    frame, hub,
    socket::{ConnId, SharedPeer},
};

/// Between two looks at holes and batches that wait.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Between two looks at everybody: who plays, whose edge is gone.
const PEOPLE_PERIOD: Duration = Duration::from_secs(1);
/// Between two times that the presence of all who are here is written again.
const RENEW_PERIOD: Duration = Duration::from_secs(60);

/// Events handled before anything else.
const EVENTS_PER_TURN: usize = 256;
/// Questions to Postgres and Redis that are under way at once: what more there is waits.
const LOOK_UPS_MAX: usize = 4;
/// Questions that wait. Beyond it nothing is asked, and who wanted it is refused.
const QUESTIONS_MAX: usize = 4 * 1024;
/// People of whom one question asks at most.
const ASKED_AT_ONCE: usize = 1_000;
/// How long after a failure to subscribe again.
const SUBSCRIBE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Changes of presence that wait to be written; beyond it the next renewal brings them.
const CHANGES_MAX: usize = 8 * 1024;
/// Changes written and told at once.
const CHANGES_PER_WRITE: usize = 256;

struct Social {
    fabric: Fabric,
    store: Store,
    hub: hub::Handle,
    events: mpsc::WeakSender<Event>,
    changes: mpsc::Sender<PresenceChange>,
    look_ups: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    duels: Arc<Semaphore>,
    notices: Notices,
    people: People,
    channels: HashMap<String, Channel>,
    /// Who was here until a moment ago.
    seen: Vec<UserId>,
    people_due: Instant,
    renew_due: Instant,
    /// Readers to whom something was queued in this turn.
    unflushed: Vec<SharedPeer>,
}

pub(super) async fn run(
    fabric: Fabric,
    store: Store,
    hub: hub::Handle,
    events: mpsc::WeakSender<Event>,
    mut inbox: mpsc::Receiver<Event>,
) {
    let over = CancellationToken::new();
    let _over = over.clone().drop_guard();
    let (changes, to_write) = mpsc::channel(CHANGES_MAX);
    tokio::spawn(write_presence(fabric.clone(), to_write));
    tokio::spawn(over.clone().run_until_cancelled_owned(read_topic(
        fabric.clone(),
        PEOPLE.to_owned(),
        events.clone(),
        Event::People,
        |_| None,
    )));
    let now = clock::now();
    let notices = Notices::start(fabric.clone(), store.clone());
    let mut social = Social {
        notices,
        fabric,
        store,
        hub,
        events,
        changes,
        look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
        questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        duels: Arc::new(Semaphore::new(DUELS_MAX)),
        people: People::default(),
        channels: HashMap::new(),
        seen: Vec::new(),
        people_due: now,
        renew_due: now + RENEW_PERIOD,
        unflushed: Vec::new(),
    };
    let mut turn = Vec::with_capacity(EVENTS_PER_TURN);
    loop {
        let left = social.deadline().since(clock::now());
        tokio::select! {
            biased;
            n = inbox.recv_many(&mut turn, EVENTS_PER_TURN) => if n == 0 { return },
            () = tokio::time::sleep(left) => {}
        }
        for event in turn.drain(..) {
            social.event(clock::now(), event);
        }
        social.look(clock::now());
        for peer in social.unflushed.drain(..) {
            peer.flush();
        }
    }
}

/// Writes changes of presence, in the order in which they came, and tells all edges.
async fn write_presence(fabric: Fabric, mut changes: mpsc::Receiver<PresenceChange>) {
    let mut some = Vec::new();
    while changes.recv_many(&mut some, CHANGES_PER_WRITE).await > 0 {
        let presence = fabric.presence();
        let news = PeopleNews::Presence(std::mem::take(&mut some));
        let PeopleNews::Presence(changes) = &news else { continue };
        let (put, told) = tokio::join!(presence.put(changes), announce(&fabric, &news));
        if let Err(error) = put.and(told) {
            tracing::debug!(%error, "presence is not told; the next renewal brings it");
        }
    }
}

/// Reads a topic for as long as it is wanted, and subscribes again where that fails.
async fn read_topic(
    fabric: Fabric,
    topic: String,
    events: mpsc::WeakSender<Event>,
    event: impl Fn(TopicEvent) -> Event,
    subscribed: impl Fn(bool) -> Option<Event>,
) {
    loop {
        let stream = fabric.topics().subscribe(&topic).await;
        let Some(sender) = events.upgrade() else { return };
        if let Some(event) = subscribed(stream.is_ok())
            && sender.send(event).await.is_err()
        {
            return;
        }
        drop(sender);
        match stream {
            Ok(mut stream) => {
                // Whatever was said while nobody listened.
                let mut next = Some(TopicEvent::Gap);
                while let Some(heard) = next {
                    let Some(sender) = events.upgrade() else { return };
                    if sender.send(event(heard)).await.is_err() {
                        return;
                    }
                    drop(sender);
                    next = stream.next().await;
                }
                // The fabric has shut down.
                return;
            }
            Err(error) => tracing::debug!(%error, "cannot subscribe a topic"),
        }
        tokio::time::sleep(SUBSCRIBE_AGAIN_AFTER).await;
    }
}

impl Social {
    fn deadline(&self) -> Instant {
        let look = clock::now() + LOOK_PERIOD;
        let batches =
            self.channels.values().filter(|channel| !channel.storing).filter_map(|channel| channel.batch_since);
        let deadline = self.people_due.min(self.renew_due);
        let deadline = if self.channels.is_empty() { deadline } else { deadline.min(look) };
        batches.map(|since| since + BATCH_FOR).fold(deadline, Instant::min)
    }

    /// Runs what takes time, a few at once, and comes back with an event. `false`: too much waits already.
    fn ask(&self, work: impl Future<Output = Option<Event>> + Send + 'static) -> bool {
        let Ok(place) = self.questions.clone().try_acquire_owned() else {
            counter!(REFUSED, "reason" => "questions").increment(1);
            return false;
        };
        let (events, look_ups) = (self.events.clone(), self.look_ups.clone());
        tokio::spawn(async move {
            let Ok(_permit) = look_ups.acquire().await else { return };
            let event = work.await;
            drop(place);
            if let Some(event) = event
                && let Some(events) = events.upgrade()
            {
                // The task has ended.
                let _ = events.send(event).await;
            }
        });
        true
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Opened { peer, session, user } => self.opened(peer, session, user),
            Event::Closed(conn) => self.closed(conn),
            Event::Talk { conn, talk } => self.talk(now, conn, talk),
            Event::Loaded { user, friends, wishes } => self.loaded(user, friends, wishes),
            Event::Wishes(wishes) => {
                for (user, wishes) in wishes {
                    if let Some(person) = self.people.persons.get_mut(&user) {
                        person.wishes = Some(wishes);
                    }
                }
            }
            Event::Strangers(strangers) => self.strangers(&strangers),
            Event::Fetched(fetched) => {
                let users: Vec<UserId> = fetched.iter().map(|(user, _)| *user).collect();
                for (user, sessions) in fetched {
                    self.people.fetched(user, sessions);
                }
                self.people.look(&self.fabric.nodes(), Some(&users));
            }
            Event::People(event) => self.people_news(event),
            Event::Admitted { conn, name, since, admitted } => self.admitted(conn, name, since, admitted),
            Event::Subscribed { key, done } => self.subscribed(&key, done),
            Event::Channel { key, event } => self.channel_news(now, &key, event),
            Event::Read { conn, key, name, read } => self.has_read(now, conn, &key, name, read),
            Event::Filled { key, stretch } => self.filled(now, &key, stretch),
            Event::Arranged { conn, of, answer } => {
                let Some(here) = self.people.here.get(&conn) else { return };
                match answer {
                    Ok(message) => message.iter().for_each(|message| here.peer.send(message.as_ref())),
                    Err((code, detail)) => refuse(&here.peer, of, code, &detail),
                }
            }
            Event::Stored { key, messages, answers } => self.stored(now, &key, messages, answers),
        }
    }

    // People.

    fn opened(&mut self, peer: SharedPeer, session: SessionId, user: UserInfo) {
        let (conn, id) = (peer.id, user.id);
        let here = Here { peer, session, user, status: Status::Online, playing: None, channels: Vec::new() };
        let first = self.people.come(conn, here);
        self.show(conn);
        if !first {
            return self.people.show_friends(conn);
        }
        let store = self.store.clone();
        self.ask(async move {
            let (friends, wishes) = tokio::join!(store.friend_ids(id), Wishes::read_of(&store, id));
            match (friends, wishes) {
                (Ok(friends), Ok(wishes)) => Some(Event::Loaded { user: id, friends, wishes }),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, user = %id, "cannot look up somebody's friends");
                    None
                }
            }
        });
    }

    fn loaded(&mut self, user: UserId, friends: Vec<UserId>, wishes: Wishes) {
        let Some(person) = self.people.persons.get_mut(&user) else { return };
        person.wishes = Some(wishes);
        let unknown = self.people.watch(user, friends);
        self.fetch(unknown);
        let connections = self.people.persons.get(&user).map(|person| person.connections.clone());
        connections.unwrap_or_default().into_iter().for_each(|conn| self.people.show_friends(conn));
    }

    fn fetch(&self, users: Vec<UserId>) {
        if users.is_empty() {
            return;
        }
        let fabric = self.fabric.clone();
        self.ask(async move {
            match fabric.presence().get(&users).await {
                Ok(sessions) => Some(Event::Fetched(users.into_iter().zip(sessions).collect())),
                Err(error) => {
                    // The next gap, or the renewals of their edges, say it.
                    tracing::debug!(%error, "cannot look up presence");
                    None
                }
            }
        });
    }

    fn closed(&mut self, conn: ConnId) {
        let Some((here, last)) = self.people.go(conn) else { return };
        for key in &here.channels {
            self.leave(conn, key);
        }
        // A session that goes on at a newer connection here is not gone.
        if !self.people.connections_of(here.user.id).any(|other| other.session == here.session) {
            self.change(&here, true);
        }
        if last {
            self.seen.push(here.user.id);
        }
    }

    /// Writes and tells what a connection shows.
    fn show(&self, conn: ConnId) {
        if let Some(here) = self.people.here.get(&conn) {
            self.change(here, false);
        }
    }

    fn change(&self, here: &Here, gone: bool) {
        let presence = Presence {
            node: self.fabric.node(),
            incarnation: self.fabric.incarnation(),
            status: here.status,
            match_id: here.playing,
        };
        let change = PresenceChange { user: here.user.id, session: here.session, presence, gone };
        if self.changes.try_send(change).is_err() {
            tracing::debug!("too many changes of presence wait");
        }
    }

    fn people_news(&mut self, event: TopicEvent) {
        let bytes = match event {
            TopicEvent::Message(bytes) => bytes,
            // Something may have been lost: Redis has it.
            TopicEvent::Gap => {
                self.check_groups();
                self.check_wishes(self.people.persons.keys().copied());
                return self.fetch(self.people.watched());
            }
        };
        let news: PeopleNews = match serde_json::from_slice(&bytes) {
            Ok(news) => news,
            Err(error) => return tracing::warn!(%error, "news of people cannot be read"),
        };
        match news {
            PeopleNews::Presence(changes) => {
                let users: Vec<UserId> = changes.iter().map(|change| change.user).collect();
                changes.iter().for_each(|change| self.people.changed(change));
                self.people.look(&self.fabric.nodes(), Some(&users));
            }
            PeopleNews::Friend { to, about, change } => {
                match change.as_str() {
                    "accepted" => {
                        let unknown = self.people.watch(to, [about.id]);
                        if unknown.is_empty() {
                            let connections = self.people.persons.get(&to).map(|person| person.connections.clone());
                            connections.unwrap_or_default().into_iter().for_each(|c| self.people.show_friends(c));
                        }
                        self.fetch(unknown);
                    }
                    "removed" => self.people.unwatch(to, about.id),
                    _ => {}
                }
                let message: ServerMessage = Friend { user: about, change }.into();
                self.people.connections_of(to).for_each(|here| here.peer.send(&message));
            }
            PeopleNews::Tell { to, session, message } => {
                let message = match ServerMessage::decode(Encoding::Json, message.as_bytes()) {
                    Ok(message) => message,
                    Err(error) => return tracing::warn!(%error, "what somebody is to be told cannot be read"),
                };
                let here = self.people.connections_of(to);
                here.filter(|here| session.is_none_or(|session| session == here.session))
                    .for_each(|here| here.peer.send(&message));
            }
            PeopleNews::Blocks(user) => self.check_wishes([user].into_iter()),
            PeopleNews::Group { to, changed, closed } => self.group_news(&to, changed, &closed),
            PeopleNews::Notified { to, notified } => {
                let message: ServerMessage = notified.into();
                self.people.connections_of(to).for_each(|here| here.peer.send(&message));
            }
        }
    }

    /// Asks what these people wish, as far as they are here.
    fn check_wishes(&self, users: impl Iterator<Item = UserId>) {
        let here: Vec<UserId> = users.filter(|user| self.people.persons.contains_key(user)).collect();
        for some in here.chunks(ASKED_AT_ONCE) {
            let (store, some) = (self.store.clone(), some.to_vec());
            self.ask(async move { Wishes::read(&store, &some).await.ok().map(Event::Wishes) });
        }
    }

    // Channels.

    fn talk(&mut self, now: Instant, conn: ConnId, talk: Talk) {
        let of = talk.of();
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        let user = here.user.id;
        let name = match &talk {
            Talk::Status(set) => {
                if set.status == Status::Offline {
                    return refuse(&here.peer, of, ErrorCode::InvalidInput, "expected online, away or busy");
                }
                if here.status != set.status {
                    here.status = set.status;
                    self.show(conn);
                }
                return;
            }
            Talk::Invite(_) | Talk::Answer(_) | Talk::Cancel(_) | Talk::Rematch(_) => return self.duel(conn, talk),
            Talk::Join(ChannelJoin { channel, .. }) => channel,
            Talk::Leave(leave) => &leave.channel,
            Talk::Send(send) => &send.channel,
            Talk::Edit(edit) => &edit.channel,
            Talk::Typing(typing) => &typing.channel,
            Talk::Read(read) => &read.channel,
        };
        let Ok(name) = name.parse::<ChannelName>() else {
            return refuse(&here.peer, of, ErrorCode::NotFound, "there is no such channel");
        };
        let key = name.key(user);
        if let Talk::Join(join) = &talk {
            if here.channels.len() >= RESUME_CHANNELS_MAX && !here.channels.contains(&key) {
                return refuse(&here.peer, of, ErrorCode::AtCapacity, "in too many channels");
            }
            let (store, since, peer) = (self.store.clone(), join.since, here.peer.clone());
            let asked = self.ask(async move {
                let admitted = may_read(&store, user, name).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot look up who may read a channel");
                    Err((ErrorCode::Unavailable, "the database is away"))
                });
                Some(Event::Admitted { conn, name, since, admitted })
            });
            if !asked {
                refuse(&peer, of, ErrorCode::AtCapacity, "too much is being asked");
            }
            return;
        }
        if !here.channels.contains(&key) {
            return refuse(&here.peer, of, ErrorCode::Forbidden, "join the channel first");
        }
        let Some(channel) = self.channels.get_mut(&key) else { return };
        let peer = here.peer.clone();
        match talk {
            Talk::Leave(_) => {
                here.channels.retain(|one| *one != key);
                self.leave(conn, &key);
            }
            Talk::Send(send) => {
                let text: String = send.text.nfc().collect();
                let fits = (1..=CHAT_TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.trim().is_empty();
                if !fits {
                    return refuse(&peer, of, ErrorCode::InvalidInput, "expected 1 to 500 characters");
                }
                let nonce = send.nonce.to_string();
                let message = NewMessage { user, nonce, text, edits: None, mentions: Vec::new() };
                wait(channel, now, &peer, Waiting { conn, of, message });
            }
            Talk::Edit(edit) => {
                let text: String = edit.text.nfc().collect();
                if text.chars().count() > CHAT_TEXT_CHARS_MAX {
                    return refuse(&peer, of, ErrorCode::InvalidInput, "expected at most 500 characters");
                }
                let nonce = edit.nonce.to_string();
                let message = NewMessage { user, nonce, text, edits: Some(edit.offset), mentions: Vec::new() };
                wait(channel, now, &peer, Waiting { conn, of, message });
            }
            Talk::Typing(_) => self.tell_later(key, ChannelNews::Typing(user)),
            Talk::Read(read) => {
                let (store, of_key) = (self.store.clone(), key.clone());
                self.ask(async move {
                    if let Err(error) = store.note_read(&of_key, user, read.offset).await {
                        tracing::debug!(%error, "how far somebody has read is not noted");
                    }
                    None
                });
                if matches!(name, ChannelName::Direct(_)) && self.people.has_receipts(user) {
                    self.tell_later(key, ChannelNews::Read(user, read.offset));
                }
            }
            // Done above.
            Talk::Join(_) | Talk::Status(_) => {}
            Talk::Invite(_) | Talk::Answer(_) | Talk::Cancel(_) | Talk::Rematch(_) => {}
        }
    }

    fn duel(&self, conn: ConnId, talk: Talk) {
        let Some(here) = self.people.here.get(&conn) else { return };
        let duels = Duels { fabric: self.fabric.clone(), store: self.store.clone(), hub: self.hub.clone() };
        let asker = Asker { user: here.user.clone(), session: here.session };
        let of = talk.of();
        // Not with the other questions: a match may take seconds to be made.
        let Ok(place) = self.duels.clone().try_acquire_owned() else {
            return refuse(&here.peer, of, ErrorCode::AtCapacity, "too much is being asked");
        };
        let events = self.events.clone();
        tokio::spawn(async move {
            let answer = duels.perform(asker, talk).await;
            drop(place);
            if let Some(events) = events.upgrade() {
                // The task has ended.
                let _ = events.send(Event::Arranged { conn, of, answer }).await;
            }
        });
    }

    fn tell_later(&self, key: String, news: ChannelNews) {
        let fabric = self.fabric.clone();
        self.ask(async move {
            // Of no lasting worth: lost is lost.
            let _ = tell(&fabric, &key, &news).await;
            None
        });
    }

    fn leave(&mut self, conn: ConnId, key: &str) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.members.retain(|member| member.conn != conn);
            if let Feed::Pending(asked) = &mut channel.feed {
                asked.retain(|(asking, ..)| *asking != conn);
            }
        }
    }

    fn admitted(
        &mut self,
        conn: ConnId,
        name: ChannelName,
        since: Option<u64>,
        admitted: Result<(), (ErrorCode, &'static str)>,
    ) {
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        if let Err((code, detail)) = admitted {
            return refuse(&here.peer, "channel_join", code, detail);
        }
        let key = name.key(here.user.id);
        if !here.channels.contains(&key) {
            if here.channels.len() >= RESUME_CHANNELS_MAX {
                return refuse(&here.peer, "channel_join", ErrorCode::AtCapacity, "in too many channels");
            }
            here.channels.push(key.clone());
        }
        let channel = self.channels.entry(key.clone()).or_insert_with(|| {
            let over = CancellationToken::new();
            let (of_event, of_subscribed) = (key.clone(), key.clone());
            tokio::spawn(over.clone().run_until_cancelled_owned(read_topic(
                self.fabric.clone(),
                topic_of(&key),
                self.events.clone(),
                move |event| Event::Channel { key: of_event.clone(), event },
                move |done| Some(Event::Subscribed { key: of_subscribed.clone(), done }),
            )));
            Channel::new(over.drop_guard())
        });
        match &mut channel.feed {
            Feed::Pending(asked) => asked.push((conn, name, since)),
            Feed::Open => self.read(key, conn, name, since),
        }
    }

    fn subscribed(&mut self, key: &str, done: bool) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Feed::Pending(asked) = &mut channel.feed else { return };
        let asked = std::mem::take(asked);
        if done {
            channel.feed = Feed::Open;
            for (conn, name, since) in asked {
                self.read(key.to_owned(), conn, name, since);
            }
            return;
        }
        for (conn, ..) in asked {
            if let Some(here) = self.people.here.get_mut(&conn) {
                here.channels.retain(|one| one != key);
                refuse(&here.peer, "channel_join", ErrorCode::Unavailable, "the channels are away");
            }
        }
    }

    /// Looks up what a new member has missed. What comes from now on comes by the topic.
    fn read(&mut self, key: String, conn: ConnId, name: ChannelName, since: Option<u64>) {
        let (store, of_channel) = (self.store.clone(), key.clone());
        let Some(user) = self.people.here.get(&conn).map(|here| here.user.id) else { return };
        let is_known = self.people.blocked_by(user).is_some();
        let asked = self.ask(async move {
            let read = async {
                // Again: news of whoever was put out before this came before it was known that he reads here.
                if let (ChannelName::Group(_) | ChannelName::Direct(_), Err(refused)) =
                    (name, may_read(&store, user, name).await?)
                {
                    return Ok(Err(refused));
                }
                let wishes = if is_known { None } else { Some(Wishes::read_of(&store, user).await?) };
                if let Some(since) = since {
                    let missed = store.messages_after(&key, since).await?;
                    let end = missed.messages.last().map_or(since, |message| message.offset);
                    // An offset that does not exist yet is of another cluster, or made up.
                    if end == missed.last_offset {
                        return Ok(Ok(CaughtUp { stretch: missed, recovered: true, wishes }));
                    }
                }
                let latest = store.messages_before(&key, None, MESSAGES_MAX).await?;
                Ok::<_, rally_store::StoreError>(Ok(CaughtUp { stretch: latest, recovered: since.is_none(), wishes }))
            };
            let read = read.await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot read a channel");
                Err((ErrorCode::Unavailable, "the database is away"))
            });
            Some(Event::Read { conn, key, name, read })
        });
        if asked && let Some(channel) = self.channels.get_mut(&of_channel) {
            channel.reading += 1;
        } else if let Some(here) = self.people.here.get_mut(&conn) {
            here.channels.retain(|one| *one != of_channel);
            refuse(&here.peer, "channel_join", ErrorCode::AtCapacity, "too much is being asked");
        }
    }

    fn has_read(&mut self, now: Instant, conn: ConnId, key: &str, name: ChannelName, read: Result<CaughtUp, Unread>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.reading = channel.reading.saturating_sub(1);
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        let user = here.user.id;
        // Left, or put out, meanwhile.
        if !here.channels.iter().any(|one| one == key) {
            return;
        }
        let CaughtUp { stretch, recovered, wishes } = match read {
            Ok(caught_up) => caught_up,
            Err((code, detail)) => {
                here.channels.retain(|one| one != key);
                return refuse(&here.peer, "channel_join", code, detail);
            }
        };
        if let (Some(wishes), Some(person)) = (wishes, self.people.persons.get_mut(&user)) {
            person.wishes.get_or_insert(wishes);
        }
        let Some(here) = self.people.here.get(&conn) else { return };
        let blocked = self.people.blocked_by(user);
        channel.read_up_to(stretch.last_offset);
        let said = stretch.messages.into_iter().map(Said::from).filter(|said| !said.is_hidden_from(blocked));
        let joined = ChannelJoined {
            channel: name.to_string(),
            messages: said.map(|said| said.to_client(name.to_string(), user)).collect(),
            recovered,
            last_offset: stretch.last_offset,
        };
        here.peer.send(&joined.into());
        // What was given to others here while this one was reading.
        let mut seen = stretch.last_offset;
        if !channel.remembers_since(seen) {
            // So much was said meanwhile that it has to read again.
            return self.read(key.to_owned(), conn, name, Some(seen));
        }
        for said in channel.since(stretch.last_offset) {
            seen = said.offset;
            if !said.is_hidden_from(blocked) {
                here.peer.send(&said.to_client(name.to_string(), user).into());
            }
        }
        channel.members.retain(|member| member.conn != conn);
        channel.members.push(Member { conn, name, seen });
        let ready = channel.take(now, []);
        self.deliver(key, &ready);
    }

    fn channel_news(&mut self, now: Instant, key: &str, event: TopicEvent) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let bytes = match event {
            TopicEvent::Message(bytes) => bytes,
            TopicEvent::Gap => {
                // Postgres knows how far it has come. Who has not read yet is about to ask it.
                if channel.is_read() {
                    self.fill(key);
                }
                return;
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(ChannelNews::Messages(said)) => {
                let ready = channel.take(now, said);
                self.deliver(key, &ready);
            }
            Ok(ChannelNews::Last(last)) => channel.heard(now, last),
            Ok(ChannelNews::Typing(user)) => {
                self.tell_members(key, user, |_| true, |channel| SomebodyTypes { channel, user }.into())
            }
            Ok(ChannelNews::Read(user, offset)) => {
                let wants = |member| self.people.has_receipts(member);
                self.tell_members(key, user, wants, |channel| SomebodyRead { channel, user, offset }.into())
            }
            Err(error) => tracing::warn!(%error, "news of a channel cannot be read"),
        }
    }

    /// Tells all members who want it but this user, and those who block it.
    fn tell_members(
        &self,
        key: &str,
        about: UserId,
        wants: impl Fn(UserId) -> bool,
        message: impl Fn(String) -> ServerMessage,
    ) {
        let Some(channel) = self.channels.get(key) else { return };
        for member in &channel.members {
            let Some(here) = self.people.here.get(&member.conn) else { continue };
            let blocks = self.people.blocked_by(here.user.id).is_some_and(|blocked| blocked.contains(&about));
            if here.user.id != about && !blocks && wants(here.user.id) {
                here.peer.send(&message(member.name.to_string()));
            }
        }
    }

    /// Gives messages to all who read the channel here. Encoded once for all who read the same.
    fn deliver(&mut self, key: &str, ready: &[Said]) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let now = clock::now();
        let mut delivered = 0;
        for said in ready {
            // By encoding and name; of a direct channel each of the two has a name of its own.
            let mut frames: HashMap<(Encoding, ChannelName), Bytes> = HashMap::new();
            for member in &mut channel.members {
                if member.seen >= said.offset {
                    continue;
                }
                member.seen = said.offset;
                let Some(here) = self.people.here.get(&member.conn) else { continue };
                let user = here.user.id;
                if said.is_hidden_from(self.people.blocked_by(user)) {
                    continue;
                }
                let make = || {
                    let message = said.to_client(member.name.to_string(), user);
                    frame::message(here.peer.encoding, &message.into())
                };
                // The sender's own has a mark that others do not see.
                let frame = if user == said.from.id {
                    make()
                } else {
                    match frames.get(&(here.peer.encoding, member.name)) {
                        Some(frame) => Some(frame.clone()),
                        None => make().inspect(|frame| {
                            frames.insert((here.peer.encoding, member.name), frame.clone());
                        }),
                    }
                };
                let Some(frame) = frame else { continue };
                here.peer.queue(now, frame);
                self.unflushed.push(here.peer.clone());
                delivered += 1;
            }
        }
        counter!(DELIVERED).increment(delivered);
    }

    /// Asks Postgres for what is missing.
    fn fill(&mut self, key: &str) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.filling {
            return;
        }
        counter!(HOLES).increment(1);
        let (store, of_channel, after) = (self.store.clone(), key.to_owned(), channel.delivered());
        let asked = self.ask(async move {
            let stretch = store.messages_after(&of_channel, after).await;
            Some(Event::Filled { key: of_channel, stretch: stretch.ok() })
        });
        // Else the next look tries again.
        if let Some(channel) = self.channels.get_mut(key) {
            channel.filling = asked;
        }
    }

    fn filled(&mut self, now: Instant, key: &str, stretch: Option<Stretch>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let mut ready = Vec::new();
        if let Some(stretch) = stretch {
            channel.heard(now, stretch.last_offset);
            ready = channel.take(now, stretch.messages.into_iter().map(Said::from));
        }
        channel.fill_again_later(now);
        self.deliver(key, &ready);
    }

    /// Stores what waits in a channel, and tells all edges of it.
    fn flush(&mut self, key: &str) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let n = channel.waiting.len().min(BATCH_MAX);
        let batch: Vec<Waiting> = channel.waiting.drain(..n).collect();
        channel.batch_since = (!channel.waiting.is_empty()).then(clock::now);
        channel.storing = true;
        let (fabric, store, key) = (self.fabric.clone(), self.store.clone(), key.to_owned());
        let (events, notices) = (self.events.clone(), self.notices.clone());
        tokio::spawn(async move {
            let (messages, answers) = store_batch(&fabric, &store, &notices, &key, batch).await;
            if let Some(events) = events.upgrade() {
                // The task has ended.
                let _ = events.send(Event::Stored { key, messages, answers }).await;
            }
        });
    }

    fn stored(&mut self, now: Instant, key: &str, messages: Vec<Message>, answers: Vec<(ConnId, Answer)>) {
        for (conn, answer) in answers {
            let Some(here) = self.people.here.get(&conn) else { continue };
            match answer {
                Answer::Repeated(message) => {
                    let name = self.channels.get(key).and_then(|channel| {
                        channel.members.iter().find(|member| member.conn == conn).map(|member| member.name)
                    });
                    if let Some(name) = name {
                        here.peer.send(&Said::from(*message).to_client(name.to_string(), here.user.id).into());
                    }
                }
                Answer::Refused(of, code, detail, until) => refuse_until(&here.peer, of, code, detail, until),
            }
        }
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.storing = false;
        if !messages.is_empty() {
            channel.said_at = Some(now);
        }
        // Also by the topic; whichever comes first.
        let ready = channel.take(now, messages.into_iter().map(Said::from));
        self.deliver(key, &ready);
    }

    fn look(&mut self, now: Instant) {
        let due: Vec<String> = self
            .channels
            .iter()
            .filter(|(_, channel)| !channel.storing)
            .filter(|(_, channel)| channel.batch_since.is_some_and(|since| now.since(since) >= BATCH_FOR))
            .map(|(key, _)| key.clone())
            .collect();
        due.iter().for_each(|key| self.flush(key));
        let holes: Vec<String> =
            self.channels.iter().filter(|(_, channel)| channel.must_fill(now)).map(|(key, _)| key.clone()).collect();
        holes.iter().for_each(|key| self.fill(key));
        if now < self.people_due {
            return;
        }
        self.people_due = now + PEOPLE_PERIOD;
        self.channels.retain(|_, channel| !channel.is_idle());
        gauge!(CHANNELS).set(self.channels.len() as f64);
        for (key, channel) in &self.channels {
            if channel.said_at.is_some_and(|at| now.since(at) < ANNOUNCE_FOR) {
                self.tell_later(key.clone(), ChannelNews::Last(channel.last()));
            }
        }
        // Whose edge is gone.
        self.people.look(&self.fabric.nodes(), None);
        let mut changed = Vec::new();
        // Those whose end was not heard of.
        let gone: Vec<ConnId> =
            self.people.here.iter().filter(|(_, here)| here.peer.is_gone()).map(|(conn, _)| *conn).collect();
        gone.into_iter().for_each(|conn| self.closed(conn));
        for (conn, here) in &mut self.people.here {
            let playing = here.peer.playing();
            if playing != here.playing {
                here.playing = playing;
                changed.push(*conn);
            }
        }
        if now >= self.renew_due {
            self.renew_due = now + RENEW_PERIOD;
            changed = self.people.here.keys().copied().collect();
        }
        changed.into_iter().for_each(|conn| self.show(conn));
        if !self.seen.is_empty() {
            let (store, seen) = (self.store.clone(), std::mem::take(&mut self.seen));
            self.ask(async move {
                let users: Vec<UserId> = seen.into_iter().collect::<HashSet<_>>().into_iter().collect();
                if let Err(error) = store.note_seen(&users).await {
                    tracing::debug!(%error, "when people were last seen is not noted");
                }
                None
            });
        }
    }
}

/// Adds to what is to be stored next.
fn wait(channel: &mut Channel, now: Instant, peer: &SharedPeer, waiting: Waiting) {
    if channel.waiting.len() >= WAITING_MAX {
        return refuse(peer, waiting.of, ErrorCode::AtCapacity, "too much is being said here");
    }
    channel.waiting.push(waiting);
    channel.batch_since.get_or_insert(now);
}

fn refuse(peer: &SharedPeer, of: &'static str, code: ErrorCode, detail: &str) {
    refuse_until(peer, of, code, detail.into(), None);
}

fn refuse_until(peer: &SharedPeer, of: &'static str, code: ErrorCode, detail: String, until: Option<u64>) {
    counter!(REFUSED, "reason" => code.as_str()).increment(1);
    peer.send(&ErrorMessage { code, detail, of: Some(of.into()), match_id: None, until }.into());
}
