//! Events of a new socket that wait until its older sibling is drained.

use std::collections::VecDeque;

use genesys_notifications_proto::TopicId;

/// Bounds of what one socket holds back.
const MAX_EVENTS: usize = 4_096;
const MAX_BYTES: usize = 4 << 20;

/// One event, still the frame it came in.
#[derive(Debug)]
pub(crate) struct HeldEvent {
    pub(crate) topic: TopicId,
    pub(crate) text: Box<str>,
    pub(crate) received_at: u64,
}

/// In order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Held {
    events: VecDeque<HeldEvent>,
    bytes: usize,
}

impl Held {
    /// Holds an event; returns the oldest ones that no longer fit.
    pub(crate) fn push(&mut self, event: HeldEvent) -> Vec<HeldEvent> {
        self.bytes += event.text.len();
        self.events.push_back(event);
        let mut over = Vec::new();
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(event) = self.events.pop_front() else { break };
            self.bytes -= event.text.len();
            over.push(event);
        }
        over
    }

    /// When the oldest event it holds arrived.
    pub(crate) fn since(&self) -> Option<u64> {
        self.events.front().map(|event| event.received_at)
    }

    pub(crate) fn release(&mut self) -> VecDeque<HeldEvent> {
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64, bytes: usize) -> HeldEvent {
        HeldEvent { topic: TopicId(0), text: "x".repeat(bytes).into(), received_at: n }
    }

    #[test]
    fn what_does_not_fit_is_let_go_in_order() {
        let mut held = Held::default();
        let mut seen: Vec<u64> = Vec::new();
        for n in 0..5_000 {
            seen.extend(held.push(event(n, 1)).iter().map(|event| event.received_at));
        }
        assert_eq!(seen.len(), 5_000 - MAX_EVENTS);
        for n in 5_000..5_005 {
            seen.extend(held.push(event(n, 1 << 20)).iter().map(|event| event.received_at));
        }
        seen.extend(held.release().iter().map(|event| event.received_at));
        assert_eq!(seen, (0..5_005).collect::<Vec<_>>());
        assert!(held.push(event(0, MAX_BYTES)).is_empty());
    }
}
