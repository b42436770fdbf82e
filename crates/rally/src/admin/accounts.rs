//! `rally admin create`, `rally admin reset`: operators' accounts, and people who have lost their password.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rally_edge::api::{codes, types::Username};
use rally_store::{NewAccount, RegisterError, Role, Store};

/// How long a code is good that an operator hands out.
const CODE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes an operator.
pub(super) async fn create(store: &Store, name: &str) -> anyhow::Result<()> {
    if let Some(known) = store.credentials(name).await? {
        store.set_role(known.user.id, Role::Operator).await?;
        println!("{} is an operator from now on", known.user.name);
        return Ok(());
    }
    if let Err(fault) = Username::try_from(name.to_owned()) {
        bail!("{name:?} is no name: {fault}");
    }
    // No password fits an empty hash; the code sets one.
    let new = NewAccount { name, password_hash: "", recovery_hash: codes::generate::<16>().hash };
    let user = match store.register(&new, None).await {
        Ok(user) => user,
        Err(error @ (RegisterError::UsernameTaken | RegisterError::NotAGuest)) => bail!(error),
        Err(RegisterError::Store(error)) => return Err(error).context("cannot make the account"),
    };
    store.set_role(user.id, Role::Operator).await?;
    println!("{} is an operator's account from now on", user.name);
    reset(store, name, false).await
}

/// Prints a code that sets a password.
pub(super) async fn reset(store: &Store, name: &str, totp: bool) -> anyhow::Result<()> {
    let Some(known) = store.credentials(name).await? else { bail!("there is no account {name:?}") };
    let code = codes::generate::<16>();
    store.offer_password_code(known.user.id, &code.hash, CODE_FOR).await?;
    if totp {
        store.disable_totp(known.user.id).await?;
        println!("the second factor of {} is gone", known.user.name);
    }
    println!("this code sets the password of {}, once and within a day:", known.user.name);
    println!("{}", code.text);
    Ok(())
}
