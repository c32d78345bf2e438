//! The option `endpoint`: what the rules have to know of it, and what the driver does.

use std::sync::Arc;

use genesys_notifications_proto::{
    Auth, Direct, Initial, Layout, LayoutParts, Placeholder, Renewal, Resume, Template, Values,
};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use crate::connect_uri::authority;
use crate::endpoint::{Endpoint, Proof};
use crate::given::Given;
use crate::options::{OptionError, ms};
use crate::regions::is_loopback;
use crate::secret::possible_secrets;
use crate::socket::dial::server_name;

/// Longer templates are a mistake.
const MAX_TEMPLATE_BYTES: usize = 16 << 10;

/// How long a connection may take to be ready: default, least and most.
const READY_MS: u64 = 10_000;
const LEAST_READY_MS: u64 = 10;
const MOST_READY_MS: u64 = 3_600_000;

/// The shortest life of a connection that is worth replacing it for.
const LEAST_LIFETIME_MS: u64 = 100;

/// Checks what JavaScript sent. Whether there is a cursor or a journal is another option's business.
///
/// # Errors
/// Names the member; none of them holds a template.
pub(crate) fn read(value: &RawValue) -> Result<(Direct, Endpoint), OptionError> {
    let mut given = Given::read("endpoint", value)?;
    let (url, origin) = url(&mut given)?;
    let subscribe = subscribe(&mut given)?;
    let proof = proof(&mut given, &url)?;
    let resume = resume(&mut given)?;
    let renewal = renewal(&mut given, &proof)?;
    let mut parts = event(&mut given)?;
    let ready = ready(&mut given)?;
    let lifetime_ms = lifetime(&mut given)?;
    given.end()?;

    let templates = [
        ("url", Some(&url)),
        ("firstMessage", if let Proof::FirstMessage(template) = &proof { Some(template) } else { None }),
        ("subscribe.message", subscribe.as_ref()),
    ];
    let holds = |placeholder| {
        templates.iter().find(|(_, template)| template.is_some_and(|template| template.holds(placeholder)))
    };
    if let (Proof::Nothing, Some((name, _))) = (&proof, holds(Placeholder::Token)) {
        let why = "holds {token}, but with endpoint.auth \"none\" there is no token";
        return Err(OptionError::new(format!("endpoint.{name}"), why));
    }
    let cursor = holds(Placeholder::Cursor).map(|(name, _)| *name);
    let (resume, position_parameter) = match (resume, cursor) {
        (None, Some(name)) => {
            let why = "holds {cursor}, which needs endpoint.resume: where in an event its position is";
            return Err(OptionError::new(format!("endpoint.{name}"), why));
        }
        (None, None) => (None, None),
        (Some(resume), cursor) => {
            parts.position = Some(resume.pointer);
            (Some(resume.rules), parameter(resume.parameter, cursor, &proof)?)
        }
    };
    let ready_timeout_ms = ready.map(|ready| {
        parts.ready = Some((ready.pointer, ready.equals));
        ready.timeout_ms
    });
    let layout = Layout::new(&parts)
        .map_err(|error| OptionError::new(format!("endpoint.{}", error.part), error.reason.to_string()))?;

    let plain = |template: &Template| template.fill(&Values::default());
    let texts = [behind_host(&plain(&url)).to_owned()].into_iter();
    let messages = templates[1..].iter().filter_map(|(_, template)| template.map(plain));
    let texts: Vec<String> = texts.chain(messages).collect();
    let rules = Direct {
        auth: match proof {
            Proof::Query(_) | Proof::Url | Proof::Header => Auth::Opening,
            Proof::FirstMessage(_) => Auth::FirstMessage,
            Proof::Nothing => Auth::None,
        },
        ready_timeout_ms,
        lifetime_ms,
        subscribes: subscribe.is_some(),
        renewal,
        resume,
        has_cursor: false,
        survives: false,
    };
    let endpoint = Endpoint {
        secrets: texts.iter().flat_map(|text| possible_secrets(text)).collect(),
        longest_template: texts.iter().map(String::len).max().unwrap_or_default(),
        layout: Arc::new(layout),
        url,
        origin,
        proof,
        subscribe,
        position_parameter,
    };
    Ok((rules, endpoint))
}

fn url(given: &mut Given<'_>) -> Result<(Template, Url), OptionError> {
    let text = given.text("url")?;
    let text =
        text.ok_or_else(|| given.error("url", "is missing: where the endpoint is, as in wss://host/path"))?;
    let refuse = |why: &str| given.error("url", why);
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(refuse(&format!("must be at most {MAX_TEMPLATE_BYTES} bytes")));
    }
    // The URL standard mends backslashes, tabs and blanks; what is meant should be written.
    if text.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'\\' | b'"' | b'<' | b'>')) {
        return Err(refuse("holds blanks or other characters that must be percent-encoded in a URL"));
    }
    // What the URL standard would mend once more: slashes that are missing, or too many.
    if !text.contains("://") || authority(&text).is_empty() {
        return Err(refuse("is not a URL such as wss://host/path"));
    }
    if authority(&text).contains(['{', '}']) {
        return Err(refuse("must name its host outright: {token} and {cursor} belong behind it"));
    }
    let template = Template::url(&text).map_err(|error| refuse(&error.to_string()))?;
    let sample = template.fill(&Values { token: "t", cursor: "c", topic: "" });
    let url = Url::parse(&sample).map_err(|_| refuse("is not a URL such as wss://host/path"))?;
    if !matches!(url.scheme(), "wss" | "ws") {
        return Err(refuse("must begin with wss://"));
    }
    if url.scheme() == "ws" && !is_loopback(&url) {
        return Err(refuse("must begin with wss://: ws:// is for loopback only"));
    }
    if !url.username().is_empty() || url.password().is_some() || authority(&text).contains('@') {
        return Err(refuse("must not hold a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(refuse("must not hold a fragment (#…): it is not sent"));
    }
    if server_name(&url).is_err() {
        return Err(refuse("has a host that is no name"));
    }
    let mut origin = url;
    origin.set_path("");
    origin.set_query(None);
    Ok((template, origin))
}

/// Path and query; the host is no secret.
fn behind_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find(['/', '?']).map_or("", |at| &rest[at..])
}

fn message(given: &mut Given<'_>, name: &str) -> Result<Option<Template>, OptionError> {
    let Some(text) = given.text(name)? else { return Ok(None) };
    if text.is_empty() || text.len() > MAX_TEMPLATE_BYTES {
        return Err(given.error(name, format!("must be a text of 1 to {MAX_TEMPLATE_BYTES} bytes")));
    }
    Ok(Some(Template::message(&text)))
}

fn subscribe(given: &mut Given<'_>) -> Result<Option<Template>, OptionError> {
    let Some(mut section) = given.object("subscribe")? else { return Ok(None) };
    let template = message(&mut section, "message")?
        .ok_or_else(|| section.error("message", "is missing: the frame that asks for {topic}"))?;
    if !template.holds(Placeholder::Topic) {
        return Err(section.error("message", "must hold {topic}: it is sent once for each"));
    }
    section.end()?;
    Ok(Some(template))
}

fn proof(given: &mut Given<'_>, url: &Template) -> Result<Proof, OptionError> {
    let first_message = message(given, "firstMessage")?;
    let parameter = given.text("tokenParameter")?;
    let auth = given.text("auth")?;
    let auth = match auth.as_deref() {
        Some(auth) => auth,
        None if first_message.is_some() => "firstMessage",
        None => "query",
    };
    if first_message.is_some() && auth != "firstMessage" {
        return Err(given.error("firstMessage", "is sent only with endpoint.auth \"firstMessage\""));
    }
    if parameter.is_some() && auth != "query" {
        return Err(given.error("tokenParameter", "is used only with endpoint.auth \"query\""));
    }
    let in_url = url.holds(Placeholder::Token);
    match auth {
        "query" => match parameter {
            Some(_) if in_url => {
                Err(given.error("tokenParameter", "is of no use: endpoint.url holds {token} itself"))
            }
            Some(name) if name.is_empty() => Err(given.error("tokenParameter", "must not be empty")),
            Some(name) => Ok(Proof::Query(name)),
            None if in_url => Ok(Proof::Url),
            None => Ok(Proof::Query("access_token".into())),
        },
        "header" => Ok(Proof::Header),
        "firstMessage" => {
            let template =
                first_message.unwrap_or_else(|| Template::message(r#"{"access_token":"{token}"}"#));
            if !in_url && !template.holds(Placeholder::Token) {
                return Err(given.error("firstMessage", "must hold {token}: it says who is there"));
            }
            if template.holds(Placeholder::Topic) {
                return Err(
                    given.error("firstMessage", "cannot hold {topic}: it is sent before any is asked for")
                );
            }
            Ok(Proof::FirstMessage(template))
        }
        "none" => Ok(Proof::Nothing),
        _ => Err(given.error("auth", "must be \"query\", \"header\", \"firstMessage\" or \"none\"")),
    }
}

fn renewal(given: &mut Given<'_>, proof: &Proof) -> Result<Renewal, OptionError> {
    let renewal = given.text("renewal")?;
    match (renewal.as_deref(), proof) {
        (None | Some("reconnect"), _) => Ok(Renewal::Reconnect),
        (Some("message"), Proof::FirstMessage(template)) if template.holds(Placeholder::Token) => {
            Ok(Renewal::Message)
        }
        (Some("message"), Proof::FirstMessage(_)) => {
            Err(given.error("renewal", "\"message\" needs {token} in endpoint.firstMessage"))
        }
        (Some("message"), _) => {
            Err(given.error("renewal", "\"message\" needs endpoint.auth \"firstMessage\": it is sent again"))
        }
        _ => Err(given.error("renewal", "must be \"reconnect\" or \"message\"")),
    }
}

struct Ready {
    pointer: String,
    equals: Value,
    timeout_ms: u64,
}

fn ready(given: &mut Given<'_>) -> Result<Option<Ready>, OptionError> {
    let Some(mut section) = given.object("ready")? else { return Ok(None) };
    let pointer = section.text("pointer")?;
    let pointer =
        pointer.ok_or_else(|| section.error("pointer", "is missing: where to look, as in \"/event\""))?;
    let equals = section.take_even_null("equals");
    let equals =
        equals.ok_or_else(|| section.error("equals", "is missing: what stands there once it is ready"))?;
    let equals = serde_json::from_str(equals.get()).map_err(|_| section.error("equals", "must be JSON"))?;
    let timeout_ms = section.number("timeoutMs")?;
    let timeout_ms = ms("endpoint.ready.timeoutMs", timeout_ms, LEAST_READY_MS)?.unwrap_or(READY_MS);
    section.end()?;
    Ok(Some(Ready { pointer, equals, timeout_ms: timeout_ms.min(MOST_READY_MS) }))
}

fn lifetime(given: &mut Given<'_>) -> Result<Option<u64>, OptionError> {
    let lifetime_ms = given.number("lifetimeMs")?;
    ms("endpoint.lifetimeMs", lifetime_ms, LEAST_LIFETIME_MS)
}

fn event(given: &mut Given<'_>) -> Result<LayoutParts, OptionError> {
    let mut parts = LayoutParts::default();
    let Some(mut section) = given.object("event")? else { return Ok(parts) };
    parts.topic = section.text("topic")?;
    parts.body = section.text("body")?;
    parts.id = section.text("id")?;
    if let Some(batch) = section.take("batch") {
        parts.batch = match serde_json::from_str(batch.get()) {
            Ok(Value::Bool(false)) => None,
            Ok(Value::Bool(true)) => Some(String::new()),
            Ok(Value::String(pointer)) => Some(pointer),
            _ => {
                return Err(section.error("batch", "must be true, false, or where in a frame the array is"));
            }
        };
    }
    section.end()?;
    Ok(parts)
}

struct Resuming {
    parameter: Option<String>,
    pointer: String,
    rules: Resume,
}

fn resume(given: &mut Given<'_>) -> Result<Option<Resuming>, OptionError> {
    let Some(mut section) = given.object("resume")? else { return Ok(None) };
    let pointer = section.text("pointer")?;
    let pointer = pointer.ok_or_else(|| {
        section.error("pointer", "is missing: where in an event its position is, as in \"/timestamp\"")
    })?;
    let initial = match section.text("initial")?.as_deref() {
        None | Some("now") => Initial::Now,
        Some("") => return Err(section.error("initial", "must be \"now\" or a position")),
        Some(position) => Initial::Given(position.to_owned()),
    };
    let inclusive = section.flag("inclusive")?;
    let parameter = section.text("parameter")?;
    section.end()?;
    Ok(Some(Resuming { parameter, pointer, rules: Resume { initial, inclusive } }))
}

/// The parameter that carries the position, unless a template does.
fn parameter(
    parameter: Option<String>,
    cursor: Option<&str>,
    proof: &Proof,
) -> Result<Option<String>, OptionError> {
    let refuse = |why: &str| Err(OptionError::new("endpoint.resume.parameter", why));
    match (parameter, cursor, proof) {
        (None, Some(_), _) => Ok(None),
        (Some(_), Some(name), _) => refuse(&format!("is of no use: endpoint.{name} holds {{cursor}} itself")),
        (None, None, _) => refuse(
            "is missing: the query parameter that carries the position; or put {cursor} into endpoint.url, firstMessage or \
             subscribe.message",
        ),
        (Some(name), ..) if name.is_empty() => refuse("must not be empty"),
        (Some(name), _, Proof::Query(token)) if name == *token => refuse("carries the token already"),
        (Some(name), ..) => Ok(Some(name)),
    }
}

#[cfg(test)]
mod tests;
