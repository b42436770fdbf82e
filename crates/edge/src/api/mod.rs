//! The HTTP API: `/api/v1`.
//!
//! [`types`] has what travels, `body` reads it and names every fault, the other modules answer. A handler holds no
//! state of its own: Postgres says who is who and who plays where, Redis who waits, a worker takes each match.
//!
//! To add a route: a line in `routes()` here, an entry in `described` (types that travel derive `ToSchema`), a line in
//! the table of `tests/it/people.rs`; then `RALLY_GOLDEN=write cargo test -p rally-edge the_file_is_that_of_the_code`
//! writes `docs/openapi.json` anew. Tests fail for whatever is forgotten.

mod attempts;
mod auth;
mod avatars;
mod body;
mod caller;
mod channels;
pub mod codes;
mod described;
mod email;
mod export;
mod friends;
mod groups;
mod history;
mod ids;
pub mod live;
mod logins;
mod matches;
mod notifications;
mod oauth;
pub mod openapi;
mod password;
mod query;
mod reports;
mod schemas;
pub mod talk_types;
mod totp;
pub mod types;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use http::Method;
use rally_fabric::Fabric;
use rally_protocol::client::v1::ErrorCode;
use rally_store::Store;
use rally_units::{LoginId, UserId};

use crate::{
    auth::Tokens,
    background::Background,
    cookie::RefreshCookie,
    error::Problem,
    hub,
    limits::{Class, Limits},
    mail::Mail,
    oauth::Oauth,
    passwords::Passwords,
    revoked::Revoked,
};

/// What handlers need.
#[derive(Clone)]
pub struct Api {
    /// Signs and verifies.
    pub tokens: Arc<Tokens>,
    /// Postgres.
    pub store: Store,
    /// Redis.
    pub fabric: Fabric,
    /// The way to the workers.
    pub hub: hub::Handle,
    /// Counts requests of users.
    pub limits: Arc<Limits>,
    /// Does what takes long.
    pub background: Background,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Where browsers keep their refresh tokens.
    pub cookie: RefreshCookie,
    /// Logins that have ended.
    pub revoked: Arc<Revoked>,
    /// Other sites by which people sign in, if any.
    pub oauth: Option<Arc<Oauth>>,
    /// Letters, if there is a server for them.
    pub mail: Option<Mail>,
}

impl Api {
    /// Ends all logins of a user, but for this one, with everything that was opened by them.
    async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<(), Problem> {
        let ended = self.store.end_logins(user, except).await?;
        self.revoked.revoke(&ended).await;
        Ok(())
    }
}

/// The routes below `/api`.
pub(crate) fn router(api: Api) -> Router {
    let v1 = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    Router::new()
        .nest("/v1", v1)
        .fallback(async || Problem::new(ErrorCode::NotFound, "there is no such resource"))
        .with_state(api)
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Whoever comes.
    Anybody,
    /// Guests and accounts.
    Signed,
    /// Accounts.
    Account,
}

/// One thing that one can ask for.
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    class: Class,
    handler: MethodRouter<Api>,
}

/// Everything that one can ask for: method, path below `/api/v1`, who may, and what it is limited as. Tests go through
/// it, so that no route is left out.
pub fn table() -> Vec<(Method, &'static str, Access, Class)> {
    routes().into_iter().map(|route| (route.method, route.path, route.access, route.class)).collect()
}

/// A route cannot be without its access and its limit: there is no other way to add one.
fn routes() -> Vec<Route> {
    use Access::{Account, Anybody, Signed};
    use Class::{Api as Read, Auth};
    let mut routes = Vec::new();
    macro_rules! route {
        ($method:ident $verb:ident $path:literal, $access:ident, $class:ident, $handler:expr) => {
            routes.push(Route {
                method: Method::$method,
                path: $path,
                access: $access,
                class: $class,
                handler: $verb($handler),
            })
        };
    }
    route!(POST post "/auth/guest", Anybody, Auth, auth::guest);
    route!(POST post "/auth/register", Anybody, Auth, auth::register);
    route!(POST post "/auth/login", Anybody, Auth, auth::login);
    route!(POST post "/auth/refresh", Anybody, Auth, auth::refresh);
    route!(POST post "/auth/recover", Anybody, Auth, password::recover);
    route!(POST post "/auth/logout", Signed, Auth, logins::logout);
    route!(GET get "/auth/sessions", Signed, Auth, logins::list);
    route!(DELETE delete "/auth/sessions/{id}", Signed, Auth, logins::revoke);
    route!(POST post "/auth/password", Account, Auth, password::change);
    route!(POST post "/auth/forgot", Anybody, Auth, email::forgot);
    route!(PUT put "/auth/email", Account, Auth, email::put);
    route!(POST post "/auth/email/confirm", Account, Auth, email::confirm);
    route!(GET get "/auth/oauth", Anybody, Auth, oauth::sites);
    route!(POST post "/auth/oauth/confirm", Anybody, Auth, oauth::confirm);
    route!(DELETE delete "/auth/oauth/{provider}", Account, Auth, oauth::unlink);
    route!(GET get "/auth/oauth/{provider}/start", Anybody, Auth, oauth::go);
    route!(POST post "/auth/oauth/{provider}/start", Anybody, Auth, oauth::start);
    route!(GET get "/auth/oauth/{provider}/callback", Anybody, Auth, oauth::callback);
    route!(POST post "/auth/totp/enrol", Account, Auth, totp::enrol);
    route!(POST post "/auth/totp/confirm", Account, Auth, totp::confirm);
    route!(POST post "/auth/totp/disable", Account, Auth, totp::disable);

    route!(GET get "/users", Signed, Read, users::search);
    route!(GET get "/users/me", Signed, Read, users::me);
    route!(PATCH patch "/users/me", Signed, Read, users::patch);
    route!(DELETE delete "/users/me", Signed, Read, users::delete);
    route!(GET get "/users/me/export", Signed, Read, export::get);
    route!(GET get "/users/me/account", Account, Read, oauth::own);
    route!(PUT put "/users/me/avatar", Signed, Read, avatars::put);
    route!(DELETE delete "/users/me/avatar", Signed, Read, avatars::delete);
    route!(GET get "/users/{id}", Signed, Read, users::get);
    route!(GET get "/users/{id}/avatar", Anybody, Read, avatars::get);
    route!(GET get "/users/{id}/stats", Signed, Read, users::stats);
    route!(GET get "/users/{id}/matches", Signed, Read, history::matches_of);

    route!(GET get "/matches", Signed, Read, history::matches);
    route!(POST post "/matches", Signed, Read, matches::create);
    route!(GET get "/matches/{id}", Signed, Read, history::get);
    route!(GET get "/matches/{id}/events", Signed, Read, history::events);
    route!(GET get "/matches/{id}/replay", Signed, Read, history::replay);
    route!(POST post "/matches/{id}/replay", Signed, Read, matches::show);
    route!(GET get "/leaderboard", Anybody, Read, history::leaderboard);
    route!(GET get "/stats", Anybody, Read, history::stats);

    route!(GET get "/friends", Signed, Read, friends::list);
    route!(POST post "/friends", Signed, Read, friends::accept);
    route!(DELETE delete "/friends/{id}", Signed, Read, friends::remove);
    route!(GET get "/friends/requests", Signed, Read, friends::requests);
    route!(POST post "/friends/requests", Signed, Read, friends::request);
    route!(DELETE delete "/friends/requests/{id}", Signed, Read, friends::decline);
    route!(GET get "/blocks", Signed, Read, friends::blocks);
    route!(POST post "/blocks", Signed, Read, friends::block);
    route!(DELETE delete "/blocks/{id}", Signed, Read, friends::unblock);
    route!(GET get "/channels", Signed, Read, channels::list);
    route!(GET get "/channels/{name}/messages", Signed, Read, channels::messages);
    route!(GET get "/messages", Signed, Read, channels::search);
    route!(POST post "/channels", Signed, Read, groups::create);
    route!(GET get "/channels/{name}", Signed, Read, groups::get);
    route!(PATCH patch "/channels/{name}", Signed, Read, groups::change);
    route!(DELETE delete "/channels/{name}", Signed, Read, groups::end);
    route!(POST post "/channels/{name}/join", Signed, Read, groups::join);
    route!(POST post "/channels/{name}/leave", Signed, Read, groups::leave);
    route!(POST post "/channels/{name}/invitations", Signed, Read, groups::invite);
    route!(DELETE delete "/channels/{name}/invitations/{id}", Signed, Read, groups::uninvite);
    route!(PATCH patch "/channels/{name}/members/{id}", Signed, Read, groups::change_member);
    route!(DELETE delete "/channels/{name}/members/{id}", Signed, Read, groups::kick);
    route!(GET get "/channels/{name}/bans", Signed, Read, groups::bans);
    route!(PUT put "/channels/{name}/bans/{id}", Signed, Read, groups::ban);
    route!(DELETE delete "/channels/{name}/bans/{id}", Signed, Read, groups::unban);
    route!(GET get "/notifications", Signed, Read, notifications::list);
    route!(POST post "/notifications/read", Signed, Read, notifications::read);
    route!(POST post "/reports", Signed, Read, reports::report);
    route!(GET get "/openapi.json", Anybody, Read, openapi::get);
    routes
}
