//! How often the bell rings, at which rate of events.

use genesys_notifications_proto::{Random as _, SplitMix};

use super::*;

/// A consumer that is called by the bell and by nothing else, and a timer that is never late.
struct Load {
    world: World,
    now: u64,
    rings: usize,
    longest_wait: u64,
    oldest: Option<u64>,
}

impl Load {
    fn new(max_wait_ms: u64) -> Self {
        Self { world: World::new(max_wait_ms), now: 0, rings: 0, longest_wait: 0, oldest: None }
    }

    fn until(&mut self, now: u64) {
        while let Some(at) = self.world.delivery.deadline().filter(|at| *at <= now) {
            assert!(at > self.now, "a deadline lies in the future");
            self.now = at;
            self.world.delivery.ring_late(at);
            self.world.delivery.ring_if_due();
            self.answer();
        }
        self.now = now;
    }

    fn event(&mut self) {
        self.world.event(self.now);
        self.oldest.get_or_insert(self.now);
        self.answer();
    }

    fn answer(&mut self) {
        let rings = self.world.rings();
        self.rings += rings;
        if rings > 0 {
            self.take_all();
        }
    }

    fn take_all(&mut self) {
        while self.world.drain().1 {}
        if let Some(oldest) = self.oldest.take() {
            self.longest_wait = self.longest_wait.max(self.now - oldest);
        }
    }

    /// Evenly for ten seconds, then a second of silence. Returns rings a second.
    fn of(per_second: u64, max_wait_ms: u64) -> (usize, u64) {
        let mut load = Self::new(max_wait_ms);
        for n in 0..10 * per_second {
            load.until(100 + n * 1_000 / per_second);
            load.event();
        }
        load.until(20_000);
        assert_eq!(load.world.delivery.counts().events, 0, "nothing is left");
        (load.rings / 10, load.longest_wait)
    }
}

// P11.3
#[test]
fn few_events_never_wait_and_many_ring_seldom() {
    for per_second in [1, 100, 700, 1_000, 1_500] {
        assert_eq!(Load::of(per_second, 1), (per_second as usize, 0), "{per_second} a second");
    }
    for per_second in [5_000, 50_000] {
        let (rings, longest_wait) = Load::of(per_second, 1);
        assert!((1_000..=1_501).contains(&rings) && longest_wait <= 1, "{per_second}: {rings}");
    }
    let (rings, longest_wait) = Load::of(5_000, 20);
    assert!((50..=76).contains(&rings) && longest_wait <= 20, "{rings}, {longest_wait}");
    assert_eq!(Load::of(5_000, 0), (5_000, 0));
}

#[test]
fn after_a_rest_the_bell_rings_at_once_again() {
    let mut load = Load::new(10);
    for _ in 0..100 {
        load.event();
    }
    assert_eq!(load.rings, 9, "the first is free, and there are eight credits");
    assert_eq!(load.world.delivery.deadline(), Some(10));
    load.until(10);
    assert_eq!((load.rings, load.world.delivery.deadline()), (10, None));
    load.until(25);
    load.event();
    assert_eq!((load.rings, load.now - 25), (11, 0), "a new one is free");
    load.until(1_000);
    let before = load.rings;
    for _ in 0..9 {
        load.event();
    }
    assert_eq!(load.rings - before, 9, "all credits are earned again, and no more");
    load.event();
    assert_eq!(load.rings - before, 9);
}

// P4.1
#[test]
fn no_event_is_ever_left_without_a_ring_to_come() {
    for seed in 0..300 {
        let mut random = SplitMix::new(seed);
        let max_wait_ms = [0, 1, 2, 10, 100][random.up_to(4) as usize];
        let mut world = World::new(max_wait_ms);
        let (mut now, mut rung_at, mut rings) = (0, None, 0);
        for step in 0..400 {
            match random.up_to(9) {
                0..=3 => world.event(now),
                4 => world.control(),
                5 => drop(world.controls()),
                // A consumer asks when it was called, and when it likes.
                6 | 7 => {
                    if !world.drain().1 && rung_at.is_some() && world.delivery.state().controls.is_empty() {
                        rung_at = None;
                    }
                }
                _ => now += random.up_to(3 * max_wait_ms.max(1)),
            }
            if world.delivery.deadline().is_some_and(|at| at <= now) {
                world.delivery.ring_late(now);
                world.delivery.ring_if_due();
            }
            let heard = world.rings();
            rings += heard;
            if heard > 0 {
                rung_at = Some(now);
            }
            let deadline = world.delivery.deadline();
            assert!(deadline.is_none_or(|at| now < at && at <= now + max_wait_ms), "{seed} {step}");
            if world.delivery.counts().events > 0 {
                assert!(
                    rung_at.is_some() || deadline.is_some(),
                    "seed {seed}, step {step}: nobody will come"
                );
            }
        }
        assert!(rings > 0);
    }
}
