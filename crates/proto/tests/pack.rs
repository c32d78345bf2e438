//! Packing and expanding topic names, for any set of them.

use std::collections::BTreeSet;

use genesys_notifications_proto::{Random, SplitMix, Topic, pack};

// P7.3
#[test]
fn whatever_is_packed_expands_to_the_same_set_in_few_short_names() {
    for seed in 0..2_000 {
        let mut dice = SplitMix::new(seed);
        let topics = some_topics(&mut dice);
        let max_chars = dice.between(60, 200) as usize;
        let packed = pack(&topics, max_chars);
        let mut again: Vec<Topic> = Vec::new();
        for name in &packed {
            let members = Topic::expand(&name.wire).expect("what is packed can be read");
            assert_eq!(members, name.members, "seed {seed}");
            assert!(name.members.len() == 1 || name.wire.len() < max_chars, "seed {seed}: {}", name.wire);
            again.extend(members);
        }
        let unique: BTreeSet<Topic> = again.iter().cloned().collect();
        assert_eq!(unique.len(), again.len(), "seed {seed}: a topic stands in two names");
        assert_eq!(unique, topics.iter().cloned().collect(), "seed {seed}");
        let mut shuffled = topics;
        shuffled.reverse();
        assert_eq!(pack(&shuffled, max_chars), packed, "seed {seed}: the order of the input matters");
    }
}

fn some_topics(dice: &mut SplitMix) -> Vec<Topic> {
    let families = ["users", "routing.queues", "analytics.queues", "outbound"];
    let suffixes =
        ["presence", "station", "conversations", "conversations.calls", "routingStatus", "e1", "x"];
    let one = |dice: &mut SplitMix| {
        let family = families[dice.up_to(3) as usize];
        let suffix = suffixes[dice.up_to(6) as usize];
        let name = format!("v2.{family}.{}.{suffix}", dice.up_to(5));
        Topic::expand(&name).expect("a topic of the test").remove(0)
    };
    (0..dice.up_to(40)).map(|_| one(dice)).collect()
}
