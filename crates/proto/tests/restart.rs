//! What a process makes of the journal of the one before, in single cases; the random world has the rest.

mod common;

use common::clock::EPOCH;
use common::world::World;
use genesys_notifications_proto::{Backfilled, Certainty, Config, Gap, Past, Reason, Topic};

const A: &str = "v2.users.a.presence";
const B: &str = "v2.users.b.presence";

fn gap(id: &str, from: u64, to: Option<u64>, topics: &[&str]) -> Gap {
    Gap {
        id: id.into(),
        from: EPOCH + from,
        to: to.map(|to| EPOCH + to),
        reason: Reason::Silence,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        certainty: Certainty::Certain,
        backfilled: Backfilled::No,
    }
}

fn topic(name: &str) -> Topic {
    Topic::expand(name).expect("a topic of the test").remove(0)
}

// P2.4
#[test]
fn a_gap_that_had_ended_for_one_topic_goes_on_for_the_other_only() {
    let mut world = World::new(Config::default(), 1);
    world.subscribe(&[A, B]);
    let past = Past {
        sound_until: EPOCH + 900,
        covered: vec![topic(A), topic(B)],
        gaps: vec![gap("gap-2", 100, Some(300), &[A]), gap("gap-1", 100, None, &[A, B])],
        seen: Vec::new(),
        cursor: None,
    };
    world.call(|machine, cx| machine.restore(cx, past));
    let told: Vec<_> = world
        .record
        .gaps()
        .into_iter()
        .map(|gap| (gap.id, gap.from - EPOCH, gap.to, gap.topics, gap.reason))
        .collect();
    assert_eq!(
        told,
        [
            ("gap-1".to_owned(), 100, None, vec![B.to_owned()], Reason::Silence),
            ("gap-3".to_owned(), 900, None, vec![A.to_owned()], Reason::ProcessDown),
        ]
    );
}

#[test]
fn a_gap_that_begins_where_an_earlier_one_did_is_not_taken_for_its_rest() {
    let mut world = World::new(Config::default(), 1);
    world.subscribe(&[A]);
    let past = Past {
        sound_until: EPOCH + 900,
        covered: vec![topic(A)],
        gaps: vec![gap("gap-1", 100, Some(300), &[A]), gap("gap-2", 100, None, &[A])],
        seen: Vec::new(),
        cursor: None,
    };
    world.call(|machine, cx| machine.restore(cx, past));
    let told = world.record.gaps();
    assert_eq!((told.len(), told[0].id.as_str(), told[0].from), (1, "gap-2", EPOCH + 100));
}
