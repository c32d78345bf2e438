//! The journal as its client sees it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::error::OpenError;
use crate::open;
use crate::options::Options;
use crate::outlet::Outlet;
use crate::record::{Note, Record, Restored};
use crate::schema::refused;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::writer::Writer;

/// A journal. One client's at a time; dropping it closes it.
pub struct Journal {
    shared: Arc<Shared>,
    stage: Mutex<Stage>,
}

enum Stage {
    Opened(Box<Writer>),
    Running(JoinHandle<()>),
    Closed,
}

impl Journal {
    /// Opens or creates a journal and locks it. `now_wall` is in milliseconds since the epoch.
    pub fn open(options: Options, now_wall: u64) -> Result<(Self, Restored), OpenError> {
        let (opened, restored) = open::open(options, now_wall)?;
        let refused = refused(&opened.place.name, "read");
        let (writer, shared) = Writer::new(opened).map_err(refused)?;
        Ok((Self { shared, stage: Mutex::new(Stage::Opened(Box::new(writer))) }, restored))
    }

    /// Starts the journal's thread; what an earlier run left unacknowledged is delivered first. Only the first call counts.
    pub fn start(&self, outlet: Arc<dyn Outlet>) -> std::io::Result<()> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Closed) {
            Stage::Opened(mut writer) => {
                let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || {
                    writer.set_outlet(outlet);
                    run(*writer);
                })?;
                *stage = Stage::Running(thread);
            }
            other => *stage = other,
        }
        Ok(())
    }

    /// Takes an event and returns its sequence. Never waits for the disk. After [`close`](Self::close) it takes nothing.
    pub fn append(&self, record: &Record<'_>) -> u64 {
        self.shared.append(record)
    }

    /// Takes a note, in order with the events.
    pub fn note(&self, note: Note) {
        self.shared.note(note);
    }

    /// Everything up to that sequence is dealt with. Goes with the next commit, or within 50 ms by one of its own; never
    /// goes back, nor beyond what was delivered.
    pub fn ack(&self, up_to: u64) {
        self.shared.ack(up_to);
    }

    /// The outlet has room again. Cheap when nobody waits for it.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Whether reading should stop: the bound is reached (`Pause`, `Fail`), more than 8 MiB wait for the disk, or commits
    /// fail.
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Its figures, as of the last turn of the journal's thread.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Commits what was taken, closes the file and releases it. Nothing is delivered any more. Idempotent.
    pub fn close(&self) {
        self.shared.close();
        let stage = std::mem::replace(&mut *self.stage(), Stage::Closed);
        match stage {
            Stage::Opened(writer) => writer.finish(),
            // Called by the outlet: the thread ends by itself.
            Stage::Running(thread) if thread.thread().id() == thread::current().id() => {}
            Stage::Running(thread) => drop(thread.join()),
            Stage::Closed => {}
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(mut writer: Writer) {
    loop {
        let deadline = writer.turn(Instant::now());
        if writer.is_closing() {
            return writer.finish();
        }
        writer.wait(deadline);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
