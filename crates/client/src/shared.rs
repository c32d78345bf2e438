//! What all tasks of one client share, and the turn: one change of the machine and everything that follows from it.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesys_notifications_proto::{
    Context, Disposition, Effect, Ending, ErrorCode, ErrorReport, Frame, Generation, Governor, Input, LinkId,
    LogLine, Machine, Notice, Now, Operation, Output, SocketId, SplitMix, Ticket, TopicId,
};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::control::Control;
use crate::delivery::Delivery;
use crate::effects::{self, Services};
use crate::held::{Held, HeldEvent};
use crate::queue::Arrived;
use crate::runtime::SharedRuntime;
use crate::secret::Secret;
use crate::socket::{self, Handle};
use crate::timer::{self, Timer};

/// One client, as its tasks and its owner see it.
///
/// Locks are taken in this order: core, governor, delivery. None is held across an await or a ring of the bell.
pub(crate) struct Shared {
    core: Mutex<Core>,
    governor: Arc<Mutex<Governor>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) delivery: Delivery,
    pub(crate) timer: Timer,
    pub(crate) services: Services,
}

/// The machine and what the driver keeps for it.
pub(crate) struct Core {
    machine: Machine,
    random: SplitMix,
    runtime: Option<Arc<SharedRuntime>>,
    timer: Option<AbortHandle>,
    operations: HashMap<Ticket, Started>,
    pub(crate) token_requests: HashMap<u64, oneshot::Sender<Result<ProvidedToken, String>>>,
    /// The last two: a link may still speak for the one before.
    tokens: VecDeque<(Generation, Secret)>,
    links: HashMap<LinkId, KnownChannel>,
    sockets: HashMap<SocketId, Handle>,
    held: HashMap<SocketId, (u32, Held)>,
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
    /// Index of the id among the announced names.
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

/// One change of the machine, under the lock.
pub(crate) struct Turn<'a> {
    shared: &'a Arc<Shared>,
    pub(crate) core: &'a mut Core,
    pub(crate) now: Now,
}

impl Shared {
    pub(crate) fn new(
        machine: Machine,
        seed: u64,
        governor: Arc<Mutex<Governor>>,
        clock: Arc<dyn Clock>,
        delivery: Delivery,
        services: Services,
    ) -> Self {
        let core = Core {
            machine,
            random: SplitMix::new(seed),
            runtime: None,
            timer: None,
            operations: HashMap::new(),
            token_requests: HashMap::new(),
            tokens: VecDeque::new(),
            links: HashMap::new(),
            sockets: HashMap::new(),
            held: HashMap::new(),
            lingering: Vec::new(),
            next_request: 0,
            ended: false,
            faulty: false,
        };
        Self { core: Mutex::new(core), governor, clock, delivery, timer: Timer::default(), services }
    }

    /// Changes the machine once and carries out all it asks for.
    pub(crate) fn turn<R>(self: &Arc<Self>, act: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        let result = {
            let mut core = self.core();
            let mut turn = Turn { shared: self, core: &mut core, now: self.clock.now() };
            let result = act(&mut turn);
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

    /// Takes a share in the runtime and starts the timer, unless that was done or the client has ended.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = SharedRuntime::acquire()?;
        let mut core = self.core();
        if core.runtime.is_none() && !core.ended {
            core.timer = Some(runtime.handle().spawn(timer::run(self.clone())).abort_handle());
            core.runtime = Some(runtime);
        }
        Ok(())
    }

    /// Stops everything at once, without goodbye, and never rings again.
    pub(crate) fn abort(&self) {
        self.delivery.remove_bell();
        let runtime = {
            let mut core = self.core();
            core.abort_all();
            for task in core.lingering.drain(..) {
                task.abort();
            }
            core.runtime.take()
        };
        drop(runtime);
    }

    /// Gives back the share in the runtime once everything has ended.
    pub(crate) fn release_runtime(&self) {
        let runtime = {
            let mut core = self.core();
            if core.ended { core.runtime.take() } else { None }
        };
        drop(runtime);
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic of the rules is dealt with where it happens; poison would only spread it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce_end(&self) {
        self.delivery.push_control(Control::Closed);
    }
}

impl Turn<'_> {
    pub(crate) fn input(&mut self, input: Input) {
        self.rules(|machine, cx| machine.handle(cx, input));
        self.settle();
    }

    /// The timer fired.
    pub(crate) fn timeout(&mut self) {
        let now = self.now.mono;
        if self.core.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.rules(|machine, cx| machine.handle_timeout(cx));
            self.settle();
        }
        if self.shared.delivery.report_is_due(now) {
            self.report_drops();
        }
        self.shared.delivery.ring_late(now);
    }

    /// The wall clock ran away from the other: the machine looks at both.
    pub(crate) fn look_at_the_clock(&mut self) {
        self.rules(|machine, cx| machine.handle_timeout(cx));
        self.settle();
    }

    /// A frame arrived on a socket; `text` is the whole frame.
    pub(crate) fn frame(&mut self, socket: SocketId, frame: &Frame<'_>, text: &str) {
        let Some(channel) = self.core.sockets.get(&socket).map(|handle| handle.channel) else { return };
        let mut disposition = Disposition::Drop;
        self.rules(|machine, cx| disposition = machine.frame(cx, socket, frame));
        match disposition {
            Disposition::Deliver(topic) => {
                // First what the frame brought about: held events of before, the end of a gap.
                self.settle();
                self.deliver(topic, channel, frame, text, self.now.wall);
            }
            Disposition::Hold(topic) => {
                let event = HeldEvent { topic, text: text.into(), received_at: self.now.wall };
                let (_, held) = self.core.held.entry(socket).or_insert_with(|| (channel, Held::default()));
                for event in held.push(event) {
                    self.deliver_held(channel, &event);
                }
                self.settle();
            }
            Disposition::Drop => self.settle(),
        }
    }

    /// A socket's task ended.
    pub(crate) fn socket_ended(&mut self, socket: SocketId, ending: Ending) {
        if self.core.sockets.remove(&socket).is_some() {
            self.input(Input::SocketClosed(socket, ending));
            self.release(socket);
        }
    }

    /// Tells the machine of the events the queue dropped.
    pub(crate) fn report_drops(&mut self) {
        if let Some(drops) = self.shared.delivery.take_drops() {
            let topics = drops.topics.into_iter().collect();
            self.input(Input::QueueDropped { topics, from: drops.from, to: drops.to });
        }
    }

    /// A number for the caller's next request.
    pub(crate) fn request_number(&mut self) -> u64 {
        let number = self.core.next_request;
        self.core.next_request += 1;
        number
    }

    fn finish(&mut self, ticket: Ticket, finished: effects::Finished) {
        if let Some(limit) = finished.rate_limit {
            self.input(Input::RateLimit { remaining: limit.remaining, reset_ms: limit.reset_ms });
        }
        let started = self.core.operations.remove(&ticket);
        self.core.token_requests.remove(&ticket.0);
        let outcome = effects::keep(finished.product, started.map(|started| started.effect), self);
        if let Some(outcome) = outcome {
            self.input(Input::Done(ticket, outcome));
        }
    }

    /// Keeps a token for the calls that are made with it.
    pub(crate) fn keep_token(&mut self, generation: Generation, token: Secret) {
        self.core.tokens.push_back((generation, token));
        while self.core.tokens.len() > 2 {
            self.core.tokens.pop_front();
        }
    }

    pub(crate) fn keep_channel(&mut self, link: LinkId, id: String, connect_uri: Secret) {
        let name = self.shared.delivery.intern(&id);
        self.core.links.insert(link, KnownChannel { id, connect_uri, name });
    }

    pub(crate) fn keep_socket(&mut self, link: LinkId, id: SocketId, stream: Box<socket::WebSocket>) {
        let Some(runtime) = &self.core.runtime else { return };
        let channel =
            self.core.links.get(&link).map_or_else(|| self.shared.delivery.intern(""), |known| known.name);
        self.core.sockets.insert(id, socket::spawn(runtime.handle(), self.shared, id, stream, channel));
    }

    pub(crate) fn token(&self, generation: Generation) -> Option<Secret> {
        self.core.tokens.iter().find(|(known, _)| *known == generation).map(|(_, token)| token.clone())
    }

    pub(crate) fn channel(&self, link: LinkId) -> Option<KnownChannel> {
        self.core.links.get(&link).cloned()
    }

    pub(crate) fn services(&self) -> &Services {
        &self.shared.services
    }

    pub(crate) fn control(&self, control: Control) {
        self.shared.delivery.push_control(control);
    }

    /// A task that must be let finish, within bounds, when the client ends.
    pub(crate) fn linger(&mut self, task: JoinHandle<()>) {
        self.core.lingering.retain(|task| !task.is_finished());
        self.core.lingering.push(task);
    }

    /// Calls the machine; a panic of it ends the client and nothing else.
    fn rules(&mut self, act: impl FnOnce(&mut Machine, &mut Context<'_>)) {
        let Core { machine, random, faulty: false, .. } = &mut *self.core else { return };
        let mut governor = self.shared.governor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cx = Context { now: self.now, random, governor: &mut governor };
        let result = catch_unwind(AssertUnwindSafe(|| act(machine, &mut cx)));
        drop(governor);
        if let Err(panic) = result {
            self.core.faulty = true;
            self.fault(&panic_text(&*panic));
        }
    }

    fn fault(&mut self, what: &str) {
        if self.core.ended {
            return;
        }
        let message =
            self.shared.services.secrets.scrub(&format!("internal error, the client has stopped: {what}"));
        let report = ErrorReport {
            code: ErrorCode::ProtocolViolation,
            message,
            retryable: false,
            hint: None,
            status: None,
            correlation_id: None,
        };
        self.control(Control::Notice(Notice::Error(report)));
        self.end();
    }

    /// Carries out what the machine asks for.
    fn settle(&mut self) {
        while !self.core.faulty
            && let Some(output) = self.core.machine.poll_output()
        {
            match output {
                Output::Start(operation) => self.start(operation),
                Output::Cancel(ticket) => self.cancel(ticket),
                Output::Ping(socket) => {
                    if let Some(handle) = self.core.sockets.get(&socket) {
                        handle.ping();
                    }
                }
                Output::CloseSocket(socket, code) => {
                    if let Some(handle) = self.core.sockets.remove(&socket) {
                        let task = handle.close(code);
                        self.linger(task);
                    }
                    self.release(socket);
                }
                Output::DropSocket(socket) => {
                    if let Some(handle) = self.core.sockets.remove(&socket) {
                        handle.abort();
                    }
                    self.release(socket);
                }
                Output::Release(socket) => self.release(socket),
                Output::ForgetLink(link) => drop(self.core.links.remove(&link)),
                Output::Notify(notice) => self.control(Control::Notice(notice)),
                Output::Closed => self.end(),
            }
        }
    }

    fn start(&mut self, operation: Operation) {
        let Operation { ticket, effect, timeout_ms } = operation;
        let Some(runtime) = self.core.runtime.clone() else { return };
        let job = effects::prepare(&effect, ticket, self);
        let shared = self.shared.clone();
        let task = runtime.handle().spawn(async move {
            let finished = effects::run(job, &shared, timeout_ms).await;
            shared.turn(|turn| turn.finish(ticket, finished));
        });
        self.core.operations.insert(ticket, Started { task: task.abort_handle(), effect });
    }

    fn cancel(&mut self, ticket: Ticket) {
        self.core.token_requests.remove(&ticket.0);
        if let Some(started) = self.core.operations.remove(&ticket) {
            started.task.abort();
        }
    }

    fn release(&mut self, socket: SocketId) {
        if let Some((channel, mut held)) = self.core.held.remove(&socket) {
            for event in held.release() {
                self.deliver_held(channel, &event);
            }
        }
    }

    fn deliver_held(&mut self, channel: u32, event: &HeldEvent) {
        self.deliver(event.topic, channel, &Frame::read(&event.text), &event.text, event.received_at);
    }

    fn deliver(&mut self, topic: TopicId, channel: u32, frame: &Frame<'_>, text: &str, received_at: u64) {
        let Frame::Event(envelope) = frame else { return };
        let event = Arrived {
            topic,
            topic_name: self.core.machine.topic(topic).as_str(),
            channel,
            version: envelope.version.as_deref(),
            text,
            body: envelope.body,
            metadata: envelope.metadata,
            received_at,
        };
        self.shared.delivery.push(&event, self.now.mono);
    }

    /// The machine is done, or done for.
    fn end(&mut self) {
        if self.core.ended {
            return;
        }
        self.core.abort_all();
        self.core.lingering.retain(|task| !task.is_finished());
        let lingering = std::mem::take(&mut self.core.lingering);
        let Some(runtime) = self.core.runtime.as_ref().filter(|_| !lingering.is_empty()) else {
            return self.shared.announce_end();
        };
        let shared = self.shared.clone();
        let task = runtime.handle().spawn(async move {
            let _ = timeout(socket::GOODBYE, join_all(lingering)).await;
            shared.announce_end();
            shared.delivery.ring_if_due();
        });
        self.core.lingering.push(task);
    }
}

impl Core {
    fn abort_all(&mut self) {
        self.ended = true;
        for (_, started) in self.operations.drain() {
            started.task.abort();
        }
        for (_, handle) in self.sockets.drain() {
            handle.abort();
        }
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        self.token_requests.clear();
        self.tokens.clear();
        self.links.clear();
        self.held.clear();
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

async fn join_all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}
