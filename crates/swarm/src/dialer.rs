//! Opens connections for the engines: sign-in, TCP, handshake, and the HTTP call for a private match.
//!
//! Runs on the commander's runtime. Slow and rare beside play, so that comfort may cost something here.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rally_client::{Api, ApiError, EdgeUrl, Encoding, NewMatch, Tokens, connect_upgraded};
use rally_protocol::client::v1::{Skill, Token};
use tokio::{sync::Semaphore, time::sleep};

use crate::engine::{Delivery, Order};

/// Connections in the making at once, where nothing else is asked for. More would measure the edges' accept queues.
pub(crate) const DIALS_MAX: usize = 64;
/// A token that expires sooner than this is refreshed before it is used.
const TOKEN_LEFT_MIN: Duration = Duration::from_secs(60);

/// Where from connections come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// Whatever the system chooses.
    One,
    /// An address of 127.0.0.0/8 for each player.
    Spread,
}

impl Sources {
    /// The address of the `player`-th player.
    fn of(self, player: usize) -> Option<IpAddr> {
        match self {
            Self::One => None,
            Self::Spread => {
                // 127.1.0.1 and on: 127.0.0.1 is everyone else's, and no address ends with 0 or 255.
                let (high, low) = (player / 254, player % 254 + 1);
                let [_, _, b, c] = ((high + 256) as u32 % (1 << 16)).to_be_bytes();
                Some(Ipv4Addr::new(127, b, c, low as u8).into())
            }
        }
    }
}

/// Everything that opening a connection needs.
#[derive(Debug)]
pub(crate) struct Dialer {
    edges: Vec<EdgeUrl>,
    encoding: Encoding,
    sources: Sources,
    classic: bool,
    /// What tells the guests of this run from those of another.
    name: String,
    accounts: Vec<Mutex<Option<Account>>>,
    permits: Semaphore,
    stopping: AtomicBool,
}

#[derive(Clone, Debug)]
struct Account {
    tokens: Tokens,
    expires: Instant,
}

impl Account {
    fn new(tokens: Tokens) -> Self {
        Self { expires: Instant::now() + Duration::from_secs(tokens.expires_in_s.into()), tokens }
    }
}

impl Dialer {
    pub(crate) fn new(
        edges: Vec<EdgeUrl>,
        encoding: Encoding,
        sources: Sources,
        classic: bool,
        players: usize,
        dials_max: usize,
    ) -> Self {
        Self {
            edges,
            encoding,
            sources,
            classic,
            name: format!("s{:06x}", getrandom::u32().unwrap_or_else(|_| std::process::id()) & 0xff_ffff),
            accounts: (0..players).map(|_| Mutex::default()).collect(),
            permits: Semaphore::new(dials_max),
            stopping: AtomicBool::new(false),
        }
    }

    /// Nothing is opened any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Carries out an order of the engine whose first player is the `first`-th of all.
    pub(crate) async fn carry_out(self: Arc<Self>, first: usize, order: Order, engine: mpsc::Sender<Delivery>) {
        let delivery = match order {
            Order::Open { slot, edge, after } => {
                sleep(after).await;
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                match self.open(first + slot, &self.edges[edge % self.edges.len()]).await {
                    Ok((stream, early, token)) => Delivery::Opened { slot, stream, early, token },
                    Err(error) => Delivery::NotOpened { slot, error },
                }
            }
            Order::MakeMatch { slot } => match self.make_match(first + slot).await {
                Ok(match_id) => Delivery::MatchMade { slot, match_id },
                Err(error) => Delivery::NoMatch { slot, error },
            },
        };
        // An engine that has ended needs nothing.
        let _ = engine.send(delivery);
    }

    /// A connection for a player, whose handshake is done.
    pub(crate) async fn open(
        &self,
        player: usize,
        edge: &EdgeUrl,
    ) -> Result<(std::net::TcpStream, bytes::Bytes, Token), String> {
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        let source = self.sources.of(player);
        let tokens = self.sign_in(player, edge, source).await.map_err(|error| label("sign_in", &error))?;
        let token = Token::try_from(tokens.access).map_err(|_| "sign_in: unusable token".to_owned())?;
        let (stream, early) = connect_upgraded(edge, self.encoding, source)
            .await
            .map_err(|error| format!("connect: {}", error.label()))?;
        let stream = stream.into_std().map_err(|_| "connect: socket".to_owned())?;
        Ok((stream, early, token))
    }

    async fn sign_in(&self, player: usize, edge: &EdgeUrl, source: Option<IpAddr>) -> Result<Tokens, ApiError> {
        let api = Api::new(edge.clone()).from_address(source);
        let known = self.account(player);
        let account = match known {
            Some(account) if account.expires > Instant::now() + TOKEN_LEFT_MIN => return Ok(account.tokens),
            Some(account) => Account::new(api.refresh(&account.tokens.refresh).await?),
            None => Account::new(api.sign_in_as_guest(&format!("{}_{player}", self.name)).await?.tokens),
        };
        let tokens = account.tokens.clone();
        *self.accounts[player].lock().unwrap_or_else(PoisonError::into_inner) = Some(account);
        Ok(tokens)
    }

    fn account(&self, player: usize) -> Option<Account> {
        self.accounts[player].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn make_match(&self, player: usize) -> Result<rally_units::MatchId, String> {
        let account = self.account(player).ok_or("create_match: not signed in")?;
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        let api = Api::new(self.edges[player % self.edges.len()].clone()).from_address(self.sources.of(player));
        let wanted = NewMatch::Private { skill: Skill::Smash, classic: self.classic };
        api.create_match(&account.tokens.access, &wanted).await.map_err(|error| label("create_match", &error))
    }
}

fn label(of: &str, error: &ApiError) -> String {
    match error {
        ApiError::Connect(error) => format!("{of}: {}", error.label()),
        ApiError::Refused(problem) => format!("{of}: {}", problem.code),
        ApiError::Unexpected(_) => format!("{of}: unexpected answer"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_player_has_an_address_of_its_own() {
        let addresses: BTreeSet<_> = (0..100_000).filter_map(|player| Sources::Spread.of(player)).collect();
        assert_eq!(addresses.len(), 100_000);
        assert!(addresses.iter().all(|address| address.is_loopback()));
        assert!(!addresses.contains(&IpAddr::from([127, 0, 0, 1])));
        assert_eq!(Sources::One.of(7), None);
    }
}
