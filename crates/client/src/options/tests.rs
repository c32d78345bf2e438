use super::*;

fn with(more: &str) -> Result<Options, OptionError> {
    let comma = if more.is_empty() { "" } else { "," };
    Options::from_json(&format!(
        r#"{{"region":"us-east-1","credentials":{{"kind":"clientCredentials","clientId":"i","clientSecret":"canary-secret"}}{comma}{more}}}"#
    ))
}

#[test]
fn region_and_credentials_suffice() {
    let options = with("").unwrap();
    assert_eq!(options.rules.heartbeat.silence_ms, 35_000);
    assert_eq!(options.queue, QueueOptions::default());
    assert!(options.topics.is_empty());
    assert_eq!((options.max_wait_ms, options.max_depth), (1, 64));
}

#[test]
fn every_option_arrives_where_it_belongs() {
    let options = with(
        r#""topics":["v2.users.u?presence&station"],"continuity":"standby",
        "queue":{"maxEvents":10,"maxBytes":4096,"onFull":"dropOldest"},
        "network":{"connectTimeoutMs":1,"requestTimeoutMs":2},
        "heartbeat":{"pingAfterMs":3,"pongTimeoutMs":4,"silenceMs":5},
        "backoff":{"initialMs":6,"maxMs":7,"suspendedMaxMs":8,"healthyMs":9},
        "rotation":{"beforeExpiryMs":10,"overlapMs":11,"tokenRenewalFraction":0.5,"auditMs":13},
        "delivery":{"maxWaitMs":12,"maxDepth":100,"topics":["v2.users.*.presence"]}"#,
    )
    .unwrap();
    let rules = options.rules;
    assert_eq!(options.topics.len(), 2);
    assert_eq!(rules.continuity, Continuity::Standby);
    assert_eq!(options.queue, QueueOptions { max_events: 10, max_bytes: 4096, on_full: OnFull::DropOldest });
    assert_eq!((rules.connect_timeout_ms, rules.request_timeout_ms), (1, 2));
    let heartbeat = rules.heartbeat;
    assert_eq!((heartbeat.ping_after_ms, heartbeat.pong_timeout_ms, heartbeat.silence_ms), (3, 4, 5));
    let backoff = rules.backoff;
    assert_eq!(
        (backoff.initial_ms, backoff.max_ms, backoff.suspended_max_ms, backoff.healthy_ms),
        (6, 7, 8, 9)
    );
    assert_eq!((rules.rotation.before_expiry_ms, rules.rotation.overlap_ms), (Some(10), 11));
    assert!((rules.rotation.token_renewal_fraction - 0.5).abs() < 1e-9);
    assert_eq!(rules.audit_every_ms, 13);
    assert_eq!((options.max_wait_ms, options.max_depth), (12, 100));
    assert!(options.filter.is_some());
}

#[test]
fn errors_name_the_option() {
    let table = [
        (r#""nope":1"#, "nope", "not an option"),
        (r#""heartbeat":{"nope":1}"#, "heartbeat.nope", "unknown field"),
        (r#""heartbeat":{"silenceMs":1,"pingAfterMs":"x"}"#, "heartbeat.pingAfterMs", "invalid type"),
        (r#""heartbeat":{"silenceMs":-1}"#, "heartbeat.silenceMs", "negative"),
        (r#""heartbeat":7"#, "heartbeat", "an object"),
        (r#""network":{"ca":"/etc/ssl/ca.pem"}"#, "network.ca", "looks like a path"),
        (r#""network":{"ca":["x"]}"#, "network.ca[0]", "no certificate"),
        (r#""network":{"ca":7}"#, "network.ca", "did not match"),
        (r#""queue":{"onFull":"explode"}"#, "queue.onFull", "unknown variant"),
        (r#""queue":{"maxEvents":-3}"#, "queue.maxEvents", "negative"),
        (r#""rotation":{"tokenRenewalFraction":2}"#, "rotation.tokenRenewalFraction", "between"),
        (r#""continuity":"never""#, "continuity", "standby"),
        (r#""queue":{"onFull":"dropOldest"},"journal":{"path":"/tmp/j"}"#, "queue.onFull", "pause"),
        (r#""topics":["v2.users.u.presence","nope"]"#, "topics[1]", "begin with"),
        (r#""topics":"v2.users.u.presence""#, "topics", "array"),
        (r#""delivery":{"topics":["v2.users.*.**","v2.us*"]}"#, "delivery.topics[1]", "whole segment"),
        (r#""delivery":{"maxDepth":7}"#, "delivery.maxDepth", "8 to 128"),
        (r#""delivery":{"maxDepth":129}"#, "delivery.maxDepth", "8 to 128"),
        (r#""delivery":{"maxDepth":-64}"#, "delivery.maxDepth", "8 to 128"),
        (r#""delivery":{"topics":7}"#, "delivery.topics", "invalid type"),
    ];
    for (more, path, message) in table {
        let error = with(more).unwrap_err();
        assert_eq!(error.path, path, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    let whole = [
        ("7", "options"),
        ("{}", "region"),
        (r#"{"region":"us-east-1"}"#, "credentials"),
        (r#"{"region":7,"credentials":{"kind":"provider"}}"#, "region"),
        (r#"{"region":{"login":"https://l.example.com"},"credentials":{"kind":"provider"}}"#, "region.api"),
        (
            r#"{"region":{"login":"https://l.example.com","api":7},"credentials":{"kind":"provider"}}"#,
            "region.api",
        ),
        (
            r#"{"region":{"login":"https://l","api":"https://a","x":1},"credentials":{"kind":"provider"}}"#,
            "region.x",
        ),
    ];
    for (json, path) in whole {
        assert_eq!(Options::from_json(json).unwrap_err().path, path, "{json}");
    }
}

const ENDPOINT: &str =
    r#""endpoint":{"url":"wss://gw.example.com/s","resume":{"parameter":"since","pointer":"/at"}}"#;
const OPEN: &str = r#""endpoint":{"url":"wss://gw.example.com/s","auth":"none"}"#;

#[test]
fn an_endpoint_needs_a_region_only_for_what_lies_there() {
    let provider = r#""credentials":{"kind":"provider"}"#;
    let client = r#""credentials":{"kind":"clientCredentials","clientId":"i","clientSecret":"s"}"#;
    let login = r#""region":{"login":"https://login.example.com"}"#;
    let good = [
        format!("{{{OPEN}}}"),
        format!("{{{OPEN},{client}}}"),
        format!(r#"{{{ENDPOINT},{provider},"region":null,"cursor":{{"kind":"functions"}}}}"#),
        format!("{{{ENDPOINT},{client},{login}}}"),
        format!(r#"{{{ENDPOINT},{client},"region":"us-east-1","backfill":{{}}}}"#),
        format!(r#"{{{ENDPOINT},{provider},"topics":["/users/1?a&b","x y"],"continuity":"standby"}}"#),
    ];
    for json in good {
        let options = Options::from_json(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
        let limits = options.rules.limits;
        assert!(options.endpoint.is_some() && options.rules.direct.is_some());
        assert!(limits.channels == 1 && limits.topics_per_channel > 1_000_000, "{limits:?}");
        assert_eq!(options.rules.direct.unwrap().has_cursor, options.cursor.is_some());
    }
    let bad = [
        (format!("{{{ENDPOINT}}}"), "credentials", "missing"),
        (format!(r#"{{{OPEN},"backfill":{{}},"region":"us-east-1"}}"#), "backfill", "token"),
        (format!("{{{ENDPOINT},{client}}}"), "region", "{ login }"),
        (format!(r#"{{{ENDPOINT},{client},"region":{{}}}}"#), "region", "{ login }"),
        (format!(r#"{{{ENDPOINT},{provider},"backfill":{{}}}}"#), "region", "backfill"),
        (format!(r#"{{{ENDPOINT},{client},{login},"backfill":{{}}}}"#), "region.api", "backfill"),
        (
            format!(r#"{{{ENDPOINT},{provider},"region":{{"streaming":"wss://x"}}}}"#),
            "region.streaming",
            "api",
        ),
        (
            format!(r#"{{{ENDPOINT},{provider},"region":{{"login":"http://x.example.com"}}}}"#),
            "region.login",
            "loopback",
        ),
        (format!(r#"{{{ENDPOINT},{provider},"region":{{"api":"https://x"}}}}"#), "region.login", "missing"),
        (format!(r#"{{{ENDPOINT},{provider},"topics":["a",""]}}"#), "topics[1]", "empty"),
        (
            format!(r#"{{{ENDPOINT},{provider},"rotation":{{"beforeExpiryMs":1}}}}"#),
            "rotation.beforeExpiryMs",
            "no use",
        ),
        (format!(r#"{{{OPEN},"cursor":{{"kind":"functions"}}}}"#), "cursor", "endpoint.resume"),
    ];
    for (json, path, why) in bad {
        let error = Options::from_json(&json).unwrap_err();
        assert_eq!(error.path, path, "{json}: {error}");
        assert!(error.message.contains(why), "{json}: {error}");
    }
    assert_eq!(with(r#""cursor":{"kind":"functions"}"#).unwrap_err().path, "cursor");
}

#[test]
fn errors_about_credentials_hold_no_secret() {
    let table = [
        (r#""canary""#, "credentials"),
        (r#"["canary"]"#, "credentials"),
        (r#"{"kind":"canary"}"#, "credentials.kind"),
        (r#"{"clientSecret":"canary"}"#, "credentials.kind"),
        (r#"{"kind":"clientCredentials","clientId":"canary"}"#, "credentials.clientSecret"),
        (r#"{"kind":"clientCredentials","clientId":"","clientSecret":"canary"}"#, "credentials.clientId"),
        (r#"{"kind":"clientCredentials","clientId":["canary"],"clientSecret":"c"}"#, "credentials.clientId"),
        (
            r#"{"kind":"clientCredentials","clientId":"i","clientSecret":"c","refreshToken":"canary"}"#,
            "credentials.refreshToken",
        ),
        (r#"{"kind":"provider","accessToken":"canary"}"#, "credentials.accessToken"),
    ];
    for (credentials, path) in table {
        let error = Options::from_json(&format!(r#"{{"region":"us-east-1","credentials":{credentials}}}"#))
            .unwrap_err();
        assert_eq!(error.path, path, "{credentials}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert!(!format!("{:?}", with("").unwrap()).contains("canary"));
}

#[test]
fn any_number_is_safe() {
    for number in ["0", "0.4", "1e300", "9007199254740993", "1e-300", "0.0000001"] {
        let options = with(&format!(
            r#""heartbeat":{{"pingAfterMs":{number},"pongTimeoutMs":{number},"silenceMs":{number}}},
            "queue":{{"maxEvents":{number},"maxBytes":{number}}},"delivery":{{"maxWaitMs":{number}}},
            "backoff":{{"initialMs":{number},"maxMs":{number},"suspendedMaxMs":{number},"healthyMs":{number}}},
            "rotation":{{"beforeExpiryMs":{number},"overlapMs":{number}}}"#
        ))
        .unwrap();
        assert!(options.queue.max_events >= 1 && options.queue.max_bytes >= 1024);
        assert!((1..=LONGEST_MS as u64).contains(&options.rules.heartbeat.silence_ms));
    }
}
