//! The task: whatever can wake it stands in `run`.

mod delivery;
mod groups;
mod look;
mod people;
mod reading;
mod talk;

use std::{collections::HashMap, sync::Arc, time::Duration};

use metrics::counter;
use rally_fabric::{Fabric, PresenceChange, TopicEvent};
use rally_protocol::client::v1::{ErrorCode, ErrorMessage};
use rally_service::{clock, traces};
use rally_store::Store;
use rally_units::{Instant, UserId};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Event,
    channels::{BATCH_FOR, Channel, REFUSED},
    duels::DUELS_MAX,
    notices::Notices,
    people::People,
    wire::{PEOPLE, PeopleNews, announce},
};
use crate::{hub, socket::SharedPeer};

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
            let event = work.instrument(traces::message("social")).await;
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
}

fn refuse(peer: &SharedPeer, of: &'static str, code: ErrorCode, detail: &str) {
    refuse_until(peer, of, code, detail.into(), None);
}

fn refuse_until(peer: &SharedPeer, of: &'static str, code: ErrorCode, detail: String, until: Option<u64>) {
    counter!(REFUSED, "reason" => code.as_str()).increment(1);
    peer.send(&ErrorMessage { code, detail, of: Some(of.into()), match_id: None, until }.into());
}
