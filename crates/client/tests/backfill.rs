//! What an outage lost comes back from the REST API, in brackets, and never as if it were live.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Event, TOPIC, Told, World};
use genesys_notifications_client::{
    Backfilled, ClientState, Control, Environment, ErrorCode, Gap, Governor, GovernorConfig, Notice, Reason,
};
use serde_json::{Value, json};

const USER: &str = "00000000-0000-4000-8000-000000000001";
const CONVERSATIONS: &str = "v2.users.00000000-0000-4000-8000-000000000001.conversations";
const STATION: &str = "v2.users.00000000-0000-4000-8000-000000000001.station";
const NOW: &str = r#"{"marginMs":1000,"latencyMs":0}"#;
const LIVE: u8 = 0;
const BACKFILL: u8 = 1;

fn with(topics: &[&str], backfill: &str) -> String {
    format!(r#"{{"topics":{},"backfill":{backfill}}}"#, json!(topics))
}

/// Loses the sockets, and lets none open until the returned fault is cleared.
fn cut(world: &mut World) -> u64 {
    let fault = world
        .fault(r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":503},"times":null}"#);
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("the end of the socket", |world| world.observer.gaps().iter().any(|gap| gap.to.is_none()));
    fault
}

fn converse(world: &World, id: &str) {
    world.sim.publish(CONVERSATIONS, Some(&format!(r#"{{"id":"{id}"}}"#))).unwrap();
}

/// Until a gap is told with an outcome, or with `No` for the second time.
fn until_filled(world: &mut World) -> Gap {
    let mut filled = None;
    world.until("the last word on the gap", |world| {
        let told = gaps(&world.observer.told);
        let closed: Vec<&Gap> = told.iter().filter(|gap| gap.to.is_some()).collect();
        filled = closed
            .iter()
            .enumerate()
            .find(|(i, gap)| {
                gap.backfilled != Backfilled::No || closed[..*i].iter().any(|known| known.id == gap.id)
            })
            .map(|(_, gap)| (*gap).clone());
        filled.is_some()
    });
    filled.unwrap()
}

fn gaps(told: &[Told]) -> Vec<Gap> {
    let gap = |told: &Told| match told {
        Told::Control(Control::Notice(Notice::Gap(gap))) => Some(gap.clone()),
        _ => None,
    };
    told.iter().filter_map(gap).collect()
}

/// Gaps and events in the order they were told, in words; several of a kind in a row are one.
fn story(told: &[Told]) -> Vec<String> {
    let words = told.iter().filter_map(|told| match told {
        Told::Control(Control::Notice(Notice::Gap(gap))) => Some(match gap.to {
            None => "opened".to_owned(),
            Some(_) => format!("closed, {:?}", gap.backfilled).to_lowercase(),
        }),
        Told::Event(event) => Some(if event.origin == BACKFILL { "items" } else { "live" }.to_owned()),
        Told::Control(_) => None,
    });
    let mut story: Vec<String> = words.collect();
    story.dedup();
    story
}

fn items(world: &World) -> Vec<Event> {
    world.observer.events().into_iter().filter(|event| event.origin == BACKFILL).cloned().collect()
}

fn conversation_ids(items: &[Event]) -> BTreeSet<String> {
    let of_conversations = items.iter().filter(|item| item.topic == CONVERSATIONS);
    of_conversations.map(|item| body(item)["conversationId"].as_str().unwrap().to_owned()).collect()
}

fn body(item: &Event) -> Value {
    serde_json::from_str(item.body.as_deref().unwrap()).unwrap()
}

fn backfill_error(world: &World) -> genesys_notifications_client::ErrorReport {
    let errors = world.observer.controls().into_iter().filter_map(|control| match control {
        Control::Notice(Notice::Error(error)) if error.code == ErrorCode::BackfillFailed => {
            Some(error.clone())
        }
        _ => None,
    });
    errors.into_iter().next_back().expect("no error of backfill")
}

#[test]
fn an_outage_is_filled_in_brackets_with_what_it_lost() {
    let mut world = World::live("", &with(&[TOPIC, CONVERSATIONS], NOW));
    converse(&world, "before");
    world.until("a live event", |world| world.observer.events().len() == 1);
    let fault = cut(&mut world);
    let lost: BTreeSet<String> = (0..20).map(|n| format!("lost-{n}")).collect();
    lost.iter().for_each(|id| converse(&world, id));
    world.publish(7);
    world.sim.clear_fault(fault);
    let gap = until_filled(&mut world);

    assert_eq!((gap.id.as_str(), gap.backfilled), ("gap-1", Backfilled::Partial));
    assert_eq!(story(&world.observer.told), ["live", "opened", "closed, no", "items", "closed, partial"]);
    let items = items(&world);
    let found = conversation_ids(&items);
    assert!(found.is_superset(&lost), "{found:?}");
    assert_eq!(items.iter().filter(|item| item.topic == CONVERSATIONS).count(), found.len());
    let presence: Vec<_> = items.iter().filter(|item| item.topic == TOPIC).collect();
    assert_eq!((presence.len(), presence[0].n()), (1, 7));
    assert_eq!(body(presence[0])["userId"], USER);

    assert_eq!(world.observer.events().iter().filter(|event| event.origin == LIVE).count(), 1);
    for item in &items {
        assert_eq!(item.channel, "backfill");
        let frame: Value = serde_json::from_str(&item.text).unwrap();
        assert_eq!(frame["metadata"]["gap"], "gap-1");
        assert!(frame["metadata"]["source"].as_str().unwrap().contains(" /api/v2/"));
        assert!(frame.get("version").is_none());
    }
    assert_eq!(world.observer.client.gaps()[0].backfilled, Backfilled::Partial);
    assert!(world.observer.errors().iter().all(|error| !error.contains("backfill")));
}

#[test]
fn conversations_alone_are_whole_and_a_topic_without_a_recipe_is_not_filled() {
    for (topics, outcome) in [
        (&[CONVERSATIONS][..], Backfilled::Yes),
        (&[CONVERSATIONS, STATION], Backfilled::Partial),
        (&[STATION], Backfilled::No),
    ] {
        let mut world = World::live("", &with(topics, NOW));
        let fault = cut(&mut world);
        world.sim.clear_fault(fault);
        assert_eq!(until_filled(&mut world).backfilled, outcome, "{topics:?}");
    }
}

#[test]
fn without_the_option_nothing_is_asked() {
    let mut world = World::live("", &with(&[TOPIC], "null"));
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    world.until_events_flow();
    assert!(world.requests("userPresences").is_empty());
    assert_eq!(gaps(&world.observer.told).len(), 2);
}

#[test]
fn what_is_not_permitted_is_not_filled_and_the_permission_is_named() {
    let denied =
        r#"{"heartbeatMs":200,"deniedPaths":[{"path":"/api/v2/analytics/conversations/details/query"}]}"#;
    let mut world = World::live(denied, &with(&[CONVERSATIONS], NOW));
    let fault = cut(&mut world);
    converse(&world, "lost");
    world.sim.clear_fault(fault);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::No);
    assert!(items(&world).is_empty());
    let error = backfill_error(&world);
    assert_eq!((error.status, error.retryable), (Some(403), false));
    assert!(error.message.contains("analytics:conversationDetail:view"), "{}", error.message);
    assert!(error.hint.unwrap().contains("analytics:conversationDetail:view"));
    assert_eq!(world.requests("conversationDetails").len(), 1, "a refusal is not tried again");
}

#[test]
fn a_wait_that_the_service_asks_for_is_kept_and_holds_up_no_reconnect() {
    let mut world = World::live("", &with(&[CONVERSATIONS], NOW));
    world.fault(
        r#"{"match":{"operation":"conversationDetails"},"action":{"kind":"status","status":429,"retryAfter":3}}"#,
    );
    let fault = cut(&mut world);
    converse(&world, "lost");
    world.sim.clear_fault(fault);
    world.until("the refusal", |world| {
        world.requests("conversationDetails").iter().any(|request| request.status == Some(429))
    });
    world.until_connected();
    // A second outage while backfill waits.
    let begin = Instant::now();
    let sockets = world.sim.log().sockets.len();
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("another socket", |world| world.sim.log().sockets.len() > sockets);
    world.until_connected();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(world.requests("conversationDetails").len(), 1);

    let gap = until_filled(&mut world);
    assert_eq!((gap.id.as_str(), gap.backfilled), ("gap-1", Backfilled::Yes));
    assert!(conversation_ids(&items(&world)).contains("lost"));
    let requests = world.requests("conversationDetails");
    assert!(requests[1].at >= requests[0].at + 3_000, "{} ms", requests[1].at - requests[0].at);
}

#[test]
fn permits_for_a_reconnect_are_left_over() {
    let config =
        GovernorConfig { channel_burst: 20, channel_interval_ms: 1, rest_burst: 10, rest_interval_ms: 2_000 };
    let governor = Arc::new(Mutex::new(Governor::new(config)));
    let topics: Vec<String> = (0..40).map(|n| format!("v2.users.u{n}.routingStatus")).collect();
    let options = with(&topics.iter().map(String::as_str).collect::<Vec<_>>(), NOW);
    let environment = Environment::default().with_governor(governor);
    let mut world = World::in_environment(environment, "", &options);
    world.observer.client.connect().unwrap();
    world.until_connected();
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    // All that may be spent is spent.
    let mut asked = (0, Instant::now());
    world.until("the end of what backfill may take at once", |world| {
        let requests = world.requests("userRoutingStatus").len();
        if requests > asked.0 {
            asked = (requests, Instant::now());
        }
        asked.0 > 0 && asked.1.elapsed() > Duration::from_millis(400)
    });
    assert!(asked.0 < 10, "{}", asked.0);
    let (begin, channels) = (Instant::now(), world.requests("createChannel").len());
    world.observer.client.reconnect();
    world.until("a new channel", |world| world.requests("createChannel").len() > channels);
    world.until_connected();
    // A new channel and its subscriptions are two permits, of which there is one in 2 s.
    assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
}

#[test]
fn pages_that_shift_lose_nothing() {
    let sim = r#"{"heartbeatMs":200,"lateConversations":3,"totalHitsOff":2}"#;
    let mut world = World::live(sim, &with(&[CONVERSATIONS], NOW));
    let fault = cut(&mut world);
    let lost: BTreeSet<String> = (0..230).map(|n| format!("lost-{n:03}")).collect();
    lost.iter().for_each(|id| converse(&world, id));
    world.sim.clear_fault(fault);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::Partial);
    let items = items(&world);
    assert_eq!(conversation_ids(&items), lost);
    assert_eq!(items.len(), lost.len(), "each once");
}

#[test]
fn a_failing_service_is_asked_again_a_few_times() {
    let mut world = World::live("", &with(&[TOPIC], NOW));
    let failing =
        r#"{"match":{"operation":"userPresences"},"action":{"kind":"status","status":503},"times":1}"#;
    world.fault(failing);
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::Partial);
    let requests = world.requests("userPresences");
    assert_eq!(requests.iter().map(|r| r.status.unwrap()).collect::<Vec<_>>(), [503, 200]);
    assert!(requests[1].at >= requests[0].at + 1_000);
}

#[test]
fn the_callers_function_calls_the_api_and_fills_the_gap() {
    let backfill = r#"{"recipes":[],"custom":true}"#;
    let mut world = World::live("", &with(&[TOPIC, STATION], backfill));
    let fault = cut(&mut world);
    world.publish(9);
    world.sim.clear_fault(fault);
    let asked = |world: &World| {
        world.observer.controls().into_iter().find_map(|control| match control {
            Control::BackfillRequest(gap) => Some(gap.clone()),
            _ => None,
        })
    };
    world.until("the request", |world| asked(world).is_some());
    let gap = asked(&world).unwrap();
    assert_eq!(gap.topics.len(), 2);

    let answer = |world: &mut World, method: &str, path: &str, body: Option<&str>| {
        let number = world.observer.client.backfill_api_call(method, path, body.map(str::to_owned));
        let mut found = None;
        world.until("the answer", |world| {
            found = world.observer.controls().into_iter().find_map(|control| match control {
                Control::ApiAnswer { call, answer } if *call == number => Some(answer.clone()),
                _ => None,
            });
            found.is_some()
        });
        found.unwrap()
    };
    let path = format!("/api/v2/users/presences/purecloud/bulk?id={USER}");
    let (status, text) = answer(&mut world, "GET", &path, None).unwrap();
    assert_eq!(status, 200);
    let presences: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(presences[0]["n"], 9);
    for (method, path) in
        [("DELETE", "/api/v2/users"), ("GET", "/api/v2/../../oauth/token"), ("GET", "http://x/api/v2/a")]
    {
        assert_eq!(answer(&mut world, method, path, None).unwrap_err().code, ErrorCode::BackfillFailed);
    }
    let error = answer(&mut world, "POST", "/api/v2/users/nobody/routingstatus", Some("{}")).unwrap_err();
    assert_eq!(error.status, Some(405));

    let client = &world.observer.client;
    let refused =
        |gap: &str, topic: &str, body: &str| client.backfill_item(gap, topic, body).unwrap_err().path;
    assert_eq!(refused("gap-9", STATION, "{}"), "gap");
    assert_eq!(refused(&gap.id, CONVERSATIONS, "{}"), "topicName");
    assert_eq!(refused(&gap.id, STATION, "{"), "eventBody");
    assert_eq!(client.backfill_item(&gap.id, STATION, r#"{"n": 1}"#), Ok(None));
    assert_eq!(client.backfill_item(&gap.id, TOPIC, &presences[0].to_string()), Ok(None));
    client.backfill_done(&gap.id, Backfilled::Yes);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::Yes);
    assert_eq!(story(&world.observer.told), ["opened", "closed, no", "items", "closed, yes"]);
    assert_eq!(items(&world).iter().map(Event::n).collect::<Vec<_>>(), [1, 9]);
    assert_eq!(world.observer.client.backfill_item(&gap.id, STATION, "{}").unwrap_err().path, "gap");
}

#[test]
fn a_full_queue_makes_the_callers_function_wait() {
    let options = format!(
        r#"{{"topics":["{TOPIC}"],"backfill":{{"recipes":[],"custom":true}},"queue":{{"maxEvents":3}}}}"#
    );
    let mut world = World::live("", &options);
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    let requested = |world: &mut World| {
        world.observer.controls().iter().any(|control| matches!(control, Control::BackfillRequest(_)))
    };
    world.until("the request", requested);
    let give = |world: &World, n: u64| {
        world.observer.client.backfill_item("gap-1", TOPIC, &format!(r#"{{"n":{n}}}"#)).unwrap()
    };
    world.observer.is_busy = true;
    assert_eq!((give(&world, 1), give(&world, 2)), (None, None));
    let wait = give(&world, 3).expect("no room");
    world.observer.is_busy = false;
    world.until("room", |world| {
        let answer = |control: &&Control| matches!(control, Control::ApiAnswer { call, answer: Ok(_) } if *call == wait);
        world.observer.controls().iter().any(answer)
    });
    assert_eq!(items(&world).iter().map(Event::n).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(give(&world, 4), None);
}

#[test]
fn closing_ends_a_backfill_that_waits() {
    let mut world = World::live("", &with(&[CONVERSATIONS], NOW));
    world.fault(r#"{"match":{"operation":"conversationDetails"},"action":{"kind":"stall"},"times":null}"#);
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    world.until("the call", |world| !world.requests("conversationDetails").is_empty());
    let begin = Instant::now();
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(world.observer.client.state(), ClientState::Closed);
}

#[test]
fn gaps_of_an_earlier_run_and_the_time_between_are_filled_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal").join("events.db");
    let options = |backfill: &str| {
        format!(
            r#"{{"topics":["{CONVERSATIONS}"],"backfill":{backfill},"journal":{{"path":"{}"}}}}"#,
            path.display()
        )
    };
    let mut world = World::live("", &options("null"));
    let fault = cut(&mut world);
    converse(&world, "lost in the outage");
    world.sim.clear_fault(fault);
    world.until_connected();
    world.until("the gap's end", |world| world.observer.gaps().iter().all(|gap| gap.to.is_some()));
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    let World { sim, observer } = world;
    drop(observer);
    sim.publish(CONVERSATIONS, Some(r#"{"id":"lost between"}"#)).unwrap();

    let mut world = World::on(sim, &options(NOW));
    world.observer.client.connect().unwrap();
    world.until("both filled", |world| {
        let gaps = world.observer.client.gaps();
        gaps.len() == 2 && gaps.iter().all(|gap| gap.backfilled == Backfilled::Yes)
    });
    let gaps = world.observer.client.gaps();
    assert!(gaps.iter().any(|gap| gap.reason == Reason::ProcessDown), "{gaps:?}");
    world.until("the last word", |world| {
        world.observer.gaps().iter().filter(|gap| gap.backfilled == Backfilled::Yes).count() == 2
    });
    let found = conversation_ids(&items(&world));
    assert!(found.contains("lost in the outage") && found.contains("lost between"), "{found:?}");
    let sequences: Vec<u64> = world.observer.events().iter().map(|event| event.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "{sequences:?}");
}

#[test]
fn a_wait_of_hours_ends_a_backfill_and_is_kept_by_the_next() {
    let mut world = World::live("", &with(&[TOPIC, CONVERSATIONS], NOW));
    world.fault(
        r#"{"match":{"operation":"userPresences"},"action":{"kind":"status","status":429,"retryAfter":7200}}"#,
    );
    let fault = cut(&mut world);
    world.sim.clear_fault(fault);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::No);
    assert_eq!(world.requests("userPresences").len(), 1);
    assert!(world.requests("conversationDetails").is_empty(), "the wait holds for every call");
    assert!(backfill_error(&world).message.contains(" s"), "{:?}", world.observer.errors());
    world.until_events_flow();
}

#[test]
fn items_do_not_push_events_out_of_a_queue_that_drops() {
    let options = format!(
        r#"{{"topics":["{CONVERSATIONS}"],"backfill":{NOW},"queue":{{"maxEvents":10,"onFull":"dropOldest"}}}}"#
    );
    let mut world = World::live("", &options);
    let fault = cut(&mut world);
    let lost: BTreeSet<String> = (0..40).map(|n| format!("lost-{n}")).collect();
    lost.iter().for_each(|id| converse(&world, id));
    world.sim.clear_fault(fault);
    assert_eq!(until_filled(&mut world).backfilled, Backfilled::Yes);
    assert_eq!(conversation_ids(&items(&world)), lost);
    assert_eq!(world.observer.client.stats().dropped, 0);
}
