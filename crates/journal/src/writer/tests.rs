//! The writer against a model of it, time given by hand: append, acknowledge, note, crash, close, reopen, evict.

use std::path::PathBuf;
use std::sync::Mutex;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;
use crate::open;
use crate::record::{GapRow, Note, Origin, Record, Restored};

const NOW: u64 = 1_790_000_000_000;

#[derive(Default)]
struct Seen {
    room: usize,
    events: Vec<Stored>,
    news: Vec<News>,
}

#[derive(Default)]
struct Collector(Mutex<Seen>);

impl Outlet for Collector {
    fn has_room(&self) -> bool {
        self.0.lock().unwrap().room > 0
    }

    fn deliver(&self, event: &Stored) {
        let mut seen = self.0.lock().unwrap();
        seen.room -= 1;
        seen.events.push(event.clone());
    }

    fn flush(&self) {}

    fn tell(&self, news: News) {
        self.0.lock().unwrap().news.push(news);
    }
}

/// A writer, its files, and a clock.
struct Bench {
    _directory: tempfile::TempDir,
    options: Options,
    /// `None` only between two runs.
    run: Option<(Writer, Arc<Shared>)>,
    outlet: Arc<Collector>,
    restored: Restored,
    now: Instant,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        // Where syncing costs nothing: power cuts are another test's.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut options = Options::new(PathBuf::from(directory.path()).join("journal.db"));
        change(&mut options);
        let mut bench = Self {
            _directory: directory,
            options,
            run: None,
            outlet: Arc::default(),
            restored: Restored::default(),
            now: Instant::now(),
        };
        bench.open();
        bench
    }

    fn open(&mut self) {
        let (opened, restored) = open::open(self.options.clone(), NOW).unwrap();
        let (mut writer, shared) = Writer::new(opened).unwrap();
        self.outlet = Arc::default();
        writer.set_outlet(self.outlet.clone());
        self.restored = restored;
        self.run = Some((writer, shared));
    }

    /// As `kill -9` between two transactions.
    fn crash(&mut self) {
        self.run = None;
        self.open();
    }

    fn close(&mut self) {
        let (writer, shared) = self.run.take().unwrap();
        shared.close();
        writer.finish();
        self.open();
    }

    fn shared(&self) -> &Shared {
        &self.run.as_ref().unwrap().1
    }

    fn append(&self, at: u64, bytes: usize) -> u64 {
        self.shared().append(&Record {
            received_at: NOW + at,
            origin: Origin::Live,
            topic: &format!("topic-{}", at % 3),
            channel: 1,
            frame: &"x".repeat(bytes),
        })
    }

    /// Lets time pass until nothing is due.
    fn settle(&mut self) {
        self.now += Duration::from_millis(200);
        for _ in 0..10_000 {
            let now = self.now;
            let writer = &mut self.run.as_mut().unwrap().0;
            if writer.turn(now).is_none_or(|deadline| deadline > now) {
                return;
            }
        }
        panic!("something is always due");
    }

    fn give_room(&self, room: usize) {
        self.outlet.0.lock().unwrap().room = room;
        self.shared().wake();
    }

    fn delivered(&self) -> Vec<(u64, bool)> {
        self.outlet.0.lock().unwrap().events.iter().map(|event| (event.sequence, event.redelivered)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Note,
    /// So many below the last delivered.
    Acknowledge(u64),
    Room(usize),
    Settle,
    Crash,
    Close,
}

#[derive(Clone, Debug, Default)]
struct Model {
    committed: u64,
    waiting: u64,
    acknowledged: u64,
    asked: u64,
    delivered: u64,
    room: u64,
    gaps: u64,
    gaps_waiting: u64,
    /// Of this run, with whether flagged.
    told: Vec<(u64, bool)>,
    floor: u64,
}

impl Model {
    fn commit(&mut self) {
        self.committed += std::mem::take(&mut self.waiting);
        self.gaps += std::mem::take(&mut self.gaps_waiting);
        self.acknowledged = self.asked;
    }

    fn reopen(&mut self) {
        self.waiting = 0;
        self.gaps_waiting = 0;
        self.asked = self.acknowledged;
        self.delivered = self.acknowledged;
        self.floor = self.committed;
        self.room = 0;
        self.told.clear();
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (1u64..400).prop_map(Step::Append),
            1 => Just(Step::Note),
            4 => (0u64..300).prop_map(Step::Acknowledge),
            4 => (0usize..500).prop_map(Step::Room),
            6 => Just(Step::Settle),
            2 => Just(Step::Crash),
            1 => Just(Step::Close),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        match step {
            Step::Append(count) => model.waiting += count,
            Step::Note => model.gaps_waiting += 1,
            Step::Acknowledge(below) => {
                model.asked = model.asked.max(model.delivered.saturating_sub(*below));
            }
            Step::Room(room) => model.room = *room as u64,
            Step::Settle => {
                model.commit();
                while model.room > 0 && model.delivered < model.committed {
                    model.delivered += 1;
                    model.room -= 1;
                    model.told.push((model.delivered, model.delivered <= model.floor));
                }
            }
            Step::Crash => model.reopen(),
            Step::Close => {
                model.commit();
                model.reopen();
            }
        }
        model
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Bench;
    type Reference = Reference;

    fn init_test(_: &Model) -> Bench {
        Bench::new(|_| {})
    }

    fn apply(mut bench: Bench, model: &Model, step: Step) -> Bench {
        match step {
            Step::Append(count) => {
                let first = model.committed + model.waiting - count + 1;
                for sequence in first..first + count {
                    assert_eq!(bench.append(sequence, 50), sequence);
                }
            }
            Step::Note => bench.shared().note(Note::Gap(GapRow {
                id: format!("gap-{}", model.gaps + model.gaps_waiting),
                from: 1,
                to: Some(2),
                reason: "silence".into(),
                topics: vec!["topic-1".into()],
                certainty: "certain".into(),
                backfilled: "no".into(),
            })),
            Step::Acknowledge(below) => {
                bench.shared().ack(model.delivered.saturating_sub(below));
                // Beyond what was delivered counts as up to it, so only what was delivered is asked for here.
            }
            Step::Room(room) => bench.give_room(room),
            Step::Settle => bench.settle(),
            Step::Crash => bench.crash(),
            Step::Close => bench.close(),
        }
        if matches!(step, Step::Crash | Step::Close) {
            let restored = &bench.restored;
            assert_eq!(restored.last_sequence, model.committed);
            assert_eq!(restored.unacknowledged, model.committed - model.acknowledged);
            assert_eq!(restored.gaps.len() as u64, model.gaps);
            assert_eq!(restored.damage, None);
        }
        bench
    }

    fn check_invariants(bench: &Bench, model: &Model) {
        let stats = bench.shared().stats();
        assert_eq!(bench.delivered(), model.told);
        assert_eq!(stats.acknowledged, model.acknowledged, "the cursor");
        assert_eq!(
            stats.unacknowledged,
            model.committed - model.acknowledged,
            "delivered and pending are journaled"
        );
        assert_eq!(stats.last_sequence, model.committed + model.waiting);
        assert!(bench.outlet.0.lock().unwrap().news.is_empty());
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_writer_does_what_its_model_does(sequential 1..60 => Machine);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Whatever is appended in whatever sizes: each event is delivered, or lies in a span that was told.
    #[test]
    fn with_eviction_everything_is_delivered_or_told(
        rounds in prop::collection::vec((1u64..80, 100usize..30_000, 0usize..60, 0u64..40, 0u8..8), 1..25),
    ) {
        let mut bench = Bench::new(|options| {
            options.max_bytes = 1 << 20;
            options.on_full = OnFull::EvictOldest;
        });
        let (mut appended, mut last, mut spans) = (0, 0, Vec::new());
        let mut delivered = std::collections::BTreeSet::new();
        let mut collect = |bench: &Bench, delivered: &mut std::collections::BTreeSet<u64>| {
            let mut seen = bench.outlet.0.lock().unwrap();
            for event in &seen.events {
                prop_assert!(event.sequence > last || event.redelivered);
                last = last.max(event.sequence);
                delivered.insert(event.sequence);
            }
            seen.events.clear();
            for news in seen.news.drain(..) {
                if let News::Evicted { from, to, .. } = news {
                    spans.push((from - NOW, to - NOW));
                }
            }
            Ok(())
        };
        for (count, bytes, room, below, fate) in rounds {
            for _ in 0..count {
                appended += 1;
                // Received at its own number: spans can be compared with sequences.
                prop_assert_eq!(bench.append(appended, bytes), appended);
            }
            bench.give_room(room);
            bench.settle();
            let top = bench.delivered().last().map(|(sequence, _)| *sequence);
            collect(&bench, &mut delivered)?;
            if let Some(top) = top {
                bench.shared().ack(top.saturating_sub(below));
            }
            let stats = bench.shared().stats();
            prop_assert!(stats.bytes <= 1 << 20, "{:?}", stats);
            prop_assert!(!bench.shared().is_full());
            match fate {
                0 => bench.crash(),
                1 => bench.close(),
                _ => {}
            }
        }
        bench.give_room(usize::MAX);
        bench.settle();
        bench.settle();
        collect(&bench, &mut delivered)?;
        for sequence in 1..=appended {
            let is_told = spans.iter().any(|(from, to)| (*from..=*to).contains(&sequence));
            prop_assert!(delivered.contains(&sequence) || is_told, "{} of {} vanished", sequence, appended);
        }
    }
}

#[test]
fn an_acknowledgement_beyond_what_was_delivered_counts_up_to_it() {
    let mut bench = Bench::new(|_| {});
    (1..=20).for_each(|at| assert_eq!(bench.append(at, 50), at));
    bench.give_room(5);
    bench.settle();
    bench.shared().ack(u64::MAX);
    bench.settle();
    assert_eq!(bench.shared().stats().acknowledged, 5);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let mut bench = Bench::new(|_| {});
    bench.give_room(usize::MAX);
    let mut count = 0;
    while !bench.shared().is_full() {
        count += 1;
        bench.append(count, 100_000);
        assert!(count < 200, "never full");
    }
    assert!(bench.shared().stats().waiting > 8 << 20);
    bench.settle();
    assert!(!bench.shared().is_full());
    assert_eq!(bench.shared().stats().waiting, 0);
    assert_eq!(bench.outlet.0.lock().unwrap().news, [News::Room]);
}

/// A disk that fails, played by a table that is gone: nothing is lost, it is tried every second, both ends are told.
#[test]
fn a_commit_that_fails_is_tried_again() {
    let mut bench = Bench::new(|_| {});
    bench.give_room(usize::MAX);
    bench.append(1, 50);
    bench.settle();
    let other = Connection::open(&bench.options.path).unwrap();
    other.execute_batch("ALTER TABLE event RENAME TO hidden").unwrap();
    (2..=40).for_each(|at| drop(bench.append(at, 50).to_string()));
    bench.settle();
    assert!(bench.shared().is_full());
    assert_eq!(bench.delivered().len(), 1);
    bench.settle();
    other.execute_batch("ALTER TABLE hidden RENAME TO event").unwrap();
    bench.now += RETRY_AFTER;
    bench.settle();
    assert_eq!(bench.delivered().len(), 40);
    assert!(!bench.shared().is_full());
    let news = &bench.outlet.0.lock().unwrap().news;
    assert!(matches!(&news[..], [News::Failing(_), News::Recovered, News::Room]), "{news:?}");
}
