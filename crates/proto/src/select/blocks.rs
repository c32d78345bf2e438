//! Where the brackets and commas of a JSON text are, 64 bytes at a time.

use wide::u8x16;

const WIDTH: usize = 64;

/// One bit for each byte of a block, the first lowest; only what is outside of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) opens: u64,
    pub(super) closes: u64,
    pub(super) commas: u64,
}

/// The blocks of a valid JSON text, which begins outside of a string.
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// All bits set while a string goes on from one block into the next.
    in_string: u64,
    /// The lowest bit, if the last byte of the block before escapes the first of this one.
    escaped: u64,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, in_string: 0, escaped: 0 }
    }

    /// Where the next block begins, and what is in it.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(usize, Marks)> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let found = match rest.first_chunk::<WIDTH>() {
            Some(block) => find(block),
            None if rest.is_empty() => return None,
            None => {
                let mut block = [b' '; WIDTH];
                block[..rest.len()].copy_from_slice(rest);
                find(&block)
            }
        };
        self.at = at + WIDTH;
        let mut quotes = found.quotes;
        if found.backslashes | self.escaped != 0 {
            quotes &= !self.escaped_in(found.backslashes);
        }
        let strings = since_odd(quotes) ^ self.in_string;
        self.in_string = (strings.cast_signed() >> 63).cast_unsigned();
        let marks = Marks {
            opens: found.opens & !strings,
            closes: found.closes & !strings,
            commas: found.commas & !strings,
        };
        Some((at, marks))
    }

    #[cold]
    fn escaped_in(&mut self, backslashes: u64) -> u64 {
        let mut escaped = self.escaped;
        self.escaped = 0;
        let mut rest = backslashes & !escaped;
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            escaped |= bit << 1;
            self.escaped = bit >> 63;
            rest &= !(bit | bit << 1);
        }
        escaped
    }
}

/// Each bit tells whether an odd number of bits is set up to and with its place.
#[inline]
fn since_odd(mut bits: u64) -> u64 {
    for step in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << step;
    }
    bits
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
    commas: u64,
}

/// `[` and `{`, and `]` and `}`, differ in this bit only, and nothing else becomes equal to them by it.
const CASE: u8 = 0x20;

#[inline]
fn find(block: &[u8; WIDTH]) -> Found {
    let mut found = Found::default();
    for (i, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::new(*bytes);
        let cased = bytes | u8x16::splat(CASE);
        let equal =
            |bytes: u8x16, byte: u8| u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * i);
        found.quotes |= equal(bytes, b'"');
        found.backslashes |= equal(bytes, b'\\');
        found.opens |= equal(cased, b'{');
        found.closes |= equal(cased, b'}');
        found.commas |= equal(bytes, b',');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte.
    fn plain(bytes: &[u8]) -> Vec<(usize, Marks)> {
        let (mut in_string, mut escaped) = (false, false);
        let mut all = Vec::new();
        for (i, block) in bytes.chunks(WIDTH).enumerate() {
            let mut marks = Marks { opens: 0, closes: 0, commas: 0 };
            for (place, byte) in block.iter().enumerate() {
                let bit = 1 << place;
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => marks.opens |= bit,
                    b'}' | b']' if !in_string => marks.closes |= bit,
                    b',' if !in_string => marks.commas |= bit,
                    _ => {}
                }
            }
            all.push((i * WIDTH, marks));
        }
        all
    }

    fn blocks(bytes: &[u8]) -> Vec<(usize, Marks)> {
        let mut blocks = Blocks::new(bytes);
        std::iter::from_fn(|| blocks.next()).collect()
    }

    #[test]
    fn every_byte_is_found_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..WIDTH {
                let mut block = [b'x'; WIDTH];
                block[place] = byte;
                let bit = |is: bool| u64::from(is) << place;
                let expected = Found {
                    quotes: bit(byte == b'"'),
                    backslashes: bit(byte == b'\\'),
                    opens: bit(matches!(byte, b'{' | b'[')),
                    closes: bit(matches!(byte, b'}' | b']')),
                    commas: bit(byte == b','),
                };
                assert_eq!(find(&block), expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn strings_and_escapes_go_on_from_block_to_block() {
        use crate::random::{Random, SplitMix};

        const BYTES: &[u8] = b"\"\"\"\\\\\\\\{}[],ax ";
        let mut random = SplitMix::new(3);
        for _ in 0..2_000 {
            let length = random.up_to(300) as usize;
            let mut in_string = false;
            let mut bytes: Vec<u8> = Vec::new();
            while bytes.len() < length {
                let byte = BYTES[random.up_to(BYTES.len() as u64 - 1) as usize];
                match byte {
                    // Backslashes stand in strings only, and escape something.
                    b'\\' if in_string => bytes.extend([byte, BYTES[random.up_to(5) as usize]]),
                    b'\\' => {}
                    _ => {
                        in_string ^= byte == b'"';
                        bytes.push(byte);
                    }
                }
            }
            assert_eq!(blocks(&bytes), plain(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
