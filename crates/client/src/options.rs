//! The options of a client, parsed once into what cannot be wrong afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use genesys_notifications_journal as journal;
use genesys_notifications_proto::{
    Auth, Config, Continuity, DEFAULT_DEPTH, DEPTHS, Limits, Topic, TopicError,
};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;
use url::Url;

use crate::authorities::{self, Texts};
use crate::backfill::{self, BackfillOptions};
use crate::cursor_options::{self, CursorOptions};
use crate::endpoint::Endpoint;
use crate::endpoint_options;
use crate::filter::Filter;
use crate::journal_options;
use crate::regions::{self, Endpoints, Hosts};
use crate::secret::Secret;

/// An option that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}: {message}")]
pub struct OptionError {
    /// The option's path, e.g. `region.api` or `topics[3]`.
    pub path: String,
    /// What is wrong with it. Never holds a secret.
    pub message: String,
}

impl OptionError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Everything a client is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) region: Region,
    /// Only an endpoint that authenticates nobody has none.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) topics: Vec<Topic>,
    pub(crate) rules: Config,
    /// Trusted beside Mozilla's roots.
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    /// To be logged: what is wrong and no reason to refuse.
    pub(crate) warnings: Vec<String>,
    pub(crate) queue: QueueOptions,
    /// Under load the bell rings about once in this time, in milliseconds; 0: whenever no ring is outstanding. Default 1.
    pub(crate) max_wait_ms: u64,
    /// How deep a frame may be nested. Default 64; 8 to 128, since code that runs on bodies may not bear more.
    pub(crate) max_depth: usize,
    /// Default: every topic is handed over.
    pub(crate) filter: Option<Filter>,
    pub(crate) journal: Option<journal::Options>,
    pub(crate) backfill: Option<BackfillOptions>,
    /// Instead of channels.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) cursor: Option<CursorOptions>,
}

/// What of the organisation is known. With an endpoint any of it may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) enum Region {
    #[default]
    Unknown,
    Login(Url),
    Whole(Endpoints),
}

/// How a token is had.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Credentials {
    #[serde(rename = "clientCredentials")]
    Client {
        client_id: String,
        client_secret: Secret,
    },
    RefreshToken {
        client_id: String,
        client_secret: Secret,
        refresh_token: Secret,
    },
    Provider {},
}

/// Bounds of the delivery queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueOptions {
    /// Default 100,000; at least 1.
    pub(crate) max_events: usize,
    /// Default 4 MiB, which is what bounds in practice: 450-byte events reach it at about 8,000. With it a process takes at
    /// most 20 MB more than one with the `ws` package (`bench/`). At least 1 KiB.
    pub(crate) max_bytes: usize,
    pub(crate) on_full: OnFull,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OnFull {
    /// Stop reading the sockets until half of it is free again; nothing is lost here.
    #[default]
    Pause,
    DropOldest,
    DropNewest,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { max_events: 100_000, max_bytes: 4 << 20, on_full: OnFull::default() }
    }
}

impl Options {
    /// Reads the JSON object that the JavaScript face sends.
    ///
    /// Times out of range are brought into it; everything else out of range is refused.
    ///
    /// # Errors
    /// Names the option by its path.
    pub fn from_json(json: &str) -> Result<Self, OptionError> {
        let mut given = members(json).map_err(|_| OptionError::new("options", "must be an object"))?;
        let mut take = |name: &str| given.remove(name);
        let endpoint = take("endpoint").map(endpoint_options::read).transpose()?;
        let (direct, endpoint) = endpoint.unzip();
        let cursor = take("cursor").map(cursor_options::read).transpose()?;
        let (region, credentials) = (take("region"), take("credentials"));
        let mut rules = Config::default();
        let topics = topic_names(take("topics"), Naming::of(endpoint.is_some()))?;
        if let Some(text) = take("continuity") {
            rules.continuity = continuity(text)?;
        }
        let queue = queue(section("queue", take("queue"))?)?;
        let (authorities, warnings) = network(&section("network", take("network"))?, &mut rules)?;
        heartbeat(&section("heartbeat", take("heartbeat"))?, &mut rules)?;
        backoff(&section("backoff", take("backoff"))?, &mut rules)?;
        let rotations: RotationSection = section("rotation", take("rotation"))?;
        rotation(&rotations, &mut rules)?;
        let delivery: DeliverySection = section("delivery", take("delivery"))?;
        let max_wait_ms = ms("delivery.maxWaitMs", delivery.max_wait_ms, 0)?
            .unwrap_or(DEFAULT_COALESCING_MS)
            .min(LONGEST_COALESCING_MS);
        let max_depth = depth("delivery.maxDepth", delivery.max_depth)?;
        let topic_filter =
            delivery.topics.map(|texts| Filter::compile("delivery.topics", &texts, endpoint.is_some()));
        let topic_filter = topic_filter.transpose()?;
        let journal = match take("journal") {
            Some(value) => Some(journal_options::read(section("journal", Some(value))?)?),
            None => None,
        };
        if journal.is_some() && queue.on_full != OnFull::Pause {
            return Err(OptionError::new(
                "queue.onFull",
                "must be \"pause\" with a journal, which has its own onFull",
            ));
        }
        let backfill = match take("backfill") {
            Some(value) => Some(backfill::read(section("backfill", Some(value))?)?),
            None => None,
        };
        if let Some(name) = given.keys().next() {
            return Err(OptionError::new(name.clone(), "is not an option"));
        }
        if cursor.is_some() && direct.as_ref().is_none_or(|direct| direct.resume.is_none()) {
            let why = "needs endpoint.resume: only a stream that can be resumed has a position to keep";
            return Err(OptionError::new("cursor", why));
        }
        let (region, credentials) = match direct {
            None => {
                let region = region.ok_or_else(|| OptionError::new("region", "is missing"))?;
                let missing = || OptionError::new("credentials", "is missing");
                let credentials = self::credentials(credentials.ok_or_else(missing)?)?;
                (Region::Whole(endpoints(region)?), Some(credentials))
            }
            Some(mut direct) => {
                if rotations.before_expiry_ms.is_some() && direct.lifetime_ms.is_none() {
                    let why =
                        "is of no use without endpoint.lifetimeMs: its connections have no end that is known";
                    return Err(OptionError::new("rotation.beforeExpiryMs", why));
                }
                let access = access(direct.auth, region, credentials, backfill.is_some())?;
                direct.has_cursor = cursor.is_some();
                direct.survives = cursor.is_some() || journal.is_some();
                rules.direct = Some(direct);
                rules.audit_every_ms = 0;
                rules.limits = Limits {
                    topics_per_channel: u32::MAX as usize,
                    channels: 1,
                    channels_warn_from: usize::MAX,
                    // Names are never combined.
                    combined_topic_chars: 0,
                    ..rules.limits
                };
                access
            }
        };
        Ok(Self {
            region,
            credentials,
            topics,
            rules,
            authorities,
            warnings,
            queue,
            max_wait_ms,
            max_depth,
            filter: topic_filter,
            journal,
            backfill,
            endpoint: endpoint.map(Arc::new),
            cursor,
        })
    }
}

/// Which texts are names of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The service's, which may be combined (`prefix?a&b`).
    Service,
    /// Whatever an endpoint calls its topics.
    Free,
}

impl Naming {
    pub(crate) fn of(has_endpoint: bool) -> Self {
        if has_endpoint { Self::Free } else { Self::Service }
    }

    /// The single topics of a name.
    pub(crate) fn topics(self, name: &str) -> Result<Vec<Topic>, TopicError> {
        match self {
            Self::Service => Topic::expand(name),
            Self::Free => Topic::free(name).map(|topic| vec![topic]),
        }
    }

    /// The single topics of names; an error names the offender, e.g. `topics[3]`.
    pub(crate) fn all(self, names: &[String]) -> Result<Vec<Topic>, OptionError> {
        let mut topics = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let single = self.topics(name);
            topics.extend(single.map_err(|e| OptionError::new(format!("topics[{i}]"), e.to_string()))?);
        }
        Ok(topics)
    }
}

/// A year: no time needs to be longer, and sums of a few cannot overflow.
const LONGEST_MS: f64 = 365.0 * 24.0 * 3600.0 * 1000.0;

const DEFAULT_COALESCING_MS: u64 = 1;

/// A bell later than this is a stalled client.
const LONGEST_COALESCING_MS: u64 = 60_000;

pub(crate) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Members that are null count as absent.
pub(crate) fn members(json: &str) -> serde_json::Result<Members<'_>> {
    let mut members: Members<'_> = serde_json::from_str(json)?;
    members.retain(|_, value| value.get() != "null");
    Ok(members)
}

/// A section all of whose members are optional; an error names the member.
fn section<T: DeserializeOwned + Default>(path: &str, value: Option<&RawValue>) -> Result<T, OptionError> {
    let Some(value) = value else { return Ok(T::default()) };
    let error = match serde_json::from_str(value.get()) {
        Ok(section) => return Ok(section),
        Err(error) => error,
    };
    let Ok(members) = members(value.get()) else {
        return Err(OptionError::new(path, "must be an object"));
    };
    for (name, member) in members {
        let alone = serde_json::json!({ name.as_str(): member }).to_string();
        if let Err(error) = serde_json::from_str::<T>(&alone) {
            return Err(OptionError::new(format!("{path}.{name}"), plain(&error)));
        }
    }
    Err(OptionError::new(path, plain(&error)))
}

/// serde_json's words without the position, which means nothing to the caller.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn endpoints(region: &RawValue) -> Result<Endpoints, OptionError> {
    if let Ok(name) = serde_json::from_str::<String>(region.get()) {
        return Endpoints::of_region(&name);
    }
    let members = members(region.get())
        .map_err(|_| OptionError::new("region", "must be a region's name or { login, api, streaming? }"))?;
    for name in ["login", "api"] {
        if !members.contains_key(name) {
            return Err(OptionError::new(format!("region.{name}"), "is missing"));
        }
    }
    for (name, value) in &members {
        if !["login", "api", "streaming"].contains(&name.as_str()) {
            return Err(OptionError::new(format!("region.{name}"), "is not an option"));
        }
        if serde_json::from_str::<String>(value.get()).is_err() {
            return Err(OptionError::new(format!("region.{name}"), "must be a text"));
        }
    }
    let hosts: Hosts =
        serde_json::from_str(region.get()).map_err(|error| OptionError::new("region", plain(&error)))?;
    Endpoints::of_hosts(&hosts)
}

/// serde's own words are not used here: they repeat values.
fn credentials(value: &RawValue) -> Result<Credentials, OptionError> {
    let members = members(value.get()).map_err(|_| OptionError::new("credentials", "must be an object"))?;
    let kind = members.get("kind").and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
    let needed: &[&str] = match kind.as_deref() {
        Some("clientCredentials") => &["clientId", "clientSecret"],
        Some("refreshToken") => &["clientId", "clientSecret", "refreshToken"],
        Some("provider") => &[],
        _ => {
            let kinds = "must be \"clientCredentials\", \"refreshToken\" or \"provider\"";
            return Err(OptionError::new("credentials.kind", kinds));
        }
    };
    for name in needed {
        let text = members.get(*name).and_then(|value| serde_json::from_str::<Secret>(value.get()).ok());
        if text.is_none_or(|text| text.expose().is_empty()) {
            return Err(OptionError::new(format!("credentials.{name}"), "must be a text that is not empty"));
        }
    }
    if let Some(name) = members.keys().find(|name| *name != "kind" && !needed.contains(&name.as_str())) {
        return Err(OptionError::new(
            format!("credentials.{name}"),
            "is not an option of this kind of credentials",
        ));
    }
    serde_json::from_str(value.get()).map_err(|_| OptionError::new("credentials", "cannot be read"))
}

/// How a client of an endpoint gets tokens, if it does.
fn access(
    auth: Auth,
    region: Option<&RawValue>,
    credentials: Option<&RawValue>,
    fills: bool,
) -> Result<(Region, Option<Credentials>), OptionError> {
    let region = region.map(known_region).transpose()?.unwrap_or_default();
    let credentials = match (auth, credentials) {
        (Auth::None, _) if fills => {
            let why = "needs a token for the REST API, and with endpoint.auth \"none\" there is none";
            return Err(OptionError::new("backfill", why));
        }
        (Auth::None, _) => None,
        (_, None) => return Err(OptionError::new("credentials", "is missing")),
        (_, Some(value)) => Some(self::credentials(value)?),
    };
    let asks = matches!(credentials, Some(Credentials::Client { .. } | Credentials::RefreshToken { .. }));
    match &region {
        Region::Unknown if fills => {
            Err(OptionError::new("region", "is missing: backfill needs its REST API"))
        }
        Region::Unknown if asks => {
            let why = "is missing: a name, or { login }, the host that gives tokens to these credentials";
            Err(OptionError::new("region", why))
        }
        Region::Login(_) if fills => Err(OptionError::new("region.api", "is missing: backfill needs it")),
        _ => Ok((region, credentials)),
    }
}

/// As [`endpoints`], but `api` may be missing.
fn known_region(region: &RawValue) -> Result<Region, OptionError> {
    match members(region.get()) {
        Ok(members) if !members.contains_key("api") => {
            if let Some(name) = members.keys().find(|name| *name != "login") {
                return Err(OptionError::new(
                    format!("region.{name}"),
                    "is not an option without region.api",
                ));
            }
            let Some(login) = members.get("login") else { return Ok(Region::Unknown) };
            let login: String = serde_json::from_str(login.get())
                .map_err(|_| OptionError::new("region.login", "must be a text"))?;
            Ok(Region::Login(regions::login(&login)?))
        }
        _ => endpoints(region).map(Region::Whole),
    }
}

fn topic_names(value: Option<&RawValue>, naming: Naming) -> Result<Vec<Topic>, OptionError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let names: Vec<String> = serde_json::from_str(value.get())
        .map_err(|_| OptionError::new("topics", "must be an array of texts"))?;
    naming.all(&names)
}

fn continuity(value: &RawValue) -> Result<Continuity, OptionError> {
    match value.get() {
        "\"reconnect\"" => Ok(Continuity::Reconnect),
        "\"overlap\"" => Ok(Continuity::Overlap),
        "\"standby\"" => Ok(Continuity::Standby),
        _ => Err(OptionError::new("continuity", "must be \"reconnect\", \"overlap\" or \"standby\"")),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QueueSection {
    max_events: Option<f64>,
    max_bytes: Option<f64>,
    on_full: Option<OnFull>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetworkSection {
    connect_timeout_ms: Option<f64>,
    request_timeout_ms: Option<f64>,
    ca: Option<Texts>,
    /// What the environment names beside the options.
    node_extra_ca_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HeartbeatSection {
    ping_after_ms: Option<f64>,
    pong_timeout_ms: Option<f64>,
    silence_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BackoffSection {
    initial_ms: Option<f64>,
    max_ms: Option<f64>,
    suspended_max_ms: Option<f64>,
    healthy_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RotationSection {
    before_expiry_ms: Option<f64>,
    overlap_ms: Option<f64>,
    token_renewal_fraction: Option<f64>,
    audit_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeliverySection {
    max_wait_ms: Option<f64>,
    max_depth: Option<f64>,
    topics: Option<Vec<String>>,
}

fn depth(path: &str, value: Option<f64>) -> Result<usize, OptionError> {
    let Some(value) = value else { return Ok(DEFAULT_DEPTH) };
    // `as` saturates; a fraction is cut off.
    match value as usize {
        depth if DEPTHS.contains(&depth) => Ok(depth),
        _ => Err(OptionError::new(path, format!("must be {} to {}", DEPTHS.start(), DEPTHS.end()))),
    }
}

fn queue(given: QueueSection) -> Result<QueueOptions, OptionError> {
    let default = QueueOptions::default();
    let size = |path: &str, value: Option<f64>, low: usize, high: usize, default: usize| match value {
        None => Ok(default),
        Some(value) if value < 0.0 => Err(OptionError::new(path, "must not be negative")),
        // `as` saturates, and the clamp follows.
        Some(value) => Ok((value as usize).clamp(low, high)),
    };
    Ok(QueueOptions {
        max_events: size("queue.maxEvents", given.max_events, 1, 10_000_000, default.max_events)?,
        max_bytes: size("queue.maxBytes", given.max_bytes, 1 << 10, 1 << 30, default.max_bytes)?,
        on_full: given.on_full.unwrap_or_default(),
    })
}

/// Returns the authorities to trust, and what is worth a warning.
fn network(
    given: &NetworkSection,
    rules: &mut Config,
) -> Result<(Vec<CertificateDer<'static>>, Vec<String>), OptionError> {
    set(&mut rules.connect_timeout_ms, ms("network.connectTimeoutMs", given.connect_timeout_ms, 1)?);
    set(&mut rules.request_timeout_ms, ms("network.requestTimeoutMs", given.request_timeout_ms, 1)?);
    let mut authorities = match &given.ca {
        Some(texts) => texts.read("network.ca")?,
        None => Vec::new(),
    };
    let mut warnings = Vec::new();
    if let Some(file) = &given.node_extra_ca_file {
        match authorities::of_file(file) {
            Ok(more) => authorities.extend(more),
            // As in Node.
            Err(why) => {
                warnings.push(format!("NODE_EXTRA_CA_CERTS is ignored: {} {why}", file.display()));
            }
        }
    }
    Ok((authorities, warnings))
}

fn heartbeat(given: &HeartbeatSection, rules: &mut Config) -> Result<(), OptionError> {
    set(&mut rules.heartbeat.ping_after_ms, ms("heartbeat.pingAfterMs", given.ping_after_ms, 1)?);
    set(&mut rules.heartbeat.pong_timeout_ms, ms("heartbeat.pongTimeoutMs", given.pong_timeout_ms, 1)?);
    set(&mut rules.heartbeat.silence_ms, ms("heartbeat.silenceMs", given.silence_ms, 1)?);
    Ok(())
}

fn backoff(given: &BackoffSection, rules: &mut Config) -> Result<(), OptionError> {
    set(&mut rules.backoff.initial_ms, ms("backoff.initialMs", given.initial_ms, 1)?);
    set(&mut rules.backoff.max_ms, ms("backoff.maxMs", given.max_ms, 1)?);
    set(&mut rules.backoff.suspended_max_ms, ms("backoff.suspendedMaxMs", given.suspended_max_ms, 1)?);
    set(&mut rules.backoff.healthy_ms, ms("backoff.healthyMs", given.healthy_ms, 0)?);
    Ok(())
}

fn rotation(given: &RotationSection, rules: &mut Config) -> Result<(), OptionError> {
    let before = ms("rotation.beforeExpiryMs", given.before_expiry_ms, 0)?;
    rules.rotation.before_expiry_ms = before.or(rules.rotation.before_expiry_ms);
    set(&mut rules.rotation.overlap_ms, ms("rotation.overlapMs", given.overlap_ms, 0)?);
    set(&mut rules.audit_every_ms, ms("rotation.auditMs", given.audit_ms, 0)?);
    match given.token_renewal_fraction {
        None => {}
        Some(fraction) if (0.0..=1.0).contains(&fraction) => {
            rules.rotation.token_renewal_fraction = fraction.clamp(0.1, 0.95);
        }
        Some(_) => {
            return Err(OptionError::new("rotation.tokenRenewalFraction", "must lie between 0.1 and 0.95"));
        }
    }
    Ok(())
}

fn set(target: &mut u64, value: Option<u64>) {
    if let Some(value) = value {
        *target = value;
    }
}

pub(crate) fn ms(path: &str, value: Option<f64>, low: u64) -> Result<Option<u64>, OptionError> {
    match value {
        None => Ok(None),
        Some(value) if value < 0.0 => Err(OptionError::new(path, "must not be negative")),
        Some(value) => Ok(Some((value.min(LONGEST_MS) as u64).max(low))),
    }
}

#[cfg(test)]
mod tests;
