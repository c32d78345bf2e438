mod bell;

use std::sync::atomic::AtomicUsize;

use genesys_notifications_proto::{Notice, RequestId, TopicId};

use super::*;
use crate::options::OnFull;

#[derive(Default)]
struct Rings(AtomicUsize);

impl Bell for Rings {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct World {
    delivery: Delivery,
    rings: Arc<Rings>,
    batch: Batch,
}

impl World {
    fn new(max_wait_ms: u64) -> Self {
        let rings = Arc::new(Rings::default());
        let options = QueueOptions { max_events: 4, max_bytes: 1 << 20, on_full: OnFull::Pause };
        Self { delivery: Delivery::new(options, max_wait_ms, rings.clone()), rings, batch: Batch::default() }
    }

    fn event(&self, now: u64) {
        let event = Arrived {
            topic: Some(TopicId(0)),
            is_foreign: false,
            topic_name: "v2.a.b",
            channel: 0,
            version: None,
            text: "{}",
            body: "",
            metadata: None,
            received_at: now,
            sequence: None,
            flags: crate::batch::Flags::LIVE,
        };
        self.delivery.push(&event, None, now);
        self.delivery.ring_if_due();
    }

    fn control(&self) {
        self.delivery.push_control(Control::Notice(Notice::Settled(RequestId(1))));
        self.delivery.ring_if_due();
    }

    fn drain(&mut self) -> (usize, bool) {
        let more = self.delivery.drain(&mut self.batch, 2, 1 << 20);
        self.delivery.ring_if_due();
        (self.batch.len(), more.events)
    }

    fn controls(&self) -> usize {
        let controls = self.delivery.take_controls();
        self.delivery.ring_if_due();
        controls.len()
    }

    fn rings(&self) -> usize {
        self.rings.0.swap(0, Ordering::SeqCst)
    }
}

#[test]
fn one_ring_is_outstanding_until_the_queue_is_left_empty() {
    let mut world = World::new(0);
    for now in 0..3 {
        world.event(now);
    }
    assert_eq!(world.rings(), 1);
    assert_eq!(world.drain(), (2, true));
    world.event(4);
    assert_eq!(world.rings(), 0, "the caller was told there is more");
    assert_eq!(world.drain(), (2, false));
    world.event(5);
    assert_eq!(world.rings(), 1);
}

#[test]
fn a_control_rings_even_while_events_wait_for_a_slow_consumer() {
    let world = World::new(1_000);
    world.event(0);
    assert_eq!(world.rings(), 1);
    world.control();
    world.control();
    assert_eq!(world.rings(), 1);
    assert_eq!(world.controls(), 2);
    world.control();
    assert_eq!(world.rings(), 1);
}

#[test]
fn no_event_passes_a_control() {
    let mut world = World::new(0);
    world.event(0);
    world.control();
    world.event(1);
    world.rings();
    assert_eq!(world.drain(), (0, false));
    assert_eq!(world.controls(), 1);
    assert_eq!(world.rings(), 1, "the events behind the control are announced again");
    assert_eq!(world.drain(), (2, false));
}

#[test]
fn nothing_follows_closed() {
    let world = World::new(0);
    world.delivery.push_control(Control::Closed);
    world.control();
    assert_eq!(world.controls(), 1);
    world.rings();
    world.delivery.remove_bell();
    world.event(1);
    assert_eq!(world.rings(), 0);
}

#[tokio::test]
async fn room_is_made_by_draining() {
    let world = Arc::new(World::new(0));
    for now in 0..4 {
        world.event(now);
    }
    assert!(world.delivery.is_full());
    let waiting = tokio::spawn({
        let world = world.clone();
        async move { world.delivery.room(|| world.delivery.is_full()).await }
    });
    tokio::task::yield_now().await;
    let mut batch = Batch::default();
    world.delivery.drain(&mut batch, 3, 1 << 20);
    waiting.await.unwrap();
    assert!(!world.delivery.is_full());
}

#[test]
fn a_fenced_control_is_told_after_the_events_before_it_and_not_with_them() {
    let mut world = World::new(0);
    for now in 0..3 {
        world.event(now);
    }
    world.delivery.push_control_after(Control::Notice(Notice::Settled(RequestId(1))), None);
    world.event(3);
    world.rings();
    assert_eq!((world.drain(), world.controls()), ((2, true), 0));
    assert_eq!((world.drain(), world.controls()), ((2, true), 0), "what was handed out may still be at hand");
    assert_eq!((world.drain(), world.controls()), ((0, false), 1));
    assert_eq!((world.drain(), world.controls()), ((0, false), 0));

    world.rings();
    world.delivery.push_control_after(Control::Notice(Notice::Settled(RequestId(2))), None);
    world.delivery.ring_if_due();
    assert_eq!(
        (world.rings(), world.controls()),
        (1, 0),
        "even with nothing before it the caller must come again"
    );
    assert_eq!((world.drain(), world.controls()), ((0, false), 1));
}

#[test]
fn a_fence_waits_for_events_that_are_still_on_their_way() {
    let mut world = World::new(0);
    world.delivery.push_control_after(Control::Notice(Notice::Settled(RequestId(1))), Some(2));
    assert_eq!((world.drain(), world.controls()), ((0, false), 0));
    world.event(1);
    assert_eq!((world.drain(), world.controls()), ((1, false), 0));
    world.event(2);
    assert_eq!((world.drain(), world.controls()), ((1, true), 0));
    assert_eq!((world.drain(), world.controls()), ((0, false), 1));
}

#[test]
fn events_wait_for_what_there_is_to_tell_before_them() {
    let mut world = World::new(0);
    world.delivery.await_news();
    world.event(0);
    assert_eq!((world.controls(), world.drain()), (0, (0, false)));
    world.control();
    world.delivery.news_heard(1);
    assert_eq!((world.controls(), world.drain()), (1, (1, false)));
}

#[test]
fn news_of_which_nothing_is_told_ring_for_the_events_behind_them() {
    let mut world = World::new(0);
    world.delivery.await_news();
    world.event(0);
    assert_eq!(world.drain(), (0, false));
    let rings = world.rings.0.load(Ordering::SeqCst);
    world.delivery.news_heard(1);
    world.delivery.ring_if_due();
    assert_eq!(world.rings.0.load(Ordering::SeqCst), rings + 1);
    assert_eq!(world.drain(), (1, false));
}
