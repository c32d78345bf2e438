//! One bad topic harms no other (P7).

use genesys_notifications_proto::{ClientState, Config, Effect, ErrorCode, Limits, TopicChange, TopicState};

use crate::common::service::Refusal;
use crate::common::world::World;
use crate::stage::{A, B, HOUR, MINUTE, SECOND, connected, connecting, socket, until_connected};

const C: &str = "v2.users.c.presence";

fn refusing(refusal: Refusal, forbidden: &[&str], wanted: &[&str]) -> World {
    let mut world = World::new(Config::default(), 7);
    world.service.refusal = refusal;
    for name in forbidden {
        let number = world.service.number(name);
        world.service.forbidden.insert(number);
    }
    world.subscribe(wanted);
    world.connect();
    until_connected(&mut world);
    world.run_for(10 * SECOND);
    world
}

fn state_of(world: &World, name: &str) -> TopicState {
    let status = world.machine.topics().into_iter().find(|status| status.topic == name);
    status.expect("it is wanted").state
}

// P7.1
#[test]
fn a_rejected_topic_says_why_and_the_others_are_live() {
    let world = refusing(Refusal::PerTopic, &[B], &[A, B, C]);
    assert_eq!(
        [A, B, C].map(|name| state_of(&world, name)),
        [TopicState::Subscribed, TopicState::Rejected, TopicState::Subscribed]
    );
    let status = world.machine.topics().into_iter().find(|status| status.topic == B).expect("it is wanted");
    assert_eq!(status.reason.as_deref(), Some("forbidden"));
    assert_eq!(status.missing_permissions, Some(vec!["a:b:view".to_owned()]));
    assert_eq!(world.record.subscriptions().len(), 1);
}

// P7.3
#[test]
fn a_combined_name_refused_as_a_whole_is_asked_for_topic_by_topic() {
    let wanted = ["v2.users.a.presence", "v2.users.a.station", B];
    let world = refusing(Refusal::PerName, &["v2.users.a.station"], &wanted);
    let lists = world.record.subscriptions();
    assert!(lists[0].1.contains(&"v2.users.a?presence&station".to_owned()), "{lists:?}");
    assert_eq!(
        wanted.map(|name| state_of(&world, name)),
        [TopicState::Subscribed, TopicState::Rejected, TopicState::Subscribed]
    );
    assert_eq!(lists.len(), 2);
}

// P7.3
#[test]
fn a_list_refused_as_a_whole_is_halved_until_the_topic_at_fault_stands_alone() {
    let names: Vec<String> = (0..64).map(|i| format!("v2.users.u{i}.presence")).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    for status in [400, 403, 413] {
        let world = refusing(Refusal::WholeCall(status), &["v2.users.u40.presence"], &wanted);
        assert_eq!(state_of(&world, "v2.users.u40.presence"), TopicState::Rejected);
        let subscribed =
            world.machine.topics().iter().filter(|status| status.state == TopicState::Subscribed).count();
        assert_eq!(subscribed, 63);
        assert!(world.record.subscriptions().len() <= 14, "{}", world.record.subscriptions().len());
        let key = crate::stage::channel(&world, socket(&world));
        assert_eq!(world.service.channels[&key].topics.len(), 63);
    }
}

#[test]
fn the_only_topic_refused_on_a_live_channel_leaves_an_empty_list() {
    let mut world = connected(&[A]);
    world.service.refusal = Refusal::WholeCall(400);
    let c = world.service.number(C);
    world.service.forbidden.insert(c);
    world.change(TopicChange::Replace, &[C]);
    world.run_for(10 * SECOND);
    let key = crate::stage::channel(&world, socket(&world));
    assert!(world.service.channels[&key].topics.is_empty());
    assert_eq!(state_of(&world, C), TopicState::Rejected);
}

#[test]
fn a_change_during_the_halving_starts_with_a_new_list() {
    let mut world = connected(&[A]);
    world.service.refusal = Refusal::WholeCall(400);
    let c = world.service.number(C);
    world.service.forbidden.insert(c);
    world.subscribe(&[B, C]);
    world.run_until(MINUTE, |world| world.record.subscriptions().len() == 3);
    world.subscribe(&["v2.users.d.presence"]);
    world.run_for(10 * SECOND);
    let lists = world.record.subscriptions().len();
    world.run_for(HOUR);
    assert_eq!(world.record.subscriptions().len(), lists, "it comes to rest");
    assert_eq!(state_of(&world, "v2.users.d.presence"), TopicState::Subscribed);
}

// P7.4
#[test]
fn a_topic_left_out_of_three_answers_is_rejected() {
    let world = refusing(Refusal::LeftOut, &[B], &[A, B]);
    assert_eq!([A, B].map(|name| state_of(&world, name)), [TopicState::Subscribed, TopicState::Rejected]);
    assert_eq!(world.record.subscriptions().len(), 3);
}

// S4
#[test]
fn a_client_of_which_every_topic_is_refused_at_first_fails() {
    let mut world = connecting(Config::default(), &[A, B]);
    let numbers = [A, B].map(|name| world.service.number(name));
    world.service.forbidden.extend(numbers);
    world.run_for(MINUTE);
    assert_eq!(world.state(), ClientState::Failed);
    assert_eq!(world.record.errors().pop().map(|error| error.code), Some(ErrorCode::AllTopicsRejected));
}

// P7.2
#[test]
fn each_new_channel_asks_for_refused_topics_again() {
    let mut world = refusing(Refusal::PerTopic, &[B], &[A, B]);
    world.service.forbidden.clear();
    world.rotate();
    world.run_for(MINUTE);
    assert_eq!(state_of(&world, B), TopicState::Subscribed);
}

// P7.6
#[test]
fn twelve_hundred_topics_need_two_channels_and_one_forbidden_harms_no_other() {
    let names: Vec<String> = (0..1_200).map(|i| format!("v2.users.u{i}.presence")).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = refusing(Refusal::WholeCall(400), &["v2.users.u777.presence"], &wanted);
    assert_eq!((world.record.creations().len(), world.wires.open_here().len()), (2, 2));
    let stats = world.machine.stats(world.clock.now());
    assert_eq!((stats.topics.wanted, stats.topics.subscribed, stats.topics.rejected), (1_200, 1_199, 1));
    assert!(world.record.subscriptions().iter().all(|(_, topics)| topics.len() <= 1_000));
}

// P7.6
#[test]
fn topics_that_do_not_fit_are_refused_with_an_error() {
    let limits = Limits { topics_per_channel: 1, channels: 2, ..Limits::default() };
    let mut world = connecting(Config { limits, ..Config::default() }, &[A, B, C]);
    until_connected(&mut world);
    assert_eq!(world.machine.topics().len(), 2);
    assert!(
        world.record.errors().iter().any(|error| error.code == ErrorCode::TooManyTopics && !error.retryable)
    );
    let refused = world.record.topics().into_iter().find(|status| status.topic == C).expect("it is told");
    assert_eq!(refused.state, TopicState::Rejected);
}

#[test]
fn changes_are_gathered_for_50_to_250_ms_and_one_request_is_in_flight() {
    let mut world = connected(&[A]);
    let start = world.clock.now().mono;
    let names: Vec<String> = (0..30).map(|i| format!("v2.users.n{i}.presence")).collect();
    for name in &names {
        world.subscribe(&[name.as_str()]);
        world.run_for(20);
    }
    world.run_for(SECOND);
    let sent: Vec<u64> = world.record.subscriptions()[1..].iter().map(|(at, _)| at - start).collect();
    assert!((3..=4).contains(&sent.len()), "{sent:?}");
    assert!(sent[0] <= 250 && world.machine.topics().len() == 31);
    let request = world.subscribe(&[B]);
    let asked = world.clock.now().mono;
    world.run_until(SECOND, |world| !world.unsettled.contains(&request));
    let last = world.record.subscriptions().pop().expect("some").0;
    assert_eq!(last - asked, 50);
}

#[test]
fn an_unsubscribed_topic_is_no_longer_delivered_and_leaves_the_list() {
    let mut world = connected(&[A, B]);
    let (a, b) = (world.service.number(A), world.service.number(B));
    let request = world.unsubscribe(&[A]);
    assert!(!world.unsettled.contains(&request));
    world.publish(a, None);
    world.publish(b, None);
    world.run_for(SECOND);
    assert_eq!(world.record.delivered.iter().map(|(_, topic)| *topic).collect::<Vec<_>>(), [b]);
    let key = crate::stage::channel(&world, socket(&world));
    assert_eq!(world.service.channels[&key].topics.iter().copied().collect::<Vec<_>>(), [b]);
}

// P7.5
#[test]
fn a_topic_is_recognised_whatever_its_case() {
    let mut world = connected(&["v2.users.a.routingStatus"]);
    world.unsubscribe(&["v2.users.a.routingStatus"]);
    world.subscribe(&["v2.users.a.ROUTINGSTATUS"]);
    world.run_for(SECOND);
    let topic = world.service.number("v2.users.a.routingstatus");
    world.publish(topic, None);
    world.run_for(SECOND);
    assert_eq!(world.record.delivered.len(), 1);
    assert_eq!(state_of(&world, "v2.users.a.ROUTINGSTATUS"), TopicState::Subscribed);
}

#[test]
fn a_topic_that_moves_to_another_channel_is_delivered_once() {
    let limits = Limits { topics_per_channel: 1, ..Limits::default() };
    let mut world = connecting(Config { limits, ..Config::default() }, &[A, B]);
    until_connected(&mut world);
    world.unsubscribe(&[A]);
    world.run_for(SECOND);
    world.subscribe(&[C]);
    world.run_for(SECOND);
    // B's list stays as it is at the service, B itself goes to the channel that has room.
    let until = world.clock.truth + 20 * SECOND;
    world.manners.shut[1] = (until, Some(crate::common::service::http(503, "")));
    world.unsubscribe(&[B, C]);
    world.subscribe(&[B]);
    world.run_for(MINUTE);
    let b = world.service.number(B);
    world.publish(b, None);
    world.run_for(SECOND);
    assert_eq!(world.truth.delivered, 1);
}

#[test]
fn an_emptied_list_is_cleared_with_one_call() {
    let mut world = connected(&[A]);
    world.change(TopicChange::Replace, &[]);
    world.run_for(SECOND);
    let last = world.record.starts.pop().expect("a request").1;
    assert!(matches!(last.effect, Effect::Subscribe { ref topics, .. } if topics.is_empty()));
    assert_eq!(world.state(), ClientState::Connected);
}
