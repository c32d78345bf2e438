//! Bodies without their keys: values and the numbers of shapes, from which JavaScript builds what `JSON.parse` would.
//!
//! A body becomes one flat JSON array. It begins with the body in a *container slot*, which holds one of
//! - a number n ≥ 0: an object of shape n; the slots of its keys follow, in their order,
//! - a number -n-1: an array of n items; n container slots follow,
//! - anything else: that value itself.
//!
//! The other slots hold their value itself, whatever it is. Which keys have a container slot belongs to the shape; it is learnt,
//! and a key that turns out to be different gets its shapes new numbers. An object of no known shape, one that repeats
//! a key, and one with a number in a container slot are written as they came.

mod pass;
mod trie;

use serde::Serialize;

use crate::envelope::token::token;
use pass::Pass;
use trie::Trie;

#[cfg(test)]
mod tests;

/// Bodies at least so much of which would stay as it is gain nothing: parts in so many.
const LEFT: (usize, usize) = (3, 4);

/// The ordered keys of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Without escapes, none twice.
    pub keys: Vec<String>,
    /// As many as keys: whether the key has a container slot.
    pub containers: Vec<bool>,
}

/// The shapes of one client's bodies: at most 512, in bounded memory.
#[derive(Debug, Default)]
pub struct Shapes {
    trie: Trie,
    announced: usize,
}

impl Shapes {
    /// None is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `body` to `out` as a flat array, one byte per character; or leaves `out` as it was and returns false where
    /// the text serves better. `body` must be valid JSON; of anything else nothing sensible comes, but no panic either.
    pub fn encode(&mut self, body: &str, out: &mut Vec<u8>) -> bool {
        let Some((b'{' | b'[', at)) = token(body.as_bytes(), 0) else { return false };
        let mark = out.len();
        self.trie.make_room();
        let mut pass = Pass::new(&mut self.trie, body, out);
        let is_shaped = pass.body(at).is_some_and(|left| left * LEFT.1 < body.len() * LEFT.0);
        pass.finish(is_shaped);
        if !is_shaped {
            out.truncate(mark);
        }
        is_shaped
    }

    /// Shapes found since the last call, in the order of their numbers. They have to be known before any body is built that was
    /// encoded up to now.
    pub fn take_new(&mut self) -> Vec<Shape> {
        let new = self.trie.shapes_from(self.announced);
        self.announced += new.len();
        new
    }
}
