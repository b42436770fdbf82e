//! How much of an edge one may have: requests by address and user, connections by node, address and user.
//!
//! All of it is counted on this edge alone, in bounded memory. Who is within `RALLY_LIMIT_EXEMPT` is exempt from what is
//! counted by address, and from nothing else.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use rally_protocol::client::v1::ErrorCode;
use rally_units::UserId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    address::{Addresses, Net},
    admission::Admission,
    error::Problem,
};

/// Addresses and users of which each has a count of its own. Beyond it newcomers share counts: under an attack from so
/// many addresses at once, being limited together is better than not at all.
const KEYS_MAX: usize = 64 * 1024;
/// How many counts they share.
const SHARED_COUNTS: u64 = 4 * 1024;

/// How often counts that are as good as new are forgotten.
pub const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How often something may happen: for ever so often a minute, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// For ever.
    pub per_minute: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// What requests are limited as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Sign-in: each makes a user or tries a password.
    Auth,
    /// The rest of the API.
    Api,
    /// WebSocket handshakes.
    Upgrade,
    /// The page and its files.
    Page,
}

impl Class {
    const ALL: [Self; 4] = [Self::Auth, Self::Api, Self::Upgrade, Self::Page];

    const fn label(self) -> &'static str {
        match self {
            Self::Auth => "rate_auth",
            Self::Api => "rate_api",
            Self::Upgrade => "rate_upgrade",
            Self::Page => "rate_page",
        }
    }
}

/// The numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Sign-ins of an address.
    pub auth: Rate,
    /// API requests of an address, and of a user.
    pub api: Rate,
    /// WebSocket handshakes of an address.
    pub upgrade: Rate,
    /// Requests for the page and its files of an address.
    pub page: Rate,
    /// WebSocket handshakes of this edge a second.
    pub handshakes_per_s: u32,
    /// WebSockets of this edge.
    pub sockets_max: usize,
    /// Connections of an address.
    pub connections_per_address_max: usize,
    /// WebSockets of a user.
    pub sockets_per_user_max: usize,
}

/// Counts everything. One per edge.
pub struct Limits {
    /// Who is who.
    pub addresses: Addresses,
    by_address: [Rates<Net>; Class::ALL.len()],
    by_user: Rates<UserId>,
    admission: Admission,
    sockets: Arc<Semaphore>,
    connections: Places<Net>,
    users: Places<UserId>,
}

impl Limits {
    /// Nobody counted yet.
    pub fn new(config: &LimitsConfig, addresses: Addresses) -> Arc<Self> {
        let rate = |class| match class {
            Class::Auth => config.auth,
            Class::Api => config.api,
            Class::Upgrade => config.upgrade,
            Class::Page => config.page,
        };
        Arc::new(Self {
            addresses,
            by_address: Class::ALL.map(|class| Rates::new(rate(class))),
            by_user: Rates::new(config.api),
            admission: Admission::new(config.handshakes_per_s, Instant::now()),
            sockets: Arc::new(Semaphore::new(config.sockets_max)),
            connections: Places::new(config.connections_per_address_max),
            users: Places::new(config.sockets_per_user_max),
        })
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn request(&self, class: Class, address: IpAddr) -> Result<(), Problem> {
        if self.addresses.is_exempt(address) {
            return Ok(());
        }
        self.by_address[class as usize].check(Net::of(address)).map_err(|wait| too_fast(class.label(), wait))
    }

    /// Counts an API request of a user.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn request_of_user(&self, user: UserId) -> Result<(), Problem> {
        self.by_user.check(user).map_err(|wait| too_fast("rate_user", wait))
    }

    /// A place for a connection of an address. Exempt ones need none.
    ///
    /// # Errors
    /// `rate_limited`: it has too many.
    pub fn connection(&self, address: IpAddr) -> Result<Option<Place<Net>>, Problem> {
        if self.addresses.is_exempt(address) {
            return Ok(None);
        }
        self.connections.take(Net::of(address)).map(Some).ok_or_else(|| {
            limited("connections_address");
            Problem::new(ErrorCode::RateLimited, "too many connections from this address").retry_after_s(30)
        })
    }

    /// A place for a WebSocket.
    ///
    /// # Errors
    /// `at_capacity`: this edge has too many.
    pub fn socket(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.sockets.clone().try_acquire_owned().map_err(|_| {
            limited("sockets_node");
            Problem::new(ErrorCode::AtCapacity, "this edge is full").retry_after_s(10)
        })
    }

    /// Waits until a handshake's turn has come.
    ///
    /// # Errors
    /// `at_capacity`: too many come at once.
    pub async fn handshake(&self) -> Result<(), Problem> {
        self.admission.enter().await
    }

    /// A place for a WebSocket of a user; `None` if the user has too many.
    pub fn socket_of_user(&self, user: UserId) -> Option<Place<UserId>> {
        let place = self.users.take(user);
        if place.is_none() {
            limited("sockets_user");
        }
        place
    }

    /// Forgets counts that are as good as new: to be called every [`FORGET_EVERY`].
    pub fn forget(&self) {
        self.by_address.iter().for_each(Rates::forget);
        self.by_user.forget();
    }
}

const LIMITED: &str = "rally_edge_limited_total";

pub(crate) fn describe() {
    metrics::describe_counter!(LIMITED, "requests and connections refused because somebody has enough, by limit");
}

/// Somebody met a limit.
pub(crate) fn limited(limit: &'static str) {
    metrics::counter!(LIMITED, "limit" => limit).increment(1);
}

fn too_fast(limit: &'static str, wait: Duration) -> Problem {
    limited(limit);
    // Rounded up: who comes back then is let in.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(ErrorCode::RateLimited, "too many requests").retry_after_s(seconds.max(1))
}

/// A count of one's own, or one of those that are shared.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key<K> {
    Own(K),
    Shared(u64),
}

/// Requests by key.
struct Rates<K: Clone + Eq + Hash> {
    limiter: DefaultKeyedRateLimiter<Key<K>>,
    keys_max: usize,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        Self { limiter: RateLimiter::keyed(quota), keys_max: KEYS_MAX }
    }

    /// `Err`: how long until it is let through.
    fn check(&self, key: K) -> Result<(), Duration> {
        let key = if self.limiter.len() < self.keys_max {
            Key::Own(key)
        } else {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            Key::Shared(hasher.finish() % SHARED_COUNTS)
        };
        self.limiter.check_key(&key).map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }

    fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// How many of something each has. As many keys as things that are counted, which are bounded elsewhere.
struct Places<K> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    each_max: usize,
}

impl<K: Copy + Eq + Hash> Places<K> {
    fn new(each_max: usize) -> Self {
        Self { counts: Arc::default(), each_max }
    }

    fn take(&self, key: K) -> Option<Place<K>> {
        let mut counts = lock(&self.counts);
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= self.each_max {
            return None;
        }
        counts.insert(key, count + 1);
        Some(Place { counts: self.counts.clone(), key })
    }
}

/// One of the places that somebody may have; given back when dropped.
#[derive(Debug)]
pub struct Place<K: Copy + Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.key);
            }
        }
    }
}

fn lock<K>(counts: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // Nothing panics while it is held.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate {
            per_minute: NonZeroU32::new(per_minute).expect("more than none"),
            burst: NonZeroU32::new(burst).expect("more than none"),
        }
    }

    fn limits() -> Arc<Limits> {
        let config = LimitsConfig {
            auth: rate(6, 2),
            api: rate(60, 3),
            upgrade: rate(60, 3),
            page: rate(600, 10),
            handshakes_per_s: 1_000,
            sockets_max: 2,
            connections_per_address_max: 2,
            sockets_per_user_max: 1,
        };
        let exempt = vec!["127.0.1.0/24".parse().expect("a net")];
        Limits::new(&config, Addresses { trusted_proxies: Vec::new(), limit_exempt: exempt })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_class_and_address_has_its_own_count() {
        let limits = limits();
        let (a, b) = (address("203.0.113.1"), address("203.0.113.2"));
        assert!(limits.request(Class::Auth, a).is_ok());
        assert!(limits.request(Class::Auth, a).is_ok());
        // 6 a minute: the next one is let in after 10 s.
        let expected = Problem::new(ErrorCode::RateLimited, "too many requests").retry_after_s(10);
        assert_eq!(limits.request(Class::Auth, a), Err(expected));
        assert!(limits.request(Class::Api, a).is_ok());
        assert!(limits.request(Class::Auth, b).is_ok());
    }

    #[test]
    fn exempt_addresses_are_not_counted() {
        let limits = limits();
        for _ in 0..100 {
            assert!(limits.request(Class::Auth, address("127.0.1.7")).is_ok());
        }
        let places: Vec<_> = (0..100).map(|_| limits.connection(address("127.0.1.7"))).collect();
        assert!(places.iter().all(|place| matches!(place, Ok(None))));
    }

    #[test]
    fn users_are_counted_wherever_they_come_from() {
        let limits = limits();
        let [a, b] = [1, 2].map(|n| UserId::from_bytes([n; 16]));
        for _ in 0..3 {
            assert!(limits.request_of_user(a).is_ok());
        }
        assert!(limits.request_of_user(a).is_err());
        assert!(limits.request_of_user(b).is_ok());
    }

    #[test]
    fn places_are_given_back() {
        let limits = limits();
        let a = address("203.0.113.1");
        let first = limits.connection(a).expect("a place");
        let _second = limits.connection(a).expect("a place");
        assert!(limits.connection(a).is_err());
        assert!(limits.connection(address("203.0.113.2")).is_ok());
        drop(first);
        let _third = limits.connection(a).expect("a place again");
        assert!(limits.connection(a).is_err());

        let user = UserId::from_bytes([1; 16]);
        let place = limits.socket_of_user(user);
        assert!(place.is_some() && limits.socket_of_user(user).is_none());
        drop(place);
        assert!(limits.socket_of_user(user).is_some());

        let (_one, _two) = (limits.socket().expect("a place"), limits.socket().expect("a place"));
        assert!(limits.socket().is_err());
    }

    #[test]
    fn nothing_is_kept_of_who_has_nothing() {
        let limits = limits();
        drop(limits.connection(address("203.0.113.1")));
        assert!(lock(&limits.connections.counts).is_empty());
    }

    #[test]
    fn beyond_the_bound_newcomers_share_counts() {
        let mut rates = Rates::<u32>::new(rate(1, 1));
        rates.keys_max = 10;
        (0..10).for_each(|key| assert!(rates.check(key).is_ok()));
        // More newcomers than counts: some must meet the limit although each came once.
        let refused = (10..10_010).filter(|key| rates.check(*key).is_err()).count() as u64;
        assert!(refused >= 10_000 - SHARED_COUNTS);
        assert!(rates.limiter.len() as u64 <= 10 + SHARED_COUNTS);
    }

    #[test]
    fn counts_that_are_as_good_as_new_are_forgotten() {
        let rates = Rates::<u32>::new(rate(u32::MAX, 1));
        (0..1_000).for_each(|key| assert!(rates.check(key).is_ok()));
        let started = std::time::Instant::now();
        while !rates.limiter.is_empty() {
            assert!(started.elapsed() < Duration::from_secs(10), "{} are left", rates.limiter.len());
            rates.forget();
        }
    }
}
