//! Where the tokens of a JSON text end; nothing where they are not valid.

use wide::u8x16;

/// Bytes that are looked at together.
const WIDTH: usize = 16;

/// The first byte from `at` that is not white space, and where it is.
#[inline(always)]
pub(crate) fn token(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        match *bytes.get(at)? {
            b' ' | b'\n' | b'\t' | b'\r' => at += 1,
            byte => return Some((byte, at)),
        }
    }
}

#[inline(always)]
pub(crate) fn behind_word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// `at` is behind the sign.
#[inline]
pub(crate) fn behind_number(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = behind_digits(bytes, at)?;
    if bytes[at] == b'0' && end > at + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = behind_digits(bytes, end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let is_signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = behind_digits(bytes, end + 1 + usize::from(is_signed))?;
    }
    Some(end)
}

#[inline]
fn behind_digits(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while let Some(b'0'..=b'9') = bytes.get(end) {
        end += 1;
    }
    (end > at).then_some(end)
}

/// `at` is behind the opening quote.
#[inline(always)]
pub(crate) fn behind_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let (byte, here) = special(bytes, at)?;
        at = match byte {
            b'"' => return Some(here + 1),
            b'\\' => behind_escape(bytes, here)?,
            _ => return None,
        };
    }
}

/// Surrogates need not be paired: what is skipped is not unescaped, here as in serde.
#[cold]
fn behind_escape(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(at + 6),
        _ => None,
    }
}

/// The first quote, backslash or control character from `at`, and where it is.
#[inline(always)]
pub(crate) fn special(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    while let Some(chunk) = bytes.get(at..at + WIDTH).and_then(|rest| rest.first_chunk::<WIDTH>()) {
        let block = u8x16::new(*chunk);
        let is_control = block.min(u8x16::splat(0x1f)).simd_eq(block);
        let found = is_control | block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'));
        let mask = found.to_bitmask();
        if mask != 0 {
            let place = mask.trailing_zeros() as usize % WIDTH;
            return Some((chunk[place], at + place));
        }
        at += WIDTH;
    }
    special_of_the_last(bytes, at)
}

#[cold]
#[inline(never)]
fn special_of_the_last(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let mut rest = bytes.iter().enumerate().skip(at);
    rest.find(|(_, byte)| matches!(byte, b'"' | b'\\' | 0..0x20)).map(|(at, byte)| (*byte, at))
}
