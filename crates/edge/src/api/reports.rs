//! Reports of abuse, for operators: `rally admin reports`.

use std::time::Duration;

use axum::{Json, extract::State};
use http::StatusCode;
use rally_fabric::SharedRate;
use rally_protocol::client::v1::ErrorCode;
use rally_store::{ReportAbout, ReportError};

use super::{
    Api,
    attempts::allowed,
    body::Body,
    caller::Caller,
    channels::no_channel,
    talk_types::{ReportMade, ReportRequest, Reported},
};
use crate::{
    error::Problem,
    social::{ChannelName, may_read},
};

/// Five at once, then one in two minutes.
const RATE: SharedRate = SharedRate {
    name: "report",
    interval: Duration::from_secs(120),
    burst: 5,
    growth_max: 1,
    remember: Duration::ZERO,
};

/// Reports somebody, something that was said, or a match.
pub(super) async fn report(
    State(api): State<Api>,
    caller: Caller,
    Body(request): Body<ReportRequest>,
) -> Result<(StatusCode, Json<ReportMade>), Problem> {
    let user = caller.user.id;
    let about = match request.about {
        Reported::User(user) => ReportAbout::User(user),
        Reported::Match(match_id) => ReportAbout::Match(match_id),
        Reported::Message(message) => {
            let name: ChannelName = message.channel.parse().map_err(|()| no_channel())?;
            // Of one's own direct channels one reports also who is blocked by now.
            if !matches!(name, ChannelName::Direct(_)) {
                may_read(&api.store, user, name).await?.map_err(|(code, detail)| Problem::new(code, detail))?;
            }
            ReportAbout::Message(name.key(user), message.offset)
        }
    };
    allowed("report", api.fabric.limits().charge(&RATE, &user.to_string()).await)?;
    let id = api.store.report(user, &about, request.reason, &request.text).await?;
    Ok((StatusCode::CREATED, Json(ReportMade { id })))
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::NoSuchThing => Self::new(ErrorCode::NotFound, "there is no such thing to report"),
            ReportError::TooMany => Self::new(ErrorCode::Forbidden, "too many of your reports are open"),
            ReportError::Store(error) => error.into(),
        }
    }
}
