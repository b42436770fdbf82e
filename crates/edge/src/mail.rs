//! Letters: codes for a lost password and for an address that is to be confirmed.
//!
//! They wait in a bounded queue for one task, which also looks up to whom one goes: so who asks for a letter is answered
//! the same, and as quickly, whether there is such an account or not.

use std::{sync::Arc, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use rally_store::Store;
use rally_units::UserId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::codes;

/// Letters that wait; beyond that they are dropped and counted.
const QUEUE_MAX: usize = 256;
/// How often a letter is tried.
const TRIES: u32 = 3;
/// Between two tries of a letter.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// What a server may take.
const SERVER_WITHIN: Duration = Duration::from_secs(10);
/// How long a code is good.
pub(crate) const CODE_FOR: Duration = Duration::from_secs(30 * 60);

/// Where letters are handed in, and whom they are from.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `smtp://` or `smtps://`, with name and password.
    pub url: secrecy::SecretString,
    /// Whom letters are from.
    pub from: Mailbox,
}

/// What cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("RALLY_SMTP_URL cannot be used")]
pub struct MailError(#[source] lettre::transport::smtp::Error);

/// A letter to be written.
#[derive(Debug)]
pub(crate) enum Letter {
    /// To whoever has forgotten the password of the account of this name.
    Forgot(String),
    /// With this code, to this address, which the account wants to have.
    Confirm {
        /// The account's name.
        name: String,
        /// Where to.
        address: String,
        /// What shows that it was read.
        code: String,
    },
    /// To the address that an account had until now.
    Changed(UserId, String),
}

/// Takes letters.
#[derive(Clone)]
pub struct Mail {
    queue: mpsc::Sender<Letter>,
}

impl Mail {
    /// Hands letters in until it is told to stop. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn start(config: &MailConfig, store: Store, stop: CancellationToken) -> Result<Self, MailError> {
        use secrecy::ExposeSecret as _;
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(config.url.expose_secret()).map_err(MailError)?;
        let transport = Arc::new(transport.timeout(Some(SERVER_WITHIN)).build());
        let (queue, mut letters) = mpsc::channel(QUEUE_MAX);
        let from = config.from.clone();
        tokio::spawn(async move {
            loop {
                let letter = tokio::select! {
                    letter = letters.recv() => letter,
                    () = stop.cancelled() => None,
                };
                let Some(letter) = letter else { return };
                match write(&store, &from, letter).await {
                    Ok(Some(message)) => deliver(&transport, message).await,
                    Ok(None) => {}
                    Err(error) => {
                        metrics::counter!("rally_mail_total", "outcome" => "unwritten").increment(1);
                        tracing::warn!(error = &*error, "a letter is not written");
                    }
                }
            }
        });
        Ok(Self { queue })
    }

    /// Has a letter written and handed in, if there is room for it.
    pub(crate) fn send(&self, letter: Letter) {
        if self.queue.try_send(letter).is_err() {
            metrics::counter!("rally_mail_total", "outcome" => "dropped").increment(1);
        }
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn write(store: &Store, from: &Mailbox, letter: Letter) -> Result<Option<Message>, AnyError> {
    let (address, subject, text) = match letter {
        Letter::Forgot(name) => {
            let Some((user, address)) = store.email_of(&name).await? else { return Ok(None) };
            let code = codes::generate::<16>();
            if !store.offer_password_code(user.id, &code.hash, CODE_FOR).await? {
                return Ok(None);
            }
            let text = format!(
                "Somebody, hopefully you, has forgotten the password of {} at Rally.\n\nThis code sets another one \
                 within half an hour, once:\n\n    {}\n\nIf it was not you, nothing has changed.\n",
                user.name, code.text
            );
            (address, "Another password for Rally", text)
        }
        Letter::Confirm { name, address, code } => {
            let text = format!(
                "{name} at Rally wants letters to come to this address.\n\nThis code confirms it within half an hour:\
                 \n\n    {code}\n\nIf this was not you, nothing has to be done.\n"
            );
            (address, "Your address at Rally", text)
        }
        Letter::Changed(user, address) => {
            let Some(user) = store.user(user).await? else { return Ok(None) };
            let text = format!("Letters for {} at Rally go to another address from now on.\n", user.name);
            (address, "Your address at Rally has changed", text)
        }
    };
    let message = Message::builder().from(from.clone()).to(address.parse()?).subject(subject);
    Ok(Some(message.header(ContentType::TEXT_PLAIN).body(text)?))
}

async fn deliver(transport: &AsyncSmtpTransport<Tokio1Executor>, message: Message) {
    for tried in 1..=TRIES {
        match transport.send(message.clone()).await {
            Ok(_) => {
                metrics::counter!("rally_mail_total", "outcome" => "sent").increment(1);
                return;
            }
            Err(error) if tried == TRIES || error.is_permanent() => {
                metrics::counter!("rally_mail_total", "outcome" => "failed").increment(1);
                tracing::warn!(error = &error as &dyn std::error::Error, "a letter cannot be handed in");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "a letter is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
