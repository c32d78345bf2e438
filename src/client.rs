use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use genesys_notifications_client::{
    Backfilled, Batch, Client, Options, ProvidedToken, ROW_WIDTH, TopicChange, TopicOptions,
};
use genesys_notifications_proto::Shape;
use napi::bindgen_prelude::{BufferSlice, Either, Function, Int32ArraySlice};
use napi::{Env, JsString};
use napi_derive::napi;

use crate::bell::JsBell;
use crate::error::{Result, internal, invalid, json};
use crate::header::Header;

/// What crosses of a batch: a copy, or beyond [`COPIED_BYTES`] the memory itself.
type Text<'env> = Either<JsString<'env>, BufferSlice<'env>>;

/// Up to here it is copied: buffers outside of V8's heap stay until it collects, and it does not know that it should. V8 gives
/// strings from 128 KiB on pages of their own, which costs more than a buffer.
const COPIED_BYTES: usize = 120 << 10;

/// One client. Every method returns at once. It ends with its last reference: a client that was forgotten keeps no socket
/// open.
#[napi]
pub struct NativeClient {
    client: RefCell<Option<Arc<Client>>>,
    hand: RefCell<Hand>,
}

/// What is used again from one drain to the next.
#[derive(Default)]
struct Hand {
    batch: Batch,
    names: Announced<String>,
    shapes: Announced<Shape>,
}

/// What rows refer to by number.
struct Announced<T> {
    count: usize,
    /// Not taken yet.
    new: Vec<T>,
}

impl<T> Default for Announced<T> {
    fn default() -> Self {
        Self { count: 0, new: Vec::new() }
    }
}

impl<T> Announced<T> {
    /// Returns how many that makes.
    fn add(&mut self, more: &mut Vec<T>) -> usize {
        self.count += more.len();
        self.new.append(more);
        self.count
    }
}

#[napi]
impl NativeClient {
    /// `options` is the JSON of `lib/options.js`; `bell` is called when there is something to take.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, options: String, bell: Function<'_, (), ()>) -> Result<Self> {
        let options = Options::from_json(&options).map_err(|error| invalid(&error))?;
        let bell = Arc::new(JsBell::new(&bell).map_err(internal)?);
        let client = Arc::new(Client::new(options, bell).map_err(|error| invalid(&error))?);
        close_with(env, &client).map_err(internal)?;
        Ok(Self { client: RefCell::new(Some(client)), hand: RefCell::default() })
    }

    /// Starts connecting.
    #[napi(catch_unwind)]
    pub fn connect(&self) -> Result<()> {
        self.client()?.connect().map_err(internal)
    }

    /// Closes every socket and stops for ever.
    #[napi(catch_unwind)]
    pub fn close(&self) -> Result<()> {
        self.client()?.close();
        Ok(())
    }

    /// Frees what it holds, once it has ended: JavaScript collects so small an object late. No other call succeeds after it.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.client.take();
        self.hand.take();
    }

    /// Replaces every channel, overlapped; a `settled` control brings the number back.
    #[napi(catch_unwind)]
    pub fn rotate(&self) -> Result<f64> {
        Ok(self.client()?.rotate() as f64)
    }

    /// Drops every socket and starts again on new channels; a `settled` control brings the number back.
    #[napi(catch_unwind)]
    pub fn reconnect(&self) -> Result<f64> {
        Ok(self.client()?.reconnect() as f64)
    }

    /// Changes the wanted topics; a `settled` control brings the number back. `options` is the JSON of `lib/topic-options.js`.
    #[napi(
        catch_unwind,
        ts_args_type = "change: 'add' | 'remove' | 'replace', names: string[], options?: string"
    )]
    pub fn request_topics(&self, change: String, names: Vec<String>, options: Option<String>) -> Result<f64> {
        let change = match change.as_str() {
            "add" => TopicChange::Add,
            "remove" => TopicChange::Remove,
            "replace" => TopicChange::Replace,
            other => return Err(internal(format!("no such change: {other}"))),
        };
        let options = options.map(|json| TopicOptions::from_json(&json)).transpose();
        let options = options.map_err(|error| invalid(&error))?;
        let request = self.client()?.request_topics_with(change, &names, options.as_ref());
        let request = request.map_err(|error| invalid(&error))?;
        Ok(request as f64)
    }

    /// Answers a `tokenRequest` control: with a token, or with the words of what went wrong.
    #[napi(catch_unwind)]
    pub fn provide_token(
        &self,
        ticket: f64,
        token: Option<String>,
        expires_in_ms: Option<f64>,
        error: Option<String>,
    ) {
        let answer = match token {
            Some(access_token) => {
                Ok(ProvidedToken { access_token, expires_in_ms: expires_in_ms.map(|ms| ms as u64) })
            }
            None => Err(error.unwrap_or_default()),
        };
        // An answer may come after the end.
        if let Ok(client) = self.client() {
            client.provide_token(ticket as u64, answer);
        }
    }

    /// Answers a `loadCursor` control: with what was saved last, null if there is none, or with the words of what went wrong.
    #[napi(catch_unwind)]
    pub fn provide_cursor(&self, ticket: f64, cursor: Option<String>, error: Option<String>) {
        // An answer may come after the end.
        if let Ok(client) = self.client() {
            client.provide_cursor(ticket as u64, error.map_or(Ok(cursor), Err));
        }
    }

    /// Answers a `saveCursor` control; with the words of what went wrong, if something did.
    #[napi(catch_unwind)]
    pub fn cursor_saved(&self, ticket: f64, error: Option<String>) {
        if let Ok(client) = self.client() {
            client.cursor_saved(ticket as u64, error.map_or(Ok(()), Err));
        }
    }

    /// Calls the API for the user's backfill function; an `apiAnswer` control brings the number back.
    #[napi(catch_unwind, ts_args_type = "method: 'GET' | 'POST', path: string, body?: string")]
    pub fn api_call(&self, method: String, path: String, body: Option<String>) -> Result<f64> {
        Ok(self.client()?.backfill_api_call(&method, &path, body) as f64)
    }

    /// One item of the user's backfill function, its body as JSON. A number if there is no room for the next: an `apiAnswer`
    /// control brings it back once there is.
    #[napi(catch_unwind)]
    pub fn backfill_item(&self, gap: String, topic: String, body: String) -> Result<Option<f64>> {
        let number = self.client()?.backfill_item(&gap, &topic, &body).map_err(|error| invalid(&error))?;
        Ok(number.map(|number| number as f64))
    }

    /// The user's backfill function has ended.
    #[napi(catch_unwind, ts_args_type = "gap: string, outcome: 'no' | 'partial' | 'yes'")]
    pub fn backfill_done(&self, gap: String, outcome: String) -> Result<()> {
        let outcome = match outcome.as_str() {
            "no" => Backfilled::No,
            "partial" => Backfilled::Partial,
            "yes" => Backfilled::Yes,
            other => return Err(internal(format!("no such outcome: {other}"))),
        };
        self.client()?.backfill_done(&gap, outcome);
        Ok(())
    }

    /// Every event up to this sequence is done with: neither a journal nor a cursor brings it again.
    #[napi(catch_unwind)]
    pub fn ack(&self, up_to: f64) -> Result<()> {
        self.client()?.ack(up_to as u64);
        Ok(())
    }

    /// Statuses of the wanted topics, as JSON.
    #[napi(catch_unwind)]
    pub fn topics(&self) -> Result<String> {
        json(&self.client()?.topic_reports())
    }

    /// Statuses of those of these topics that are wanted, as JSON.
    #[napi(catch_unwind)]
    pub fn statuses(&self, names: Vec<String>) -> Result<String> {
        json(&self.client()?.reports_of(&names).map_err(|error| invalid(&error))?)
    }

    /// Every gap so far, as JSON.
    #[napi(catch_unwind)]
    pub fn gaps(&self) -> Result<String> {
        json(&self.client()?.gaps())
    }

    /// Numbers, as JSON.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<String> {
        json(&self.client()?.stats())
    }

    /// What the caller is told beside events, as a JSON array; null if there is nothing.
    #[napi(catch_unwind)]
    pub fn take_controls(&self) -> Result<Option<String>> {
        let controls = self.client()?.take_controls();
        if controls.is_empty() { Ok(None) } else { json(&controls).map(Some) }
    }

    /// Takes events: writes a [`Header`] to `rows[at]` and their rows behind it, and returns the text that they point into: the
    /// frames and behind them, if there are any, the values of their bodies. Null if there are no events.
    #[napi(catch_unwind, ts_return_type = "string | Buffer | null")]
    pub fn drain<'env>(
        &self,
        env: &'env Env,
        mut rows: Int32ArraySlice<'_>,
        at: u32,
        max_events: u32,
        max_bytes: u32,
    ) -> Result<Option<Text<'env>>> {
        let mut hand = self.hand.borrow_mut();
        let Hand { batch, names, shapes } = &mut *hand;
        let remains = self.client()?.drain(batch, max_events as usize, max_bytes as usize);
        let header = Header {
            names: names.add(&mut batch.names),
            shapes: shapes.add(&mut batch.shapes),
            ..Header::of(batch).with(remains)
        };
        #[allow(unsafe_code, reason = "the only way to write into an array of JavaScript's")]
        // SAFETY: JavaScript does not run before this returns, and no other slice of the array exists.
        let rows = unsafe { rows.as_mut() };
        let end = at as usize + ROW_WIDTH + batch.rows.len();
        let rows = rows.get_mut(at as usize..end).ok_or_else(|| internal("too few rows"))?;
        header.write(rows);
        rows[ROW_WIDTH..].copy_from_slice(&batch.rows);
        if batch.is_empty() {
            return Ok(None);
        }
        batch.text.extend_from_slice(&batch.values);
        if batch.text.len() <= COPIED_BYTES {
            return env.create_string_latin1(&batch.text).map(Either::A).map(Some).map_err(internal);
        }
        let text = std::mem::take(&mut batch.text);
        BufferSlice::from_data(env, text).map(Either::B).map(Some).map_err(internal)
    }

    /// Names announced since the last call, in the order of their numbers.
    #[napi(catch_unwind)]
    pub fn take_names(&self) -> Vec<String> {
        std::mem::take(&mut self.hand.borrow_mut().names.new)
    }

    /// Shapes announced since the last call, in the order of their numbers, as JSON.
    #[napi(catch_unwind)]
    pub fn take_shapes(&self) -> Result<String> {
        json(&std::mem::take(&mut self.hand.borrow_mut().shapes.new))
    }

    /// Events that come from now on bring the values of their bodies beside the text, if those have up to so many bytes.
    #[napi(catch_unwind)]
    pub fn shape_bodies(&self, up_to_bytes: u32) -> Result<()> {
        self.client()?.shape_bodies(up_to_bytes as usize);
        Ok(())
    }

    fn client(&self) -> Result<Arc<Client>> {
        self.client.borrow().clone().ok_or_else(|| internal("the client was released"))
    }
}

thread_local! {
    /// Clients by environment: a thread may have more than one.
    static CLIENTS: RefCell<HashMap<usize, Vec<Weak<Client>>>> = RefCell::default();
}

/// Closes the client when its environment ends: a worker that is terminated runs none of its own code any more.
fn close_with(env: Env, client: &Arc<Client>) -> napi::Result<()> {
    let key = env.raw() as usize;
    let is_new = CLIENTS.with_borrow_mut(|all| {
        let is_new = !all.contains_key(&key);
        let clients = all.entry(key).or_default();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(client));
        is_new
    });
    if is_new {
        env.add_env_cleanup_hook(key, |key| {
            let clients = CLIENTS.with_borrow_mut(|all| all.remove(&key)).unwrap_or_default();
            for client in clients.iter().filter_map(Weak::upgrade) {
                client.close();
            }
        })?;
    }
    Ok(())
}
