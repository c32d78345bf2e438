//! `Retry-After` as the service and what stands before it may write it: seconds or a date.

use std::time::{SystemTime, UNIX_EPOCH};

/// A longer wait is a mistake or an attack; daily limits of the service reach hours.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// Reads a `Retry-After` in milliseconds; `None` if it is neither seconds nor a date. At most 24 h, a past date is 0.
///
/// A date is relative to the answer's own `Date`, where there is one: the clocks need not agree.
pub(crate) fn parse(value: &str, date: Option<&str>, wall_ms: u64) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = value.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1000).min(LONGEST_MS));
    }
    let until = http_date_ms(value)?;
    let from = date.and_then(http_date_ms).unwrap_or(wall_ms);
    Some(until.saturating_sub(from).min(LONGEST_MS))
}

/// An HTTP date in milliseconds since the epoch.
pub(crate) fn http_date_ms(value: &str) -> Option<u64> {
    let time: SystemTime = httpdate::parse_http_date(value.trim()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        const NOW: u64 = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let table: &[(&str, Option<&str>, Option<u64>)] = &[
            ("0", None, Some(0)),
            ("3", None, Some(3_000)),
            (" 12 ", None, Some(12_000)),
            ("86400", None, Some(LONGEST_MS)),
            ("86401", None, Some(LONGEST_MS)),
            ("99999999999999999999999999", None, Some(LONGEST_MS)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", None, Some(10_000)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", None, Some(10_000)),
            ("Sun Nov  6 08:49:47 1994", None, Some(10_000)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None, Some(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", None, Some(LONGEST_MS)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some("Sun, 06 Nov 1994 08:49:42 GMT"), Some(5_000)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some("yesterday"), Some(10_000)),
            ("-1", None, None),
            ("+1", None, None),
            ("1.5", None, None),
            ("1e3", None, None),
            ("soon", None, None),
            ("", None, None),
            ("١", None, None),
        ];
        for (value, date, expected) in table {
            assert_eq!(parse(value, *date, NOW), *expected, "{value:?} {date:?}");
        }
    }
}
