//! The turn: one change of the machine, under the lock, and everything that follows from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use genesys_notifications_journal::{Origin, Record};
use genesys_notifications_proto::{
    Context, Disposition, Ending, ErrorCode, ErrorReport, Frame, Generation, HttpFailure, Input, LinkId,
    Machine, Notice, Now, Operation, Output, SocketId, Ticket, TopicChange, TopicId,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::batch::Flags;
use crate::closing;
use crate::control::Control;
use crate::delivery::ENDPOINT_CHANNEL;
use crate::effects::{self, Services};
use crate::endpoint::Filling;
use crate::held::{Held, HeldEvent};
use crate::queue::Arrived;
use crate::reader::Parts;
use crate::secret::{Secret, Secrets};
use crate::socket::{self, Saying, Script};
use crate::strangers;
use crate::topic_options::TopicOptions;

use super::{Core, KnownChannel, Shared, Started, log, panic_text};

/// One change of the machine, under the lock.
pub(crate) struct Turn<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(crate) core: &'a mut Core,
    pub(crate) now: Now,
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

    /// A turn that handles many frames lasts.
    pub(crate) fn look_at_the_time(&mut self) {
        self.now = self.shared.clock.now();
    }

    /// Whether its frames still count.
    pub(crate) fn has_socket(&self, socket: SocketId) -> bool {
        self.core.sockets.contains_key(&socket)
    }

    /// Whether events are on disk before they are handed over.
    pub(crate) fn has_journal(&self) -> bool {
        self.shared.kept.is_some()
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.shared.services.secrets
    }

    /// A text frame arrived on a socket. It may hold several events.
    pub(crate) fn text(&mut self, socket: SocketId, text: &str) {
        let Services { reader, max_depth, secrets, .. } = &self.shared.services;
        reader.read(text, *max_depth, |frame, part| match frame {
            Frame::Refused(refusal) => {
                let scrubbed = |text: &Option<String>| text.as_deref().map(|text| secrets.scrub(text));
                let refusal = HttpFailure {
                    code: scrubbed(&refusal.code),
                    message: scrubbed(&refusal.message),
                    correlation_id: scrubbed(&refusal.correlation_id),
                    ..*refusal
                };
                self.frame(socket, &Frame::Refused(refusal), part);
            }
            frame => self.frame(socket, frame, part),
        });
    }

    /// A frame arrived on a socket; `text` is the whole frame, or the part of it that is this one.
    pub(crate) fn frame(&mut self, socket: SocketId, frame: &Frame<'_>, text: &str) {
        let Some(channel) = self.core.sockets.get(&socket).map(|handle| handle.channel) else { return };
        if !matches!(frame, Frame::Event(_)) {
            // A proof of life is worth no more than the time it is given.
            self.look_at_the_time();
        }
        let mut disposition = Disposition::Drop;
        self.rules(|machine, cx| disposition = machine.frame(cx, socket, frame));
        match disposition {
            Disposition::Deliver(topic) => {
                // First what the frame brought about: held events of before, the end of a gap.
                self.settle();
                let Frame::Event(envelope) = frame else { return };
                let parts = self.shared.services.reader.of(envelope);
                self.deliver(topic, channel, &parts, text, self.now.wall);
            }
            Disposition::Hold(topic) => {
                let event = HeldEvent { topic, text: text.into(), received_at: self.now.wall };
                let (_, held) = self.core.held.entry(socket).or_insert_with(|| (channel, Held::default()));
                for event in held.push(event) {
                    self.deliver_held(channel, &event);
                }
                self.settle();
            }
            Disposition::Pass => {
                self.settle();
                let Frame::Event(envelope) = frame else { return };
                let parts = self.shared.services.reader.of(envelope);
                self.passes(&parts, self.now.wall);
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

    /// A call changes the wanted topics.
    pub(crate) fn treat(&self, change: TopicChange, names: &[String], options: Option<&TopicOptions>) {
        self.shared.delivery.treat(change, names, options, self.now.mono);
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
        self.core.cursor_requests.remove(&ticket.0);
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
        let name = self.name_channel(&id);
        self.core.links.insert(link, KnownChannel { id, connect_uri, name });
    }

    pub(crate) fn keep_socket(&mut self, link: LinkId, id: SocketId, stream: Box<socket::WebSocket>) {
        let known = self.core.links.get(&link).map(|known| known.name);
        let channel = known.unwrap_or_else(|| self.name_channel(""));
        self.spawn_socket(id, stream, channel, None);
    }

    /// Of a direct endpoint, whose connections have one name.
    pub(crate) fn keep_direct_socket(
        &mut self,
        id: SocketId,
        stream: Box<socket::WebSocket>,
        script: Option<Script>,
    ) {
        let channel = match self.core.endpoint_name {
            Some(name) => name,
            None => self.name_channel(ENDPOINT_CHANNEL),
        };
        self.core.endpoint_name = Some(channel);
        self.spawn_socket(id, stream, channel, script);
    }

    fn spawn_socket(
        &mut self,
        id: SocketId,
        stream: Box<socket::WebSocket>,
        channel: u32,
        script: Option<Script>,
    ) {
        let Some(runtime) = self.core.runtime.clone() else { return };
        let handle = socket::spawn(runtime.handle(), self.shared, id, stream, channel, script);
        self.core.sockets.insert(id, handle);
    }

    /// What a connection to the endpoint says; nothing if its token is no longer known.
    pub(crate) fn script(&self, generation: Option<Generation>, position: Option<&str>) -> Option<Script> {
        let endpoint = self.shared.services.endpoint.clone()?;
        let token = match generation {
            Some(generation) => Some(self.token(generation)?),
            None => None,
        };
        Some(Script { endpoint, filling: Filling { token, position: position.map(str::to_owned) } })
    }

    fn say(&self, socket: SocketId, saying: Saying) {
        if let Some(handle) = self.core.sockets.get(&socket) {
            handle.say(saying);
        }
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
    pub(super) fn rules(&mut self, act: impl FnOnce(&mut Machine, &mut Context<'_>)) {
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
    pub(super) fn settle(&mut self) {
        while !self.core.faulty
            && let Some(output) = self.core.machine.poll_output()
        {
            match output {
                Output::Start(operation) => self.start(operation),
                Output::Cancel(ticket) => self.cancel(ticket),
                Output::Probe(socket) => self.say(socket, Saying::Probe),
                Output::Ping(socket) => self.say(socket, Saying::Ping),
                Output::Authenticate(socket, generation) => {
                    // Without it the endpoint is not ready in time, as if it had not answered.
                    if let Some(token) = self.token(generation) {
                        self.say(socket, Saying::First(token));
                    }
                }
                Output::Ask(socket, topic) => {
                    self.say(socket, Saying::Ask(self.core.machine.topic(topic).clone()));
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
                Output::Notify(notice) => self.tell(notice),
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
        self.core.cursor_requests.remove(&ticket.0);
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

    /// The cursor goes on over an event that is not delivered.
    fn passes(&self, parts: &Parts<'_>, received_at: u64) {
        // With a journal, events before it may still be on their way to the cursor.
        if let (Some(keeper), Some(mark), None) =
            (&self.shared.services.keeper, &parts.mark, &self.shared.kept)
        {
            keeper.passed(mark, received_at);
        }
    }

    fn deliver_held(&mut self, channel: u32, event: &HeldEvent) {
        let parts = self.shared.services.reader.again(&event.text);
        self.deliver(event.topic, channel, &parts, &event.text, event.received_at);
    }

    fn deliver(&mut self, topic: TopicId, channel: u32, parts: &Parts<'_>, text: &str, received_at: u64) {
        let services = &self.shared.services;
        let own_name = self.core.machine.topic(topic).as_str();
        // What an endpoint sends unasked is one topic to the rules, and keeps its names for everybody else.
        let foreign = parts.topic.as_deref();
        let foreign = foreign.filter(|name| services.endpoint.is_some() && *name != own_name);
        if let Some(filter) = &mut self.core.filter {
            let passes = match foreign {
                Some(name) => filter.passes_named(name),
                None => filter.passes(topic, own_name),
            };
            if !passes {
                return self.passes(parts, received_at);
            }
        }
        let topic_name = foreign.unwrap_or(own_name);
        if let (Some(kept), Some(chronicle)) = (&self.shared.kept, &mut self.core.chronicle) {
            let (topic, is_first) = match foreign {
                Some(name) => self.core.strangers.admit(name),
                None => (own_name, false),
            };
            if is_first {
                self.shared.delivery.push_control(log("warn", strangers::WARNING.into()));
            }
            let record = Record { received_at, origin: Origin::Live, topic, channel, frame: text };
            return chronicle.appended(kept.journal.append(&record));
        }
        let event = Arrived {
            topic: Some(topic),
            is_foreign: foreign.is_some(),
            topic_name,
            channel,
            version: parts.version.as_deref(),
            text,
            body: parts.body,
            metadata: parts.metadata,
            received_at,
            sequence: None,
            flags: Flags::LIVE,
        };
        self.shared.delivery.push(&event, parts.mark.as_ref(), self.now.mono);
    }

    /// The machine is done, or done for.
    fn end(&mut self) {
        if self.core.ended {
            return;
        }
        self.core.abort_all();
        self.core.lingering.retain(|task| !task.is_finished());
        let lingering = std::mem::take(&mut self.core.lingering);
        let saving = self.core.saving.take();
        if let Some(keeper) = &self.shared.services.keeper {
            keeper.end();
        }
        let has_more = !lingering.is_empty() || saving.is_some();
        let Some(runtime) = self.core.runtime.clone().filter(|_| has_more) else {
            return self.end_with_journal();
        };
        let is_closed = Arc::new(Notify::new());
        let closed = is_closed.clone();
        self.close_journal(move || closed.notify_one());
        let shared = self.shared.clone();
        let task = runtime.handle().spawn(async move {
            let _ = tokio::join!(
                timeout(socket::GOODBYE, join_all(lingering)),
                timeout(closing::PATIENCE, join_all(saving)),
                timeout(closing::PATIENCE, is_closed.notified()),
            );
            shared.announce_end();
            shared.delivery.ring_if_due();
        });
        self.core.lingering.push(task);
    }
}

async fn join_all(tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}
