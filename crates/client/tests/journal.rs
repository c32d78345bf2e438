//! What arrived is on disk before it is delivered, and stays until it is acknowledged.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{OTHER, Observer, TOPIC, Told, World, credentials, environment, options, urls};
use genesys_notifications_client::{
    Batch, Client, ClientState, Control, ErrorCode, Gap, Notice, Reason, Replay, ReplayBound, TopicChange,
    TopicState, report,
};
use genesys_notifications_sim::Simulator;
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal").join("events.db")
    }

    /// Client options; `more` are members of the journal's section.
    fn options(&self, more: &str) -> String {
        self.with(more, "")
    }

    fn with(&self, journal: &str, others: &str) -> String {
        format!(r#"{{"journal":{{"path":"{}"{journal}}}{others}}}"#, self.path().display())
    }
}

fn journal(world: &World) -> genesys_notifications_client::JournalStats {
    world.observer.client.stats().journal.unwrap()
}

fn last_sequence(observer: &Observer) -> u64 {
    observer.events().last().unwrap().sequence
}

fn numbers(observer: &Observer) -> Vec<u64> {
    observer.events().iter().map(|event| event.n()).collect()
}

fn ack_and_settle(world: &mut World, up_to: u64) {
    world.observer.client.ack(up_to);
    world.until("the acknowledgement on disk", |world| journal(world).acknowledged >= up_to);
}

fn gaps_of(told: &[Told]) -> Vec<Gap> {
    let gaps = told.iter().filter_map(|told| match told {
        Told::Control(Control::Notice(Notice::Gap(gap))) => Some(gap.clone()),
        _ => None,
    });
    gaps.collect()
}

// P4
#[test]
fn an_event_is_on_disk_before_it_is_delivered() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    for n in 1..=300 {
        world.publish(n);
    }
    let mut batch = Batch::default();
    let mut seen = 0;
    world.until("300 events", |world| {
        let delivered = world.observer.events().len();
        if delivered > seen {
            seen = delivered;
            // By another connection to the file, as any other program would read it.
            let last = ReplayBound::Sequence(last_sequence(&world.observer));
            let mut replay = Replay::open(&place.path(), last, None).unwrap();
            replay.page(&mut batch, 1, 1 << 20).unwrap();
            assert_eq!(batch.len(), 1, "event {last:?} is not on disk");
        }
        seen == 300
    });
    let events = world.observer.events();
    assert!(
        events.iter().zip(1..).all(|(event, n)| event.n() == n && !event.redelivered && event.origin == 0)
    );
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(events[0].channel, world.sim.channels()[0].id);
    world.until("the figures", |world| journal(world).unacknowledged == 300);
}

// P4, C1
#[test]
fn after_a_crash_what_was_not_acknowledged_comes_again_flagged_and_first() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    for n in 1..=100 {
        world.publish(n);
    }
    world.until("100 events", |world| world.observer.events().len() == 100);
    let acknowledged = world.observer.events()[59].sequence;
    let id = world.observer.events()[0].channel.clone();
    ack_and_settle(&mut world, acknowledged);
    let last = last_sequence(&world.observer);
    let (sim, _) = world.crash();

    let mut world = World::on(sim, &place.options(""));
    // They wait for nothing but a consumer.
    world.until("40 events", |world| world.observer.events().len() == 40);
    assert_eq!(numbers(&world.observer), (61..=100).collect::<Vec<_>>());
    let events = world.observer.events();
    assert!(
        events
            .iter()
            .all(|event| event.redelivered && event.sequence > acknowledged && event.sequence <= last)
    );
    assert!(events.iter().all(|event| event.channel.starts_with("earlier-") && event.channel != id));
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.publish(101);
    world.until("a new event", |world| world.observer.events().len() == 41);
    let new = world.observer.events()[40].clone();
    assert!(!new.redelivered && new.sequence > last && new.n() == 101);

    // Again, and everything acknowledged: nothing comes again, and no sequence is used twice.
    ack_and_settle(&mut world, new.sequence);
    let (sim, _) = world.crash();
    let mut world = World::on(sim, &place.options(""));
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.publish(102);
    world.until("a new event", |world| !world.observer.events().is_empty());
    let first = world.observer.events()[0].clone();
    assert!(!first.redelivered && first.n() == 102 && first.sequence > new.sequence);
}

// P2.3, C2
#[test]
fn the_time_the_process_was_down_is_a_gap_told_before_the_first_new_event() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    world.publish(1);
    world.until("an event", |world| world.observer.events().len() == 1);
    let received_at = world.observer.events()[0].received_at;
    let (sim, _) = world.crash();
    for n in 2..=20 {
        sim.publish(TOPIC, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
    }
    let mut world = World::on(sim, &place.options(""));
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.publish(21);
    world.until("a new event", |world| world.observer.events().iter().any(|event| event.n() == 21));
    let gaps = world.observer.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((gaps[0].reason, gaps[0].topics.clone()), (Reason::ProcessDown, vec![TOPIC.to_owned()]));
    let log = world.sim.log();
    for event in log.events.iter().filter(|event| event.seq > 1 && event.reason.is_some()) {
        assert!(gaps[0].from <= event.at && event.at <= gaps[0].to.unwrap(), "{event:?} {gaps:?}");
    }
    // Marks come often enough that what was there is not called lost for long.
    assert!(gaps[0].from + 6_000 > received_at, "{gaps:?}, received at {received_at}");
    let is_gap = |told: &Told| matches!(told, Told::Control(Control::Notice(Notice::Gap(_))));
    let gap = world.observer.told.iter().position(is_gap).unwrap();
    let new = world
        .observer
        .told
        .iter()
        .position(|told| matches!(told, Told::Event(event) if event.n() == 21))
        .unwrap();
    assert!(gap < new);

    // The record goes on under the same ids.
    let id = gaps[0].id.clone();
    let (sim, _) = world.crash();
    let world = World::on(sim, &place.options(""));
    let restored = world.observer.client.gaps();
    assert_eq!(restored[0], gaps[0]);
    assert_eq!(restored[0].id, id);
    assert_eq!(restored.len(), 2, "and the second time it was down is a second gap: {restored:?}");
    assert_ne!(restored[1].id, id);
}

// P2.1
#[test]
fn a_client_closed_in_good_order_leaves_a_gap_that_begins_with_its_end() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    world.publish(1);
    world.until("an event", |world| world.observer.events().len() == 1);
    let before = world.sim.log().now;
    let (sim, told) = world.close();
    assert!(gaps_of(&told).is_empty());
    let mut world = World::on(sim, &place.options(""));
    world.until("the gap", |world| !world.observer.gaps().is_empty());
    let gap = world.observer.gaps()[0].clone();
    // No further back than the last sign of life: the service beats every 200 ms.
    assert!(gap.from + 500 > before, "{gap:?} {before}");
}

// C1
#[test]
fn topics_asked_for_by_calls_are_wanted_again_and_those_taken_back_are_not() {
    let third = "v2.users.00000000-0000-4000-8000-000000000003.presence";
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    let names = [OTHER.to_owned(), third.to_owned()];
    world.observer.client.request_topics(TopicChange::Add, &names).unwrap();
    world.until("three topics", |world| {
        world.observer.is_subscribed(OTHER) && world.observer.is_subscribed(third)
    });
    world.observer.client.request_topics(TopicChange::Remove, &[third.to_owned()]).unwrap();
    world.until("two topics", |world| world.observer.client.topics().len() == 2);
    let (sim, _) = world.crash();
    let mut world = World::on(sim, &place.options(""));
    let mut topics: Vec<String> =
        world.observer.client.topics().into_iter().map(|status| status.topic).collect();
    topics.sort();
    assert_eq!(topics, [TOPIC, OTHER]);
    world.observer.client.connect().unwrap();
    world.until_connected();
    assert!(world.observer.client.topics().iter().all(|status| status.state == TopicState::Subscribed));
    // One of the options can be left out the next time.
    let (sim, _) = world.crash();
    let world = World::on(sim, &place.with("", r#","topics":[]"#));
    let topics: Vec<String> = world.observer.client.topics().into_iter().map(|status| status.topic).collect();
    assert_eq!(topics, [OTHER]);
}

// P4.1
#[test]
fn a_slow_consumer_lets_events_wait_on_disk_and_memory_stays_flat() {
    let place = Place::new();
    let mut world = World::live("", &place.with("", r#","queue":{"maxEvents":100}"#));
    world.observer.is_busy = true;
    let filling = "x".repeat(1_000);
    for n in 1..=5_000 {
        world.sim.publish(TOPIC, Some(&format!(r#"{{"n":{n},"x":"{filling}"}}"#))).unwrap();
    }
    world.until("all on disk", |world| journal(world).events == 5_000 && journal(world).waiting == 0);
    let stats = world.observer.client.stats();
    assert!(stats.queue.events <= 101, "{stats:?}");
    assert!(!stats.queue.paused, "the sockets are read on");
    world.observer.is_busy = false;
    world.until("every event", |world| world.observer.events().len() == 5_000);
    assert_eq!(numbers(&world.observer), (1..=5_000).collect::<Vec<_>>());
    assert!(world.observer.gaps().is_empty());
}

const FILLING: usize = 10_000;

fn publish_large(world: &World, n: u64) {
    let filling = "x".repeat(FILLING);
    world.sim.publish(TOPIC, Some(&format!(r#"{{"n":{n},"x":"{filling}"}}"#))).unwrap();
}

// P4, P1.6
#[test]
fn a_full_journal_pauses_and_loses_nothing() {
    let place = Place::new();
    let mut world = World::live("", &place.options(r#","maxBytes":1048576"#));
    // The bound itself, what may be on its way, and the buffers of the network hold far less.
    let total = 3_000;
    for n in 1..=total {
        publish_large(&world, n);
    }
    world.until("a full journal", |world| world.observer.client.stats().queue.paused);
    // Longer than the silence after which an unread socket would be dropped.
    let begin = Instant::now();
    world.until("patience", |_| begin.elapsed() > Duration::from_millis(1_500));
    assert!((world.observer.events().len() as u64) < total);
    world.until("every event", |world| {
        if let Some(last) = world.observer.events().last() {
            world.observer.client.ack(last.sequence);
        }
        world.observer.events().len() as u64 == total
    });
    assert_eq!(numbers(&world.observer), (1..=total).collect::<Vec<_>>());
    assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
    assert_eq!(world.sim.log().sockets.len(), 1);
}

// P2, P4
#[test]
fn evicted_events_are_a_gap_told_before_what_follows_them() {
    let place = Place::new();
    let options = place.with(r#","maxBytes":1048576,"onFull":"evictOldest""#, r#","queue":{"maxEvents":10}"#);
    let mut world = World::live("", &options);
    world.observer.is_busy = true;
    let total = 600;
    for n in 1..=total {
        publish_large(&world, n);
    }
    world.until("evictions and rest", |world| {
        let stats = journal(world);
        stats.evicted > 0 && stats.waiting == 0 && stats.events + stats.evicted == total
    });
    world.observer.is_busy = false;
    world.until("the last event", |world| {
        world.observer.events().last().is_some_and(|event| event.n() == total)
    });
    let delivered = numbers(&world.observer);
    assert!(delivered.len() < total as usize);
    let gaps = world.observer.gaps();
    assert!(gaps.iter().all(|gap| gap.reason == Reason::JournalFull), "{gaps:?}");
    let log = world.sim.log();
    for (event, n) in log.events.iter().zip(1..=total).filter(|(_, n)| !delivered.contains(n)) {
        let covers = |gap: &&Gap| gap.from <= event.at + 50 && event.at <= gap.to.unwrap();
        assert!(gaps.iter().any(|gap| covers(&gap)), "{n} is lost in silence: {gaps:?}");
    }
    // Told before the first event after it.
    let after = delivered.windows(2).find(|pair| pair[1] != pair[0] + 1).unwrap()[1];
    let told = &world.observer.told;
    let gap = told.iter().position(|told| matches!(told, Told::Control(Control::Notice(Notice::Gap(_)))));
    let next = told.iter().position(|told| matches!(told, Told::Event(event) if event.n() == after));
    assert!(gap < next, "{gap:?} {next:?}");
}

// S, P4
#[test]
fn a_full_journal_that_is_to_fail_ends_the_client_and_keeps_what_it_has() {
    let place = Place::new();
    let mut world = World::live("", &place.options(r#","maxBytes":1048576,"onFull":"fail""#));
    for n in 1..=600 {
        publish_large(&world, n);
    }
    world.until("failed", |world| world.observer.is_closed());
    assert_eq!(world.observer.client.state(), ClientState::Failed);
    let is_full = |c: &&Control| matches!(c, Control::Notice(Notice::Error(error)) if error.code == ErrorCode::JournalFull && !error.retryable);
    assert!(world.observer.controls().iter().any(is_full), "{:?}", world.observer.controls());
    let delivered = numbers(&world.observer);
    let (sim, _) = world.crash();
    let mut world = World::on(sim, &place.options(""));
    world.until("all of them again", |world| world.observer.events().len() >= delivered.len());
    assert_eq!(numbers(&world.observer)[..delivered.len()], delivered);
    assert!(world.observer.events().iter().all(|event| event.redelivered));
}

fn client(sim: &Simulator, options_json: &str) -> Result<Client, genesys_notifications_client::OptionError> {
    let options = options(&urls(sim), &credentials(sim), options_json);
    Client::with_environment(options, std::sync::Arc::new(common::CountingBell::default()), environment())
}

// P4
#[test]
fn two_clients_cannot_share_a_journal_and_an_end_frees_it_at_once() {
    let place = Place::new();
    let world = World::live("", &place.options(""));
    let error = client(&world.sim, &place.options("")).unwrap_err();
    assert_eq!(error.path, "journal.path");
    assert!(error.message.contains("events.db") && error.message.contains("in use"), "{error}");
    assert!(!error.message.contains(place.directory.path().to_str().unwrap()), "{error}");
    // After goodbye, after none, and before anything was ever connected.
    let (sim, _) = world.close();
    for _ in 0..3 {
        client(&sim, &place.options("")).unwrap().abort();
        drop(client(&sim, &place.options("")).unwrap());
    }
    let idle = World::on(sim, &place.options(""));
    let (sim, _) = idle.close();
    // Closed is told only once the journal is free, though the client itself is still there.
    let mut world = World::on(sim, &place.options(""));
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    drop(client(&world.sim, &place.options("")).unwrap());
}

// P8
#[test]
fn no_secret_reaches_the_disk() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    for n in 1..=50 {
        world.publish(n);
    }
    world.until("50 events", |world| world.observer.events().len() == 50);
    world.observer.client.rotate();
    world.until("the rotation", |world| world.observer.client.stats().machine.rotations == 1);
    let channels: Vec<String> = world.sim.log().channels.iter().map(|channel| channel.id.clone()).collect();
    let secret = world.sim.credentials().client_secret.clone();
    let (_sim, _) = world.close();
    let directory = place.path();
    for file in std::fs::read_dir(directory.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&secret), "{}", file.display());
        for id in &channels {
            // The service itself names the channel in no event of these topics.
            assert!(!text.contains(id.as_str()), "{} holds a channel's id", file.display());
        }
    }
}

fn replayed(path: &Path, from: ReplayBound, to: Option<ReplayBound>) -> Vec<(u64, u8, String)> {
    let mut replay = Replay::open(path, from, to).unwrap();
    let (mut batch, mut names, mut events) = (Batch::default(), Vec::new(), Vec::new());
    while replay.page(&mut batch, 7, 1 << 16).unwrap() {
        names.append(&mut batch.names);
        let rows = batch.events();
        events.extend(rows.map(|row| (row.sequence, row.flags.origin(), names[row.channel].clone())));
    }
    events
}

// P4
#[test]
fn events_can_be_replayed_by_sequence_and_by_time_while_the_client_runs() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    for n in 1..=50 {
        world.publish(n);
    }
    world.until("50 events", |world| world.observer.events().len() == 50);
    let sequences: Vec<u64> = world.observer.events().iter().map(|event| event.sequence).collect();
    ack_and_settle(&mut world, sequences[49]);
    let all = replayed(&place.path(), ReplayBound::Time(0), None);
    assert_eq!(all.iter().map(|event| event.0).collect::<Vec<_>>(), sequences);
    assert!(all.iter().all(|(_, flags, channel)| *flags == 2 && channel.starts_with("earlier-")), "{all:?}");
    let (from, to) = (ReplayBound::Sequence(sequences[10]), Some(ReplayBound::Sequence(sequences[20])));
    let some: Vec<u64> = replayed(&place.path(), from, to).iter().map(|event| event.0).collect();
    assert_eq!(some, sequences[10..20]);
    let middle = world.observer.events()[25].received_at;
    let expected: Vec<u64> = world
        .observer
        .events()
        .iter()
        .filter(|event| event.received_at >= middle)
        .map(|event| event.sequence)
        .collect();
    let late: Vec<u64> =
        replayed(&place.path(), ReplayBound::Time(middle), None).iter().map(|event| event.0).collect();
    assert_eq!(late, expected);
    assert!(Replay::open(&place.path().with_file_name("none.db"), ReplayBound::Time(0), None).is_err());
}

// P2.2
#[test]
fn the_report_accounts_for_all_time() {
    let place = Place::new();
    let mut world = World::live("", &place.options(""));
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("a closed gap", |world| world.observer.gaps().iter().any(|gap| gap.to.is_some()));
    world.observer.client.rotate();
    world.until("the rotation", |world| world.observer.client.stats().machine.rotations == 1);
    let (_sim, _) = world.close();
    let report = report(&place.path()).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    let text = report.text();
    assert!(text.contains(TOPIC) && json.to_string().contains("rotation"), "{json:#}\n{text}");
    assert!(report.svg().starts_with("<svg"));
}

// P4
#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    std::fs::write(place.path(), "my diary, long enough to be taken for something it is not".repeat(200))
        .unwrap();
    let sim = World::new("", "");
    let error = client(&sim.sim, &place.options("")).unwrap_err();
    assert_eq!(error.path, "journal.path");
    assert!(std::fs::read_to_string(place.path()).unwrap().starts_with("my diary"));
}
