use std::{collections::VecDeque, sync::Arc};

use super::position::Position;

/// What was published lately, for connections that begin in the past.
#[derive(Default)]
pub(crate) struct Buffer {
    kept: VecDeque<Arc<Kept>>,
    /// Of their bodies and topics.
    bytes: usize,
    /// The last event that is not kept any more: its time and number.
    forgotten: Option<(u64, u64)>,
}

/// One published event.
pub(crate) struct Kept {
    pub(crate) seq: u64,
    /// As the service tells it.
    pub(crate) at: u64,
    pub(crate) topic: String,
    pub(crate) body: String,
    pub(crate) id: String,
}

/// What is kept at most.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) retention_ms: u64,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.topic.len() + self.body.len()
    }
}

impl Buffer {
    pub(crate) fn add(&mut self, event: Arc<Kept>, limits: Limits) {
        let now = event.at;
        self.bytes += event.bytes();
        self.kept.push_back(event);
        while self.kept.len() > limits.events || self.bytes > limits.bytes {
            self.forget();
        }
        self.forget_before(now.saturating_sub(limits.retention_ms));
    }

    /// What a stream from `position` begins with, oldest first; None if not all of it is kept.
    pub(crate) fn since(
        &mut self,
        position: Position,
        inclusive: bool,
        now: u64,
        retention_ms: u64,
    ) -> Option<Vec<Arc<Kept>>> {
        let oldest = now.saturating_sub(retention_ms);
        self.forget_before(oldest);
        // Whether an event of this time and number belongs to it.
        let belongs = |at: u64, seq: u64| match position {
            Position::Time(time) => at > time || (inclusive && at == time),
            Position::Sequence(number) => seq > number || (inclusive && seq == number),
            Position::Latest => false,
        };
        let is_stale = match position {
            Position::Time(time) => time < oldest,
            Position::Sequence(number) => {
                let last = self.kept.back().map(|event| event.seq);
                number > last.or(self.forgotten.map(|(_, seq)| seq)).unwrap_or(0)
            }
            Position::Latest => false,
        };
        if is_stale || self.forgotten.is_some_and(|(at, seq)| belongs(at, seq)) {
            return None;
        }
        Some(self.kept.iter().filter(|event| belongs(event.at, event.seq)).cloned().collect())
    }

    fn forget_before(&mut self, oldest: u64) {
        while self.kept.front().is_some_and(|event| event.at < oldest) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(event) = self.kept.pop_front() {
            self.bytes -= event.bytes();
            self.forgotten = Some((event.at, event.seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(times: &[u64], events: usize) -> Buffer {
        limited(times, Limits { events, bytes: 1_000, retention_ms: 100 })
    }

    fn limited(times: &[u64], limits: Limits) -> Buffer {
        let mut buffer = Buffer::default();
        for (at, seq) in times.iter().zip(1..) {
            let event = Kept { seq, at: *at, topic: "topic".into(), body: "1".into(), id: String::new() };
            buffer.add(Arc::new(event), limits);
        }
        buffer
    }

    fn since(buffer: &mut Buffer, position: Position, inclusive: bool, now: u64) -> Option<Vec<u64>> {
        let found = buffer.since(position, inclusive, now, 100)?;
        Some(found.iter().map(|event| event.seq).collect())
    }

    #[test]
    fn events_of_the_position_itself_come_if_it_is_inclusive() {
        let mut buffer = buffer(&[10, 20, 20, 30], 10);
        assert_eq!(since(&mut buffer, Position::Time(20), true, 30), Some(vec![2, 3, 4]));
        assert_eq!(since(&mut buffer, Position::Time(20), false, 30), Some(vec![4]));
        assert_eq!(since(&mut buffer, Position::Sequence(2), true, 30), Some(vec![2, 3, 4]));
        assert_eq!(since(&mut buffer, Position::Sequence(2), false, 30), Some(vec![3, 4]));
        assert_eq!(since(&mut buffer, Position::Latest, true, 30), Some(vec![]));
    }

    #[test]
    fn a_position_is_stale_once_something_after_it_is_gone_or_it_is_too_old() {
        let mut by_count = buffer(&[10, 20, 20, 30], 2);
        assert_eq!(since(&mut by_count, Position::Time(20), true, 30), None);
        assert_eq!(since(&mut by_count, Position::Time(20), false, 30), Some(vec![4]));
        assert_eq!(since(&mut by_count, Position::Sequence(1), false, 30), None);
        assert_eq!(since(&mut by_count, Position::Sequence(2), false, 30), Some(vec![3, 4]));

        let mut by_bytes = limited(&[10, 20, 20, 30], Limits { events: 10, bytes: 12, retention_ms: 100 });
        assert_eq!(since(&mut by_bytes, Position::Sequence(1), false, 30), None);
        assert_eq!(since(&mut by_bytes, Position::Sequence(2), false, 30), Some(vec![3, 4]));

        let mut by_age = buffer(&[10, 120], 10);
        assert_eq!(since(&mut by_age, Position::Time(15), true, 120), None);
        assert_eq!(since(&mut by_age, Position::Time(20), true, 120), Some(vec![2]));
        assert_eq!(since(&mut by_age, Position::Time(20), true, 500), None);
        assert_eq!(since(&mut by_age, Position::Sequence(2), false, 500), Some(vec![]));
        assert_eq!(since(&mut by_age, Position::Sequence(3), false, 500), None);
        assert_eq!(since(&mut Buffer::default(), Position::Sequence(0), true, 500), Some(vec![]));
    }
}
