//! What each route of the API is for, what it takes and what it gives.
//!
//! Whoever adds a route to `routes()` adds it here: one entry of [`Operation`], with types that derive `ToSchema`.

use super::{
    live::LiveList,
    openapi::{Operation, number, paging, required, text, word},
    schemas,
    talk_types::{
        Bans, Channels, Found, GroupView, NewGroup, Notifications, PatchGroup, PatchMember, ReadNotifications,
        ReportBody, ReportMade,
    },
    types::{
        Befriend, Census, ChatMessageView, ForgotRequest, Friends, GuestRequest, Leaderboard, LoginRequest,
        LogoutRequest, MatchCreated, MatchEvents, MatchView, Matches, Me, NewMatchRequest, OauthSites, OauthStart,
        OwnAccount, Page, PatchMe, Proof, PublicUser, RecoverRequest, RecoveryCodes, RefreshRequest, RegisterRequest,
        Replay, ReplayShown, Sessions, ShowRequest, SignedIn, SomeUser, TotpCode, TotpEnrolment, UserStats, Users,
    },
};

/// Groups of routes.
pub(super) const TAGS: &[(&str, &str)] = &[
    (SIGN_IN, "Guests, accounts, tokens, second factors."),
    (PEOPLE, "Oneself and others."),
    (MATCHES, "Starting matches, and those that were played."),
    (FRIENDS, "Friends, requests for friendship, blocks."),
    (TALKING, "Channels and what was said there."),
    (GROUPS, "Groups, and keeping order there. `{name}` is the group's channel, `group:ID`."),
    (TOLD, "What one is told until one has read it, and what one reports."),
    (ABOUT, "This description."),
];

const SIGN_IN: &str = "Signing in";
const PEOPLE: &str = "People";
const MATCHES: &str = "Matches";
const FRIENDS: &str = "Friends";
const TALKING: &str = "Talking";
const GROUPS: &str = "Groups";
const TOLD: &str = "Notifications and reports";
const ABOUT: &str = "About";

/// How ids are written.
const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";

const MODES: &[&str] = &["ranked", "casual", "classic", "duel", "practice", "local", "tournament"];

/// All of them, in the order of `routes()`.
pub(super) fn operations() -> Vec<Operation> {
    let op = Operation::new;
    let matches_query = || {
        let mode = word("mode", MODES, "Of this mode alone.");
        let sort = word("sort", &["newest", "oldest", "longest"], "In which order; `newest` unless said otherwise.");
        [mode, sort].into_iter().chain(paging())
    };
    vec![
        op("POST", "/auth/guest", SIGN_IN, "Makes a guest.")
            .takes::<GuestRequest>()
            .gives::<SignedIn>(201)
            .refuses([409]),
        op("POST", "/auth/register", SIGN_IN, "Makes an account; of the guest whose access token comes along.")
            .takes::<RegisterRequest>()
            .gives::<SignedIn>(201)
            .refuses([401, 403, 409]),
        op("POST", "/auth/login", SIGN_IN, "Signs an account in.")
            .takes::<LoginRequest>()
            .gives::<SignedIn>(200)
            .refuses([401]),
        op(
            "POST",
            "/auth/refresh",
            SIGN_IN,
            "Gives the next pair of tokens, by the body's refresh token or the cookie's.",
        )
        .takes::<RefreshRequest>()
        .gives::<SignedIn>(200)
        .refuses([401, 403]),
        op("POST", "/auth/recover", SIGN_IN, "Sets a password by the recovery code, ends all logins and signs in.")
            .takes::<RecoverRequest>()
            .gives::<SignedIn>(200)
            .refuses([401]),
        op("POST", "/auth/logout", SIGN_IN, "Ends a login, or all of one's logins.")
            .takes::<LogoutRequest>()
            .gives_nothing()
            .refuses([403]),
        op("GET", "/auth/sessions", SIGN_IN, "Where one is signed in.").gives::<Sessions>(200),
        op("DELETE", "/auth/sessions/{id}", SIGN_IN, "Ends one of one's logins.").gives_nothing().refuses([404]),
        op("POST", "/auth/password", SIGN_IN, "Changes the password, and ends all other logins.")
            .takes::<schemas::ChangePasswordRequest>()
            .gives_nothing(),
        op(
            "POST",
            "/auth/forgot",
            SIGN_IN,
            "Has a letter with a code for /auth/recover written, if the account has an address.",
        )
        .takes::<ForgotRequest>()
        .gives_nothing(),
        op("PUT", "/auth/email", SIGN_IN, "Has a code sent to an address, to which letters shall go from then on.")
            .takes::<schemas::EmailRequest>()
            .gives_nothing(),
        op("POST", "/auth/email/confirm", SIGN_IN, "Confirms the address by its code.")
            .takes::<TotpCode>()
            .gives_nothing(),
        op("GET", "/auth/oauth", SIGN_IN, "Other sites by which one can sign in.").gives::<OauthSites>(200),
        op("POST", "/auth/oauth/confirm", SIGN_IN, "The second factor, after coming back from another site.")
            .takes::<TotpCode>()
            .gives::<SignedIn>(200)
            .refuses([401, 403]),
        op("DELETE", "/auth/oauth/{provider}", SIGN_IN, "Signs in by that site no more, and ends all other logins.")
            .takes::<schemas::PerhapsProof>()
            .gives_nothing()
            .refuses([404]),
        op("GET", "/auth/oauth/{provider}/start", SIGN_IN, "Sends a browser to that site.")
            .leads_elsewhere()
            .refuses([404]),
        op("POST", "/auth/oauth/{provider}/start", SIGN_IN, "Says where to send the browser; whoever asks is linked.")
            .may_take::<schemas::PerhapsProof>()
            .gives::<OauthStart>(200)
            .refuses([401, 404]),
        op("GET", "/auth/oauth/{provider}/callback", SIGN_IN, "Where that site sends the browser back to.")
            .query([
                required(text("state", "^.{1,2048}$", "What the browser was sent away with.")),
                text("code", "^.{1,2048}$", "What that site gave it."),
            ])
            .leads_elsewhere()
            .refuses([404]),
        op(
            "POST",
            "/auth/totp/enrol",
            SIGN_IN,
            "Makes the secret of a second factor, to be confirmed by its first code.",
        )
        .takes::<Proof>()
        .gives::<TotpEnrolment>(200),
        op("POST", "/auth/totp/confirm", SIGN_IN, "Puts the second factor into effect.")
            .takes::<TotpCode>()
            .gives::<RecoveryCodes>(200),
        op("POST", "/auth/totp/disable", SIGN_IN, "Takes the second factor away, by both factors.")
            .takes::<Proof>()
            .gives_nothing(),
        op("GET", "/users", PEOPLE, "Accounts whose names begin so.")
            .query([
                required(text("search", "^[A-Za-z0-9_]{1,20}$", "How names begin.")),
                number("limit", 1, 100, "Users at most; never more than 20."),
            ])
            .gives::<Users>(200),
        op("GET", "/users/me", PEOPLE, "Who one is, what one has chosen, and where one is.").gives::<Me>(200),
        op("PATCH", "/users/me", PEOPLE, "Changes what one shows and has chosen.")
            .takes::<PatchMe>()
            .gives::<Me>(200)
            .refuses([409]),
        op("DELETE", "/users/me", PEOPLE, "Forgets oneself.").takes::<schemas::PerhapsProof>().gives_nothing(),
        op("GET", "/users/me/export", PEOPLE, "All that is kept of oneself, but for secrets, as a file.")
            .gives::<schemas::Export>(200),
        op("GET", "/users/me/account", PEOPLE, "By what one signs in, and where letters go.").gives::<OwnAccount>(200),
        op("PUT", "/users/me/avatar", PEOPLE, "Sets one's picture, of up to 512 KiB.")
            .takes_bytes(&["image/png", "image/jpeg", "image/webp"])
            .gives_nothing(),
        op("DELETE", "/users/me/avatar", PEOPLE, "Takes one's picture away.").gives_nothing(),
        op("GET", "/users/{id}", PEOPLE, "Somebody.").gives::<PublicUser>(200).refuses([404]),
        op("GET", "/users/{id}/avatar", PEOPLE, "Somebody's picture.").gives_bytes("image/png").refuses([404]),
        op("GET", "/users/{id}/stats", PEOPLE, "How somebody does.").gives::<UserStats>(200).refuses([404]),
        op("GET", "/users/{id}/matches", PEOPLE, "Somebody's finished matches.")
            .query(matches_query())
            .gives::<Matches>(200)
            .refuses([404]),
        op("GET", "/matches", MATCHES, "Everybody's finished matches, or those that are played now.")
            .query(matches_query())
            .query([word("state", &["finished", "live"], "Those that are played now: then nothing else counts.")])
            .gives_either::<Matches, LiveList>(200),
        op("POST", "/matches", MATCHES, "Starts a match against the bot, at one keyboard, or by a link.")
            .takes::<NewMatchRequest>()
            .gives::<MatchCreated>(201)
            .refuses([409]),
        op("GET", "/matches/{id}", MATCHES, "One match in full.").gives::<MatchView>(200).refuses([404]),
        op("GET", "/matches/{id}/events", MATCHES, "What happened in a match: goals, power-ups, skills.")
            .query([number("from", 0, u32::MAX.into(), "From this number on.")])
            .gives::<MatchEvents>(200)
            .refuses([404]),
        op("GET", "/matches/{id}/replay", MATCHES, "What a match can be played again from.")
            .gives::<Replay>(200)
            .refuses([404]),
        op("POST", "/matches/{id}/replay", MATCHES, "Has a finished match shown again to oneself alone.")
            .takes::<ShowRequest>()
            .gives::<ReplayShown>(201)
            .refuses([404]),
        op("GET", "/leaderboard", MATCHES, "Who is best.")
            .query([
                word("by", &["rating", "wins"], "By what."),
                word("scope", &["global", "friends", "around"], "Of whom; but for `global` one has to be signed in."),
            ])
            .query(paging())
            .gives::<Leaderboard>(200)
            .refuses([401]),
        op("GET", "/stats", MATCHES, "How much is going on.").gives::<Census>(200),
        op("GET", "/friends", FRIENDS, "Whose friendship one has.").gives::<Friends>(200),
        op("POST", "/friends", FRIENDS, "Accepts somebody's request.")
            .takes::<SomeUser>()
            .gives_nothing()
            .refuses([404]),
        op("DELETE", "/friends/{id}", FRIENDS, "Ends a friendship.").gives_nothing().refuses([404]),
        op("GET", "/friends/requests", FRIENDS, "Requests that wait, one's own and others'.").gives::<Friends>(200),
        op("POST", "/friends/requests", FRIENDS, "Asks for somebody's friendship; accepts, if that one has asked.")
            .takes::<SomeUser>()
            .gives::<Befriend>(200)
            .gives::<Befriend>(201)
            .refuses([403, 404]),
        op("DELETE", "/friends/requests/{id}", FRIENDS, "Takes a request back, or declines it.")
            .gives_nothing()
            .refuses([404]),
        op("GET", "/blocks", FRIENDS, "Whom one blocks.").gives::<Friends>(200),
        op("POST", "/blocks", FRIENDS, "Blocks somebody.").takes::<SomeUser>().gives_nothing().refuses([404]),
        op("DELETE", "/blocks/{id}", FRIENDS, "Blocks somebody no more.").gives_nothing().refuses([404]),
        op("GET", "/channels", TALKING, "Everybody's channel, groups and direct ones; invitations.")
            .gives::<Channels>(200),
        op("GET", "/channels/{name}/messages", TALKING, "What was said in a channel, page by page backwards.")
            .query([
                number("before", 0, u64::MAX, "Those before this offset; absent: the last."),
                number("limit", 1, 100, "Messages at most."),
            ])
            .gives::<Page<ChatMessageView>>(200)
            .names::<ChatMessageView>()
            .refuses([403, 404]),
        op(
            "GET",
            "/messages",
            TALKING,
            "What was said where one may read: words, phrases in quotes, -words that are not there.",
        )
        .query([
            required(text("search", "^[^\\u0000]{1,100}$", "What is looked for.")),
            text("channel", "^.{1,64}$", "Where; absent: in one's groups and direct channels, and in `global`."),
            text("before", UUID, "Only what was said before this message."),
            number("limit", 1, 100, "Messages at most."),
        ])
        .gives::<Found>(200)
        .refuses([403, 404]),
        op("POST", "/channels", GROUPS, "Makes a group.").takes::<NewGroup>().gives::<GroupView>(201).refuses([403]),
        op("GET", "/channels/{name}", GROUPS, "A group in full.").gives::<GroupView>(200).refuses([404]),
        op("PATCH", "/channels/{name}", GROUPS, "Renames a group, or makes it slow; moderators do.")
            .takes::<PatchGroup>()
            .gives::<GroupView>(200)
            .refuses([403, 404]),
        op("DELETE", "/channels/{name}", GROUPS, "Ends a group; its owner does.").gives_nothing().refuses([403, 404]),
        op("POST", "/channels/{name}/join", GROUPS, "Comes into a group, having been invited.")
            .gives::<GroupView>(200)
            .refuses([403, 404]),
        op("POST", "/channels/{name}/leave", GROUPS, "Leaves a group.").gives_nothing().refuses([404]),
        op("POST", "/channels/{name}/invitations", GROUPS, "Invites somebody.")
            .takes::<SomeUser>()
            .gives_nothing()
            .refuses([403, 404]),
        op("DELETE", "/channels/{name}/invitations/{id}", GROUPS, "Takes an invitation back; one's own: declines it.")
            .gives_nothing()
            .refuses([403, 404]),
        op(
            "PATCH",
            "/channels/{name}/members/{id}",
            GROUPS,
            "Gives a member another role, or silences it for a while.",
        )
        .takes::<PatchMember>()
        .gives_nothing()
        .refuses([403, 404]),
        op("DELETE", "/channels/{name}/members/{id}", GROUPS, "Puts a member out.").gives_nothing().refuses([403, 404]),
        op("GET", "/channels/{name}/bans", GROUPS, "Whom a group keeps out.").gives::<Bans>(200).refuses([403, 404]),
        op("PUT", "/channels/{name}/bans/{id}", GROUPS, "Puts somebody out, and keeps him out.")
            .gives_nothing()
            .refuses([403, 404]),
        op("DELETE", "/channels/{name}/bans/{id}", GROUPS, "Keeps somebody out no more.")
            .gives_nothing()
            .refuses([403, 404]),
        op("GET", "/notifications", TOLD, "What one is told and has not read, the latest first.")
            .query([
                text("before", UUID, "Only what is older than this one."),
                number("limit", 1, 100, "Notifications at most."),
            ])
            .gives::<Notifications>(200),
        op("POST", "/notifications/read", TOLD, "Has read some: they are gone. Needs `ids`, `through`, or both.")
            .takes::<ReadNotifications>()
            .gives_nothing(),
        op("POST", "/reports", TOLD, "Reports one of `user`, `message` and `match` to operators.")
            .takes::<ReportBody>()
            .gives::<ReportMade>(201)
            .refuses([403, 404]),
        op("GET", "/openapi.json", ABOUT, "This description.").gives_bytes("application/json"),
    ]
}
