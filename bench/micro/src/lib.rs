//! What happens to every event, operation by operation. `benches/times.rs` measures how long each takes; `main.rs` does one
//! of them for callgrind, and `bench/counts.mjs` holds its instructions against `bench/counts.json`.
#![allow(clippy::unwrap_used)]

mod copies;
mod crossing;
mod envelope;
mod journal;
mod payload;
mod select;
mod stage;

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// What is done, and to how much.
    pub name: &'static str,
    /// How many times a run does it.
    pub times: u32,
    prepare: fn(u32) -> Run,
}

/// Does the operation [`Operation::times`] times. What it needs was made before and is dropped after.
pub type Run = Box<dyn FnMut()>;

impl Operation {
    /// Everything that does not count.
    pub fn prepare(&self) -> Run {
        (self.prepare)(self.times)
    }
}

/// All of them. The same work in every process: no clock, no random payload.
pub fn operations() -> Vec<Operation> {
    [envelope::ALL, copies::ALL, select::ALL, crossing::ALL, journal::ALL].concat()
}
