//! Where a later process goes on: by a cursor or a journal.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use genesys_notifications_client::{Client, ClientState, Control, Environment, OptionError, Options, Reason};
use serde_json::json;

use crate::common::{OTHER, Observer, TOPIC, Told, World};
use crate::stage::{connections, live, numbers, on, sim, since};

fn with_file(path: &Path) -> serde_json::Value {
    json!({ "cursor": { "kind": "file", "path": path } })
}

/// Acknowledges everything that was observed.
fn ack(observer: &Observer) {
    observer.client.ack(observer.events().last().map_or(0, |event| event.sequence));
}

fn saved_position(observer: &Observer) -> Option<String> {
    observer.client.stats().cursor.unwrap().position
}

#[test]
fn the_next_process_goes_on_after_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut seen = Vec::new();
    let mut next = 1;
    let mut sim = sim("");
    for round in 0..4 {
        let mut world = live(sim, "since", &since(), &with_file(&path));
        for n in next..next + 100 {
            world.publish(n);
        }
        world.until("events", |world| numbers(&world.observer).last() == Some(&(next + 99)));
        next += 100;
        ack(&world.observer);
        let position = world.observer.client.stats().machine.direct.unwrap().position;
        world.until("a save", |world| saved_position(&world.observer) == position);
        // Not acknowledged any more: repeated by the next process.
        world.publish(next);
        world.until("one more", |world| numbers(&world.observer).last() == Some(&next));
        seen.extend(numbers(&world.observer).into_iter().filter(|n| *n < next));
        next += 1;
        assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
        sim = if round % 2 == 0 { world.crash().0 } else { world.close().0 };
    }
    assert_eq!(seen, (1..next - 1).collect::<Vec<_>>());
}

#[test]
fn closing_waits_for_the_last_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut world = live(sim(""), "since", &since(), &with_file(&path));
    for n in 1..=10 {
        world.publish(n);
    }
    world.until("events", |world| world.observer.events().len() == 10);
    ack(&world.observer);
    let (sim, _) = world.close();
    let mut world = live(sim, "since", &since(), &with_file(&path));
    world.publish(11);
    world.until("the next event", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [11]);
}

#[test]
fn what_is_acknowledged_meanwhile_is_in_the_next_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = live(sim(""), "since", &since(), &with_file(&folder.path().join("cursor.json")));
    let begin = std::time::Instant::now();
    let mut n = 0;
    world.until("a second", |world| {
        n += 1;
        world.publish(n);
        ack(&world.observer);
        begin.elapsed() > std::time::Duration::from_secs(1)
    });
    world.until("every event", |world| numbers(&world.observer).last() == Some(&n));
    ack(&world.observer);
    let position = world.observer.client.stats().machine.direct.unwrap().position;
    world.until("the last save", |world| saved_position(&world.observer) == position);
    let most = begin.elapsed().as_millis() as u64 / 100 + 1;
    let stats = world.observer.client.stats().cursor.unwrap();
    assert!((2..=most).contains(&stats.saves), "{stats:?}, at most {most}");
    assert!(stats.saved_at.is_some() && stats.failures == 0, "{stats:?}");
}

#[test]
fn events_that_are_not_handed_over_move_the_cursor_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut more = with_file(&folder.path().join("cursor.json"));
    more["delivery"] = json!({ "topics": [TOPIC] });
    let mut world = live(sim(""), "since", &since(), &more);
    world.publish(1);
    world.until("an event", |world| world.observer.events().len() == 1);
    ack(&world.observer);
    for _ in 0..20 {
        world.sim.publish(OTHER, Some("{}")).unwrap();
    }
    world.until("the others", |world| world.observer.client.stats().filtered == 20);
    let position = world.observer.client.stats().machine.direct.unwrap().position;
    world.until("a save", |world| saved_position(&world.observer) == position);
    // One that waits to be acknowledged holds up those behind it.
    world.publish(2);
    world.until("an event", |world| world.observer.events().len() == 2);
    world.sim.publish(OTHER, Some("{}")).unwrap();
    world.until("one more", |world| world.observer.client.stats().filtered == 21);
    let mut world = live(world.crash().0, "since", &since(), &more);
    world.publish(3);
    world.until("both", |world| world.observer.events().len() == 2);
    assert_eq!(numbers(&world.observer), [2, 3]);
}

#[test]
fn a_cursor_beside_a_journal_follows_what_was_acknowledged_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut more = with_file(&path);
    more["journal"] = json!({ "path": folder.path().join("journal.db") });
    let mut world = live(sim(""), "since", &since(), &more);
    for n in 1..=20 {
        world.publish(n);
    }
    world.until("events", |world| world.observer.events().len() == 20);
    world.observer.client.ack(10);
    let position = |world: &World, n: usize| {
        let text: serde_json::Value = serde_json::from_str(&world.observer.events()[n - 1].text).unwrap();
        text["timestamp"].as_str().map(str::to_owned)
    };
    let tenth = position(&world, 10);
    world.until("a save", |world| saved_position(&world.observer) == tenth);
    let mut world = live(world.crash().0, "since", &since(), &more);
    // The journal brings again what was not acknowledged, and acknowledging that moves the cursor.
    world.publish(21);
    world.until("the rest", |world| world.observer.events().len() == 11);
    assert_eq!(numbers(&world.observer), (11..=21).collect::<Vec<_>>());
    ack(&world.observer);
    let last = position(&world, 11);
    world.until("another save", |world| saved_position(&world.observer) == last);
    // Without the journal the cursor alone goes on.
    let mut world = live(world.close().0, "since", &since(), &with_file(&path));
    world.publish(22);
    world.until("the next", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [22]);
}

fn refusal(more: &serde_json::Value) -> OptionError {
    let mut all = json!({ "endpoint": since(), "credentials": { "kind": "provider" } });
    all["endpoint"]["url"] = "wss://gateway.example.com/".into();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let options = Options::from_json(&all.to_string()).unwrap();
    Client::with_environment(
        options,
        Arc::new(crate::common::CountingBell::default()),
        Environment::default(),
    )
    .unwrap_err()
}

#[test]
fn a_cursor_that_cannot_be_read_is_never_reset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let content = r#"{"checksum":"00000000","cursor":{"version":1,"position":"canary"}}"#;
    std::fs::write(&path, content).unwrap();
    let error = refusal(&with_file(&path));
    assert_eq!(error.path, "cursor.path");
    assert!(error.message.contains("damaged") && !error.message.contains("canary"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    assert_eq!(refusal(&with_file(folder.path())).path, "cursor.path");
}

/// The caller's functions, answered by hand.
#[derive(Default)]
struct Store {
    kept: Mutex<Option<String>>,
    /// Calls to come that fail.
    failures: AtomicU64,
    calls: AtomicU64,
}

impl Store {
    fn answer(&self, observer: &Observer, from: usize) {
        for told in &observer.told[from..] {
            let Told::Control(control) = told else { continue };
            let fails = || {
                self.failures
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
            };
            match control {
                Control::LoadCursor { ticket } => {
                    self.calls.fetch_add(1, Ordering::SeqCst);
                    let kept = self.kept.lock().unwrap().clone();
                    let answer = if fails() { Err("the disk is on fire".into()) } else { Ok(kept) };
                    observer.client.provide_cursor(*ticket, answer);
                }
                Control::SaveCursor { ticket, cursor } => {
                    self.calls.fetch_add(1, Ordering::SeqCst);
                    let answer = if fails() { Err("the disk is on fire".into()) } else { Ok(()) };
                    if answer.is_ok() {
                        *self.kept.lock().unwrap() = Some(cursor.clone());
                    }
                    observer.client.cursor_saved(*ticket, answer);
                }
                _ => {}
            }
        }
    }

    /// Observes and answers until the condition holds.
    fn until(&self, world: &mut World, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let mut answered = world.observer.told.len();
        world.until(what, |world| {
            let told = world.observer.told.len();
            self.answer(&world.observer, answered);
            answered = told;
            holds(world)
        });
    }
}

fn with_functions() -> serde_json::Value {
    json!({ "cursor": { "kind": "functions" } })
}

#[test]
fn functions_that_fail_are_asked_again_and_nothing_is_lost() {
    let store = Store::default();
    store.failures.store(2, Ordering::SeqCst);
    let mut world = on(sim(""), "since", &since(), &with_functions());
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_FAILED") && told.contains("the disk is on fire"), "{told}");
    assert_eq!(store.calls.load(Ordering::SeqCst), 3);

    for n in 1..=20 {
        world.publish(n);
    }
    store.until(&mut world, "events", |world| world.observer.events().len() == 20);
    store.failures.store(3, Ordering::SeqCst);
    ack(&world.observer);
    let last = world.observer.client.stats().machine.direct.unwrap().position;
    store.until(&mut world, "a save", |world| saved_position(&world.observer) == last);
    assert_eq!(world.observer.client.stats().cursor.unwrap().failures, 3);
    let failed = "the cursor was not saved: the disk is on fire";
    assert_eq!(world.observer.errors().iter().filter(|error| error.contains(failed)).count(), 3);

    // One more, saved at the end.
    world.publish(21);
    store.until(&mut world, "one more", |world| world.observer.events().len() == 21);
    ack(&world.observer);
    world.observer.client.close();
    store.until(&mut world, "closed", |world| world.observer.is_closed());
    let (sim, _) = world.crash();
    let mut world = on(sim, "since", &since(), &with_functions());
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    world.publish(22);
    world.until("the next", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [22]);
    assert!(world.observer.gaps().is_empty());
}

#[test]
fn a_function_that_never_answers_holds_up_no_end() {
    let timeout = json!({ "cursor": { "kind": "functions" }, "network": { "requestTimeoutMs": 300 } });
    let store = Store::default();
    let mut world = on(sim(""), "since", &since(), &timeout);
    // Nobody answers the first call.
    world.until("a second call", |world| {
        let is_call = |control: &&&Control| matches!(control, Control::LoadCursor { .. });
        world.observer.controls().iter().filter(is_call).count() >= 2
    });
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_FAILED") && told.contains("no result within 300 ms"), "{told}");
    assert!(connections(&world).is_empty(), "not before it is known where to begin");
    let asked =
        |control: &&Control| if let Control::LoadCursor { ticket } = control { Some(*ticket) } else { None };
    let ticket = world.observer.controls().iter().rev().find_map(asked).unwrap();
    world.observer.client.provide_cursor(ticket, Ok(None));
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    world.publish(1);
    world.until("an event", |world| !world.observer.events().is_empty());
    ack(&world.observer);
    let begin = std::time::Instant::now();
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    assert!(begin.elapsed() < std::time::Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(world.observer.client.stats().cursor.unwrap().failures >= 1);
}

#[test]
fn a_loaded_text_that_is_no_cursor_ends_the_client() {
    let store =
        Store { kept: Mutex::new(Some(r#"{"version":9,"position":"canary"}"#.into())), ..Store::default() };
    let mut world = on(sim(""), "since", &since(), &with_functions());
    store.until(&mut world, "failed", |world| world.observer.client.state() == ClientState::Failed);
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_CORRUPT") && !told.contains("canary"), "{told}");
    assert!(connections(&world).is_empty());
}

#[test]
fn a_journal_goes_on_from_its_last_event() {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "journal": { "path": folder.path().join("journal.db") } });
    let mut sim = sim("");
    let (mut next, mut seen) = (1, Vec::new());
    for round in 0..3 {
        let mut world = live(sim, "since", &since(), &more);
        for n in next..next + 50 {
            world.publish(n);
        }
        next += 50;
        world.until("events", |world| numbers(&world.observer).last() == Some(&(next - 1)));
        ack(&world.observer);
        let fresh = world.observer.events();
        seen.extend(fresh.iter().filter(|event| !event.redelivered).map(|event| event.n()));
        assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
        sim = if round % 2 == 0 { world.crash().0 } else { world.close().0 };
        // While nobody listens.
        for n in next..next + 50 {
            sim.publish(TOPIC, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
        }
        next += 50;
    }
    let mut world = live(sim, "since", &since(), &more);
    world.until("the rest", |world| numbers(&world.observer).last() == Some(&(next - 1)));
    let fresh = world.observer.events();
    seen.extend(fresh.iter().filter(|event| !event.redelivered).map(|event| event.n()));
    assert_eq!(seen, (1..next).collect::<Vec<_>>());
    assert!(
        world
            .observer
            .events()
            .iter()
            .all(|event| event.topic == TOPIC && event.channel.ends_with("endpoint"))
    );
}

#[test]
fn without_resume_a_journal_tells_what_the_time_between_two_processes_cost() {
    let mut sim = sim("");
    for topics in [&[][..], &[TOPIC]] {
        let folder = tempfile::tempdir().unwrap();
        let more = json!({ "journal": { "path": folder.path().join("journal.db") }, "topics": topics });
        let mut world = live(sim, "query", &json!({}), &more);
        world.publish(1);
        world.until("an event", |world| !world.observer.events().is_empty());
        ack(&world.observer);
        let world = live(world.crash().0, "query", &json!({}), &more);
        let gaps = world.observer.gaps();
        let down: Vec<_> = gaps.iter().filter(|gap| gap.reason == Reason::ProcessDown).collect();
        assert!(!down.is_empty(), "{topics:?}: {gaps:?}");
        assert!(down.iter().all(|gap| gap.to.is_some()), "{down:?}");
        let names = if topics.is_empty() { vec!["*"] } else { topics.to_vec() };
        assert_eq!(down.last().unwrap().topics, names);
        sim = world.close().0;
    }
}
