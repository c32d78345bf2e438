//! Which claim is asserted where.
//!
//! | claim | here | elsewhere |
//! | --- | --- | --- |
//! | C1 what was received is delivered until acknowledged | `common/restart.rs`: what is committed counts as delivered, the rest lies in a gap | journal crate (commit, redelivery, power cut), `__test__` (`kill -9`) |
//! | C2 no silent gap | `truth.rs` P2.1, P2.3; `found.rs` (audit) | `crates/client/tests` |
//! | C3 copies once, repeats kept | `truth.rs` P5.1, P5.2; `src/dedup/model.rs` | `crates/client/tests` |
//! | C4 order per channel | the order of `Release` and gaps: `truth.rs` P2.3 | journal crate (sequences), `__test__` |
//! | I1 delivered + pending = journaled | | journal crate |
//! | I2 what is missing lies in a gap | `truth.rs` P2.1, after restarts as well | |
//! | I3 copies at most as the best channel saw | `truth.rs` P5.1; `src/dedup/model.rs` | |
//! | I4 numbers rise | `driver.rs`: ids of gaps across restarts | journal crate (sequences, cursor) |
//! | I5 one token request, budget, `Retry-After` | `rules.rs` P6.3, P6.5, P6.6 | `crates/client/tests` |
//! | I6 channels within the cap, no foreign one displaced knowingly | | `tests/scenarios/channels.rs` |
//! | I7 no secret shown | | `crates/client/tests`, `__test__` |
//! | I8 nothing left after `close()` | `rules.rs` P9.2 | `__test__` |
//! | I9 all live once the service is well | `weather.rs`, `whole` | `crates/client/tests` |
