//! Whether a connectUri may be dialled (P8): it comes from the network and decides where we connect to.

use genesys_notifications_proto::Failure;
use url::{Host, Url};

use crate::regions::{Streaming, is_loopback};

/// Checks a connectUri against the configured streaming host. Neither the result's error nor anything else repeats it.
pub(crate) fn check(text: &str, allowed: &Streaming) -> Result<Url, Failure> {
    let refuse = |why: &str| Failure::UntrustedUri(format!("the channel's connectUri is refused: {why}"));
    // The URL standard mends backslashes, tabs and blanks; the service sends none, so nobody honest needs it mended.
    if text.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'\\' | b'"' | b'<' | b'>')) {
        return Err(refuse("it holds characters that no URI has"));
    }
    let url = Url::parse(text).map_err(|_| refuse("it is not a URI"))?;
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err(refuse("it holds a user name"));
    }
    if authority(text).contains('%') {
        return Err(refuse("its host is percent-encoded"));
    }
    if url.fragment().is_some() {
        return Err(refuse("it holds a fragment"));
    }
    match allowed {
        Streaming::Environment(environment) => {
            if url.scheme() != "wss" {
                return Err(refuse("its scheme is not wss"));
            }
            if url.port().is_some() {
                return Err(refuse("it names a port"));
            }
            let Some(Host::Domain(host)) = url.host() else {
                return Err(refuse("its host is not a name"));
            };
            let below = host
                .strip_suffix(environment.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if !below {
                return Err(refuse("its host is not the region's streaming host"));
            }
        }
        Streaming::Loopback => {
            if !matches!(url.scheme(), "ws" | "wss") || !is_loopback(&url) {
                return Err(refuse("region.api is on loopback, and it is not"));
            }
        }
        Streaming::Exact(base) => {
            if url.scheme() != base.scheme() {
                return Err(refuse("its scheme is not that of region.streaming"));
            }
            if url.host() != base.host() || url.port_or_known_default() != base.port_or_known_default() {
                return Err(refuse("its host and port are not those of region.streaming"));
            }
            if url.scheme() == "ws" && !is_loopback(&url) {
                return Err(refuse("plain ws is for loopback only"));
            }
        }
    }
    Ok(url)
}

/// Host and port as they are written, and what may stand before them.
pub(crate) fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usw2() -> Streaming {
        Streaming::Environment("usw2.pure.cloud".into())
    }

    fn exact(url: &str) -> Streaming {
        Streaming::Exact(Url::parse(url).unwrap())
    }

    #[test]
    fn what_the_service_sends_is_accepted() {
        for text in [
            "wss://streaming.usw2.pure.cloud/channels/streaming-0-abc",
            "wss://streaming.usw2.pure.cloud:443/channels/streaming-0-abc",
            "wss://carrier-pigeon.usw2.pure.cloud/channels/a?b=c",
            "wss://usw2.pure.cloud/channels/a",
            "WSS://STREAMING.USW2.PURE.CLOUD/channels/a",
        ] {
            assert!(check(text, &usw2()).is_ok(), "{text}");
        }
    }

    #[test]
    fn hostile_uris_are_refused_and_never_repeated() {
        let table = [
            "ws://streaming.usw2.pure.cloud/channels/canary",
            "https://streaming.usw2.pure.cloud/channels/canary",
            "wss://evilusw2.pure.cloud/channels/canary",
            "wss://streaming.usw2.pure.cloud.evil.com/channels/canary",
            "wss://evil.com/streaming.usw2.pure.cloud/channels/canary",
            "wss://streaming.usw2.pure.cloud@evil.com/channels/canary",
            "wss://user:pass@streaming.usw2.pure.cloud/channels/canary",
            "wss://@streaming.usw2.pure.cloud/channels/canary",
            "wss://streaming.usw2.pure.cloud:8443/channels/canary",
            "wss://streaming.usw2.pure.cloud/channels/canary#x",
            "wss://127.0.0.1/channels/canary",
            "wss://[::1]/channels/canary",
            "wss://2130706433/channels/canary",
            "wss://169.254.169.254/channels/canary",
            "wss://streaming%2eusw2%2epure%2ecloud/channels/canary",
            "wss://evil.com%2f.usw2.pure.cloud/channels/canary",
            "wss://evil.com\\.usw2.pure.cloud/channels/canary",
            "wss://evil。com/.usw2.pure.cloud/channels/canary",
            "wss://streaming.uswₓ2.pure.cloud/channels/canary",
            "wss://streaming.usw2.pure.cloud\t.evil.com/channels/canary",
            "wss://streaming.usw2.pure.cloud./channels/canary",
            "wss:///channels/canary",
            "file:///etc/canary",
            "canary",
            "",
        ];
        for text in table {
            let failure = check(text, &usw2()).expect_err(text);
            assert!(matches!(&failure, Failure::UntrustedUri(_)), "{text}");
            let shown = format!("{failure} {failure:?}");
            assert!(!shown.contains("canary") && !shown.contains("evil"), "{shown}");
        }
    }

    #[test]
    fn explicit_streaming_means_exactly_that_origin() {
        let gateway = exact("wss://gateway.example.com:8443/prefix");
        assert!(check("wss://gateway.example.com:8443/channels/a", &gateway).is_ok());
        for text in [
            "wss://gateway.example.com/channels/a",
            "wss://sub.gateway.example.com:8443/channels/a",
            "ws://gateway.example.com:8443/channels/a",
            "wss://streaming.mypurecloud.com/channels/a",
        ] {
            assert!(check(text, &gateway).is_err(), "{text}");
        }
        let local = exact("ws://127.0.0.1:4000");
        assert!(check("ws://127.0.0.1:4000/channels/a", &local).is_ok());
        for text in [
            "ws://127.0.0.1:4001/channels/a",
            "ws://localhost:4000/channels/a",
            "wss://127.0.0.1:4000/channels/a",
        ] {
            assert!(check(text, &local).is_err(), "{text}");
        }
    }

    #[test]
    fn an_api_on_loopback_may_stream_from_loopback_only() {
        for text in ["ws://127.0.0.1:4000/channels/a", "wss://localhost:1/channels/a", "ws://[::1]:4000/a"] {
            assert!(check(text, &Streaming::Loopback).is_ok(), "{text}");
        }
        for text in ["ws://10.0.0.1/channels/a", "http://127.0.0.1/channels/a", "ws://127.0.0.1.evil.com/a"] {
            assert!(check(text, &Streaming::Loopback).is_err(), "{text}");
        }
    }
}
