//! The recipes of `docs/endpoints` under stress: the connection killed every second, tokens of three seconds, 200 events a
//! second.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::World;
use common::recipe::{Recipe, Run, length};
use serde_json::Value;

/// Strict about everything that can be strict.
const FIRST_MESSAGE: &str = r#"{"readyDelayMs":30,"early":"close"}"#;
const ASKING: &str = r#","ready":{"pointer":"/event","equals":"connected","timeoutMs":2000},
    "subscribe":{"message":"{\"message\":\"subscribe\",\"topic\":\"{topic}\"}"}"#;

/// Nothing was lost in silence, nothing came twice, and the client came back each time.
fn judge_without_resume(mut run: Run<'_>) {
    run.end();
    run.judge_connections();
    let verdict = run.verdict();
    eprintln!("{verdict}");
    assert!(verdict.is_kept(), "{verdict:#?}\n{:#?}", run.world.sim.log().gateway);
}

fn often(run: &Run<'_>) -> bool {
    run.kills + 3 >= length().as_secs()
}

fn survives_without_resume(recipe: Recipe<'_>) {
    let mut run = Run::begin(recipe);
    run.go_on(length(), |_| {});
    assert!(often(&run), "killed {} times", run.kills);
    judge_without_resume(run);
}

// P2, P12.3, P12.4
#[test]
fn a_token_in_the_query() {
    let recipe = Recipe {
        gateway: "{}",
        path: "query",
        endpoint: r#","auth":"query""#,
        client: r#","topics":[]"#,
        outage: None,
    };
    survives_without_resume(recipe);
}

// P12.1, P12.2
#[test]
fn a_first_message_and_its_acknowledgement() {
    let endpoint = format!(r#","auth":"firstMessage"{ASKING}"#);
    let recipe = Recipe {
        gateway: FIRST_MESSAGE,
        path: "first-message",
        endpoint: &endpoint,
        client: "",
        outage: None,
    };
    survives_without_resume(recipe);
}

// P12.4
#[test]
fn a_first_message_that_is_sent_again() {
    let endpoint =
        format!(r#","firstMessage":"{{\"access_token\":\"{{token}}\"}}","renewal":"message"{ASKING}"#);
    let recipe = Recipe {
        gateway: FIRST_MESSAGE,
        path: "first-message",
        endpoint: &endpoint,
        client: "",
        outage: None,
    };
    survives_without_resume(recipe);
}

// P12.3, P12.5
#[test]
fn a_stream_that_closes_with_1000_and_is_rate_limited() {
    let recipe = Recipe {
        gateway: r#"{"closeEveryMs":1000,"connectLimit":1,"connectWindowMs":1500}"#,
        path: "minute",
        endpoint: "",
        client: r#","topics":[]"#,
        outage: None,
    };
    let mut run = Run::begin(recipe);
    run.go_on(length(), |_| {});
    let log = run.world.sim.log();
    // A second connection may be refused so long that the first one's token ends.
    let ends = |how: &str| log.gateway.iter().filter(|record| record.ended.as_deref() == Some(how)).count();
    let (closes, ends) = (ends("scheduled"), ends("scheduled") + ends("tokenEnded"));
    let refusals = log.gateway.iter().filter(|record| record.status == 429).count();
    assert!(closes >= 1 && ends >= 2 && refusals >= 1, "{:#?}", log.gateway);
    judge_without_resume(run);
}

// P12.7
#[test]
fn since_a_timestamp_that_the_server_has_forgotten() {
    let recipe = Recipe {
        gateway: r#"{"retentionMs":100}"#,
        path: "since",
        endpoint: r#","resume":{"parameter":"since","pointer":"/timestamp"},"event":{"id":"/id"}"#,
        client: "",
        outage: Some(
            r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":503},"times":4}"#,
        ),
    };
    let mut run = Run::begin(recipe);
    run.go_on(length(), |_| {});
    let repositions = run.world.observer.client.stats().machine.direct.unwrap().repositions;
    assert!(repositions >= 2, "{repositions} of {} kills", run.kills);
    judge_without_resume(run);
}

// P12.7, P12.8
#[test]
fn since_a_cursor_that_the_server_has_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cursor.json");
    let client = format!(r#","cursor":{{"kind":"file","path":"{}"}}"#, file.display());
    let mut run = Run::begin(Recipe {
        gateway: r#"{"retentionEvents":150}"#,
        path: "since",
        endpoint: r#","resume":{"parameter":"since","pointer":"/timestamp"},"event":{"id":"/id"}"#,
        client: &client,
        outage: None,
    });
    run.go_on(length() / 2, |world| ack(world, 20));
    assert!(run.gaps().is_empty(), "{:#?}", run.gaps());
    ack_and_save(&mut run.world, "/timestamp");
    // So many that those after the cursor are gone.
    let mut run = run.restart(false, 200);
    run.go_on(length() / 2, |world| ack(world, 20));
    assert_eq!(run.world.observer.client.stats().machine.direct.unwrap().repositions, 1);
    let verdict = run.verdict();
    assert!(verdict.lost >= 50 && verdict.gaps.len() == 1, "{verdict:#?}");
    judge_without_resume(run);
}

/// Where positions are sent, and what they are.
struct Since<'a> {
    gateway: &'a str,
    path: &'a str,
    endpoint: &'a str,
    pointer: &'a str,
}

impl Since<'_> {
    /// Lost 0, twice 0, no gap: of one client after the other, each of which goes on from the cursor of the one before.
    fn judge(&self) {
        let Self { gateway, path, endpoint, pointer } = *self;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cursor.json");
        let client = format!(r#","cursor":{{"kind":"file","path":"{}"}}"#, file.display());
        let mut run = Run::begin(Recipe { gateway, path, endpoint, client: &client, outage: None });

        // A crash, with some events told that were not acknowledged.
        run.go_on(length() / 2, |world| ack(world, 20));
        let acknowledged = ack_and_save(&mut run.world, pointer);
        run.go_on(Duration::from_millis(100), |_| {});
        let mut run = run.restart(false, 0);
        // An end in good order.
        run.go_on(length() / 4, |world| ack(world, 0));
        let mut run = run.restart(true, 0);
        run.go_on(length() / 4, |world| ack(world, 0));
        assert!(often(&run), "killed {} times", run.kills);
        run.end();
        run.judge_connections();

        let times = run.times();
        let lost: Vec<u64> = (1..=run.published).filter(|n| !times.contains_key(n)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}\n{:#?}", run.world.sim.log().gateway);
        let [first, second, third] = [0, 1, 2].map(|life| run.numbers(life));
        for numbers in [&first, &second, &third] {
            let different: HashSet<u64> = numbers.iter().copied().collect();
            assert_eq!(different.len(), numbers.len(), "twice in one life");
        }
        let again: Vec<u64> = second.into_iter().filter(|n| first.contains(n)).collect();
        assert!(
            !again.is_empty() && again.iter().all(|n| *n > acknowledged),
            "{again:?} after {acknowledged}"
        );
        assert!(run.gaps().is_empty(), "{:#?}", run.gaps());
        assert!(run.world.sim.log().gateway.iter().all(|record| record.status == 101));
    }
}

/// Acknowledges all that was told but the last so many.
fn ack(world: &mut World, but: usize) {
    if let Some(event) = world.observer.events().iter().rev().nth(but) {
        world.observer.client.ack(event.sequence);
    }
}

/// Acknowledges all but the last events, waits until that is saved, and returns the number of the last one acknowledged.
fn ack_and_save(world: &mut World, pointer: &str) -> u64 {
    world.observer.observe();
    let events = world.observer.events();
    let last = *events.iter().rev().nth(20).unwrap();
    let frame: Value = serde_json::from_str(&last.text).unwrap();
    let position = frame.pointer(pointer).unwrap();
    let position = position.as_str().map_or_else(|| position.to_string(), str::to_owned);
    let (n, sequence) = (last.n(), last.sequence);
    world.observer.client.ack(sequence);
    world.until("the cursor is saved", |world| {
        world.observer.client.stats().cursor.unwrap().position.as_deref() == Some(position.as_str())
    });
    n
}

// P12.6, P12.8
#[test]
fn since_a_timestamp_whose_events_come_again() {
    let endpoint = r#","resume":{"parameter":"since","pointer":"/timestamp"},"event":{"id":"/id"}"#;
    Since { gateway: "{}", path: "since", endpoint, pointer: "/timestamp" }.judge();
}

// P12.6, P12.8
#[test]
fn since_a_timestamp_behind_which_the_stream_goes_on() {
    let endpoint = r#","resume":{"parameter":"since","pointer":"/timestamp","inclusive":false}"#;
    Since { gateway: r#"{"inclusive":false}"#, path: "since", endpoint, pointer: "/timestamp" }.judge();
}

// P12.6, P12.8
#[test]
fn since_a_number_whose_event_comes_again() {
    let endpoint = r#","resume":{"parameter":"since","pointer":"/sequence","initial":"0","inclusive":true}"#;
    Since { gateway: r#"{"positions":"sequence"}"#, path: "since", endpoint, pointer: "/sequence" }.judge();
}

// P12.6, P12.8
#[test]
fn since_a_number_behind_which_the_stream_goes_on() {
    let endpoint =
        r#","resume":{"parameter":"since","pointer":"/sequence","initial":"0"},"event":{"id":"/id"}"#;
    let gateway = r#"{"positions":"sequence","inclusive":false}"#;
    Since { gateway, path: "since", endpoint, pointer: "/sequence" }.judge();
}

// P12.6, P12.8
#[test]
fn since_a_timestamp_with_events_in_arrays() {
    let endpoint =
        r#","resume":{"parameter":"since","pointer":"/timestamp"},"event":{"id":"/id","batch":true}"#;
    Since { gateway: r#"{"batch":50}"#, path: "since", endpoint, pointer: "/timestamp" }.judge();
}

// P12.6, P12.8
#[test]
fn since_a_timestamp_in_the_request_for_a_topic() {
    let endpoint = r#","auth":"firstMessage","ready":{"pointer":"/event","equals":"connected","timeoutMs":2000},
        "subscribe":{"message":"{\"topic\":\"{topic}\",\"since\":\"{cursor}\"}"},
        "resume":{"pointer":"/timestamp"}"#;
    Since { gateway: FIRST_MESSAGE, path: "first-message", endpoint, pointer: "/timestamp" }.judge();
}
