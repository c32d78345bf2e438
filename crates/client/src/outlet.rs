//! What the journal gives back: committed events for the delivery queue, and news for the machine.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use genesys_notifications_journal::{Journal, News, Outlet, Stored};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::timer::Timer;

/// A journal and its way out.
pub(crate) struct Kept {
    pub(crate) journal: Journal,
    pub(crate) outlet: Arc<ToDelivery>,
}

/// Called from the journal's thread, which never takes the core's lock: news wait until somebody else tells them.
pub(crate) struct ToDelivery {
    delivery: Arc<Delivery>,
    timer: Arc<Timer>,
    clock: Arc<dyn Clock>,
    news: Mutex<VecDeque<News>>,
    has_news: AtomicBool,
    told: Notify,
    /// Somebody has asked for events.
    is_open: AtomicBool,
}

impl ToDelivery {
    pub(crate) fn new(delivery: Arc<Delivery>, timer: Arc<Timer>, clock: Arc<dyn Clock>) -> Self {
        let news = Mutex::default();
        let (has_news, is_open) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { delivery, timer, clock, news, has_news, told: Notify::new(), is_open }
    }

    /// Events may be delivered from now on; whether that is new. Before, the options of their topics may still be on their way.
    pub(crate) fn open(&self) -> bool {
        !self.is_open.load(Ordering::Relaxed) && !self.is_open.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    pub(crate) fn take_news(&self) -> VecDeque<News> {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_news.store(false, Ordering::Release);
        std::mem::take(&mut news)
    }

    /// Waits for news.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn news(&self) {
        while !self.has_news() {
            self.told.notified().await;
        }
    }
}

impl Outlet for ToDelivery {
    fn has_room(&self) -> bool {
        self.is_open.load(Ordering::Acquire) && !self.delivery.is_full()
    }

    fn deliver(&self, event: &Stored) {
        self.delivery.push_stored(event, self.clock.now().mono);
    }

    fn flush(&self) {
        if let Some(at) = self.delivery.deadline() {
            self.timer.no_later_than(at);
        }
        self.delivery.ring_if_due();
    }

    fn tell(&self, news: News) {
        if news == News::Room {
            return self.delivery.make_room();
        }
        // A gap is told before any event that comes after.
        self.delivery.await_news();
        let mut waiting = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(news);
        self.has_news.store(true, Ordering::Release);
        drop(waiting);
        self.told.notify_one();
    }
}
