//! Time as an argument.

/// The two clocks at one instant, both in milliseconds.
///
/// The driver reads them together and passes them in; nothing in this crate reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds of a clock that never goes back, from an origin of the driver's choice. Timers use it.
    pub mono: u64,
    /// Milliseconds since the Unix epoch. Gaps are recorded in it; it may jump.
    pub wall: u64,
}
