use std::time::{Duration, Instant, SystemTime};

/// Epoch milliseconds that never run backwards, whatever happens to the machine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    base: Instant,
    base_ms: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { base: Instant::now(), base_ms: millis(since_epoch) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.base_ms.saturating_add(millis(self.base.elapsed()))
    }
}

/// `2030-01-02T03:04:05.678Z`, the service's way of writing a date.
pub(crate) fn iso(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `Wed, 02 Jan 2030 03:04:05 GMT`, the form of HTTP headers.
pub(crate) fn http_date(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Epoch milliseconds of an ISO date.
pub(crate) fn parse_iso(text: &str) -> Option<u64> {
    let at = text.trim().parse::<jiff::Timestamp>().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

fn timestamp(at_ms: u64) -> jiff::Timestamp {
    i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_service_writes_them() {
        assert_eq!(iso(1_893_553_445_678), "2030-01-02T03:04:05.678Z");
        assert_eq!(iso(1_893_553_445_000), "2030-01-02T03:04:05.000Z");
        assert_eq!(parse_iso("2030-01-02T03:04:05.678Z"), Some(1_893_553_445_678));
        assert_eq!(parse_iso("yesterday"), None);
        assert_eq!(http_date(1_893_553_445_678), "Wed, 02 Jan 2030 03:04:05 GMT");
    }
}
