//! A server that authenticates on the socket itself: how it is dialled, what is said to it, and how its frames are read.

use std::fmt;
use std::sync::Arc;

use genesys_notifications_proto::{Failure, Layout, Template, Values};
use url::{Url, form_urlencoded};

use crate::secret::{Secret, Secrets};
use crate::socket::dial::Target;

/// A direct endpoint, its options checked. Its templates may hold secrets of their own.
pub(crate) struct Endpoint {
    pub(crate) url: Template,
    /// Scheme, host and port, which no placeholder changes.
    pub(crate) origin: Url,
    pub(crate) proof: Proof,
    pub(crate) subscribe: Option<Template>,
    /// Goes with the position into the URL's query.
    pub(crate) position_parameter: Option<String>,
    pub(crate) layout: Arc<Layout>,
    /// The longest text of the templates, in bytes.
    pub(crate) longest_template: usize,
    /// Parts of the templates that could be secrets.
    pub(crate) secrets: Vec<Secret>,
}

/// How a connection proves who it is.
pub(crate) enum Proof {
    /// With the token in this parameter of the URL's query.
    Query(String),
    /// With the token wherever the URL's template has it.
    Url,
    /// With the token in the header `Authorization`.
    Header,
    /// With the token in this first message.
    FirstMessage(Template),
    /// Not at all.
    Nothing,
}

/// What one connection fills into the templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filling {
    pub(crate) token: Option<Secret>,
    pub(crate) position: Option<String>,
}

/// What a template becomes beyond its own length: token, position and topic, with each character escaped.
const LONGEST_FILLING: usize = 256 << 10;

impl Endpoint {
    /// Its texts are kept out of every other text.
    pub(crate) fn guard(&self, secrets: &Secrets) {
        for text in &self.secrets {
            secrets.keep(text.expose());
        }
    }

    /// Where to dial. The error does not hold the URL.
    pub(crate) fn target(&self, filling: &Filling) -> Result<Target, Failure> {
        let refused = || Failure::UntrustedUri("the endpoint's URL, filled in, leads elsewhere".into());
        let mut url = Url::parse(&self.url.fill(&filling.values(""))).map_err(|_| refused())?;
        if let (Proof::Query(parameter), Some(token)) = (&self.proof, &filling.token) {
            append(&mut url, parameter, token.expose());
        }
        if let (Some(parameter), Some(position)) = (&self.position_parameter, &filling.position) {
            append(&mut url, parameter, position);
        }
        if url.origin() != self.origin.origin() {
            return Err(refused());
        }
        let bearer = filling.token.clone().filter(|_| matches!(self.proof, Proof::Header));
        Ok(Target { url, bearer, longest_frame: self.longest_template + LONGEST_FILLING })
    }

    /// The first message, if there is one.
    pub(crate) fn first_message(&self, filling: &Filling) -> Option<String> {
        let Proof::FirstMessage(template) = &self.proof else { return None };
        Some(template.fill(&filling.values("")))
    }

    /// What asks for a topic, if topics are asked for.
    pub(crate) fn ask(&self, filling: &Filling, topic: &str) -> Option<String> {
        self.subscribe.as_ref().map(|template| template.fill(&filling.values(topic)))
    }
}

impl Filling {
    fn values<'a>(&'a self, topic: &'a str) -> Values<'a> {
        let token = self.token.as_ref().map_or("", Secret::expose);
        Values { token, cursor: self.position.as_deref().unwrap_or_default(), topic }
    }
}

/// Leaves what is there as it was written, percent escapes included.
fn append(url: &mut Url, name: &str, value: &str) {
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{pair}"),
        _ => pair,
    };
    url.set_query(Some(&query));
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.origin.host_str()).finish_non_exhaustive()
    }
}
