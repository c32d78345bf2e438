//! Direct endpoints, against the simulator's gateway and odd servers.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod cursors;
mod secrets;
mod stage;
