//! Attempts to prove who one is: counted by account and by address in the whole cluster, and slower the more of them
//! fail.
//!
//! Each is charged before it is judged, so that a thousand at once are not let through together. A success takes the
//! charge of its address back and all of its account's.

use std::{net::IpAddr, time::Duration};

use rally_fabric::{RedisError, SharedRate};
use rally_protocol::client::v1::ErrorCode;

use super::{Api, types::Username};
use crate::{address::Net, error::Problem, limits::limited};

/// Ten at once, then one each 6 s, and slower with each: up to one in 6 minutes. Its owner is kept waiting too, which
/// is why it is no longer.
const BY_ACCOUNT: SharedRate = SharedRate {
    name: "sign_in_account",
    interval: Duration::from_secs(6),
    burst: 10,
    growth_max: 64,
    remember: Duration::from_secs(15 * 60),
};

/// A school may share an address: thirty that fail at once, then one each 3 s, up to one in 13 minutes.
const BY_ADDRESS: SharedRate = SharedRate {
    name: "sign_in_address",
    interval: Duration::from_secs(3),
    burst: 30,
    growth_max: 256,
    remember: Duration::from_secs(15 * 60),
};

/// One that is under way.
pub(super) struct Attempt<'a> {
    api: &'a Api,
    account: String,
    address: Option<String>,
}

impl<'a> Attempt<'a> {
    /// Charges one at this account, from this address.
    ///
    /// With Redis away nothing is counted here: people could not sign in at all otherwise, and each edge still counts
    /// for itself.
    pub(super) async fn begin(api: &'a Api, name: &Username, address: IpAddr) -> Result<Self, Problem> {
        let account = name.as_str().to_ascii_lowercase();
        let address = (!api.limits.addresses.is_exempt(address)).then(|| Net::of(address).to_string());
        let limits = api.fabric.limits();
        if let Some(address) = &address {
            allowed("sign_in_address", limits.charge(&BY_ADDRESS, address).await)?;
        }
        allowed("sign_in_account", limits.charge(&BY_ACCOUNT, &account).await)?;
        Ok(Self { api, account, address })
    }

    /// It was good.
    pub(super) async fn succeeded(self) {
        let limits = self.api.fabric.limits();
        let address = async {
            match &self.address {
                Some(address) => limits.refund(&BY_ADDRESS, address).await,
                None => Ok(()),
            }
        };
        if let (Err(error), _) | (_, Err(error)) = tokio::join!(limits.forget(&BY_ACCOUNT, &self.account), address) {
            tracing::debug!(%error, "an attempt stays charged");
        }
    }
}

/// Whether what was charged goes on. With Redis away it does.
pub(super) fn allowed(limit: &'static str, charged: Result<Option<Duration>, RedisError>) -> Result<(), Problem> {
    match charged {
        Ok(None) => Ok(()),
        Ok(Some(wait)) => {
            limited(limit);
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Err(Problem::new(ErrorCode::RateLimited, "too many attempts").retry_after_s(seconds))
        }
        Err(error) => {
            tracing::warn!(%error, limit, "an attempt is not counted");
            Ok(())
        }
    }
}
