//! Where the brackets and commas of a JSON text are, 64 bytes at a time.

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

#[derive(Debug, PartialEq, Eq)]
struct Found {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
    commas: u64,
}

/// `[` and `{`, and `]` and `}`, differ in this bit only, and nothing else becomes equal to them by it.
const CASE: u8 = 0x20;

#[cfg(target_arch = "x86_64")]
#[inline]
fn find(block: &[u8; WIDTH]) -> Found {
    #[allow(unsafe_code, reason = "the compiler wants to be told what the architecture guarantees")]
    // SAFETY: every x86_64 has SSE2.
    unsafe {
        wide::find(block)
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn find(block: &[u8; WIDTH]) -> Found {
    narrow::find(block)
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::{CASE, Found, WIDTH};

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn find(block: &[u8; WIDTH]) -> Found {
        let parts = [load(block, 0), load(block, 16), load(block, 32), load(block, 48)];
        let cased = parts.map(|part| _mm_or_si128(part, _mm_set1_epi8(CASE.cast_signed())));
        Found {
            quotes: equal(parts, b'"'),
            backslashes: equal(parts, b'\\'),
            opens: equal(cased, b'{'),
            closes: equal(cased, b'}'),
            commas: equal(parts, b','),
        }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn load(block: &[u8; WIDTH], at: usize) -> __m128i {
        let eight = |at: usize| {
            let eight = block.get(at..at + 8).and_then(|rest| rest.first_chunk::<8>());
            eight.map_or(0, |eight| i64::from_le_bytes(*eight))
        };
        _mm_set_epi64x(eight(at + 8), eight(at))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal(parts: [__m128i; 4], byte: u8) -> u64 {
        let wanted = _mm_set1_epi8(byte.cast_signed());
        let [a, b, c, d] = parts
            .map(|part| u64::from(_mm_movemask_epi8(_mm_cmpeq_epi8(part, wanted)).cast_unsigned() & 0xffff));
        a | b << 16 | c << 32 | d << 48
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod narrow {
    use super::{CASE, Found, WIDTH};

    const EACH: u64 = u64::MAX / 255;

    pub(super) fn find(block: &[u8; WIDTH]) -> Found {
        let mut found = Found { quotes: 0, backslashes: 0, opens: 0, closes: 0, commas: 0 };
        for (i, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let bytes = u64::from_le_bytes(*eight);
            let cased = bytes | (EACH * u64::from(CASE));
            found.quotes |= equal(bytes, b'"') << (8 * i);
            found.backslashes |= equal(bytes, b'\\') << (8 * i);
            found.opens |= equal(cased, b'{') << (8 * i);
            found.closes |= equal(cased, b'}') << (8 * i);
            found.commas |= equal(bytes, b',') << (8 * i);
        }
        found
    }

    /// One bit for each of eight bytes.
    fn equal(bytes: u64, byte: u8) -> u64 {
        const LOW: u64 = EACH * 0x7f;
        let other = bytes ^ (EACH * u64::from(byte));
        let equal = !((other & LOW).wrapping_add(LOW) | other | LOW) >> 7;
        // Brings the lowest bits of all bytes together in the highest byte.
        equal.wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
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
    fn every_byte_is_found_alike_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..WIDTH {
                let mut block = [byte.wrapping_add(1); WIDTH];
                block[place] = byte;
                assert_eq!(find(&block), narrow::find(&block), "{byte} at {place}");
            }
        }
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for block in all.as_chunks::<WIDTH>().0 {
            assert_eq!(find(block), narrow::find(block));
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
