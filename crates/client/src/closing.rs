//! The end of a journal: on a thread of its own, because a commit may take as long as the disk likes.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::outlet::Kept;

/// How long an end waits for the disk; then the thread is left behind, and the journal's lock with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A journal that is being closed.
pub(crate) struct Closing {
    thread: JoinHandle<()>,
    done: Receiver<()>,
}

impl Closing {
    /// Starts closing; `then` is called once everything is committed and the lock is released.
    pub(crate) fn start(kept: Arc<Kept>, then: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (sender, done) = channel();
        let thread = Builder::new().name("genesys-notify-end".into()).spawn(move || {
            kept.journal.close();
            drop(kept);
            then();
            // Whoever waits may have given up.
            let _ = sender.send(());
        })?;
        Ok(Self { thread, done })
    }

    /// Waits until the thread has ended, within bounds.
    pub(crate) fn wait(self) {
        let is_own = self.thread.thread().id() == std::thread::current().id();
        if !is_own && self.done.recv_timeout(PATIENCE).is_ok() {
            // It has nothing left to do but to end.
            let _ = self.thread.join();
        }
    }
}
