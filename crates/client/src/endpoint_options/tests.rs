use super::*;
use crate::endpoint::Filling;
use crate::secret::Secrets;

fn of(json: &str) -> Result<(Direct, Endpoint), OptionError> {
    read(&serde_json::from_str::<Box<RawValue>>(json).unwrap())
}

/// With a URL that fits.
fn with(more: &str) -> Result<(Direct, Endpoint), OptionError> {
    of(&format!(r#"{{"url":"wss://gw.example.com/s"{}{more}}}"#, if more.is_empty() { "" } else { "," }))
}

fn filling(token: &str, position: &str) -> Filling {
    Filling { token: Some(token.to_owned().into()), position: Some(position.to_owned()) }
}

fn url(endpoint: &Endpoint) -> String {
    endpoint.target(&filling("t+/=", "2026-01-02T03:04:05.678Z")).unwrap().url.to_string()
}

#[test]
fn a_url_suffices() {
    let (rules, endpoint) = with("").unwrap();
    assert_eq!((rules.auth, rules.renewal), (Auth::Opening, Renewal::Reconnect));
    assert!(rules.ready_timeout_ms.is_none() && !rules.subscribes && rules.resume.is_none());
    assert_eq!(url(&endpoint), "wss://gw.example.com/s?access_token=t%2B%2F%3D");
    assert!(endpoint.target(&filling("t", "p")).unwrap().bearer.is_none());
}

#[test]
fn every_option_arrives_where_it_belongs() {
    let (rules, endpoint) = with(
        r#""firstMessage":"{\"access_token\":\"{token}\",\"from\":\"{cursor}\"}",
        "ready":{"pointer":"/event","equals":null,"timeoutMs":500},
        "subscribe":{"message":"{\"topic\":\"{topic}\"}"},
        "event":{"topic":"/t","body":"/b","id":"/i","batch":"/events"},
        "resume":{"pointer":"/at","initial":"0","inclusive":true},"renewal":"message""#,
    )
    .unwrap();
    assert_eq!((rules.auth, rules.renewal), (Auth::FirstMessage, Renewal::Message));
    assert_eq!((rules.ready_timeout_ms, rules.subscribes), (Some(500), true));
    let resume = rules.resume.unwrap();
    assert_eq!((resume.initial, resume.inclusive), (Initial::Given("0".into()), Some(true)));
    let said = filling("a\"b", "p\\q");
    assert_eq!(endpoint.first_message(&said).unwrap(), r#"{"access_token":"a\"b","from":"p\\q"}"#);
    assert_eq!(endpoint.ask(&said, "x\"y").unwrap(), r#"{"topic":"x\"y"}"#);
    assert_eq!(url(&endpoint), "wss://gw.example.com/s");
    let mut topics = Vec::new();
    endpoint.layout.read(r#"{"events":[{"t":"a","b":1},{"t":"b","b":2}]}"#, 64, |frame, _| {
        topics.push(format!("{frame:?}").contains("Event("));
    });
    assert_eq!(topics, [true, true]);
}

#[test]
fn token_and_position_go_where_the_options_say() {
    let resume = r#""resume":{"parameter":"since","pointer":"/at"}"#;
    let at = "since=2026-01-02T03%3A04%3A05.678Z";
    let table = [
        (format!(r#""tokenParameter":"key",{resume}"#), format!("/s?key=t%2B%2F%3D&{at}")),
        (format!(r#""auth":"header",{resume}"#), format!("/s?{at}")),
        (format!(r#""auth":"none",{resume}"#), format!("/s?{at}")),
        (format!(r#""auth":"firstMessage",{resume}"#), format!("/s?{at}")),
    ];
    for (more, expected) in table {
        let (_, endpoint) = with(&more).unwrap();
        assert_eq!(url(&endpoint), format!("wss://gw.example.com{expected}"), "{more}");
    }
    let in_url =
        r#"{"url":"wss://gw.example.com:8443/{token}/s%20s?a=%2F&from={cursor}","resume":{"pointer":"/at"}}"#;
    let (_, endpoint) = of(in_url).unwrap();
    assert_eq!(
        url(&endpoint),
        "wss://gw.example.com:8443/t%2B%2F%3D/s%20s?a=%2F&from=2026-01-02T03%3A04%3A05.678Z"
    );
    let (_, endpoint) = of(r#"{"url":"wss://gw.example.com/s?a=%2F&"}"#).unwrap();
    assert!(url(&endpoint).ends_with("?a=%2F&&access_token=t%2B%2F%3D"));
    let (_, endpoint) = with(r#""auth":"header""#).unwrap();
    let target = endpoint.target(&filling("tok", "")).unwrap();
    assert_eq!(target.bearer.unwrap().expose(), "tok");
}

#[test]
fn no_filling_leads_elsewhere() {
    let (_, endpoint) =
        of(r#"{"url":"wss://gw.example.com/{cursor}","resume":{"pointer":"/at"},"auth":"none"}"#).unwrap();
    for position in ["@evil.example.com/", "/../../x", "#frag", "?q", "\\\\evil.example.com", "..", "%2e%2e"]
    {
        let target = endpoint.target(&filling("t", position)).unwrap();
        assert_eq!(target.url.host_str(), Some("gw.example.com"), "{position}");
        assert_eq!((target.url.fragment(), target.url.query()), (None, None), "{position}");
    }
}

#[test]
fn times_come_into_their_range() {
    let ready = |ms: &str| {
        let (rules, _) = with(&format!(r#""ready":{{"pointer":"","equals":1{ms}}}"#)).unwrap();
        rules.ready_timeout_ms.unwrap()
    };
    assert_eq!(ready(""), 10_000);
    assert_eq!(ready(r#","timeoutMs":1"#), 10);
    assert_eq!(ready(r#","timeoutMs":1e300"#), 3_600_000);
}

#[test]
fn errors_name_the_member_and_show_no_template() {
    let s = "canary-0f-mine";
    let table = [
        ("7".to_owned(), "endpoint", "an object"),
        ("{}".into(), "endpoint.url", "missing"),
        (format!(r#"{{"url":["{s}"]}}"#), "endpoint.url", "a text"),
        (format!(r#"{{"url":"{s}"}}"#), "endpoint.url", "not a URL"),
        (format!(r#"{{"url":"https://h/{s}"}}"#), "endpoint.url", "wss://"),
        (format!(r#"{{"url":"ws://h.example.com/{s}"}}"#), "endpoint.url", "loopback only"),
        (format!(r#"{{"url":"ws://127.0.0.1.example.com/{s}"}}"#), "endpoint.url", "loopback only"),
        (format!(r#"{{"url":"wss://u:{s}@h/"}}"#), "endpoint.url", "user name"),
        (format!(r#"{{"url":"wss://@h/{s}"}}"#), "endpoint.url", "user name"),
        (format!(r##"{{"url":"wss://h/#{s}"}}"##), "endpoint.url", "fragment"),
        (format!(r#"{{"url":"wss://h/ {s}"}}"#), "endpoint.url", "percent-encoded"),
        (format!(r#"{{"url":"wss://h\\{s}"}}"#), "endpoint.url", "percent-encoded"),
        (format!(r#"{{"url":"wss:///{s}"}}"#), "endpoint.url", "not a URL"),
        (format!(r#"{{"url":"wss:{s}"}}"#), "endpoint.url", "not a URL"),
        (format!(r#"{{"url":"wss://{{token}}.h/{s}"}}"#), "endpoint.url", "host outright"),
        (format!(r#"{{"url":"wss://h/{s}?{{since}}"}}"#), "endpoint.url", "{since}"),
        (format!(r#"{{"url":"wss://h/{s}?{{"}}"#), "endpoint.url", "brace"),
        (format!(r#"{{"url":"wss://h/{s}?c={{cursor}}"}}"#), "endpoint.url", "endpoint.resume"),
        (format!(r#"{{"url":"wss://h/{s}?c={{token}}","auth":"none"}}"#), "endpoint.url", "no token"),
        (
            format!(r#"{{"url":"wss://h/{s}?c={{token}}","tokenParameter":"x"}}"#),
            "endpoint.tokenParameter",
            "no use",
        ),
        (format!(r#"{{"url":"wss://h/{}"}}"#, "x".repeat(MAX_TEMPLATE_BYTES)), "endpoint.url", "at most"),
    ];
    let more = [
        (r#""nope":1"#.to_owned(), "endpoint.nope", "not an option"),
        (r#""auth":"basic""#.into(), "endpoint.auth", "must be"),
        (r#""auth":"header","tokenParameter":"x""#.into(), "endpoint.tokenParameter", "query"),
        (r#""tokenParameter":"""#.into(), "endpoint.tokenParameter", "empty"),
        (format!(r#""auth":"query","firstMessage":"{s}""#), "endpoint.firstMessage", "only with"),
        (format!(r#""firstMessage":"{s}""#), "endpoint.firstMessage", "{token}"),
        (format!(r#""firstMessage":"{{token}}{{topic}}{s}""#), "endpoint.firstMessage", "{topic}"),
        (format!(r#""firstMessage":{{"{s}":1}}"#), "endpoint.firstMessage", "a text"),
        (r#""firstMessage":"""#.into(), "endpoint.firstMessage", "1 to"),
        (format!(r#""firstMessage":"{{token}}{{cursor}}{s}""#), "endpoint.firstMessage", "endpoint.resume"),
        (r#""ready":7"#.into(), "endpoint.ready", "an object"),
        (r#""ready":{"equals":1}"#.into(), "endpoint.ready.pointer", "missing"),
        (r#""ready":{"pointer":"/a"}"#.into(), "endpoint.ready.equals", "missing"),
        (r#""ready":{"pointer":"a","equals":1}"#.into(), "endpoint.ready.pointer", "begins with"),
        (
            r#""ready":{"pointer":"/a","equals":1,"timeoutMs":-1}"#.into(),
            "endpoint.ready.timeoutMs",
            "negative",
        ),
        (
            r#""ready":{"pointer":"/a","equals":1,"timeoutMs":"1"}"#.into(),
            "endpoint.ready.timeoutMs",
            "a number",
        ),
        (r#""ready":{"pointer":"/a","equals":1,"x":1}"#.into(), "endpoint.ready.x", "not an option"),
        (r#""subscribe":{}"#.into(), "endpoint.subscribe.message", "missing"),
        (format!(r#""subscribe":{{"message":"{s}"}}"#), "endpoint.subscribe.message", "{topic}"),
        (
            r#""subscribe":{"message":"{topic}{token}"},"auth":"none""#.into(),
            "endpoint.subscribe.message",
            "no token",
        ),
        (
            r#""subscribe":{"message":"{topic}{cursor}"}"#.into(),
            "endpoint.subscribe.message",
            "endpoint.resume",
        ),
        (r#""subscribe":{"message":"{topic}","x":1}"#.into(), "endpoint.subscribe.x", "not an option"),
        (r#""event":{"topic":"topicName"}"#.into(), "endpoint.event.topic", "begins with"),
        (r#""event":{"body":"/~2"}"#.into(), "endpoint.event.body", "~"),
        (r#""event":{"id":7}"#.into(), "endpoint.event.id", "a text"),
        (r#""event":{"batch":7}"#.into(), "endpoint.event.batch", "true, false"),
        (r#""event":{"batch":"x"}"#.into(), "endpoint.event.batch", "begins with"),
        (r#""event":{"position":"/x"}"#.into(), "endpoint.event.position", "not an option"),
        (r#""resume":{"parameter":"since"}"#.into(), "endpoint.resume.pointer", "missing"),
        (r#""resume":{"pointer":"/at"}"#.into(), "endpoint.resume.parameter", "{cursor}"),
        (r#""resume":{"pointer":"/at","parameter":""}"#.into(), "endpoint.resume.parameter", "empty"),
        (
            r#""resume":{"pointer":"/at","parameter":"access_token"}"#.into(),
            "endpoint.resume.parameter",
            "token",
        ),
        (r#""resume":{"pointer":"at","parameter":"since"}"#.into(), "endpoint.resume.pointer", "begins with"),
        (
            r#""resume":{"pointer":"/at","parameter":"s","initial":""}"#.into(),
            "endpoint.resume.initial",
            "now",
        ),
        (
            r#""resume":{"pointer":"/at","parameter":"s","initial":0}"#.into(),
            "endpoint.resume.initial",
            "a text",
        ),
        (
            r#""resume":{"pointer":"/at","parameter":"s","inclusive":1}"#.into(),
            "endpoint.resume.inclusive",
            "true or false",
        ),
        (
            r#""subscribe":{"message":"{topic}{cursor}"},"resume":{"pointer":"/at","parameter":"s"}"#.into(),
            "endpoint.resume.parameter",
            "subscribe.message",
        ),
        (r#""renewal":"message""#.into(), "endpoint.renewal", "firstMessage"),
        (r#""renewal":"never","firstMessage":"{token}""#.into(), "endpoint.renewal", "must be"),
    ];
    let more = more.map(|(more, path, why)| (format!(r#"{{"url":"wss://h/",{more}}}"#), path, why));
    for (json, path, why) in table.into_iter().chain(more) {
        let error = of(&json).unwrap_err();
        assert_eq!(error.path, path, "{json}: {error}");
        assert!(error.message.contains(why), "{json}: {error}");
        assert!(!format!("{error} {error:?}").contains(s), "{error}");
    }
}

#[test]
fn plain_ws_is_accepted_for_loopback() {
    for host in ["127.0.0.1:4000", "localhost", "[::1]:1", "127.9.9.9"] {
        assert!(of(&format!(r#"{{"url":"ws://{host}/s"}}"#)).is_ok(), "{host}");
    }
}

// P8.1
#[test]
fn what_may_be_secret_in_the_templates_is_neither_shown_nor_let_through() {
    let (rules, endpoint) =
        of(r#"{"url":"wss://gateway-1.example.com/hooks/k3y-in-path/?key=k3y-in-query&t={token}",
        "firstMessage":"{\"access_token\":\"{token}\",\"app\":\"k3y-in-first\"}",
        "subscribe":{"message":"SUB {topic} k3y-in-subscribe"}}"#)
        .unwrap();
    let shown = format!("{rules:?} {endpoint:?}");
    assert!(shown.contains("gateway-1.example.com") && !shown.contains("k3y"), "{shown}");
    let secrets = Secrets::default();
    endpoint.guard(&secrets);
    let echo =
        "no k3y-in-path, K3Y-IN-QUERY, k3y-in-first or k3y-in-subscribe at gateway-1.example.com for hooks";
    let r = "[redacted]";
    assert_eq!(secrets.scrub(echo), format!("no {r}, {r}, {r} or {r} at gateway-1.example.com for hooks"));
}
