//! The tokio runtime that all clients of a process share: started with the first, dropped with the last.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// How long the end of the runtime waits for what cannot be interrupted, which is name resolution.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// Name resolution is the only thing that blocks; a name service that hangs must not take more threads than this.
const BLOCKING_THREADS: usize = 8;

/// A share in the runtime; the last one to go ends it.
pub(crate) struct SharedRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

static CURRENT: Mutex<Weak<SharedRuntime>> = Mutex::new(Weak::new());

impl SharedRuntime {
    /// Takes a share, starting the runtime if there is none.
    ///
    /// # Errors
    /// If the system gives no thread or poller.
    pub(crate) fn acquire() -> io::Result<Arc<Self>> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = current.upgrade() {
            return Ok(shared);
        }
        // One thread: measured, more of them buy nothing here and cost wakes.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("genesys-notify")
            .enable_all()
            .build()?;
        let shared = Arc::new(Self { handle: runtime.handle().clone(), runtime: Some(runtime) });
        *current = Arc::downgrade(&shared);
        Ok(shared)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for SharedRuntime {
    /// Joins the threads instead of leaving them to the background: detaching them while the process or the addon goes
    /// away is a race in glibc before 2.43.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if Handle::try_current().is_err() {
            runtime.shutdown_timeout(SHUTDOWN);
            return;
        }
        // A runtime cannot be joined by one of its own threads.
        let slot = Arc::new(Mutex::new(Some(runtime)));
        let take = |slot: &Mutex<Option<Runtime>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let theirs = slot.clone();
        let joiner = std::thread::Builder::new().name("genesys-notify-end".into()).spawn(move || {
            if let Some(runtime) = take(&theirs) {
                runtime.shutdown_timeout(SHUTDOWN);
            }
        });
        if joiner.is_err()
            && let Some(runtime) = take(&slot)
        {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: they would share the process's runtime.
    #[test]
    fn it_lives_from_the_first_share_to_the_last_and_may_end_on_any_thread() {
        let first = SharedRuntime::acquire().unwrap();
        let second = SharedRuntime::acquire().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        assert!(CURRENT.lock().unwrap().upgrade().is_some());
        drop(second);
        assert!(CURRENT.lock().unwrap().upgrade().is_none());

        let third = SharedRuntime::acquire().unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        let handle = third.handle().clone();
        handle.spawn(async move {
            drop(third);
            let _ = done.send(());
        });
        ended.recv_timeout(Duration::from_secs(5)).unwrap();
        let fourth = SharedRuntime::acquire().unwrap();
        let answer = fourth.handle().spawn(async { 7 });
        assert_eq!(fourth.handle().block_on(answer).unwrap(), 7);
    }
}
