//! One pass over one body.

use super::trie::{Kind, NONE, NodeId, ROOT, Trie};
use crate::envelope::token::{behind_string, special, token};
use crate::one_byte;

/// Deeper bodies are left as text.
const MAX_DEPTH: usize = 128;
/// Bodies are told apart by so many of their first keys, to see early which are hopeless.
const BEGINNING: usize = 2;
/// Room for the number of a shape, or of up to 98 items.
const ROOM: &[u8] = b"   ";

pub(super) struct Pass<'a> {
    trie: &'a mut Trie,
    text: &'a str,
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
    is_ascii: bool,
    /// Bytes of objects and arrays of objects that were written as they came.
    left: usize,
    /// What keys were seen to hold: nothing changes before the end of the body.
    seen: Vec<(NodeId, Kind)>,
    /// Where the body began, as far as it is told apart.
    beginning: NodeId,
    /// Whether something in it may become a shape.
    is_learning: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(trie: &'a mut Trie, text: &'a str, out: &'a mut Vec<u8>) -> Self {
        let is_ascii = text.is_ascii();
        out.reserve(text.len());
        Self {
            trie,
            text,
            bytes: text.as_bytes(),
            out,
            is_ascii,
            left: 0,
            seen: Vec::new(),
            beginning: ROOT,
            is_learning: false,
        }
    }

    /// How many bytes were left as they came; nothing if it is not worth it.
    pub(super) fn body(&mut self, at: usize) -> Option<usize> {
        self.out.push(b'[');
        let mark = self.out.len();
        self.container(at, ROOT, 0)?;
        let is_number = matches!(self.out[mark], b'0'..=b'9' | b'-');
        self.out.push(b']');
        is_number.then_some(self.left)
    }

    pub(super) fn finish(self, is_shaped: bool) {
        self.trie.nodes[self.beginning as usize].body_patience.learn(is_shaped || self.is_learning);
        for (node, kind) in self.seen {
            self.trie.learn(node, kind);
        }
    }

    /// An object or an array, into a container slot. Returns where it ends.
    fn container(&mut self, at: usize, slot: NodeId, depth: usize) -> Option<usize> {
        if depth == MAX_DEPTH {
            return None;
        }
        match *self.bytes.get(at)? {
            b'{' => self.object(at, slot, depth),
            _ => self.array(at, slot, depth),
        }
    }

    fn array(&mut self, start: usize, slot: NodeId, depth: usize) -> Option<usize> {
        let (first, mut at) = token(self.bytes, start + 1)?;
        if !matches!(first, b'{' | b'[') {
            return self.verbatim(start);
        }
        let mark = self.out.len();
        self.out.extend_from_slice(ROOM);
        let mut items = 0_usize;
        loop {
            self.out.push(b',');
            at = match *self.bytes.get(at)? {
                b'{' | b'[' => self.container(at, slot, depth + 1)?,
                b'-' | b'0'..=b'9' => {
                    self.seen.push((slot, Kind::Number));
                    return self.left_out(mark, start);
                }
                _ => self.scalar(at)?,
            };
            items += 1;
            let (next, here) = token(self.bytes, at)?;
            match next {
                b',' => at = token(self.bytes, here + 1)?.1,
                b']' => {
                    self.number(mark, -i64::try_from(items).ok()? - 1);
                    return Some(here + 1);
                }
                _ => return None,
            }
        }
    }

    fn object(&mut self, start: usize, slot: NodeId, depth: usize) -> Option<usize> {
        let (first, mut at) = token(self.bytes, start + 1)?;
        if first == b'}' {
            self.out.extend_from_slice(b"{}");
            return Some(at + 1);
        }
        let place = &mut self.trie.nodes[slot as usize];
        let is_body = depth == 0;
        if !is_body && place.patience.is_over() {
            return self.left_out(self.out.len(), start);
        }
        let mut expected = place.inside;
        let mark = self.out.len();
        let (mut step, mut steps_end) = match self.trie.plan(expected) {
            Some((first, keys)) => {
                write_number(self.out, i64::from(expected));
                (first, first + keys)
            }
            None => {
                self.out.extend_from_slice(ROOM);
                expected = NONE;
                (0, 0)
            }
        };
        let mut written = expected;
        let mut node = ROOT;
        let mut keys = 0;
        loop {
            if *self.bytes.get(at)? != b'"' {
                return None;
            }
            let is_container;
            match self.trie.step(step).filter(|(_, key)| {
                step < steps_end && self.bytes.get(at..).is_some_and(|text| text.starts_with(key))
            }) {
                Some((next, key)) => {
                    at += key.len();
                    node = next.node;
                    is_container = next.is_container;
                    step += 1;
                }
                None => {
                    let Some((next, behind)) = self.key(node, at)? else {
                        return self.missed(mark, start, slot, is_body);
                    };
                    (node, at) = (next, behind);
                    let (toward, depth) = self.trie.toward(node);
                    (expected, step, steps_end) = match self.trie.plan(toward) {
                        Some((first, keys)) => (toward, first + depth, first + keys),
                        None => (NONE, 0, 0),
                    };
                    is_container = self.trie.nodes[node as usize].kind == Kind::Container;
                }
            }
            keys += 1;
            if is_body && keys == BEGINNING {
                self.beginning = node;
                if self.trie.nodes[node as usize].body_patience.is_over() {
                    self.beginning = ROOT;
                    return None;
                }
            }
            self.out.push(b',');
            let (first, value) = token(self.bytes, at)?;
            at = match first {
                b'{' | b'[' if is_container => self.container(value, node, depth + 1)?,
                b'{' | b'[' => self.unexpected(value, node)?,
                b'-' | b'0'..=b'9' => {
                    if is_container {
                        self.seen.push((node, Kind::Number));
                        return self.left_out(mark, start);
                    }
                    self.plain_number(value)
                }
                _ => self.scalar(value)?,
            };
            let (next, here) = token(self.bytes, at)?;
            match next {
                b',' => at = token(self.bytes, here + 1)?.1,
                b'}' => {
                    at = here + 1;
                    break;
                }
                _ => return None,
            }
        }
        if expected == NONE || step != steps_end {
            let Some(shape) = self.trie.sighted(node) else {
                if self.trie.is_promising(node) {
                    self.is_learning = true;
                    return if is_body { None } else { self.left_out(mark, start) };
                }
                return self.missed(mark, start, slot, is_body);
            };
            expected = shape;
        }
        if written != expected {
            self.number(mark, i64::from(expected));
            written = expected;
        }
        let place = &mut self.trie.nodes[slot as usize];
        place.inside = written;
        place.patience.learn(true);
        Some(at)
    }

    /// The next node and where the key and its colon end. Inside: nothing if no shape has that key there.
    #[inline(never)]
    fn key(&mut self, node: NodeId, at: usize) -> Option<Option<(NodeId, usize)>> {
        if let Some((next, length)) = self.trie.recent(node, self.bytes.get(at..)?) {
            return Some(Some((next, at + length)));
        }
        let (found, inside) = special(self.bytes, at + 1)?;
        let (next, end) = if found == b'"' {
            (self.trie.next(node, self.text.get(at + 1..inside)?), inside + 1)
        } else {
            let end = behind_string(self.bytes, inside)?;
            // Unpaired surrogates are in no Rust string.
            let key = serde_json::from_str::<String>(self.text.get(at..end)?).ok();
            (key.and_then(|key| self.trie.next(node, &key)), end)
        };
        let (b':', colon) = token(self.bytes, end)? else { return None };
        Some(next.map(|next| (next, colon + 1)))
    }

    /// An object of no shape.
    #[cold]
    fn missed(&mut self, mark: usize, start: usize, slot: NodeId, is_body: bool) -> Option<usize> {
        if is_body {
            return None;
        }
        self.trie.nodes[slot as usize].patience.learn(false);
        self.left_out(mark, start)
    }

    /// An object or array where there was none before.
    fn unexpected(&mut self, at: usize, node: NodeId) -> Option<usize> {
        let (first, _) = token(self.bytes, at + 1)?;
        let has_members = match self.bytes[at] {
            b'{' => first != b'}',
            _ => matches!(first, b'{' | b'['),
        };
        if !has_members {
            return self.verbatim(at);
        }
        if self.trie.nodes[node as usize].kind != Kind::Both {
            self.seen.push((node, Kind::Container));
        }
        self.left_out(self.out.len(), at)
    }

    /// Puts what begins at `start`, as it came, in place of what was written of it.
    fn left_out(&mut self, mark: usize, start: usize) -> Option<usize> {
        self.out.truncate(mark);
        let end = self.verbatim(start)?;
        self.left += end - start;
        Some(end)
    }

    /// An object or array as it came.
    fn verbatim(&mut self, start: usize) -> Option<usize> {
        let end = behind_container(self.bytes, start)?;
        self.copy(start, end)?;
        Some(end)
    }

    /// A string, `true`, `false` or `null`.
    #[inline]
    fn scalar(&mut self, at: usize) -> Option<usize> {
        let end = match *self.bytes.get(at)? {
            b'"' => behind_string(self.bytes, at + 1)?,
            b't' | b'n' => at + 4,
            b'f' => at + 5,
            _ => return None,
        };
        self.copy(at, end)?;
        Some(end)
    }

    #[inline]
    fn plain_number(&mut self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let is_in = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_in(byte)).unwrap_or(rest.len());
        self.out.extend_from_slice(&rest[..length]);
        at + length
    }

    #[inline]
    fn copy(&mut self, from: usize, to: usize) -> Option<()> {
        if self.is_ascii {
            self.out.extend_from_slice(self.bytes.get(from..to)?);
        } else {
            one_byte::append(self.out, self.text.get(from..to)?);
        }
        Some(())
    }

    /// Writes a number where room was left for it, or another one.
    fn number(&mut self, mark: usize, number: i64) {
        let room = self.out[mark..].iter().take_while(|byte| **byte != b',').count();
        let end = self.out.len();
        write_number(self.out, number);
        let length = self.out.len() - end;
        if length > room {
            // Few arrays are that long.
            self.out.splice(mark..mark, std::iter::repeat_n(b' ', length - room));
        }
        let end = self.out.len() - length;
        self.out.copy_within(end.., mark);
        self.out[mark + length..mark + room.max(length)].fill(b' ');
        self.out.truncate(end);
    }
}

fn write_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    out.extend_from_slice(&digits[start..]);
}

/// Where the object or array ends that begins at `at`; it is known to be valid.
fn behind_container(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at = behind_string(bytes, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
