use serde_json::{Value, json};

use super::*;
use crate::failure::HttpFailure;
use crate::notice::{Certainty, Reason};

/// 2030-01-02T12:00:00Z
const FROM: u64 = 1_893_585_600_000;
const TO: u64 = FROM + 600_000;
const NOW: u64 = TO + 1_000;
const SECOND: u64 = 1_000;

fn gap(topics: &[&str]) -> Gap {
    Gap {
        id: "gap-3".into(),
        from: FROM,
        to: Some(TO),
        reason: Reason::ConnectionLost,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        certainty: Certainty::Certain,
        backfilled: Backfilled::No,
    }
}

fn plan(topics: &[&str]) -> Plan {
    Plan::new(&gap(topics), &BackfillConfig::default(), NOW)
}

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
}

fn page(request: &Request) -> u64 {
    body(request)["paging"]["pageNumber"].as_u64().unwrap()
}

fn http(status: u16, message: &str) -> Failure {
    Failure::Http(HttpFailure { status, message: Some(message.into()), ..HttpFailure::default() })
}

/// A conversation of user u with one segment, seconds after the beginning of the gap.
fn conversation(id: &str, from: i64, to: Option<i64>) -> Value {
    let at = |seconds: i64| date::iso(FROM.saturating_add_signed(seconds * 1_000));
    let mut segment = json!({ "segmentStart": at(from), "queueId": "Q" });
    let mut told = json!({ "conversationId": id, "conversationStart": at(from) });
    if let Some(to) = to {
        segment["segmentEnd"] = at(to).into();
        told["conversationEnd"] = at(to).into();
    }
    let session = json!({ "mediaType": "voice", "segments": [segment] });
    told["participants"] = json!([{ "purpose": "customer" }, { "userId": "u", "sessions": [session] }]);
    told
}

fn hits(conversations: &[Value], total: usize) -> String {
    json!({ "conversations": conversations, "totalHits": total }).to_string()
}

fn ids(items: &[Item]) -> Vec<String> {
    let id = |item: &Item| {
        let body: Value = serde_json::from_str(&item.body).unwrap();
        body["conversationId"].as_str().unwrap().to_owned()
    };
    items.iter().map(id).collect()
}

#[test]
fn topics_know_their_recipes() {
    let table = [
        ("v2.users.u.conversations", Some(Recipe::Conversations)),
        ("v2.users.u.conversations.calls", Some(Recipe::Conversations)),
        ("v2.routing.queues.q.conversations.emails", Some(Recipe::Conversations)),
        ("v2.detail.events.conversation.c.acd.start", Some(Recipe::Conversations)),
        ("v2.users.u.presence", Some(Recipe::Presence)),
        ("v2.users.u.routingStatus", Some(Recipe::RoutingStatus)),
        ("v2.users.u.activity", Some(Recipe::Activity)),
        ("v2.analytics.queues.q.observations", Some(Recipe::QueueObservations)),
        ("v2.operations.events.e", Some(Recipe::UsageEvents)),
        ("v2.users.u.station", None),
        ("v2.users.u.conversations.summaries", None),
        ("v2.users.u.conversations.c.recordings", None),
        ("v2.conversations.c.transcription", None),
        ("v2.detail.events.conversation.c", None),
    ];
    for (topic, recipe) in table {
        assert_eq!(Recipe::of(topic), recipe, "{topic}");
    }
}

#[test]
fn what_cannot_be_asked_is_not_filled() {
    let old = NOW + OLDEST_MS;
    let mut open = gap(&["v2.users.u.presence"]);
    open.to = None;
    let none = BackfillConfig { recipes: vec![Recipe::UsageEvents], ..BackfillConfig::default() };
    let all = BackfillConfig::default();
    for plan in [
        plan(&["v2.users.u.station"]),
        Plan::new(&gap(&["v2.users.u.presence"]), &all, old),
        Plan::new(&gap(&["v2.users.u.presence"]), &none, NOW),
        Plan::new(&open, &all, NOW),
        plan(&[]),
    ] {
        assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::No));
    }
}

#[test]
fn conversations_are_asked_for_later_from_two_days_before_and_are_whole_when_all_was_seen() {
    let mut plan = plan(&["v2.users.u.conversations", "v2.routing.queues.q.conversations.calls"]);
    assert_eq!(plan.outcome(), Backfilled::No);
    let request = plan.next().unwrap();
    assert_eq!(request.not_before, TO + 60 * SECOND);
    assert_eq!(request.path, "/api/v2/analytics/conversations/details/query");
    let asked = body(&request);
    assert_eq!(asked["interval"], "2029-12-31T11:59:00.000Z/2030-01-02T12:11:00.000Z");
    let predicates = &asked["segmentFilters"][0]["predicates"];
    assert_eq!((&predicates[0]["dimension"], &predicates[0]["value"]), (&json!("userId"), &json!("u")));
    assert_eq!((&predicates[1]["dimension"], &predicates[1]["value"]), (&json!("queueId"), &json!("q")));

    let within = [
        conversation("over", 100, Some(200)),
        conversation("in the margin", -100, Some(-60)),
        conversation("still open", -80_000, None),
        conversation("across", -5_000, Some(5_000)),
    ];
    let without = [conversation("before", -200, Some(-61)), conversation("after", 661, Some(700))];
    let all: Vec<Value> = within.iter().chain(&without).cloned().collect();
    let items = plan.answer(Ok(&hits(&all, 6)), NOW);
    let mut expected = Vec::new();
    for conversation in within {
        // One for each topic it concerns: the user's and the queue's.
        let id = conversation["conversationId"].as_str().unwrap().to_owned();
        expected.extend([id.clone(), id]);
    }
    assert_eq!(ids(&items), expected);
    assert_eq!(items[0].topic, "v2.users.u.conversations");
    assert_eq!(items[1].topic, "v2.routing.queues.q.conversations.calls");
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Yes));
}

#[test]
fn a_conversation_goes_to_the_topics_it_concerns_only() {
    let topics = [
        "v2.users.u.conversations.chats",
        "v2.users.other.conversations",
        "v2.routing.queues.other.conversations",
        "v2.users.u.conversations.calls",
    ];
    let mut plan = plan(&topics);
    let items = plan.answer(Ok(&hits(&[conversation("c", 0, None)], 1)), NOW);
    assert_eq!(items.iter().map(|item| item.topic.as_str()).collect::<Vec<_>>(), [topics[3]]);
}

#[test]
fn single_conversations_are_asked_for_by_id() {
    let mut plan = plan(&["v2.detail.events.conversation.c.acw", "v2.detail.events.conversation.c.wrapup"]);
    let asked = body(&plan.next().unwrap());
    assert!(asked.get("segmentFilters").is_none());
    let predicates = asked["conversationFilters"][0]["predicates"].as_array().unwrap().clone();
    assert_eq!(predicates.len(), 1);
    assert_eq!(
        (&predicates[0]["dimension"], &predicates[0]["value"]),
        (&json!("conversationId"), &json!("c"))
    );
    assert_eq!(plan.answer(Ok(&hits(&[conversation("c", 0, None)], 1)), NOW).len(), 2);
}

#[test]
fn pages_that_shift_lose_nothing() {
    let all: Vec<Value> = (0..250).map(|n| conversation(&format!("c{n:03}"), 0, Some(1))).collect();
    // Three of the oldest come in while the pages are read: what was on page 1 moves to page 2.
    let mut plan = plan(&["v2.users.u.conversations"]);
    let mut seen = Vec::new();
    let mut late = 3;
    let mut requests = 0;
    let mut not_before = Vec::new();
    while let Some(request) = plan.next() {
        let there = &all[late..];
        let from = (page(&request) as usize - 1) * 100;
        let part = there.get(from..(from + 100).min(there.len())).unwrap_or_default();
        seen.extend(ids(&plan.answer(Ok(&hits(part, 250)), NOW)));
        late = late.saturating_sub(1);
        requests += 1;
        not_before.push(request.not_before);
    }
    seen.sort();
    let expected: Vec<_> = (0..250).map(|n| format!("c{n:03}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(plan.outcome(), Backfilled::Yes);
    assert!(requests <= 7, "{requests}");
    assert_eq!(not_before.last(), Some(&(NOW + 60 * SECOND)), "the second pass is later");
}

#[test]
fn hits_that_never_come_are_looked_for_once_more_and_believed_to_be_none() {
    let mut plan = plan(&["v2.users.u.conversations"]);
    let answer = hits(&[conversation("c", 0, Some(1))], 2);
    let mut pages = Vec::new();
    while let Some(request) = plan.next() {
        pages.push(page(&request));
        let answer = if page(&request) == 1 { answer.clone() } else { r#"{"totalHits":2}"#.into() };
        plan.answer(Ok(&answer), NOW);
    }
    assert_eq!((pages, plan.outcome()), (vec![1, 2, 1, 2], Backfilled::Yes));
}

#[test]
fn what_still_comes_in_at_the_second_look_makes_it_partial() {
    let mut plan = plan(&["v2.users.u.conversations"]);
    let mut n = 0;
    while plan.next().is_some() {
        n += 1;
        let answer =
            if n % 2 == 1 { hits(&[conversation(&format!("c{n}"), 0, None)], 9) } else { hits(&[], 9) };
        plan.answer(Ok(&answer), NOW);
    }
    assert_eq!((n, plan.outcome()), (4, Backfilled::Partial));
}

#[test]
fn an_endless_answer_ends() {
    let mut plan = plan(&["v2.users.u.conversations"]);
    let mut requests = 0;
    while plan.next().is_some() {
        let all: Vec<Value> = (0..100).map(|n| conversation(&format!("c{requests}-{n}"), 0, None)).collect();
        plan.answer(Ok(&hits(&all, usize::MAX)), NOW);
        requests += 1;
    }
    assert_eq!((requests, plan.outcome()), (100, Backfilled::Partial));
}

#[test]
fn as_many_as_the_pages_hold_are_whole() {
    let mut plan = plan(&["v2.users.u.conversations"]);
    let mut items = 0;
    while let Some(request) = plan.next() {
        let page = page(&request);
        let all: Vec<Value> = (0..100).map(|n| conversation(&format!("c{page}-{n}"), 0, None)).collect();
        items += plan.answer(Ok(&hits(&all, 10_000)), NOW).len();
    }
    assert_eq!((items, plan.outcome()), (10_000, Backfilled::Yes));
}

#[test]
fn a_flood_of_items_ends_and_is_told() {
    let topics: Vec<String> = (0..49).map(|n| format!("v2.detail.events.conversation.c{n}.acw")).collect();
    let mut topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    topics.push("v2.operations.events.e");
    let mut plan = plan(&topics);
    let padding = "x".repeat(1 << 20);
    let events =
        format!(r#"{{"entities":[{{"eventDefinition":{{"id":"e"}},"p":"{padding}"}}],"nextUri":"/x?after="#);
    let (mut items, mut requests) = (0, 0);
    while plan.next().is_some() {
        requests += 1;
        items += plan.answer(Ok(&format!(r#"{events}{requests}"}}"#)), NOW).len();
    }
    assert_eq!((items, plan.outcome()), (64, Backfilled::Partial));
    assert!(plan.take_reports()[0].message.contains("64 MiB"));
}

#[test]
fn the_state_of_users_is_read_in_portions_and_is_partial() {
    let presences: Vec<String> = (0..51).map(|n| format!("v2.users.u{n}.presence")).collect();
    let mut topics: Vec<&str> = presences.iter().map(String::as_str).collect();
    topics.extend(["v2.users.a+b.routingStatus", "v2.users.u1.activity"]);
    let mut plan = plan(&topics);
    let first = plan.next().unwrap();
    assert_eq!((first.path.as_str(), first.not_before), ("/api/v2/users/presences/purecloud/bulk", 0));
    assert_eq!(first.query.matches("id=").count(), 50);
    let items = plan.answer(Ok(r#"[{"userId":"u7","n":1.50},{"userId":"stranger"}]"#), NOW);
    let expected = Item {
        topic: "v2.users.u7.presence".into(),
        body: r#"{"userId":"u7","n":1.50}"#.into(),
        source: "GET /api/v2/users/presences/purecloud/bulk",
    };
    assert_eq!(items, [expected]);
    assert_eq!(plan.next().unwrap().query, "id=u50");
    plan.answer(Ok("[]"), NOW);

    let second = plan.next().unwrap();
    assert_eq!(second.path, "/api/v2/users/a%2Bb/routingstatus");
    let items = plan.answer(Ok(r#" {"status":"IDLE"} "#), NOW);
    assert_eq!(
        (items[0].topic.as_str(), items[0].body.as_str()),
        ("v2.users.a+b.routingStatus", r#"{"status":"IDLE"}"#)
    );

    let third = plan.next().unwrap();
    assert_eq!(third.query, "id=u1&expand=presence,routingStatus,outOfOffice&pageSize=100");
    let items = plan
        .answer(Ok(r#"{"entities":[{"id":"u1","email":"e","presence":{"x":1},"routingStatus":{}}]}"#), NOW);
    assert_eq!(items[0].body, r#"{"id":"u1","presence":{"x":1},"routingStatus":{},"outOfOffice":null}"#);
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Partial));
    assert!(plan.take_reports().is_empty());
}

#[test]
fn one_unknown_user_does_not_cost_the_others_their_presence() {
    let mut plan = plan(&["v2.users.a.presence", "v2.users.b.presence"]);
    plan.answer(Err(http(404, "The specified user was not found")), NOW);
    assert_eq!(plan.next().unwrap().path, "/api/v2/users/a/presences/purecloud");
    assert!(plan.answer(Err(http(404, "The specified user was not found")), NOW).is_empty());
    let items = plan.answer(Ok(r#"{"source":"PURECLOUD"}"#), NOW);
    assert_eq!(
        (items[0].topic.as_str(), items[0].source),
        ("v2.users.b.presence", "GET /api/v2/users/{userId}/presences/purecloud")
    );
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Partial));
    assert!(plan.take_reports().is_empty());
}

#[test]
fn queues_are_observed_now() {
    let mut plan = plan(&["v2.analytics.queues.q.observations"]);
    let asked = body(&plan.next().unwrap());
    assert_eq!(asked["filter"]["predicates"][0]["value"], "q");
    assert_eq!(asked["metrics"].as_array().unwrap().len(), 11);
    let answer = r#"{"results":[{"group":{"queueId":"q","mediaType":"voice"},"data":[]},{"group":{"queueId":"q"}},{"group":{}}]}"#;
    assert_eq!(plan.answer(Ok(answer), NOW).len(), 2);
    assert_eq!(plan.outcome(), Backfilled::Partial);
}

#[test]
fn usage_events_are_replayed_by_their_cursor_and_whole() {
    let mut plan = plan(&["v2.operations.events.e1", "v2.operations.events.e2"]);
    let first = plan.next().unwrap();
    assert_eq!(first.query, "pageSize=200");
    assert_eq!(body(&first)["interval"], "2030-01-02T11:59:00.000Z/2030-01-02T12:11:00.000Z");
    assert_eq!(body(&first)["eventDefinitionIds"], json!(["e1", "e2"]));
    let answer = r#"{"entities":[{"eventDefinition":{"id":"e2"},"n":1}],"nextUri":"https://evil.example/x?pageSize=1&after=a%3D#b"}"#;
    let items = plan.answer(Ok(answer), NOW);
    assert_eq!(items[0].topic, "v2.operations.events.e2");
    let second = plan.next().unwrap();
    assert_eq!(
        (second.path.as_str(), second.query.as_str()),
        ("/api/v2/usage/events/query", "pageSize=200&after=a%253D%23b")
    );
    plan.answer(Ok(r#"{"entities":[]}"#), NOW);
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Yes));
}

#[test]
fn a_family_that_is_not_permitted_is_not_filled_and_the_permission_is_named() {
    let mut plan = plan(&["v2.users.u.presence", "v2.users.u.conversations"]);
    plan.answer(Ok(r#"[{"userId":"u"}]"#), NOW);
    let words = "You are missing the following permission(s): [analytics:conversationDetail:view]";
    plan.answer(Err(http(403, words)), NOW);
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Partial));
    let reports = plan.take_reports();
    assert_eq!(
        (reports.len(), reports[0].code, reports[0].status),
        (1, ErrorCode::BackfillFailed, Some(403))
    );
    assert!(reports[0].message.contains("gap-3") && reports[0].message.contains(words));
    assert!(reports[0].hint.as_deref().unwrap().contains("analytics:conversationDetail:view"));

    let mut alone = self::plan(&["v2.users.u.conversations"]);
    alone.answer(Err(http(403, words)), NOW);
    assert_eq!(alone.outcome(), Backfilled::No);
}

#[test]
fn a_failure_gives_up_its_family_and_keeps_what_there_is() {
    let mut plan =
        plan(&["v2.users.u.conversations", "v2.users.a.routingStatus", "v2.users.b.routingStatus"]);
    assert!(plan.answer(Ok("[]"), NOW).len() == 1);
    plan.answer(Err(http(500, "oops")), NOW);
    let first: Vec<Value> = (0..100).map(|n| conversation(&format!("c{n}"), 0, None)).collect();
    assert_eq!(plan.answer(Ok(&hits(&first, 200)), NOW).len(), 100);
    plan.answer(Ok("<html>"), NOW);
    assert_eq!((plan.next(), plan.outcome()), (None, Backfilled::Partial));
    let codes: Vec<_> = plan.take_reports().iter().map(|report| report.message.clone()).collect();
    assert_eq!(codes.len(), 2);
    assert!(codes[1].contains("holds no conversations"), "{codes:?}");
}

#[test]
fn mixed_gaps_are_partial_even_if_all_that_was_asked_is_whole() {
    let mut plan = plan(&["v2.operations.events.e", "v2.users.u.station"]);
    plan.answer(Ok(r#"{"entities":[]}"#), NOW);
    assert_eq!(plan.outcome(), Backfilled::Partial);
}
