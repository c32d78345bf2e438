//! JSON text as a one-byte string, so that JavaScript makes its cheapest kind of string of it.
//!
//! Latin-1 stays one byte a character; everything above is written as a `\u` escape. In JSON, characters beyond ASCII stand
//! only inside strings, where the escape means the same. Offsets are then JavaScript string indices.

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Appends `text` as one-byte text and returns how many bytes (and JavaScript characters) it became.
pub fn append(out: &mut Vec<u8>, text: &str) -> usize {
    let start = out.len();
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.reserve(text.len());
        mixed(out, text);
    }
    out.len() - start
}

fn mixed(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while !rest.is_empty() {
        let (ascii, others) = rest.split_at(ascii_run(rest.as_bytes()));
        out.extend_from_slice(ascii.as_bytes());
        // Where there is one there are more: whole words, in many languages.
        let mut chars = others.chars();
        rest = loop {
            let behind = chars.as_str();
            match chars.next() {
                Some(c) if !c.is_ascii() => one(out, c),
                _ => break behind,
            }
        };
    }
}

/// How many bytes of ASCII it begins with.
fn ascii_run(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (i, chunk) in chunks.iter().enumerate() {
        let others = u64::from_le_bytes(*chunk) & HIGH_BITS;
        if others != 0 {
            return i * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    let behind = rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
    bytes.len() - rest.len() + behind
}

#[inline]
fn one(out: &mut Vec<u8>, c: char) {
    match u8::try_from(u32::from(c)) {
        Ok(byte) => out.push(byte),
        Err(_) => escape(out, c),
    }
}

fn escape(out: &mut Vec<u8>, c: char) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut units = [0_u16; 2];
    for unit in c.encode_utf16(&mut units) {
        let digit = |shift: u32| DIGITS[usize::from(*unit >> shift & 0xf)];
        out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Random, SplitMix};

    /// What JavaScript does: bytes are characters, then `JSON.parse`.
    fn parsed(bytes: &[u8]) -> String {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_json_text_means_the_same_afterwards() {
        let mut random = SplitMix::new(7);
        let ranges = [
            (0x20, 0x7e),
            (0x80, 0xff),
            (0x100, 0x7ff),
            (0x800, 0xd7ff),
            (0xe000, 0xffff),
            (0x1_0000, 0x10_ffff),
        ];
        for _ in 0..2_000 {
            let original: String = (0..random.up_to(40))
                .filter_map(|_| {
                    let (low, high) = ranges[random.up_to(ranges.len() as u64 - 1) as usize];
                    char::from_u32(random.between(low, high) as u32)
                })
                .collect();
            let json = serde_json::to_string(&original).unwrap();
            let mut out = b"before".to_vec();
            let length = append(&mut out, &json);
            assert_eq!(out.len(), 6 + length);
            assert_eq!(parsed(&out[6..]), original);
        }
    }

    #[test]
    fn characters_take_the_shortest_form() {
        let table: &[(&str, &[u8])] = &[
            ("a", b"a"),
            ("\u{7f}", &[0x7f]),
            ("\u{80}", &[0x80]),
            ("é", &[0xe9]),
            ("ÿ", &[0xff]),
            ("Ā", b"\\u0100"),
            ("€", b"\\u20ac"),
            ("\u{2028}", b"\\u2028"),
            ("\u{ffff}", b"\\uffff"),
            ("😀", b"\\ud83d\\ude00"),
            ("\u{10ffff}", b"\\udbff\\udfff"),
        ];
        for (text, expected) in table {
            let mut out = Vec::new();
            append(&mut out, text);
            assert_eq!(out, *expected, "{text}");
        }
    }
}
