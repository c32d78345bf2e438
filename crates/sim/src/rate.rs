use std::collections::HashMap;

/// Fixed windows, each begun by its first request.
#[derive(Default)]
pub(crate) struct Windows {
    windows: HashMap<String, Window>,
}

struct Window {
    began: u64,
    count: u32,
}

/// Where a window stands after one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) count: u32,
    pub(crate) allowed: u32,
    /// Whole seconds until the window ends, rounded up.
    pub(crate) reset_seconds: u64,
}

impl Usage {
    pub(crate) fn is_over(&self) -> bool {
        self.count > self.allowed
    }
}

impl Windows {
    pub(crate) fn count(&mut self, key: String, allowed: u32, window_ms: u64, now: u64) -> Usage {
        let window = self.windows.entry(key).or_insert(Window { began: now, count: 0 });
        if now >= window.began.saturating_add(window_ms) {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        let left_ms = window.began.saturating_add(window_ms).saturating_sub(now);
        Usage { count: window.count, allowed, reset_seconds: left_ms.div_ceil(1_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_its_first_request_and_ends_whatever_happens_in_it() {
        let mut windows = Windows::default();
        let mut count = |now| windows.count("t".to_owned(), 2, 1_500, now);
        assert_eq!(count(100), Usage { count: 1, allowed: 2, reset_seconds: 2 });
        assert!(!count(1_000).is_over());
        assert_eq!(count(1_599), Usage { count: 3, allowed: 2, reset_seconds: 1 });
        assert!(!count(1_600).is_over());
    }
}
