//! What an event is recognised by when the server sends it again, perhaps to a later process of a later version.

use super::Envelope;

/// Of 64-bit FNV-1a.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// Odd, as every step must be undoable; from PCG.
const PRIME: u64 = 0x5851_f42d_4c95_7f2d;

impl Envelope<'_> {
    /// 64 bits that stay the same for ever: cursors hold them. They stand for the topic and the id or, without one, the topic,
    /// the position and the text of the body.
    ///
    /// The bytes of each part, as words of eight (little endian, the last one filled up with zeros) behind a word with their
    /// number, go through FNV-1a widened to words, with a shift in each step; behind them comes the finaliser of SplitMix64.
    /// A part that is missing is the word of all ones.
    pub fn identity(&self) -> u64 {
        let parts = match self.id {
            Some(id) => [Some(&*self.topic), Some(id), None],
            None => [Some(&*self.topic), self.position.as_deref(), Some(self.body)],
        };
        // One part more or less, so that no id is taken for a position.
        let kind = if self.id.is_some() { 1 } else { 2 };
        finish(parts.into_iter().fold(step(BASIS, kind), absorb))
    }
}

fn absorb(state: u64, part: Option<&str>) -> u64 {
    let Some(part) = part else { return step(state, u64::MAX) };
    let mut state = step(state, part.len() as u64);
    let (words, rest) = part.as_bytes().as_chunks::<8>();
    for word in words {
        state = step(state, u64::from_le_bytes(*word));
    }
    if rest.is_empty() {
        return state;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(state, u64::from_le_bytes(last))
}

#[inline]
fn step(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(PRIME);
    product ^ product >> 32
}

fn finish(state: u64) -> u64 {
    let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
