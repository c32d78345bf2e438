//! The journal of a notification stream: what arrived is on disk before it counts as received.
