use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::{
    book::Book,
    channels::Channels,
    clock::Clock,
    gateway::Buffer,
    history::History,
    log::FaultRecord,
    oauth::Tokens,
    options::SimOptions,
    rate::Windows,
    recorder::{Mark, Recorder},
    rng::Rng,
    simulator::Urls,
    socket::Socket,
};

/// What does not change while the simulator runs.
pub(crate) struct Settings {
    pub(crate) options: SimOptions,
    pub(crate) urls: Urls,
}

/// The whole service: one lock around [`State`], and the signals around the lock.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<Settings>,
    /// The log's revision, for those who wait for something to happen.
    pub(crate) changed: watch::Sender<u64>,
    /// True once the simulator stops.
    pub(crate) stopped: watch::Sender<bool>,
    /// An earlier deadline was scheduled.
    pub(crate) alarm: Notify,
    /// Idle connections must go, because of a `refuse`.
    pub(crate) hang_up: watch::Sender<()>,
    state: Mutex<State>,
}

/// Everything that changes. `now` is the time at which the lock was taken.
pub(crate) struct State {
    pub(crate) settings: Arc<Settings>,
    pub(crate) now: u64,
    pub(crate) tokens: Tokens,
    pub(crate) rates: Windows,
    pub(crate) channels: Channels,
    pub(crate) sockets: BTreeMap<u64, Socket>,
    /// Which of the sockets are gateway connections.
    pub(crate) gateways: BTreeSet<u64>,
    /// Published events that can be asked for again.
    pub(crate) kept: Buffer,
    pub(crate) book: Book,
    pub(crate) log: Recorder,
    /// What the REST API knows.
    pub(crate) history: History,
    /// Conversation details queries so far.
    pub(crate) details_queries: usize,
    /// Ids, tokens and correlation ids; not seeded.
    pub(crate) ids: Rng,
    /// Seeds of generated bodies.
    pub(crate) bodies: Rng,
    /// Token requests in work.
    pub(crate) token_requests: Vec<u64>,
    pub(crate) traffic: HashMap<u64, Arc<Notify>>,
    pub(crate) last_traffic: u64,
    timers: BTreeMap<(u64, u64), Timer>,
    last_timer: u64,
    rescheduled: bool,
}

/// What happens later.
pub(crate) enum Timer {
    TokenEnd(u64),
    ChannelEnd(Arc<str>),
    MaintenanceEnd(u64),
    /// A delayed frame.
    Late {
        socket: u64,
        frame: Bytes,
        mark: Option<Mark>,
    },
    /// A frame that took its time because of `skewMs`.
    Arrival {
        socket: u64,
        frame: Bytes,
        mark: Option<Mark>,
    },
    /// Reordered frames that no other frame came to overtake.
    Release(u64),
    /// The acknowledgement of a first message.
    GatewayReady(u64),
    GatewayClose(u64),
    GatewayBatch(u64),
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let clock = Clock::new();
        let settings = Arc::new(settings);
        let options = &settings.options;
        let mut ids = Rng::from_entropy();
        let state = State {
            settings: Arc::clone(&settings),
            now: clock.now(),
            tokens: Tokens::new(options.clients.clone(), &mut ids),
            rates: Windows::default(),
            channels: Channels::default(),
            sockets: BTreeMap::new(),
            gateways: BTreeSet::new(),
            kept: Buffer::default(),
            book: Book::new(options.seed),
            log: Recorder::new(options.log_limit, clock.now()),
            history: History::new(options.history_bytes),
            details_queries: 0,
            ids,
            bodies: Rng::seeded(options.seed ^ 0xb0d1_e5b0_d1e5),
            token_requests: Vec::new(),
            traffic: HashMap::new(),
            last_traffic: 0,
            timers: BTreeMap::new(),
            last_timer: 0,
            rescheduled: false,
        };
        Self {
            clock,
            settings,
            changed: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
            alarm: Notify::new(),
            hang_up: watch::Sender::new(()),
            state: Mutex::new(state),
        }
    }

    /// The only way to the state. Nothing inside blocks or waits.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.clock.now();
        let before = state.log.revision();
        let result = act(&mut state);
        let after = state.log.revision();
        let rescheduled = std::mem::take(&mut state.rescheduled);
        drop(state);
        if after != before {
            // Two threads may arrive here in either order.
            self.changed.send_if_modified(|seen| after > std::mem::replace(seen, after.max(*seen)));
        }
        if rescheduled {
            self.alarm.notify_one();
        }
        result
    }

    /// Fires timers as they become due, until the simulator stops.
    pub(crate) async fn keep_time(&self) {
        loop {
            let next = self.with(State::fire_due);
            let wait = next.map(|at| at.saturating_sub(self.clock.now()));
            tokio::select! {
                () = sleep_ms(wait) => {}
                () = self.alarm.notified() => {}
            }
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Returns once the simulator stops.
    pub(crate) async fn until_stopped(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

impl State {
    pub(crate) fn schedule(&mut self, at: u64, timer: Timer) {
        self.last_timer += 1;
        self.rescheduled |= self.timers.first_key_value().is_none_or(|((first, _), _)| at < *first);
        self.timers.insert((at, self.last_timer), timer);
    }

    /// Epoch milliseconds as the service tells them.
    pub(crate) fn told(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.settings.options.clock_skew_ms)
    }

    pub(crate) fn fault_applied(
        &mut self,
        fault: u64,
        kind: &'static str,
        operation: &'static str,
        channel: Option<&str>,
        socket: Option<u64>,
        seq: Option<u64>,
    ) {
        let channel = channel.map(str::to_owned);
        self.log.fault(FaultRecord {
            at: self.now,
            fault,
            kind,
            operation,
            channel,
            socket,
            seq,
            revision: 0,
        });
    }

    /// Writes down the end of all that was still open.
    pub(crate) fn stopped(&mut self) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        for socket in open {
            self.reset_socket(socket, "stopped");
        }
        self.traffic.clear();
        self.log.stopped(self.now);
    }

    fn fire_due(&mut self) -> Option<u64> {
        while let Some(entry) = self.timers.first_entry() {
            let (at, _) = *entry.key();
            if at > self.now {
                return Some(at);
            }
            match entry.remove() {
                Timer::TokenEnd(number) => self.end_token(number),
                Timer::ChannelEnd(id) => self.channel_due(&id),
                Timer::MaintenanceEnd(socket) => self.maintenance_over(socket),
                Timer::Late { socket, frame, mark } => self.send_marked(socket, frame, mark),
                Timer::Arrival { socket, frame, mark } => self.arrived(socket, frame, mark),
                Timer::Release(socket) => self.release_held(socket),
                Timer::GatewayReady(socket) => self.gateway_ready(socket),
                Timer::GatewayClose(socket) => self.gateway_close(socket),
                Timer::GatewayBatch(socket) => self.flush_batch(socket),
            }
        }
        None
    }
}

/// Waits so long, or for ever.
pub(crate) async fn sleep_ms(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(std::time::Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
}
