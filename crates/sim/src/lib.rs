//! A fake Genesys Cloud notification service with faults: OAuth, channels, subscriptions and WebSockets on loopback.
//!
//! ```
//! use genesys_notifications_sim::{Rule, SimOptions, Simulator};
//!
//! let sim = Simulator::start(SimOptions::from_json(r#"{"heartbeatMs":200}"#)?)?;
//! println!("{} {}", sim.urls().login, sim.credentials().client_id);
//! sim.fault(Rule::from_json(r#"{"match":{"operation":"token"},"action":{"kind":"status","status":503}}"#)?)?;
//! let seq = sim.publish("v2.users.7a1e.presence", None)?;
//! assert_eq!(sim.log().events[0].seq, seq);
//! assert_eq!(sim.log().events[0].reason.as_deref(), Some("noSubscriber"));
//! # Ok::<(), genesys_notifications_sim::SimError>(())
//! ```
//!
//! What it does not do, what it does, and how surely the real service does the same, is in the crate's README. The
//! log ([`Log`]) is meant as a test's oracle: it says of every event to which sockets it was written, and why it
//! reached nobody.
//!
//! To extend it, most common need first: a new fault is a variant in `fault.rs`, an arm in `fitness.rs` that says what
//! it can be done to, and an arm where the same kind of thing is done (`envelope.rs` for frames, `exchange.rs` for
//! requests, `effects.rs` for sockets); a new switch is a
//! field in `options.rs`; a new endpoint is a row in `rest.rs` and an [`Operation`].

mod book;
mod channels;
mod clock;
mod details;
mod effects;
mod envelope;
mod error;
mod events;
mod exchange;
mod fault;
mod fitness;
mod frame;
mod gateway;
mod generate;
mod history;
mod http;
mod keys;
mod log;
mod oauth;
mod options;
mod rate;
mod recorder;
mod resources;
mod rest;
mod rng;
mod server;
mod session;
mod simulator;
mod socket;
mod state;
mod subscriptions;
mod tls;
mod topics;
mod traffic;

pub use channels::ChannelState;
pub use error::SimError;
pub use fault::{Action, Match, Operation, Phase, RetryAfter, Rule, Times};
pub use gateway::{
    Asked, BadPosition, BadToken, EarlyFrame, GatewayOptions, GatewayRecord, Positions, TokenEnd,
};
pub use log::{
    ChannelRecord, Counts, Delivery, DeliveryState, EventRecord, FaultRecord, Log, RequestRecord,
    SocketRecord,
};
pub use options::{
    AuthorizationCode, BodyKeys, ClientOptions, DeniedPath, Ending, ForbiddenTopic, ForeignToken,
    InvalidTopics, SimOptions,
};
pub use simulator::{Credentials, Simulator, Urls};
pub use traffic::Traffic;
