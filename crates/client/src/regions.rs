//! Where the service lives: a region by any of its spellings, or explicit hosts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use url::{Host, Url};

use crate::options::OptionError;

/// The three base URLs of an organisation, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Without a trailing slash; the token endpoint is `{login}/oauth/token`.
    pub(crate) login: Url,
    /// Without a trailing slash; calls are `{api}/api/v2/…`.
    pub(crate) api: Url,
    /// Where a connectUri may point.
    pub(crate) streaming: Streaming,
}

/// Where a connectUri may point (P8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// `wss` on this domain or below it, e.g. `usw2.pure.cloud`.
    Environment(String),
    /// Exactly this scheme, host and port.
    Exact(Url),
    /// Anywhere on this machine: the API is on loopback, and nobody said where its streaming host is.
    Loopback,
}

/// `region` when it is not a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hosts {
    pub(crate) login: String,
    pub(crate) api: String,
    pub(crate) streaming: Option<String>,
}

#[derive(Deserialize)]
struct Table {
    regions: BTreeMap<String, String>,
}

static REGIONS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let table: Table =
        serde_json::from_str(include_str!("../data/regions.json")).expect("the table is well formed");
    table.regions
});

impl Endpoints {
    /// By name: `us-east-1`, `us_east_1`, `mypurecloud.com`, `api.mypurecloud.com`, `https://apps.mypurecloud.com/`;
    /// case does not matter.
    pub(crate) fn of_region(text: &str) -> Result<Self, OptionError> {
        let environment = environment(text).ok_or_else(|| unknown(text))?;
        let url = |scheme: &str, host: &str| {
            Url::parse(&format!("{scheme}://{host}.{environment}"))
                .map_err(|error| OptionError::new("region", format!("{environment}: {error}")))
        };
        Ok(Self {
            login: url("https", "login")?,
            api: url("https", "api")?,
            streaming: Streaming::Environment(environment.to_owned()),
        })
    }

    /// By explicit base URLs: `https` (`http` for loopback), with path prefixes where a gateway needs them.
    ///
    /// Without `streaming` it is derived from an api host `api.X` as `X`, and from loopback as loopback; any other api
    /// host needs it.
    pub(crate) fn of_hosts(hosts: &Hosts) -> Result<Self, OptionError> {
        let login = login(&hosts.login)?;
        let api = base_url(&hosts.api, "region.api", "https", "http")?;
        let streaming = match &hosts.streaming {
            Some(text) => Streaming::Exact(base_url(text, "region.streaming", "wss", "ws")?),
            None if is_loopback(&api) => Streaming::Loopback,
            None => match api.host() {
                Some(Host::Domain(host))
                    if host.strip_prefix("api.").is_some_and(|rest| rest.contains('.')) =>
                {
                    Streaming::Environment(host["api.".len()..].to_owned())
                }
                _ => {
                    return Err(OptionError::new(
                        "region.streaming",
                        "is needed, because it cannot be derived from region.api (its host does not begin with \"api.\"); \
                         give the base URL of the streaming host, e.g. wss://streaming.example.com",
                    ));
                }
            },
        };
        Ok(Self { login, api, streaming })
    }
}

/// Whether a URL points to this machine: the only place where plain `http` and `ws` are accepted.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The base URL of the host that gives tokens.
pub(crate) fn login(text: &str) -> Result<Url, OptionError> {
    base_url(text, "region.login", "https", "http")
}

fn base_url(text: &str, path: &str, secure: &str, plain: &str) -> Result<Url, OptionError> {
    let mut url = Url::parse(text.trim()).map_err(|error| {
        OptionError::new(path, format!("is not a base URL such as {secure}://host: {error}"))
    })?;
    if url.scheme() != secure && url.scheme() != plain {
        return Err(OptionError::new(path, format!("must begin with {secure}://")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OptionError::new(path, "must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(OptionError::new(path, "must not hold a query or a fragment"));
    }
    if url.host().is_none() {
        return Err(OptionError::new(path, "holds no host"));
    }
    if url.scheme() == plain && !is_loopback(&url) {
        return Err(OptionError::new(
            path,
            format!("must begin with {secure}://: {plain}:// is for loopback only"),
        ));
    }
    let trimmed = url.path().trim_end_matches('/').to_owned();
    url.set_path(&trimmed);
    Ok(url)
}

fn environment(text: &str) -> Option<&'static str> {
    let mut name = text.trim().to_ascii_lowercase();
    for scheme in ["https://", "wss://"] {
        if let Some(rest) = name.strip_prefix(scheme) {
            name = rest.to_owned();
        }
    }
    let name = name.trim_end_matches('/');
    if let Some(environment) = REGIONS.get(&name.replace('-', "_")) {
        return Some(environment);
    }
    let host =
        ["api.", "login.", "apps.", "streaming."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
    REGIONS.values().find(|environment| *environment == host).map(String::as_str)
}

fn unknown(text: &str) -> OptionError {
    let shown: String = text.trim().chars().filter(|c| !c.is_control()).take(60).collect();
    let wanted = shown.to_ascii_lowercase().replace('-', "_");
    let mut near: Vec<(usize, &str)> = REGIONS
        .iter()
        .flat_map(|(region, environment)| [region.as_str(), environment.as_str()])
        .map(|name| (distance(&wanted, name), name))
        .filter(|(distance, _)| *distance <= 3)
        .collect();
    near.sort_unstable();
    let known: Vec<String> = REGIONS.keys().map(|region| region.replace('_', "-")).collect();
    let hint = match near.first() {
        Some((_, name)) => format!(
            "did you mean {}? ",
            if name.contains('_') { name.replace('_', "-") } else { (*name).into() }
        ),
        None => String::new(),
    };
    OptionError::new("region", format!("\"{shown}\" is not known; {hint}known regions: {}", known.join(", ")))
}

/// Levenshtein; names are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_every_region_is_understood() {
        assert_eq!(REGIONS.len(), 18);
        for (region, environment) in REGIONS.iter() {
            let spellings = [
                region.clone(),
                region.replace('_', "-"),
                region.to_uppercase(),
                environment.clone(),
                format!("{environment}/"),
                format!("https://api.{environment}"),
                format!("https://login.{environment}/"),
                format!("HTTPS://APPS.{environment}"),
                format!("api.{environment}"),
                format!(" login.{environment} "),
                format!("apps.{environment}"),
                format!("wss://streaming.{environment}"),
            ];
            for spelling in spellings {
                let endpoints = Endpoints::of_region(&spelling).unwrap_or_else(|e| panic!("{spelling}: {e}"));
                assert_eq!(endpoints.api.as_str(), format!("https://api.{environment}/"), "{spelling}");
                assert_eq!(endpoints.login.as_str(), format!("https://login.{environment}/"), "{spelling}");
                assert_eq!(endpoints.streaming, Streaming::Environment(environment.clone()), "{spelling}");
            }
        }
    }

    #[test]
    fn an_unknown_region_is_answered_with_known_ones() {
        let table = [
            ("us-east-9", Some("did you mean us-east-1?")),
            ("mypurecloud.con", Some("did you mean mypurecloud.com?")),
            ("mars", None),
            ("", None),
            ("https://api.evil.com", None),
            ("http://api.mypurecloud.com", None),
            ("api.api.mypurecloud.com", None),
            ("evilmypurecloud.com.evil.example", None),
            ("https://api.mypurecloud.com/path", None),
        ];
        for (text, hint) in table {
            let error = Endpoints::of_region(text).unwrap_err();
            assert_eq!(error.path, "region", "{text}");
            assert!(error.message.contains("eu-central-1"), "{text}: {error}");
            if let Some(hint) = hint {
                assert!(error.message.contains(hint), "{text}: {error}");
            }
        }
    }

    fn hosts(login: &str, api: &str, streaming: Option<&str>) -> Result<Endpoints, OptionError> {
        Endpoints::of_hosts(&Hosts {
            login: login.into(),
            api: api.into(),
            streaming: streaming.map(Into::into),
        })
    }

    #[test]
    fn explicit_hosts_may_carry_ports_and_path_prefixes() {
        let endpoints = hosts(
            "https://gateway.example.com:8443/genesys/login/",
            "https://gateway.example.com/genesys/api",
            Some("wss://gateway.example.com/genesys"),
        )
        .unwrap();
        assert_eq!(endpoints.login.as_str(), "https://gateway.example.com:8443/genesys/login");
        assert_eq!(endpoints.api.path(), "/genesys/api");
        assert!(
            matches!(endpoints.streaming, Streaming::Exact(url) if url.host_str() == Some("gateway.example.com"))
        );
    }

    #[test]
    fn streaming_is_derived_from_the_api_host_where_possible() {
        let endpoints = hosts("https://login.usw2.pure.cloud", "https://api.usw2.pure.cloud", None).unwrap();
        assert_eq!(endpoints.streaming, Streaming::Environment("usw2.pure.cloud".into()));
        let local = hosts("http://127.0.0.1:8080", "http://127.0.0.1:8080", None).unwrap();
        assert_eq!(local.streaming, Streaming::Loopback);
        for api in ["https://gateway.example.com", "https://api.com"] {
            let error = hosts("https://login.example.com", api, None).unwrap_err();
            assert_eq!(error.path, "region.streaming", "{api}");
        }
    }

    #[test]
    fn explicit_hosts_are_refused_with_the_path_of_the_option() {
        let ok = "https://api.example.com";
        let table = [
            (("http://login.example.com", ok, None), "region.login", "loopback only"),
            (("login.example.com", ok, None), "region.login", "base URL"),
            (("ftp://login.example.com", ok, None), "region.login", "https://"),
            (("https://u:p@login.example.com", ok, None), "region.login", "user name"),
            (("https://login.example.com?x=1", ok, None), "region.login", "query"),
            ((ok, "http://10.0.0.1", None), "region.api", "loopback only"),
            ((ok, "http://127.0.0.1.example.com", None), "region.api", "loopback only"),
            ((ok, "http://localhost.example.com", None), "region.api", "loopback only"),
            ((ok, ok, Some("ws://streaming.example.com")), "region.streaming", "loopback only"),
            ((ok, ok, Some("https://streaming.example.com")), "region.streaming", "wss://"),
        ];
        for ((login, api, streaming), path, message) in table {
            let error = hosts(login, api, streaming).unwrap_err();
            assert_eq!(error.path, path, "{login} {api} {streaming:?}");
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[test]
    fn plain_schemes_are_accepted_for_loopback() {
        for host in ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9"] {
            let http = format!("http://{host}");
            assert!(hosts(&http, &http, Some(&format!("ws://{host}"))).is_ok(), "{host}");
        }
    }
}
