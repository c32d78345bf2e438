//! A fake service at the level of effects, a virtual clock, and the rules every run is held to.
//!
//! What it does not do: HTTP, JSON, TLS, real sockets. Those belong to the driver and to the simulator.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod agenda;
pub(crate) mod claims;
pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod events;
pub(crate) mod fates;
pub(crate) mod journal;
pub(crate) mod lists;
pub(crate) mod manners;
pub(crate) mod record;
pub(crate) mod requests;
pub(crate) mod restart;
pub(crate) mod rotations;
pub(crate) mod rules;
pub(crate) mod sabotage;
pub(crate) mod seeds;
pub(crate) mod service;
pub(crate) mod sockets;
pub(crate) mod truth;
pub(crate) mod user;
pub(crate) mod weather;
pub(crate) mod week;
pub(crate) mod wire;
pub(crate) mod world;
