//! Names of topics that an endpoint sends unasked. Whoever invents them must not fill tables with them.

use std::collections::HashSet;

/// More are not told apart, nor are longer ones.
pub(crate) const MOST: usize = 100_000;
pub(crate) const MOST_BYTES: usize = 1_000;

/// What all others are called.
pub(crate) const ANY: &str = "*";

/// Said once, when there is one too many.
pub(crate) const WARNING: &str = "the endpoint sends too many names of topics, or too long ones: events of further ones are \
                                  called \"*\"";

/// The names that were let in.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    known: HashSet<Box<str>>,
    was_refused: bool,
}

impl Strangers {
    /// The name, or [`ANY`]; and whether this is the first that was not let in.
    pub(crate) fn admit<'a>(&mut self, name: &'a str) -> (&'a str, bool) {
        if self.known.contains(name) {
            return (name, false);
        }
        if self.known.len() < MOST && name.len() <= MOST_BYTES {
            self.known.insert(name.into());
            return (name, false);
        }
        (ANY, !std::mem::replace(&mut self.was_refused, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_let_in_until_there_are_too_many() {
        let mut strangers = Strangers::default();
        for n in 0..MOST - 1 {
            assert_eq!(strangers.admit(&n.to_string()), (n.to_string().as_str(), false));
        }
        let long = "x".repeat(MOST_BYTES + 1);
        assert_eq!(strangers.admit(&long), (ANY, true));
        assert_eq!(strangers.admit("last"), ("last", false));
        assert_eq!(strangers.admit("one more"), (ANY, false));
        assert_eq!(strangers.admit("7"), ("7", false));
    }
}
