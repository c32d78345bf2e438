//! The options of the journal.

use std::path::PathBuf;

use genesys_notifications_journal::{OnFull, Options, Sync};
use serde::Deserialize;

use crate::options::{OptionError, ms};

/// Smallest and largest size, and the default: 1 MiB, 1 TiB, 1 GiB.
const MIN_BYTES: u64 = 1 << 20;
const MAX_BYTES: u64 = 1 << 40;
const DEFAULT_BYTES: u64 = 1 << 30;

const DEFAULT_AGE_MS: u64 = 24 * 60 * 60 * 1000;

/// Without `syncIntervalMs`, the most that a power cut may cost with `sync: "interval"`.
const DEFAULT_INTERVAL_MS: u64 = 1_000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JournalSection {
    path: Option<String>,
    max_bytes: Option<f64>,
    max_age_ms: Option<f64>,
    on_full: Option<Full>,
    sync: Option<When>,
    sync_interval_ms: Option<f64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Full {
    #[default]
    Pause,
    EvictOldest,
    Fail,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum When {
    #[default]
    Always,
    Interval,
}

/// Checks what JavaScript sent; numbers out of range are brought into it.
pub(crate) fn read(given: JournalSection) -> Result<Options, OptionError> {
    let refuse = |name: &str, why: &str| OptionError::new(format!("journal.{name}"), why);
    let path = given.path.ok_or_else(|| refuse("path", "is required: the file to keep events in"))?;
    if path.is_empty() || path.contains('\0') {
        return Err(refuse("path", "must be the path of a file"));
    }
    if given.max_bytes.is_some_and(|bytes| bytes < 0.0) {
        return Err(refuse("maxBytes", "must not be negative"));
    }
    let interval = ms("journal.syncIntervalMs", given.sync_interval_ms, 1)?;
    let sync = match (given.sync.unwrap_or_default(), interval) {
        (When::Always, None) => Sync::Always,
        (When::Always, Some(_)) => {
            return Err(refuse("syncIntervalMs", "is of no use without sync \"interval\""));
        }
        (When::Interval, interval) => Sync::Interval { ms: interval.unwrap_or(DEFAULT_INTERVAL_MS) },
    };
    Ok(Options {
        path: PathBuf::from(path),
        // `as` saturates, and the clamp follows.
        max_bytes: given.max_bytes.map_or(DEFAULT_BYTES, |bytes| (bytes as u64).clamp(MIN_BYTES, MAX_BYTES)),
        max_age_ms: ms("journal.maxAgeMs", given.max_age_ms, 0)?.unwrap_or(DEFAULT_AGE_MS),
        on_full: match given.on_full.unwrap_or_default() {
            Full::Pause => OnFull::Pause,
            Full::EvictOldest => OnFull::EvictOldest,
            Full::Fail => OnFull::Fail,
        },
        sync,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Result<Options, OptionError> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_path_suffices() {
        let options = options(r#"{"path":"/j/events.db"}"#).unwrap();
        assert_eq!(options.path, PathBuf::from("/j/events.db"));
        assert_eq!((options.max_bytes, options.max_age_ms), (1 << 30, 86_400_000));
        assert!(matches!((options.on_full, options.sync), (OnFull::Pause, Sync::Always)));
    }

    #[test]
    fn every_option_arrives_where_it_belongs() {
        let json = r#"{"path":"j","maxBytes":2e6,"maxAgeMs":3,"onFull":"evictOldest","sync":"interval","syncIntervalMs":4}"#;
        let options = options(json).unwrap();
        assert_eq!((options.max_bytes, options.max_age_ms), (2_000_000, 3));
        assert!(matches!((options.on_full, options.sync), (OnFull::EvictOldest, Sync::Interval { ms: 4 })));
    }

    #[test]
    fn errors_name_the_option_and_numbers_out_of_range_come_into_it() {
        for (json, path) in [
            ("{}", "journal.path"),
            (r#"{"path":""}"#, "journal.path"),
            (r#"{"path":"j","maxBytes":-1}"#, "journal.maxBytes"),
            (r#"{"path":"j","maxAgeMs":-1}"#, "journal.maxAgeMs"),
            (r#"{"path":"j","syncIntervalMs":5}"#, "journal.syncIntervalMs"),
        ] {
            assert_eq!(options(json).unwrap_err().path, path, "{json}");
        }
        let small = options(r#"{"path":"j","maxBytes":0,"maxAgeMs":0,"onFull":"fail"}"#).unwrap();
        assert_eq!((small.max_bytes, small.max_age_ms), (MIN_BYTES, 0));
        assert!(matches!(small.on_full, OnFull::Fail));
        assert_eq!(options(r#"{"path":"j","maxBytes":1e300}"#).unwrap().max_bytes, MAX_BYTES);
    }
}
