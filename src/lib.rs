//! The N-API shell: convert, forward, deliver. Decisions live in `crates/client` and in `lib/*.js`.
//!
//! Nothing here waits: what takes time happens on the client's own runtime, and JavaScript is told by a bell.

#![allow(unreachable_pub, reason = "what is exported to JavaScript registers itself")]

mod bell;
mod client;
mod error;
mod header;
mod journal;
mod simulator;
mod topics;
