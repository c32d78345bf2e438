use std::collections::{HashMap, VecDeque};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::{
    http::{Request, Response},
    options::{ClientOptions, SimOptions},
    rng::Rng,
    state::{State, Timer},
};

/// Ended tokens that are told from unknown ones.
const MOST_ENDED: usize = 4_096;
const SAML2_BEARER: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";

/// OAuth clients and the tokens they hold.
pub(crate) struct Tokens {
    clients: Vec<Client>,
    access: HashMap<String, u64>,
    live: HashMap<u64, Token>,
    /// The oldest first.
    ended: VecDeque<(String, u64)>,
    refresh: HashMap<String, Grant>,
    issued: u64,
}

struct Client {
    options: ClientOptions,
    user: String,
    spent_codes: Vec<String>,
}

/// A live access token; what it is never leaves this module.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) number: u64,
    pub(crate) client: String,
    pub(crate) user: Option<String>,
}

#[derive(Clone)]
struct Grant {
    client: String,
    user: String,
}

impl Token {
    pub(crate) fn label(&self) -> String {
        label(self.number)
    }

    /// Limits of channels count per user and client.
    pub(crate) fn group(&self) -> String {
        format!("{}/{}", self.client, self.user.as_deref().unwrap_or_default())
    }
}

impl Tokens {
    pub(crate) fn new(clients: Vec<ClientOptions>, rng: &mut Rng) -> Self {
        let mut refresh = HashMap::new();
        let clients = clients
            .into_iter()
            .map(|options| {
                let user = options.user_id.clone().unwrap_or_else(|| rng.uuid());
                for token in &options.refresh_tokens {
                    refresh.insert(token.clone(), Grant { client: options.id.clone(), user: user.clone() });
                }
                Client { options, user, spent_codes: Vec::new() }
            })
            .collect();
        Self {
            clients,
            access: HashMap::new(),
            live: HashMap::new(),
            ended: VecDeque::new(),
            refresh,
            issued: 0,
        }
    }

    pub(crate) fn by_secret(&self, bearer: &str) -> Option<&Token> {
        self.live.get(self.access.get(bearer)?)
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<&Token> {
        self.live.get(&number)
    }

    /// Whether it was a token once.
    pub(crate) fn has_ended(&self, secret: &str) -> bool {
        self.ended.iter().any(|(ended, _)| ended == secret)
    }

    /// How a secret is written down: by the label of the token that it is or was.
    pub(crate) fn label(&self, secret: &str) -> Option<String> {
        let ended = || self.ended.iter().find(|(ended, _)| ended == secret).map(|(_, number)| number);
        self.access.get(secret).or_else(ended).map(|number| label(*number))
    }

    pub(crate) fn end(&mut self, number: u64) -> Option<Token> {
        for (secret, _) in self.access.extract_if(|_, other| *other == number) {
            self.ended.push_back((secret, number));
        }
        while self.ended.len() > MOST_ENDED {
            self.ended.pop_front();
        }
        self.live.remove(&number)
    }

    fn authenticate(&mut self, id: &str, secret: &str) -> Option<&mut Client> {
        self.clients.iter_mut().find(|c| c.options.id == id && c.options.secret == secret)
    }
}

fn label(number: u64) -> String {
    format!("token-{number}")
}

/// A refusal: HTTP status, `error` and a text.
struct Refusal(u16, &'static str, &'static str);

enum Subject {
    Client(String),
    User(Grant),
}

impl State {
    /// `POST /oauth/token`.
    pub(crate) fn token_endpoint(&mut self, request: &Request, record: u64) -> Response {
        let form = request.form();
        let grant = form.get("grant_type").cloned().unwrap_or_default();
        let client = presented(request, &form).map(|(id, _)| id);
        self.log.update_request(record, |r| {
            r.grant = Some(grant.clone());
            r.client = client;
        });
        match self.subject(request, &form, &grant) {
            Ok(subject) => self.issue(subject, record),
            Err(Refusal(status, error, text)) => {
                self.log.update_request(record, |r| r.code = Some(error.to_owned()));
                refusal(status, error, text)
            }
        }
    }

    fn subject(
        &mut self,
        request: &Request,
        form: &HashMap<String, String>,
        grant: &str,
    ) -> Result<Subject, Refusal> {
        let bad_client =
            Refusal(self.settings.options.bad_client_status, "invalid_client", "authentication failed");
        let Some((id, secret)) = presented(request, form) else { return Err(bad_client) };
        let Some(client) = self.tokens.authenticate(&id, &secret) else { return Err(bad_client) };
        let user = Grant { client: id.clone(), user: client.user.clone() };
        let invalid_grant = |text| Err(Refusal(400, "invalid_grant", text));
        match grant {
            "client_credentials" => Ok(Subject::Client(id)),
            "authorization_code" => {
                let code = form.get("code").map(String::as_str).unwrap_or_default();
                let known = client.options.codes.iter().find(|known| known.code == code);
                let Some(known) = known.filter(|_| !client.spent_codes.iter().any(|spent| spent == code))
                else {
                    return invalid_grant("authorization code is not valid");
                };
                if known.redirect_uri.as_ref().is_some_and(|uri| form.get("redirect_uri") != Some(uri)) {
                    return invalid_grant("redirect_uri does not match");
                }
                client.spent_codes.push(code.to_owned());
                Ok(Subject::User(user))
            }
            "refresh_token" => {
                let presented = form.get("refresh_token").map(String::as_str).unwrap_or_default();
                // Rotating: each refresh token works once.
                match self.tokens.refresh.get(presented).filter(|grant| grant.client == id).cloned() {
                    Some(grant) => {
                        self.tokens.refresh.remove(presented);
                        Ok(Subject::User(grant))
                    }
                    None => invalid_grant("refresh token is not valid"),
                }
            }
            SAML2_BEARER => {
                if form.get("orgName").is_none_or(String::is_empty) {
                    return Err(Refusal(400, "invalid_request", "orgName is missing"));
                }
                match form.get("assertion") {
                    Some(assertion) if client.options.assertions.contains(assertion) => {
                        Ok(Subject::User(user))
                    }
                    _ => invalid_grant("assertion is not valid"),
                }
            }
            _ => Err(Refusal(400, "unsupported_grant_type", "grant type is not supported")),
        }
    }

    fn issue(&mut self, subject: Subject, record: u64) -> Response {
        let options = &self.settings.options;
        let (life_ms, single) = (options.token_life_ms, options.single_token);
        let (client, user, refreshable) = match subject {
            Subject::Client(client) => (client, None, false),
            Subject::User(grant) => (grant.client, Some(grant.user), true),
        };
        if single {
            let older: Vec<_> =
                self.tokens.live.values().filter(|t| t.client == client).map(|t| t.number).collect();
            for number in older {
                self.end_token(number);
            }
        }
        self.tokens.issued += 1;
        let token = Token { number: self.tokens.issued, client: client.clone(), user: user.clone() };
        let secret = self.ids.base32(86);
        let refresh = refreshable.then(|| self.ids.base32(64));
        if let (Some(refresh), Some(user)) = (&refresh, user) {
            self.tokens.refresh.insert(refresh.clone(), Grant { client: client.clone(), user });
        }
        self.tokens.access.insert(secret.clone(), token.number);
        self.log.update_request(record, |r| r.token = Some(token.label()));
        self.schedule(self.now.saturating_add(life_ms), Timer::TokenEnd(token.number));
        self.tokens.live.insert(token.number, token);

        let mut body =
            json!({ "access_token": secret, "token_type": "bearer", "expires_in": seconds(life_ms) });
        if let Some(refresh) = refresh {
            body["refresh_token"] = refresh.into();
        }
        Response::json(200, &body).header("Cache-Control", "no-store")
    }
}

/// The service's three-field error body.
pub(crate) fn refusal(status: u16, error: &str, text: &str) -> Response {
    Response::json(status, &json!({ "error": error, "description": text, "error_description": text }))
}

impl SimOptions {
    /// The clients asked for, or one that is generated.
    pub(crate) fn clients_or_generated(&self, rng: &mut Rng) -> Vec<ClientOptions> {
        if !self.clients.is_empty() {
            return self.clients.clone();
        }
        vec![ClientOptions {
            id: rng.uuid(),
            secret: rng.base32(43),
            user_id: None,
            codes: Vec::new(),
            refresh_tokens: Vec::new(),
            assertions: Vec::new(),
        }]
    }
}

/// Whole seconds as an integer, as the service does; a fraction only for lives it does not have.
fn seconds(ms: u64) -> serde_json::Value {
    if ms.is_multiple_of(1_000) { (ms / 1_000).into() } else { (ms as f64 / 1_000.0).into() }
}

/// Id and secret from the Basic header, or from the form (`client_secret_post`).
fn presented(request: &Request, form: &HashMap<String, String>) -> Option<(String, String)> {
    if let Some(header) = request.header("authorization") {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        return Some((id.to_owned(), secret.to_owned()));
    }
    Some((form.get("client_id")?.clone(), form.get("client_secret")?.clone()))
}
