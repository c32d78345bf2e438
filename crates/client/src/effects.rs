//! The effects: one async function each, with a deadline, each ending in exactly one result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use genesys_notifications_proto::{
    ChannelsInUse, Effect, Failure, NetworkKind, NewChannel, Outcome, Ticket, TokenGrant, TopicResult, Verb,
};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::backfill::Backfill;
use crate::control::Control;
use crate::http::RateLimit;
use crate::oauth::{self, OAuth, Token};
use crate::regions::Streaming;
use crate::rest::{Called, Channel, Rest};
use crate::secret::{Secret, Secrets};
use crate::shared::{KnownChannel, ProvidedToken, Shared, Turn, log, panic_text};
use crate::socket::{WebSocket, dial};

/// What effects work with; fixed for the life of a client.
pub(crate) struct Services {
    pub(crate) secrets: Secrets,
    pub(crate) oauth: Arc<OAuth>,
    pub(crate) rest: Rest,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) streaming: Streaming,
    pub(crate) backfill: Option<Backfill>,
    /// How deep a frame may be nested.
    pub(crate) max_depth: usize,
}

/// An effect with all it needs, so that it runs without the lock.
pub(crate) enum Job {
    Token,
    AskForToken(oneshot::Receiver<Result<ProvidedToken, String>>),
    Channel { token: Option<Secret> },
    Subscribe { token: Option<Secret>, channel: Option<KnownChannel>, verb: Verb, topics: Vec<String> },
    Socket { channel: Option<KnownChannel> },
    ListChannels { token: Option<Secret> },
    ListSubscriptions { token: Option<Secret>, channel: Option<KnownChannel> },
}

/// What an effect brought.
pub(crate) struct Finished {
    pub(crate) product: Product,
    pub(crate) rate_limit: Option<RateLimit>,
}

/// By kind, as the machine expects an answer of the kind it asked for.
pub(crate) enum Product {
    Token(Result<Token, Failure>),
    Channel(Result<Channel, Failure>),
    Subscriptions(Result<Vec<TopicResult>, Failure>),
    Socket(Result<Box<WebSocket>, Failure>),
    Channels(Result<ChannelsInUse, Failure>),
    Listed(Result<Vec<String>, Failure>),
}

/// Gathers what an effect needs. A missing token or channel shows as its failure, later, as every result does.
pub(crate) fn prepare(effect: &Effect, ticket: Ticket, turn: &mut Turn<'_>) -> Job {
    match effect {
        Effect::FetchToken { why, .. } if turn.services().oauth.is_provider() => {
            let (sender, receiver) = oneshot::channel();
            turn.core.token_requests.insert(ticket.0, sender);
            turn.control(Control::TokenRequest { ticket: ticket.0, reason: *why });
            Job::AskForToken(receiver)
        }
        Effect::FetchToken { .. } => Job::Token,
        Effect::CreateChannel { generation, .. } => Job::Channel { token: turn.token(*generation) },
        Effect::Subscribe { link, generation, verb, topics } => Job::Subscribe {
            token: turn.token(*generation),
            channel: turn.channel(*link),
            verb: *verb,
            topics: topics.clone(),
        },
        Effect::OpenSocket { link, .. } => Job::Socket { channel: turn.channel(*link) },
        Effect::Connect { .. } | Effect::LoadCursor => Job::Socket { channel: None },
        Effect::ListChannels { generation } => Job::ListChannels { token: turn.token(*generation) },
        Effect::ListSubscriptions { link, generation } => {
            Job::ListSubscriptions { token: turn.token(*generation), channel: turn.channel(*link) }
        }
    }
}

/// Runs a job to its one result, whatever happens to it.
pub(crate) async fn run(job: Job, shared: &Arc<Shared>, timeout_ms: u64) -> Finished {
    let fail = job.failing();
    let work = AssertUnwindSafe(perform(job, shared)).catch_unwind();
    match timeout(Duration::from_millis(timeout_ms), work).await {
        Ok(Ok(finished)) => finished,
        Ok(Err(panic)) => {
            let text = shared.services.secrets.scrub(&format!("internal error: {}", panic_text(&*panic)));
            shared.turn(|turn| turn.control(log("error", text.clone())));
            fail(Failure::Protocol(text))
        }
        Err(_) => fail(Failure::Network {
            kind: NetworkKind::TimedOut,
            detail: format!("no result within {timeout_ms} ms"),
        }),
    }
}

/// Puts a product where it belongs and says what the machine is to be told; nothing if nobody waits for it any more.
pub(crate) fn keep(product: Product, effect: Option<Effect>, turn: &mut Turn<'_>) -> Option<Outcome> {
    Some(match (product, effect) {
        // A failure is told even when it is late: it may hold a Retry-After.
        (Product::Token(Err(failure)), _) => Outcome::Token(Err(failure)),
        (Product::Channel(Err(failure)), _) => Outcome::Channel(Err(failure)),
        (Product::Subscriptions(Err(failure)), _) => Outcome::Subscriptions(Err(failure)),
        (Product::Socket(Err(failure)), _) => Outcome::Socket(Err(failure)),
        (Product::Channels(result), _) => Outcome::Channels(result),
        (Product::Listed(result), _) => Outcome::Listed(result),
        (Product::Token(Ok(token)), Some(Effect::FetchToken { generation, .. })) => {
            turn.keep_token(generation, token.access_token);
            Outcome::Token(Ok(TokenGrant { expires_in_ms: token.expires_in_ms }))
        }
        (Product::Channel(Ok(channel)), Some(Effect::CreateChannel { link, .. })) => {
            turn.keep_channel(link, channel.id.clone(), channel.connect_uri);
            Outcome::Channel(Ok(NewChannel { id: channel.id, expires_in_ms: channel.expires_in_ms }))
        }
        (Product::Subscriptions(Ok(results)), Some(Effect::Subscribe { .. })) => {
            Outcome::Subscriptions(Ok(results))
        }
        (Product::Socket(Ok(stream)), Some(Effect::OpenSocket { link, socket })) => {
            turn.keep_socket(link, socket, stream);
            Outcome::Socket(Ok(()))
        }
        _ => return None,
    })
}

async fn perform(job: Job, shared: &Arc<Shared>) -> Finished {
    match job {
        Job::Token => Product::Token(fetch_token(shared).await).into(),
        Job::AskForToken(answer) => {
            Product::Token(provided(answer.await.ok(), &shared.services.secrets)).into()
        }
        Job::Channel { token } => create_channel(token, shared).await,
        Job::Subscribe { token, channel, verb, topics } => {
            subscribe(token, channel, verb, &topics, shared).await
        }
        Job::Socket { channel } => Product::Socket(open_socket(channel, shared).await).into(),
        Job::ListChannels { token } => list_channels(token, shared).await,
        Job::ListSubscriptions { token, channel } => list_subscriptions(token, channel, shared).await,
    }
}

async fn fetch_token(shared: &Arc<Shared>) -> Result<Token, Failure> {
    let theirs = shared.clone();
    let fetch = async move {
        let services = &theirs.services;
        let replaced = |token: &Secret| {
            theirs.delivery.push_control(Control::RefreshToken(token.expose().to_owned()));
            theirs.delivery.ring_if_due();
        };
        services.oauth.fetch(theirs.clock.now().wall, &services.secrets, replaced).await
    };
    if !shared.services.oauth.must_finish() {
        return fetch.await;
    }
    // A task of its own, because the answer spends the refresh token even if nobody waits for it any more.
    let (sender, receiver) = oneshot::channel();
    let task = tokio::spawn(async move {
        let _ = sender.send(fetch.await);
    });
    shared.turn(|turn| turn.linger(task));
    receiver
        .await
        .unwrap_or_else(|_| Err(Failure::Protocol("internal error: the token request ended".into())))
}

fn provided(answer: Option<Result<ProvidedToken, String>>, secrets: &Secrets) -> Result<Token, Failure> {
    let answer = answer.unwrap_or_else(|| Err("the client was closed".into()));
    let token = answer.map_err(|error| Failure::Provider(secrets.scrub(&error)))?;
    oauth::usable(&token.access_token).map_err(|why| Failure::Provider(why.into()))?;
    secrets.remember(&token.access_token);
    Ok(Token {
        access_token: Secret::from(token.access_token),
        expires_in_ms: token.expires_in_ms,
        refresh_token: None,
    })
}

async fn create_channel(token: Option<Secret>, shared: &Arc<Shared>) -> Finished {
    let services = &shared.services;
    let Some(token) = token else { return Product::Channel(Err(lost("token"))).into() };
    let Called { result, rate_limit } =
        services.rest.create_channel(&token, || shared.clock.now().wall, &services.secrets).await;
    Finished { product: Product::Channel(result), rate_limit }
}

async fn subscribe(
    token: Option<Secret>,
    channel: Option<KnownChannel>,
    verb: Verb,
    topics: &[String],
    shared: &Arc<Shared>,
) -> Finished {
    let services = &shared.services;
    let (Some(token), Some(channel)) = (token, channel) else {
        return Product::Subscriptions(Err(lost("token or channel"))).into();
    };
    let wall_ms = || shared.clock.now().wall;
    let call =
        services.rest.change_subscriptions(&token, &channel.id, verb, topics, wall_ms, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Subscriptions(result), rate_limit }
}

async fn list_channels(token: Option<Secret>, shared: &Arc<Shared>) -> Finished {
    let services = &shared.services;
    let Some(token) = token else { return Product::Channels(Err(lost("token"))).into() };
    let call = services.rest.list_channels(&token, || shared.clock.now().wall, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Channels(result), rate_limit }
}

async fn list_subscriptions(
    token: Option<Secret>,
    channel: Option<KnownChannel>,
    shared: &Arc<Shared>,
) -> Finished {
    let services = &shared.services;
    let (Some(token), Some(channel)) = (token, channel) else {
        return Product::Listed(Err(lost("token or channel"))).into();
    };
    let wall_ms = || shared.clock.now().wall;
    let call = services.rest.list_subscriptions(&token, &channel.id, wall_ms, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Listed(result), rate_limit }
}

async fn open_socket(channel: Option<KnownChannel>, shared: &Arc<Shared>) -> Result<Box<WebSocket>, Failure> {
    let services = &shared.services;
    let channel = channel.ok_or_else(|| lost("channel"))?;
    let wall_ms = shared.clock.now().wall;
    let uri = &channel.connect_uri;
    let dialled = dial::dial(uri, &services.streaming, &services.tls, wall_ms, &services.secrets);
    dialled.await.map(Box::new)
}

fn lost(what: &str) -> Failure {
    Failure::Protocol(format!("the {what} for this call is no longer known"))
}

impl Job {
    /// How this kind of job fails.
    fn failing(&self) -> fn(Failure) -> Finished {
        match self {
            Self::Token | Self::AskForToken(_) => |failure| Product::Token(Err(failure)).into(),
            Self::Channel { .. } => |failure| Product::Channel(Err(failure)).into(),
            Self::Subscribe { .. } => |failure| Product::Subscriptions(Err(failure)).into(),
            Self::Socket { .. } => |failure| Product::Socket(Err(failure)).into(),
            Self::ListChannels { .. } => |failure| Product::Channels(Err(failure)).into(),
            Self::ListSubscriptions { .. } => |failure| Product::Listed(Err(failure)).into(),
        }
    }
}

impl From<Product> for Finished {
    fn from(product: Product) -> Self {
        Self { product, rate_limit: None }
    }
}
