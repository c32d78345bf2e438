//! No unreported gap (P2).

use genesys_notifications_proto::{Certainty, Config, Ending, Gap, Input, Reason, TopicId, Unreadable};

use crate::common::agenda::Cargo;
use crate::common::manners::{API, Fate};
use crate::common::service::http;
use crate::stage::{A, B, HOUR, MINUTE, connected, connected_with, socket, until_connected};

fn times(gap: &Gap) -> (u64, u64) {
    (gap.from, gap.to.expect("it is closed"))
}

// P2.1, P2.2, P2.3
#[test]
fn a_gap_reaches_from_the_last_frame_less_the_round_trip_to_the_first_pong() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.send(open, Cargo::Beat);
    world.run_for(10);
    let heard = world.clock.now().wall;
    world.run_for(7_000);
    world.end_socket(open, Ending::Closed(1001, String::new()));
    world.run_for(10);
    let opened = world.record.gaps();
    assert_eq!((opened.len(), opened[0].to), (1, None));
    until_connected(&mut world);
    let closed = world.record.closed_gaps();
    assert_eq!(closed[0].id, opened[0].id);
    let (from, to) = times(&closed[0]);
    assert!((heard - 40..=heard - 20).contains(&from), "{}", heard - from);
    assert_eq!(to, world.clock.now().wall);
    assert_eq!((closed[0].reason, closed[0].certainty), (Reason::SocketClosed, Certainty::Certain));
    assert_eq!(closed[0].topics, [A]);
}

// P2.3
#[test]
fn events_of_an_unproven_socket_wait_for_the_end_of_the_gap() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.end_socket(open, Ending::Closed(1001, String::new()));
    world.run_until(MINUTE, |world| world.wires.open_here().iter().any(|id| *id != open));
    let topic = world.service.number(A);
    world.publish(topic, None);
    let before = world.record.words.len();
    world.run_for(1_000);
    let words = &world.record.words[before..];
    let (gap, release) =
        (words.iter().position(|word| word == "Gap"), words.iter().position(|word| word == "Release"));
    assert!(gap.is_some() && gap < release, "{words:?}");
    assert_eq!(world.record.delivered.len(), 1);
}

// P2.4
#[test]
fn topics_that_come_back_at_different_times_split_the_gap() {
    let mut world = connected(&[A, B]);
    let b = world.service.number(B);
    let open = socket(&world);
    world.service.forbidden.insert(b);
    world.end_socket(open, Ending::Closed(1008, String::new()));
    world.run_for(MINUTE);
    let gaps = world.record.gaps();
    assert_eq!(gaps.len(), 2);
    assert_eq!((gaps[0].to, gaps[1].topics.as_slice()), (None, [A.to_owned()].as_slice()));
    assert_ne!(gaps[0].id, gaps[1].id);
    world.service.forbidden.clear();
    world.subscribe(&[B]);
    world.run_for(1_000);
    let last = world.record.closed_gaps().pop().expect("it closes");
    assert_eq!((last.id, last.from, last.topics), (gaps[0].id.clone(), gaps[0].from, vec![B.to_owned()]));
}

// P2.4
#[test]
fn a_topic_that_is_no_longer_wanted_ends_its_gap_and_starts_anew() {
    let mut world = connected(&[A, B]);
    let until = world.clock.truth + 10 * MINUTE;
    world.manners.shut[2] = (until, Some(http(503, "")));
    let open = socket(&world);
    world.end_socket(open, Ending::Closed(1001, String::new()));
    world.run_for(MINUTE);
    world.unsubscribe(&[A]);
    assert_eq!(times(&world.record.closed_gaps()[0]).1, world.clock.now().wall);
    world.subscribe(&[A]);
    until_connected(&mut world);
    world.run_for(MINUTE);
    assert_eq!(world.record.closed_gaps().len(), 2, "the new subscription of A has no gap");
}

// P2.6
#[test]
fn unreadable_frames_are_possible_gaps_told_once_a_second() {
    let mut world = connected(&[A, B]);
    let open = socket(&world);
    let (first, errors) = (world.clock.now().wall, world.record.errors().len());
    for _ in 0..40 {
        world.send(open, Cargo::Garbage(Unreadable::NotJson));
        world.run_for(50);
    }
    let last = world.clock.now().wall - 40;
    world.run_for(3_000);
    let gaps = world.record.closed_gaps();
    assert!((2..=4).contains(&gaps.len()), "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| gap.reason == Reason::UnreadableFrame && gap.certainty == Certainty::Possible)
    );
    assert!(gaps.iter().all(|gap| gap.topics.len() == 2));
    assert!(times(&gaps[0]).0 <= first && times(gaps.last().expect("some")).1 >= last);
    assert!(world.record.errors().len() - errors <= 3);
}

// P2.6
#[test]
fn an_unreadable_frame_is_told_before_its_topic_or_the_client_goes() {
    for closes in [true, false] {
        let mut world = connected(&[A]);
        let open = socket(&world);
        for _ in 0..2 {
            world.send(open, Cargo::Garbage(Unreadable::NotJson));
            world.run_for(100);
        }
        assert_eq!(world.record.closed_gaps().len(), 1);
        if closes {
            world.close();
        } else {
            world.unsubscribe(&[A]);
        }
        assert_eq!(world.record.closed_gaps().len(), 2);
    }
}

// P2.7
#[test]
fn events_dropped_by_a_full_queue_are_gaps_of_their_topics() {
    let mut world = connected(&[A, B]);
    world.tell(Input::QueueDropped { topics: vec![TopicId(1)], from: 10, to: 20 });
    let gaps = world.record.closed_gaps();
    assert_eq!(
        (times(&gaps[0]), gaps[0].reason, gaps[0].topics.clone()),
        ((10, 20), Reason::QueueFull, vec![B.to_owned()])
    );
}

// P2.8
#[test]
fn a_thousand_closed_gaps_are_kept_and_all_are_counted() {
    let mut world = connected(&[A]);
    for from in 0..1_100 {
        world.tell(Input::QueueDropped { topics: vec![TopicId(0)], from, to: from + 1 });
    }
    assert_eq!(world.machine.gaps().len(), 1_000);
    assert_eq!(world.machine.stats(world.clock.now()).gaps.total, 1_100);
}

// P2.1
#[test]
fn a_topic_refused_later_is_missing_since_the_list_was_sent_that_dropped_it() {
    let mut world = connected(&[A]);
    let a = world.service.number(A);
    world.service.forbidden.insert(a);
    world.manners.script[2].push_back(Fate::LoseAnswer);
    let sent = world.clock.now().wall;
    world.subscribe(&[B]);
    world.run_for(MINUTE);
    let gap = world.record.gaps().pop().expect("a gap");
    assert_eq!((gap.reason, gap.to, gap.topics.clone()), (Reason::TopicRejected, None, vec![A.to_owned()]));
    assert!(gap.from <= sent + 50);
}

#[test]
fn nothing_is_a_gap_before_a_topic_was_live() {
    let mut world = crate::common::world::World::new(Config::default(), 1);
    world.manners.shut[API] = (HOUR, Some(http(503, "")));
    world.subscribe(&[A]);
    world.connect();
    world.run_for(HOUR + MINUTE);
    assert!(world.record.gaps().is_empty());
    drop(connected_with(Config::default(), &[A]));
}
