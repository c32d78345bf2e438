//! The effects: one async function each, with a deadline, each ending in exactly one result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use genesys_notifications_proto::{
    ChannelsInUse, Cursor, Effect, Failure, NetworkKind, NewChannel, Outcome, Ticket, TokenGrant,
    TopicResult, Verb,
};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::backfill::Backfill;
use crate::connect_uri;
use crate::control::Control;
use crate::endpoint::Endpoint;
use crate::http::RateLimit;
use crate::keeper::Keeper;
use crate::oauth::{self, OAuth, Token};
use crate::reader::Reader;
use crate::regions::Streaming;
use crate::rest::{Called, Channel, Rest};
use crate::secret::{Secret, Secrets};
use crate::shared::{KnownChannel, ProvidedToken, Shared, Turn, log, panic_text};
use crate::socket::dial::Target;
use crate::socket::{Script, WebSocket, dial};

/// What effects work with; fixed for the life of a client.
pub(crate) struct Services {
    pub(crate) secrets: Secrets,
    pub(crate) oauth: Arc<OAuth>,
    /// Absent where only an endpoint is spoken to.
    pub(crate) rest: Option<Rest>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) streaming: Option<Streaming>,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) reader: Reader,
    pub(crate) keeper: Option<Arc<Keeper>>,
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
    Connect { script: Option<Script> },
    FoundCursor,
    AskForCursor(oneshot::Receiver<Result<Option<String>, String>>),
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
    Cursor(Result<Option<Cursor>, Failure>),
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
        Effect::Connect { generation, position, .. } => {
            let script = turn.script(*generation, position.as_deref());
            if let (Some(keeper), Some(position)) = (&turn.services().keeper, position)
                && !turn.has_journal()
            {
                keeper.connecting(position);
            }
            Job::Connect { script }
        }
        Effect::LoadCursor if turn.services().keeper.as_ref().is_some_and(|keeper| keeper.asks_for_it()) => {
            let (sender, receiver) = oneshot::channel();
            turn.core.cursor_requests.insert(ticket.0, sender);
            turn.control(Control::LoadCursor { ticket: ticket.0 });
            Job::AskForCursor(receiver)
        }
        Effect::LoadCursor => Job::FoundCursor,
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
        (Product::Cursor(result), _) => Outcome::Cursor(result),
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
        (Product::Socket(Ok(stream)), Some(Effect::Connect { socket, generation, position, .. })) => {
            turn.keep_direct_socket(socket, stream, turn.script(generation, position.as_deref()));
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
        Job::Connect { script } => Product::Socket(connect(script, shared).await).into(),
        Job::FoundCursor => {
            Product::Cursor(Ok(shared.services.keeper.as_ref().and_then(|keeper| keeper.found()))).into()
        }
        Job::AskForCursor(answer) => Product::Cursor(provided_cursor(answer.await.ok(), shared)).into(),
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
    let (Some(token), Some(rest)) = (token, &services.rest) else {
        return Product::Channel(Err(lost("token"))).into();
    };
    let Called { result, rate_limit } =
        rest.create_channel(&token, || shared.clock.now().wall, &services.secrets).await;
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
    let (Some(token), Some(channel), Some(rest)) = (token, channel, &services.rest) else {
        return Product::Subscriptions(Err(lost("token or channel"))).into();
    };
    let wall_ms = || shared.clock.now().wall;
    let call = rest.change_subscriptions(&token, &channel.id, verb, topics, wall_ms, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Subscriptions(result), rate_limit }
}

async fn list_channels(token: Option<Secret>, shared: &Arc<Shared>) -> Finished {
    let services = &shared.services;
    let (Some(token), Some(rest)) = (token, &services.rest) else {
        return Product::Channels(Err(lost("token"))).into();
    };
    let call = rest.list_channels(&token, || shared.clock.now().wall, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Channels(result), rate_limit }
}

async fn list_subscriptions(
    token: Option<Secret>,
    channel: Option<KnownChannel>,
    shared: &Arc<Shared>,
) -> Finished {
    let services = &shared.services;
    let (Some(token), Some(channel), Some(rest)) = (token, channel, &services.rest) else {
        return Product::Listed(Err(lost("token or channel"))).into();
    };
    let wall_ms = || shared.clock.now().wall;
    let call = rest.list_subscriptions(&token, &channel.id, wall_ms, &services.secrets);
    let Called { result, rate_limit } = call.await;
    Finished { product: Product::Listed(result), rate_limit }
}

async fn open_socket(channel: Option<KnownChannel>, shared: &Arc<Shared>) -> Result<Box<WebSocket>, Failure> {
    let services = &shared.services;
    let (Some(channel), Some(streaming)) = (channel, &services.streaming) else {
        return Err(lost("channel"));
    };
    let target = Target::channel(connect_uri::check(channel.connect_uri.expose(), streaming)?);
    let wall_ms = shared.clock.now().wall;
    dial::dial(&target, &services.tls, wall_ms, &services.secrets).await.map(Box::new)
}

async fn connect(script: Option<Script>, shared: &Arc<Shared>) -> Result<Box<WebSocket>, Failure> {
    let services = &shared.services;
    let Script { endpoint, filling } = script.ok_or_else(|| lost("token"))?;
    let target = endpoint.target(&filling)?;
    let wall_ms = shared.clock.now().wall;
    dial::dial(&target, &services.tls, wall_ms, &services.secrets).await.map(Box::new)
}

fn provided_cursor(
    answer: Option<Result<Option<String>, String>>,
    shared: &Arc<Shared>,
) -> Result<Option<Cursor>, Failure> {
    let answer = answer.unwrap_or_else(|| Err("the client was closed".into()));
    let answer = answer.map_err(|why| shared.services.secrets.scrub(&why));
    match &shared.services.keeper {
        Some(keeper) => keeper.loaded(answer),
        None => Err(lost("cursor")),
    }
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
            Self::Socket { .. } | Self::Connect { .. } => |failure| Product::Socket(Err(failure)).into(),
            Self::FoundCursor | Self::AskForCursor(_) => {
                |failure| Product::Cursor(Err(store(failure))).into()
            }
            Self::ListChannels { .. } => |failure| Product::Channels(Err(failure)).into(),
            Self::ListSubscriptions { .. } => |failure| Product::Listed(Err(failure)).into(),
        }
    }
}

/// However loading a cursor fails, it is its store that failed.
fn store(failure: Failure) -> Failure {
    match failure {
        Failure::Store(_) | Failure::CorruptCursor(_) => failure,
        other => Failure::Store(format!("the cursor cannot be loaded: {other}")),
    }
}

impl From<Product> for Finished {
    fn from(product: Product) -> Self {
        Self { product, rate_limit: None }
    }
}
