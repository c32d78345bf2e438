//! The client as its owner sees it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use genesys_notifications_journal::{self as journal, Journal, OpenError, Restored};
use genesys_notifications_proto::{
    Backfilled, ClientState, Config, Gap, Input, Machine, RequestId, Topic, TopicChange, TopicRequest,
    TopicStatus,
};

use crate::backfill::{self, Backfill};
use crate::batch::Batch;
use crate::chronicle::Chronicle;
use crate::control::Control;
use crate::cursor_options::CursorOptions;
use crate::delivery::{Bell, Delivery, Remains};
use crate::effects::Services;
use crate::environment::Environment;
use crate::http;
use crate::keeper::Keeper;
use crate::oauth::OAuth;
use crate::options::{Naming, OptionError, Options, Region};
use crate::past;
use crate::reader::Reader;
use crate::regions::Endpoints;
use crate::rest::Rest;
use crate::secret::Secrets;
use crate::shared::{ProvidedToken, Shared, log};
use crate::stats::Stats;
use crate::tls;
use crate::topic_options::{TopicOptions, TopicReport};

/// A client of the notification service.
///
/// Every method may be called from any thread and returns at once; none blocks on the network. What happens is told by
/// the bell: ring, then [`Client::take_controls`], then [`Client::drain`] until nothing remains.
///
/// Dropping it ends everything at once, without goodbye to the service, and the bell rings no more.
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// A client that does nothing yet; no thread is started before [`Client::connect`].
    ///
    /// # Errors
    /// If the options cannot be used.
    pub fn new(options: Options, bell: Arc<dyn Bell>) -> Result<Self, OptionError> {
        Self::with_environment(options, bell, Environment::default())
    }

    /// As [`Client::new`], with something else in the place of what clients of a process share.
    ///
    /// # Errors
    /// If the options cannot be used.
    pub fn with_environment(
        options: Options,
        bell: Arc<dyn Bell>,
        environment: Environment,
    ) -> Result<Self, OptionError> {
        let broken = |why: String| OptionError::new("network", why);
        let tls = tls::config(options.authorities).map_err(broken)?;
        let connect_timeout = Duration::from_millis(options.rules.connect_timeout_ms);
        let request_timeout = Duration::from_millis(options.rules.request_timeout_ms);
        let http = http::client(&tls, connect_timeout, request_timeout).map_err(broken)?;
        let secrets = Secrets::default();
        let (login, api) = match options.region {
            Region::Unknown => (None, None),
            Region::Login(login) => (Some(login), None),
            Region::Whole(Endpoints { login, api, streaming }) => (Some(login), Some((api, streaming))),
        };
        let credentials = options.credentials;
        let oauth =
            Arc::new(OAuth::new(http.clone(), login.as_ref(), credentials, request_timeout, &secrets));
        let streaming = api.as_ref().map(|(_, streaming)| streaming.clone());
        let rest = api.map(|(api, streaming)| Rest::new(http, api, streaming));
        if let Some(endpoint) = &options.endpoint {
            endpoint.guard(&secrets);
        }
        let naming = Naming::of(options.endpoint.is_some());
        let layout = options.endpoint.as_ref().map(|endpoint| endpoint.layout.clone());
        let reader = Reader::new(layout, options.cursor.is_some());
        let keeper = options.cursor.map(|cursor| keep(cursor, &options.rules)).transpose()?;
        let journal = options.journal.map(|journal| open(journal, &environment)).transpose()?;
        let (journal, restored) = journal.unzip();
        let delivery = Delivery::new(options.queue, options.max_wait_ms, bell);
        let (mut topics, mut chronicle) = (options.topics, None);
        if let Some(restored) = &restored {
            topics.extend(past::topics(&restored.wanted, naming));
            chronicle = Some(Chronicle::of(restored, &topics));
            delivery.begin_after(if restored.unacknowledged == 0 { restored.last_sequence } else { 0 });
        }
        for warning in options.warnings {
            delivery.push_control(log("warn", warning));
        }
        let shared = Shared::new(
            Machine::new(options.rules),
            environment.seed,
            environment.governor,
            environment.clock,
            delivery,
            Services {
                secrets,
                oauth,
                rest,
                tls,
                streaming,
                endpoint: options.endpoint,
                reader,
                keeper: keeper.map(Arc::new),
                backfill: options.backfill.map(Backfill::new),
                max_depth: options.max_depth,
            },
            journal.zip(chronicle),
        );
        let client = Self { shared: Arc::new(shared.with_filter(options.filter)) };
        client.change_topics(TopicChange::Add, topics);
        if let Some(restored) = restored {
            client.shared.turn(|turn| turn.restore(restored));
        }
        if let Some(kept) = &client.shared.kept {
            kept.journal
                .start(kept.outlet.clone())
                .map_err(|error| OptionError::new("journal", format!("no thread can be had: {error}")))?;
        }
        Ok(client)
    }

    /// Starts connecting. Does nothing unless idle.
    ///
    /// # Errors
    /// If the system gives no thread; the client stays idle.
    pub fn connect(&self) -> io::Result<()> {
        if self.state() == ClientState::Idle {
            self.open_journal();
            self.shared.start()?;
            self.shared.turn(|turn| turn.input(Input::Connect));
        }
        Ok(())
    }

    /// Ends everything; [`Control::Closed`] is the last control, after goodbyes of at most 2 s. Idempotent.
    pub fn close(&self) {
        self.shared.turn(|turn| {
            turn.mark_for_good();
            turn.input(Input::Close);
        });
    }

    /// Ends everything at once, as dropping the client does: no goodbye, no further ring, and when it returns no thread
    /// of this client is left unless another client uses it. For the end of a JavaScript environment.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Replaces every channel, overlapped. Returns the number of the request, which comes back in `Notice::Settled`.
    pub fn rotate(&self) -> u64 {
        self.request(Input::Rotate)
    }

    /// Drops every socket and starts again on new channels, without backoff. Returns the number of the request.
    pub fn reconnect(&self) -> u64 {
        self.request(Input::Reconnect)
    }

    /// Changes the wanted topics; allowed in every state that is not terminal. Names may be combined (`prefix?a&b`).
    ///
    /// Returns the number of the request, which comes back in `Notice::Settled` once every topic is decided. Number 0 is
    /// the request that the topics of the options make.
    ///
    /// # Errors
    /// If a name is not a topic; then nothing is changed. The path names it, e.g. `topics[3]`.
    pub fn request_topics(&self, change: TopicChange, names: &[String]) -> Result<u64, OptionError> {
        self.request_topics_with(change, names, None)
    }

    /// The same; the options replace those these topics had, and are in force before any event that follows. Without them
    /// topics keep theirs. Topics that go forget them.
    ///
    /// # Errors
    /// As with [`Client::request_topics`], and if topics are to be conflated although there is a journal or a cursor.
    pub fn request_topics_with(
        &self,
        change: TopicChange,
        names: &[String],
        options: Option<&TopicOptions>,
    ) -> Result<u64, OptionError> {
        if options.is_some_and(|options| options.conflate.is_some()) {
            let promise = match (&self.shared.kept, &self.shared.services.keeper) {
                (Some(_), _) => Some("cannot be had with a journal, which promises every event"),
                (None, Some(_)) => Some("cannot be had with a cursor, which promises every event"),
                (None, None) => None,
            };
            if let Some(why) = promise {
                return Err(OptionError::new("conflate", why));
            }
        }
        let topics = self.shared.naming().all(names)?;
        let names: Vec<String> = topics.iter().map(|topic| topic.as_str().to_owned()).collect();
        Ok(self.shared.turn(|turn| {
            turn.remember_wanted(change, &names);
            turn.treat(change, &names, options);
            let number = turn.request_number();
            turn.input(Input::Topics(TopicRequest { request: RequestId(number), change, topics }));
            number
        }))
    }

    /// Every event up to this sequence is dealt with: it is not delivered again by a later run. Without a journal or a cursor
    /// it does nothing. Never goes back, and never beyond what was delivered.
    pub fn ack(&self, up_to: u64) {
        if let Some(keeper) = &self.shared.services.keeper {
            keeper.acked(up_to.min(self.shared.delivery.handed()));
        }
        if let Some(kept) = &self.shared.kept {
            kept.journal.ack(up_to);
        }
    }

    /// Answers [`Control::TokenRequest`]; an error is the text of what the caller's function threw.
    ///
    /// An answer to a request that is no longer open changes nothing.
    pub fn provide_token(&self, ticket: u64, answer: Result<ProvidedToken, String>) {
        let waiting = self.shared.turn(|turn| turn.core.token_requests.remove(&ticket));
        if let Some(waiting) = waiting {
            // The request may have run out of time just now.
            let _ = waiting.send(answer);
        }
    }

    /// Answers [`Control::LoadCursor`]: what was saved last, nothing if that is none yet, or the text of what went wrong.
    ///
    /// An answer to a request that is no longer open changes nothing.
    pub fn provide_cursor(&self, ticket: u64, answer: Result<Option<String>, String>) {
        let waiting = self.shared.turn(|turn| turn.core.cursor_requests.remove(&ticket));
        if let Some(waiting) = waiting {
            // The request may have run out of time just now.
            let _ = waiting.send(answer);
        }
    }

    /// Answers [`Control::SaveCursor`]; an error is the text of what went wrong.
    ///
    /// An answer to a request that is no longer open changes nothing.
    pub fn cursor_saved(&self, ticket: u64, answer: Result<(), String>) {
        if let Some(keeper) = &self.shared.services.keeper {
            keeper.answered(ticket, answer);
        }
    }

    /// Calls the API for the caller's backfill function, at low priority: `GET` or `POST`, a path under `/api/v2/`, a body of
    /// JSON. Returns the number under which [`Control::ApiAnswer`] tells the answer, or what was wrong; 0, which is never
    /// answered, if the option `backfill` is off.
    pub fn backfill_api_call(&self, method: &str, path: &str, body: Option<String>) -> u64 {
        backfill::call(&self.shared, method, path, body)
    }

    /// Delivers an item of the caller's backfill function as an event: one of the gap's topics, a body of JSON.
    ///
    /// Returns a number if there is no room for another: [`Control::ApiAnswer`] of that number says when there is.
    ///
    /// # Errors
    /// If the gap is not the one that [`Control::BackfillRequest`] asked to be filled last, or the rest does not fit.
    pub fn backfill_item(&self, gap: &str, topic: &str, body: &str) -> Result<Option<u64>, OptionError> {
        backfill::item(&self.shared, gap, topic, body)
    }

    /// The caller's backfill function has ended for a gap. Changes nothing if it was not asked for that.
    pub fn backfill_done(&self, gap: &str, outcome: Backfilled) {
        backfill::done(&self.shared, gap, outcome);
    }

    /// Moves events into `batch`, whose former content is forgotten: at least one if there is one, then as many as the
    /// two limits allow and lie together. Returns what else there is.
    ///
    /// While a control waits it hands out nothing; the bell has rung, or will, for both.
    pub fn drain(&self, batch: &mut Batch, max_events: usize, max_bytes: usize) -> Remains {
        if self.shared.delivery.has_drops() {
            // A gap is told before the first event after it.
            self.shared.turn(|turn| turn.report_drops());
        }
        self.open_journal();
        let kept = self.shared.kept.as_deref();
        if kept.is_some_and(|kept| kept.outlet.has_news()) {
            self.shared.turn(|turn| turn.hear_journal());
        }
        let was_full = self.shared.delivery.is_full();
        let remains = self.shared.delivery.drain(batch, max_events, max_bytes);
        if let Some(kept) = kept
            && was_full
            && !self.shared.delivery.is_full()
        {
            kept.journal.wake();
        }
        self.shared.delivery.ring_if_due();
        remains
    }

    /// Events that come from now on, with bodies of up to so many bytes, have the values of their bodies in [`Batch::values`], where
    /// that serves. Worth it for those who read most bodies: it is done once per event, on the client's own thread. Initially 0.
    pub fn shape_bodies(&self, up_to_bytes: usize) {
        self.shared.delivery.shape_bodies(up_to_bytes);
    }

    /// Takes everything the caller is to be told or asked, in order.
    pub fn take_controls(&self) -> Vec<Control> {
        let controls = self.shared.delivery.take_controls();
        self.shared.delivery.ring_if_due();
        if matches!(controls.last(), Some(Control::Closed)) {
            // Here, because this thread is not one of the runtime's own and can join them.
            self.shared.release_runtime();
        }
        controls
    }

    /// The state.
    pub fn state(&self) -> ClientState {
        self.shared.look(|machine, _| machine.state())
    }

    /// Every wanted topic's status.
    pub fn topics(&self) -> Vec<TopicStatus> {
        self.shared.look(|machine, _| machine.topics())
    }

    /// The same, with what is done to their events.
    pub fn topic_reports(&self) -> Vec<TopicReport> {
        self.topics().into_iter().map(|status| self.report(status)).collect()
    }

    /// Of those of these topics that are wanted only. Names may be combined.
    ///
    /// # Errors
    /// If a name is not a topic.
    pub fn reports_of(&self, names: &[String]) -> Result<Vec<TopicReport>, OptionError> {
        let topics = self.shared.naming().all(names)?;
        let statuses = self.shared.look(|machine, _| machine.statuses(&topics));
        Ok(statuses.into_iter().map(|status| self.report(status)).collect())
    }

    fn report(&self, status: TopicStatus) -> TopicReport {
        let options = self.shared.delivery.topic_options(&status.topic).unwrap_or_default();
        let select = options.select.map(|selected| selected.paths.to_vec());
        TopicReport { status, select, conflate: options.conflate }
    }

    /// The last closed gaps and every open one.
    pub fn gaps(&self) -> Vec<Gap> {
        self.shared.look(|machine, _| machine.gaps())
    }

    /// Figures at this moment.
    pub fn stats(&self) -> Stats {
        let machine = self.shared.look(|machine, now| machine.stats(now));
        let journal = self.shared.kept.as_ref().map(|kept| kept.journal.stats());
        let filtered = self.shared.filtered();
        let cursor = self.shared.services.keeper.as_ref().map(|keeper| keeper.stats());
        Stats::new(machine, self.shared.delivery.counts(), filtered, self.shared.is_full(), journal, cursor)
    }

    /// From the first sign that events are wanted, those of an earlier run are delivered.
    fn open_journal(&self) {
        if let Some(kept) = &self.shared.kept
            && kept.outlet.open()
        {
            kept.journal.wake();
        }
    }

    fn change_topics(&self, change: TopicChange, topics: Vec<Topic>) -> u64 {
        self.request(|request| Input::Topics(TopicRequest { request, change, topics }))
    }

    fn request(&self, input: impl FnOnce(RequestId) -> Input) -> u64 {
        self.shared.turn(|turn| {
            let number = turn.request_number();
            turn.input(input(RequestId(number)));
            number
        })
    }
}

/// Opens the journal; whatever is wrong with it has the path of an option.
fn open(options: journal::Options, environment: &Environment) -> Result<(Journal, Restored), OptionError> {
    Journal::open(options, environment.clock.now().wall).map_err(|error| match error {
        OpenError::Option { field, reason } => OptionError::new(format!("journal.{field}"), reason),
        other => OptionError::new("journal.path", other.to_string()),
    })
}

fn keep(cursor: CursorOptions, rules: &Config) -> Result<Keeper, OptionError> {
    match cursor {
        CursorOptions::File(path) => {
            Keeper::of_file(&path, &rules.backoff).map_err(|why| OptionError::new("cursor.path", why))
        }
        CursorOptions::Functions => {
            Ok(Keeper::of_functions(Duration::from_millis(rules.request_timeout_ms), &rules.backoff))
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}
