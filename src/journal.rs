use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use genesys_notifications_client::{Batch, ROW_WIDTH, Replay, ReplayBound, report};
use napi::bindgen_prelude::{AsyncTask, Int32Array};
use napi::{Env, Status, Task};
use napi_derive::napi;

use crate::error::{Result, internal};
use crate::header::Header;

/// One end of a replay.
#[napi(object)]
pub struct NativeBound {
    /// Milliseconds since the epoch; otherwise a sequence.
    pub is_time: bool,
    /// Which.
    pub at: f64,
}

impl NativeBound {
    fn bound(&self) -> ReplayBound {
        if self.is_time { ReplayBound::Time(self.at as u64) } else { ReplayBound::Sequence(self.at as u64) }
    }
}

/// Events of a journal once more, a page at a time, read on a thread of the pool.
#[napi]
pub struct NativeReplay {
    walk: RefCell<Option<Arc<Mutex<Walk>>>>,
}

#[napi]
impl NativeReplay {
    /// Opens nothing before the first page.
    #[napi(constructor, catch_unwind)]
    pub fn new(path: String, from: NativeBound, to: Option<NativeBound>) -> Self {
        let (from, to) = (from.bound(), to.map(|to| to.bound()));
        let walk = Walk { path: PathBuf::from(path), from, to, replay: None };
        Self { walk: RefCell::new(Some(Arc::new(Mutex::new(walk)))) }
    }

    /// The next events: at least one if there is one, then as many as the limits allow.
    #[napi(catch_unwind, ts_return_type = "Promise<NativePage>")]
    pub fn page(&self, max_events: u32, max_bytes: u32) -> Result<AsyncTask<ReadPage>> {
        let walk = self.walk.borrow().clone().ok_or_else(|| internal("the replay was released"))?;
        Ok(AsyncTask::new(ReadPage { walk, max_events: max_events as usize, max_bytes: max_bytes as usize }))
    }

    /// Closes the file, once no page is being read any more.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.walk.take();
    }
}

/// Where a replay is.
struct Walk {
    path: PathBuf,
    from: ReplayBound,
    to: Option<ReplayBound>,
    replay: Option<Replay>,
}

/// What crosses: the text, the rows that point into it, and names that follow on those of the pages before.
#[napi(object)]
pub struct NativePage {
    /// Frames back to back.
    pub text: String,
    /// A row of header and those of the events, as `NativeClient.drain` writes them.
    pub rows: Int32Array,
    /// New names.
    pub names: Vec<String>,
    /// Nothing follows.
    pub is_last: bool,
}

/// Reads one page.
pub struct ReadPage {
    walk: Arc<Mutex<Walk>>,
    max_events: usize,
    max_bytes: usize,
}

impl Task for ReadPage {
    type Output = (Batch, bool);
    type JsValue = NativePage;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let Walk { path, from, to, replay } = &mut *walk;
        let replay = match replay {
            Some(replay) => replay,
            None => replay.insert(Replay::open(path, *from, *to).map_err(unreadable)?),
        };
        let mut batch = Batch::default();
        let more = replay.page(&mut batch, self.max_events, self.max_bytes).map_err(unreadable)?;
        Ok((batch, !more))
    }

    fn resolve(&mut self, _: Env, (batch, is_last): Self::Output) -> napi::Result<Self::JsValue> {
        let mut rows = vec![0; ROW_WIDTH];
        Header::of(&batch).write(&mut rows);
        rows.extend_from_slice(&batch.rows);
        let Batch { text, names, .. } = batch;
        // One byte is one character.
        let text = text.into_iter().map(char::from).collect();
        Ok(NativePage { text, rows: rows.into(), names, is_last })
    }
}

/// The continuity report of a journal in its three shapes.
#[napi(object)]
pub struct NativeReport {
    /// For programs.
    pub json: String,
    /// For people.
    pub text: String,
    /// A timeline.
    pub svg: String,
}

/// Reads what the report is made of.
pub struct MakeReport(PathBuf);

impl Task for MakeReport {
    type Output = NativeReport;
    type JsValue = NativeReport;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let report = report(&self.0).map_err(unreadable)?;
        let json = serde_json::to_string(&report).map_err(unreadable)?;
        Ok(NativeReport { json, text: report.text(), svg: report.svg() })
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(output)
    }
}

/// The continuity report of a journal, made on a thread of the pool.
#[napi(catch_unwind, ts_return_type = "Promise<NativeReport>")]
pub fn journal_report(path: String) -> AsyncTask<MakeReport> {
    AsyncTask::new(MakeReport(Path::new(&path).to_owned()))
}

fn unreadable(error: impl std::fmt::Display) -> napi::Error {
    napi::Error::new(Status::GenericFailure, error.to_string())
}
