use crate::{
    fault::{Action, Operation, Rule, Times},
    rng::Rng,
    topics,
};

/// The faults that are set, in the order they were set.
pub(crate) struct Book {
    rules: Vec<Armed>,
    last_id: u64,
    rng: Rng,
}

struct Armed {
    id: u64,
    rule: Rule,
    seen: u64,
    /// None: until cleared.
    left: Option<u64>,
}

/// Something that a rule may match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrence<'a> {
    pub(crate) operation: Operation,
    pub(crate) channel: Option<&'a str>,
    pub(crate) topic: Option<&'a str>,
}

/// A rule that applies.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) fault: u64,
    pub(crate) action: Action,
}

impl Book {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), last_id: 0, rng: Rng::seeded(seed) }
    }

    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.last_id += 1;
        let left = match rule.times {
            Times::Once => Some(1),
            Times::Exactly(times) => Some(times),
            Times::UntilCleared => None,
        };
        self.rules.push(Armed { id: self.last_id, rule, seen: 0, left });
        self.last_id
    }

    /// Grants a rule `times` more applications instead of what it had left.
    pub(crate) fn set_left(&mut self, id: u64, times: u64) {
        if let Some(armed) = self.rules.iter_mut().find(|armed| armed.id == id) {
            armed.left = Some(times);
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|armed| armed.id != id);
        self.rules.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Whether a rule has not been cleared, spent or not: a stall lasts as long.
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.rules.iter().any(|armed| armed.id == id)
    }

    /// No rule can match `operation`: lets the hot path skip the rest.
    pub(crate) fn is_quiet(&self, operation: Operation) -> bool {
        !self
            .rules
            .iter()
            .any(|armed| armed.left != Some(0) && armed.rule.matching.operation.covers(operation))
    }

    /// Tries the rules in the order they were set, up to the first that settles the matter, and returns those that
    /// apply. The later ones do not see the occurrence.
    pub(crate) fn take(&mut self, occurrence: Occurrence<'_>) -> Vec<Hit> {
        self.take_where(occurrence, |armed| {
            !matches!(armed.rule.action, Action::Refuse {}) && armed.rule.action.fits(occurrence.operation)
        })
    }

    /// Only the given rule.
    pub(crate) fn take_from(&mut self, id: u64, occurrence: Occurrence<'_>) -> Vec<Hit> {
        self.take_where(occurrence, |armed| armed.id == id)
    }

    /// Whether a new connection to a listener that serves any of `operations` is refused, and by which rule.
    pub(crate) fn take_refusal(&mut self, operations: &[Operation]) -> Option<u64> {
        let Self { rules, rng, .. } = self;
        let mut refused = None;
        for armed in rules.iter_mut() {
            let operation = armed.rule.matching.operation;
            let concerns = operation == Operation::Any || operations.contains(&operation);
            if matches!(armed.rule.action, Action::Refuse {}) && concerns && armed.applies(rng) {
                refused = refused.or(Some(armed.id));
            }
        }
        refused
    }

    fn take_where(&mut self, occurrence: Occurrence<'_>, fits: impl Fn(&Armed) -> bool) -> Vec<Hit> {
        let Self { rules, rng, .. } = self;
        let mut hits = Vec::new();
        for armed in rules.iter_mut() {
            if fits(armed) && armed.rule.fits(occurrence) && armed.applies(rng) {
                let action = armed.rule.action.clone();
                let is_last = action.settles(occurrence.operation);
                hits.push(Hit { fault: armed.id, action });
                if is_last {
                    break;
                }
            }
        }
        hits
    }
}

impl Armed {
    fn applies(&mut self, rng: &mut Rng) -> bool {
        self.seen += 1;
        let matching = &self.rule.matching;
        if self.left == Some(0)
            || self.seen <= matching.after
            || matching.nth.is_some_and(|nth| nth != self.seen)
        {
            return false;
        }
        if matching.probability.is_some_and(|p| !rng.chance(p)) {
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }
}

impl Rule {
    fn fits(&self, occurrence: Occurrence<'_>) -> bool {
        let matching = &self.matching;
        let channel_fits =
            matching.channel_id.as_deref().is_none_or(|wanted| occurrence.channel == Some(wanted));
        let topic_fits = matching
            .topic
            .as_deref()
            .is_none_or(|pattern| occurrence.topic.is_some_and(|t| topics::matches(pattern, t)));
        matching.operation.covers(occurrence.operation) && channel_fits && topic_fits
    }
}
