//! What the running client has learnt of copies: whether their bytes are the same, and how far apart they arrive.

use crate::skew::Skew;

/// With so many exact copies it is certain that bytes are the same on every channel.
const ENOUGH_EXACT: u32 = 16;
/// With so many copies in meaning only, and no exact one, it is certain that they are not.
const ENOUGH_ALIKE: u32 = 3;
/// A late joiner may match what was first seen this long before it joined, if copies arrive that far apart.
const MOST_ALLOWANCE_MS: u64 = 1_000;

/// Of all shards of a client.
#[derive(Debug, Default)]
pub(crate) struct Likeness {
    exact: u32,
    alike: u32,
    pub(crate) skew: Skew,
}

impl Likeness {
    /// Whether it is still to be found out whether bytes are the same.
    pub(crate) fn is_open(&self) -> bool {
        self.exact < ENOUGH_EXACT && !self.is_canonical()
    }

    /// Whether copies are recognised by what they mean.
    pub(crate) fn is_canonical(&self) -> bool {
        self.alike >= ENOUGH_ALIKE
    }

    /// How much earlier than it joined a link may match, in milliseconds.
    pub(crate) fn allowance(&self) -> i64 {
        self.skew.usual_ms().min(MOST_ALLOWANCE_MS) as i64
    }

    pub(crate) fn matched(&mut self, apart_ms: u64, is_late: bool) {
        self.exact = self.exact.saturating_add(1);
        if !is_late {
            self.skew.measured(apart_ms);
        }
    }

    /// One exact copy is proof that bytes need not differ.
    pub(crate) fn matched_in_meaning_only(&mut self) {
        if self.exact == 0 {
            self.alike += 1;
        }
    }
}
