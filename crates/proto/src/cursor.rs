//! Where a stream is resumed by a later process.

mod text;
mod track;
mod trail;

pub use text::CursorError;
pub use track::Track;

/// Identities in one cursor: beyond this many events at its two positions, the oldest are no longer recognised.
pub const MOST_SEEN: usize = 4_096;

/// The position of the last event that was acknowledged, and what else resuming there takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last position.
    pub position: String,
    /// The position before it, as far as one is known.
    pub before: Option<String>,
    /// Whether events were seen to share a position.
    pub is_shared: bool,
    /// When the last event was received, in milliseconds since the epoch; nothing for a bare position.
    pub at: Option<u64>,
    /// What the events acknowledged at these two positions are recognised by, should the server send them again: as often as
    /// they came, the oldest first, [`MOST_SEEN`] at most.
    pub seen: Vec<u64>,
}
