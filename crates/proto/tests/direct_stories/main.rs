//! Stories about direct endpoints, told by hand: every output is looked at, every input given.

mod connecting;
mod outages;
mod positions;
mod resuming;
mod stage;
mod tokens;
mod topics;
