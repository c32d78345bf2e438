//! What all tasks of one client share, and the turn: one change of the machine and everything that follows from it.

mod journaled;
mod spare;
mod turn;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_notifications_journal::Journal;
use genesys_notifications_proto::{
    Effect, Generation, Governor, LinkId, LogLine, Machine, Notice, Now, SocketId, SplitMix, Ticket,
};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use crate::backfill;
use crate::chronicle::Chronicle;
use crate::clock::Clock;
use crate::closing::{Closing, PATIENCE};
use crate::control::Control;
use crate::delivery::Delivery;
use crate::effects::Services;
use crate::filter::Filter;
use crate::held::Held;
use crate::keeper;
use crate::options::Naming;
use crate::outlet::{Kept, ToDelivery};
use crate::runtime::SharedRuntime;
use crate::secret::Secret;
use crate::socket::Handle;
use crate::strangers::Strangers;
use crate::timer::{self, Timer};

pub(crate) use turn::Turn;

/// One client, as its tasks and its owner see it.
///
/// Locks are taken in this order: core, governor, journal, delivery. None is held across an await or a ring of the bell.
pub(crate) struct Shared {
    core: Mutex<Core>,
    governor: Arc<Mutex<Governor>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) services: Services,
    pub(crate) kept: Option<Arc<Kept>>,
}

/// The machine and what the driver keeps for it.
pub(crate) struct Core {
    machine: Machine,
    random: SplitMix,
    runtime: Option<Arc<SharedRuntime>>,
    timer: Option<AbortHandle>,
    news: Option<AbortHandle>,
    /// Backfill and its calls.
    spare: Vec<AbortHandle>,
    /// Saves the cursor; at the end it is waited for.
    saving: Option<JoinHandle<()>>,
    operations: HashMap<Ticket, Started>,
    pub(crate) token_requests: HashMap<u64, oneshot::Sender<Result<ProvidedToken, String>>>,
    pub(crate) cursor_requests: HashMap<u64, oneshot::Sender<Result<Option<String>, String>>>,
    /// The last two: a link may still speak for the one before.
    tokens: VecDeque<(Generation, Secret)>,
    links: HashMap<LinkId, KnownChannel>,
    /// What connections to the endpoint are called.
    endpoint_name: Option<u32>,
    sockets: BTreeMap<SocketId, Handle>,
    held: BTreeMap<SocketId, (u32, Held)>,
    chronicle: Option<Chronicle>,
    filter: Option<Filter>,
    /// Names that the journal has seen in this run; the queue knows its own.
    strangers: Strangers,
    closing: Option<Closing>,
    /// The journal has been or is being closed.
    journal_closed: bool,
    /// While this gap's new state is told, it waits behind the events queued so far.
    fenced_gap: Option<String>,
    /// Tasks that say goodbye; awaited for a moment at the end.
    lingering: Vec<JoinHandle<()>>,
    next_request: u64,
    ended: bool,
    /// The machine panicked and is not to be called again.
    faulty: bool,
}

struct Started {
    task: AbortHandle,
    effect: Effect,
}

/// A channel the driver may dial.
#[derive(Clone)]
pub(crate) struct KnownChannel {
    pub(crate) id: String,
    pub(crate) connect_uri: Secret,
    /// Index of the id among the announced names; with a journal the number that stands for it there.
    pub(crate) name: u32,
}

/// A token the caller gives.
#[derive(Clone, Default)]
pub struct ProvidedToken {
    /// The token.
    pub access_token: String,
    /// Its life in milliseconds; 24 h if not given.
    pub expires_in_ms: Option<u64>,
}

impl Shared {
    pub(crate) fn new(
        machine: Machine,
        seed: u64,
        governor: Arc<Mutex<Governor>>,
        clock: Arc<dyn Clock>,
        delivery: Delivery,
        services: Services,
        journal: Option<(Journal, Chronicle)>,
    ) -> Self {
        let delivery = delivery.with_reading(services.reader.clone(), services.keeper.clone());
        let (delivery, timer) = (Arc::new(delivery), Arc::new(Timer::default()));
        let (kept, chronicle) = match journal {
            None => (None, None),
            Some((journal, chronicle)) => {
                let outlet = Arc::new(ToDelivery::new(delivery.clone(), timer.clone(), clock.clone()));
                (Some(Arc::new(Kept { journal, outlet })), Some(chronicle))
            }
        };
        let core = Core {
            machine,
            random: SplitMix::new(seed),
            runtime: None,
            timer: None,
            news: None,
            spare: Vec::new(),
            saving: None,
            operations: HashMap::new(),
            token_requests: HashMap::new(),
            cursor_requests: HashMap::new(),
            tokens: VecDeque::new(),
            links: HashMap::new(),
            endpoint_name: None,
            sockets: BTreeMap::new(),
            held: BTreeMap::new(),
            chronicle,
            filter: None,
            strangers: Strangers::default(),
            closing: None,
            journal_closed: false,
            fenced_gap: None,
            lingering: Vec::new(),
            next_request: 0,
            ended: false,
            faulty: false,
        };
        Self { core: Mutex::new(core), governor, clock, delivery, timer, services, kept }
    }

    /// Hands over only events of topics that pass.
    pub(crate) fn with_filter(mut self, filter: Option<Filter>) -> Self {
        self.core.get_mut().unwrap_or_else(PoisonError::into_inner).filter = filter;
        self
    }

    /// Changes the machine once and carries out all it asks for.
    pub(crate) fn turn<R>(self: &Arc<Self>, act: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        let result = {
            let mut core = self.core();
            let mut turn = Turn { shared: self, core: &mut core, now: self.clock.now() };
            let result = act(&mut turn);
            turn.mark_if_due();
            let deadlines = [core.machine.poll_timeout(), self.delivery.deadline()];
            self.timer.set(deadlines.into_iter().flatten().min());
            result
        };
        self.delivery.ring_if_due();
        result
    }

    /// Looks at the machine.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Machine, Now) -> R) -> R {
        look(&self.core().machine, self.clock.now())
    }

    /// What its topics may be called.
    pub(crate) fn naming(&self) -> Naming {
        Naming::of(self.services.endpoint.is_some())
    }

    /// Events that `delivery.topics` kept back.
    pub(crate) fn filtered(&self) -> u64 {
        self.core().filter.as_ref().map_or(0, Filter::filtered)
    }

    /// Takes a share in the runtime and starts the timer, unless that was done or the client has ended.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = SharedRuntime::acquire()?;
        let mut core = self.core();
        if core.runtime.is_none() && !core.ended {
            core.timer = Some(runtime.handle().spawn(timer::run(self.clone())).abort_handle());
            if let Some(kept) = &self.kept {
                core.news = Some(runtime.handle().spawn(hear(self.clone(), kept.clone())).abort_handle());
            }
            if let Some(keeper) = &self.services.keeper {
                core.saving = Some(runtime.handle().spawn(keeper::run(self.clone(), keeper.clone())));
            }
            if self.services.backfill.is_some() {
                core.spare.push(runtime.handle().spawn(backfill::run(self.clone())).abort_handle());
            }
            core.runtime = Some(runtime);
        }
        Ok(())
    }

    /// Stops everything at once, without goodbye, and never rings again.
    pub(crate) fn abort(self: &Arc<Self>) {
        self.delivery.remove_bell();
        let (runtime, closing) = {
            let mut core = self.core();
            let mut turn = Turn { shared: self, core: &mut core, now: self.clock.now() };
            turn.mark_for_good();
            turn.close_journal(|| ());
            core.abort_all();
            let saving = core.saving.take();
            for task in core.lingering.drain(..).chain(saving) {
                task.abort();
            }
            (core.runtime.take(), core.closing.take())
        };
        self.release_cursor(PATIENCE);
        drop(runtime);
        if let Some(closing) = closing {
            closing.wait();
        }
    }

    /// Whether sockets must not be read for now. With a journal the queue may be full: events wait on disk.
    pub(crate) fn is_full(&self) -> bool {
        match &self.kept {
            Some(kept) => kept.journal.is_full(),
            None => self.delivery.is_full(),
        }
    }

    /// Waits until sockets may be read again.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn room(&self) {
        self.delivery.room(|| self.is_full()).await;
    }

    /// Tells the journal how far it is sound although nothing happens.
    pub(crate) fn mark_if_idle(self: &Arc<Self>) {
        if self.kept.is_some() {
            self.turn(|_| ());
        }
    }

    /// Gives back the share in the runtime once everything has ended.
    pub(crate) fn release_runtime(&self) {
        let (runtime, closing) = {
            let mut core = self.core();
            if core.ended { (core.runtime.take(), core.closing.take()) } else { (None, None) }
        };
        drop(runtime);
        if let Some(closing) = closing {
            closing.wait();
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic of the rules is dealt with where it happens; poison would only spread it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release_cursor(&self, patience: Duration) {
        if let Some(keeper) = &self.services.keeper {
            keeper.release(patience);
        }
    }

    fn announce_end(&self) {
        self.release_cursor(Duration::ZERO);
        self.delivery.push_control(Control::Closed);
    }
}

impl Core {
    fn abort_all(&mut self) {
        self.ended = true;
        for (_, started) in self.operations.drain() {
            started.task.abort();
        }
        for handle in std::mem::take(&mut self.sockets).into_values() {
            handle.abort();
        }
        for task in self.timer.take().into_iter().chain(self.news.take()).chain(self.spare.drain(..)) {
            task.abort();
        }
        self.token_requests.clear();
        self.cursor_requests.clear();
        self.tokens.clear();
        self.links.clear();
        self.held.clear();
    }
}

/// Tells the machine what the journal has to say. Runs until it is aborted.
async fn hear(shared: Arc<Shared>, kept: Arc<Kept>) {
    loop {
        kept.outlet.news().await;
        shared.turn(|turn| turn.hear_journal());
    }
}

/// What a panic said, as far as that can be known.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

pub(crate) fn log(level: &'static str, message: String) -> Control {
    Control::Notice(Notice::Log(LogLine { level, message }))
}
