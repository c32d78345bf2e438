//! A virtual server that authenticates on the socket itself, a driver that holds cursors, and what every life is held to.
//!
//! Clock, agenda and the rules of any life are those of `common`; frames are texts, and read with a layout.

pub(crate) mod agenda;
pub(crate) mod chaos;
pub(crate) mod driver;
pub(crate) mod frames;
pub(crate) mod manners;
pub(crate) mod process;
pub(crate) mod requests;
pub(crate) mod sabotage;
pub(crate) mod seeds;
pub(crate) mod server;
pub(crate) mod truth;
pub(crate) mod user;
pub(crate) mod world;
