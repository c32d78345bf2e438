//! A plain HTTP/1.1 and WebSocket client, so that no code of the simulator judges itself.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use genesys_notifications_sim::{Log, Rule, SimOptions, Simulator};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};

pub const PATIENCE: Duration = Duration::from_secs(10);
pub const CHANNELS: &str = "/api/v2/notifications/channels";

/// A simulator and one token of its first client.
pub struct Service {
    pub sim: Simulator,
    pub token: String,
}

impl Service {
    pub async fn start(options: &str) -> Self {
        let sim = Simulator::start(SimOptions::from_json(options).unwrap()).unwrap();
        let token = new_token(&sim).await;
        Self { sim, token }
    }

    pub async fn api(&self, method: &str, path: &str, body: &str) -> Reply {
        self.api_as(&self.token, method, path, body).await
    }

    pub async fn api_as(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        send(&self.sim.urls().api, method, path, &[("Authorization", &bearer)], body).await.unwrap()
    }

    pub async fn try_api(&self, method: &str, path: &str, body: &str) -> Option<Reply> {
        let bearer = format!("Bearer {}", self.token);
        send(&self.sim.urls().api, method, path, &[("Authorization", &bearer)], body).await
    }

    /// A new channel's id.
    pub async fn channel(&self) -> String {
        let reply = self.api("POST", CHANNELS, "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// A new channel with these topics.
    pub async fn channel_on(&self, topics: &[&str]) -> String {
        let channel = self.channel().await;
        assert_eq!(self.put(&channel, topics, false).await.status, 200);
        channel
    }

    pub async fn put(&self, channel: &str, topics: &[&str], ignore_errors: bool) -> Reply {
        self.api("PUT", &subscriptions(channel, ignore_errors), &ids(topics)).await
    }

    pub async fn post(&self, channel: &str, topics: &[&str], ignore_errors: bool) -> Reply {
        self.api("POST", &subscriptions(channel, ignore_errors), &ids(topics)).await
    }

    pub async fn connect(&self, channel: &str) -> Ws {
        self.try_connect(channel).await.unwrap()
    }

    pub async fn try_connect(&self, channel: &str) -> Result<Ws, tungstenite::Error> {
        let url = format!("{}/channels/{channel}", self.sim.urls().streaming);
        let stream = TcpStream::connect(authority(&url)).await?;
        Ok(Ws(timeout(PATIENCE, client_async(url, stream)).await.unwrap()?.0))
    }

    /// The status with which an upgrade is refused.
    pub async fn refused_upgrade(&self, channel: &str) -> u16 {
        match self.try_connect(channel).await {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {:?}", other.map(|_| ())),
        }
    }

    /// Connects to a gateway endpoint; `place` is its name and query, with `{token}` for the token.
    pub async fn gateway(&self, place: &str) -> Ws {
        self.try_gateway(place, None).await.unwrap()
    }

    pub async fn try_gateway(&self, place: &str, bearer: Option<&str>) -> Result<Ws, tungstenite::Error> {
        let url = format!("{}/{}", self.sim.urls().gateway, place.replace("{token}", &self.token));
        let stream = TcpStream::connect(authority(&url)).await?;
        let mut request = url.into_client_request()?;
        if let Some(bearer) = bearer {
            request.headers_mut().insert("Authorization", format!("Bearer {bearer}").parse().unwrap());
        }
        Ok(Ws(timeout(PATIENCE, client_async(request, stream)).await.unwrap()?.0))
    }

    /// The answer with which a gateway endpoint refuses an upgrade: status, body, `Retry-After`.
    pub async fn refused_gateway(&self, place: &str) -> (u16, Value, Option<String>) {
        match self.try_gateway(place, None).await {
            Err(tungstenite::Error::Http(response)) => {
                let retry_after = response.headers().get("retry-after");
                let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
                let body = serde_json::from_slice(response.body().as_deref().unwrap_or_default());
                (response.status().as_u16(), body.unwrap_or_default(), retry_after)
            }
            other => panic!("not refused: {:?}", other.map(|_| ())),
        }
    }

    pub fn fault(&self, rule: &str) -> u64 {
        self.sim.fault(Rule::from_json(rule).unwrap()).unwrap()
    }

    pub fn publish(&self, topic: &str) -> u64 {
        self.sim.publish(topic, None).unwrap()
    }

    /// Waits until so many events were delivered.
    pub async fn until_counts(&self, delivered: u64) {
        let probe = |sim: &Simulator| (sim.counts().delivered >= delivered).then_some(());
        let done = self.sim.wait_for(PATIENCE * 3, probe).await;
        assert!(done.is_some(), "{:?}", self.sim.counts());
    }

    /// Waits until the log satisfies `seen`.
    pub async fn until(&self, seen: impl Fn(&Log) -> bool) -> Log {
        let probe = |sim: &Simulator| Some(sim.log()).filter(|log| seen(log));
        match self.sim.wait_for(PATIENCE, probe).await {
            Some(log) => log,
            None => panic!("did not happen: {}", serde_json::to_string(&self.sim.log()).unwrap()),
        }
    }
}

pub async fn new_token(sim: &Simulator) -> String {
    let credentials = sim.credentials();
    let basic = basic(&credentials.client_id, &credentials.client_secret);
    let reply = grant(sim, &basic, "grant_type=client_credentials").await;
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

pub async fn grant(sim: &Simulator, authorization: &str, form: &str) -> Reply {
    let headers = [("Authorization", authorization), ("Content-Type", "application/x-www-form-urlencoded")];
    send(&sim.urls().login, "POST", "/oauth/token", &headers, form).await.unwrap()
}

pub fn subscriptions(channel: &str, ignore_errors: bool) -> String {
    format!("{CHANNELS}/{channel}/subscriptions?ignoreErrors={ignore_errors}")
}

pub fn ids(topics: &[&str]) -> String {
    let entities: Vec<_> = topics.iter().map(|id| serde_json::json!({ "id": id })).collect();
    Value::from(entities).to_string()
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn is_whole(&self) -> bool {
        self.header("Content-Length").is_none_or(|length| length.parse() == Ok(self.body.len()))
    }
}

/// One request on a connection of its own; None if the connection ended without an answer.
pub async fn send(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Reply> {
    let mut stream = TcpStream::connect(authority(base)).await.ok()?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", authority(base));
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no end of the answer").ok()?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Some(Reply { status, headers, body: answer[end + 4..].to_vec() })
}

pub fn authority(url: &str) -> &str {
    url.split("://").nth(1).unwrap().split('/').next().unwrap()
}

/// One WebSocket client.
pub struct Ws(pub WebSocketStream<TcpStream>);

impl Ws {
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("nothing came")
    }

    /// The next text frame, as JSON.
    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The next frame of this topic.
    pub async fn topic(&mut self, topic: &str) -> Value {
        loop {
            let frame = self.json().await;
            if frame["topicName"] == topic {
                return frame;
            }
        }
    }

    /// Reads on until the close frame; the code it carries.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|CloseFrame { code, .. }| code.into()),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }

    /// Reads on until the connection fails; the error.
    pub async fn broken(&mut self) -> tungstenite::Error {
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("ended in order"),
            }
        }
    }

    /// The simulator has treated all that was sent before: the pong to a ping of ours came back.
    pub async fn sync(&mut self) {
        self.say(r#"{"message":"ping"}"#).await;
        let pong = self.topic("channel.metadata").await;
        assert_eq!(pong["eventBody"]["message"], "pong");
    }

    pub async fn is_silent(&mut self, for_ms: u64) -> bool {
        timeout(Duration::from_millis(for_ms), self.0.next()).await.is_err()
    }
}
