use genesys_notifications_client::Bell;
use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

/// Weak: it keeps no process alive. One place: a second ring before the first was heard says nothing new.
type Ring = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// Wakes JavaScript, which then takes controls and events by itself.
pub(crate) struct JsBell(Ring);

impl JsBell {
    pub(crate) fn new(ring: &Function<'_, (), ()>) -> napi::Result<Self> {
        let ring = ring
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .max_queue_size::<1>()
            .build()?;
        Ok(Self(ring))
    }
}

impl Bell for JsBell {
    fn ring(&self) {
        // `QueueFull`: a ring is on its way already. `Closing`: nobody is left to hear it.
        let _ = self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}
