//! The pass: from bracket to comma to bracket, and only as deep as paths go.

use crate::envelope::token::{behind_string, special, token};

use super::Node;
use super::blocks::Blocks;

/// Appends the body cut down, or as it is where that is the rule or the text is no JSON.
pub(super) fn cut(root: &Node, body: &str, out: &mut String) {
    if !matches!(token(body.as_bytes(), 0), Some((b'{' | b'[', _))) {
        return out.push_str(body);
    }
    let start = out.len();
    let mut ended = Pass::<false>::new(body, out).run(root);
    if ended == Err(End::Repeated) {
        out.truncate(start);
        ended = Pass::<true>::new(body, out).run(root);
    }
    if ended.is_err() {
        out.truncate(start);
        out.push_str(body);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A selected member is repeated, which only a careful pass can put right.
    Repeated,
    NotJson,
}

/// A careful pass remembers where it put each member.
struct Pass<'a, 'o, const CAREFUL: bool> {
    body: &'a str,
    out: &'o mut String,
    frames: Vec<Frame<'a>>,
    pending: Pending<'a>,
    members: Vec<Member>,
}

/// An object or array on the way.
struct Frame<'a> {
    node: &'a Node,
    is_object: bool,
    /// Where its content begins.
    begin: usize,
    /// Members selected in it so far, by index of the child.
    seen: u128,
    /// Of the remembered ones, the first of this object.
    members: usize,
    is_repeated: bool,
}

/// What is to be done with the value that follows.
#[derive(Clone, Copy)]
enum Pending<'a> {
    LeaveOut,
    /// Keep it; it begins here.
    Keep(usize),
    /// Cut it down.
    Enter(&'a Node),
}

/// Where a selected member is; nowhere if it was left out.
#[derive(Clone, Copy)]
struct Member {
    child: usize,
    begin: usize,
    end: usize,
}

impl<'a, 'o, const CAREFUL: bool> Pass<'a, 'o, CAREFUL> {
    fn new(body: &'a str, out: &'o mut String) -> Self {
        Self { body, out, frames: Vec::with_capacity(8), pending: Pending::LeaveOut, members: Vec::new() }
    }

    fn run(&mut self, root: &'a Node) -> Result<(), End> {
        self.pending = Pending::Enter(root);
        let mut blocks = Blocks::new(self.body.as_bytes());
        // Brackets that are open inside of the innermost frame: nothing there is looked at.
        let mut deeper = 0;
        while let Some((begin, marks)) = blocks.next() {
            let mut ahead = u64::MAX;
            while ahead != 0 {
                if deeper > 0 {
                    (deeper, ahead) = leave(deeper, marks.opens & ahead, marks.closes & ahead);
                    continue;
                }
                let next = (marks.opens | marks.closes | marks.commas) & ahead;
                let bit = next & next.wrapping_neg();
                ahead = behind(bit);
                let at = begin + bit.trailing_zeros() as usize;
                if bit & marks.commas != 0 {
                    self.finish(at)?;
                    self.begin(at + 1)?;
                } else if bit & marks.opens != 0 {
                    match self.pending {
                        Pending::Enter(node) => self.open(node, at)?,
                        _ => deeper = 1,
                    }
                } else if bit != 0 {
                    self.finish(at)?;
                    if self.close()? {
                        return Ok(());
                    }
                }
            }
        }
        Err(End::NotJson)
    }

    fn open(&mut self, node: &'a Node, at: usize) -> Result<(), End> {
        let is_object = self.body.as_bytes()[at] == b'{';
        self.out.push(if is_object { '{' } else { '[' });
        let (begin, members) = (self.out.len(), self.members.len());
        self.frames.push(Frame { node, is_object, begin, seen: 0, members, is_repeated: false });
        self.begin(at + 1)
    }

    /// Whether that was the whole body.
    fn close(&mut self) -> Result<bool, End> {
        let frame = self.frames.pop().ok_or(End::NotJson)?;
        if CAREFUL {
            if frame.is_repeated {
                self.put_right(&frame);
            }
            self.members.truncate(frame.members);
        }
        self.out.push(if frame.is_object { '}' } else { ']' });
        if CAREFUL {
            self.end_member();
        }
        Ok(self.frames.is_empty())
    }

    /// A member or item begins behind `at`, or there is none.
    #[inline]
    fn begin(&mut self, at: usize) -> Result<(), End> {
        self.pending = Pending::LeaveOut;
        let frame = self.frames.last_mut().ok_or(End::NotJson)?;
        let bytes = self.body.as_bytes();
        let (first, at) = token(bytes, at).ok_or(End::NotJson)?;
        if !frame.is_object {
            if matches!(first, b'{' | b'[') {
                if self.out.len() > frame.begin {
                    self.out.push(',');
                }
                self.pending = Pending::Enter(frame.node);
            }
            return Ok(());
        }
        if first != b'"' {
            // An empty object.
            return if first == b'}' { Ok(()) } else { Err(End::NotJson) };
        }
        if !frame.node.may_have(*bytes.get(at + 1).ok_or(End::NotJson)?) {
            return Ok(());
        }
        let (byte, end) = special(bytes, at + 1).ok_or(End::NotJson)?;
        let (child, end) = if byte == b'"' {
            (frame.node.find(self.body.get(at + 1..end).ok_or(End::NotJson)?), end + 1)
        } else {
            let end = behind_string(bytes, at + 1).ok_or(End::NotJson)?;
            (find_escaped(frame.node, self.body.get(at..end).ok_or(End::NotJson)?), end)
        };
        match child {
            Some(child) => self.select(child, at, end),
            None => Ok(()),
        }
    }

    /// The member whose name lies between `at` and `end` is on the way of a path.
    fn select(&mut self, child: usize, at: usize, end: usize) -> Result<(), End> {
        let frame = self.frames.last_mut().ok_or(End::NotJson)?;
        let is_repeated = frame.seen >> child & 1 == 1;
        if is_repeated && !CAREFUL {
            return Err(End::Repeated);
        }
        frame.seen |= 1 << child;
        frame.is_repeated |= is_repeated;
        let bytes = self.body.as_bytes();
        let Some((b':', colon)) = token(bytes, end) else { return Err(End::NotJson) };
        let (first, value) = token(bytes, colon + 1).ok_or(End::NotJson)?;
        let node = frame.node.children.get(child).map(|(_, node)| node).ok_or(End::NotJson)?;
        self.pending = match first {
            _ if node.is_whole => Pending::Keep(value),
            b'{' | b'[' => Pending::Enter(node),
            _ => Pending::LeaveOut,
        };
        let is_kept = !matches!(self.pending, Pending::LeaveOut);
        if is_kept && self.out.len() > frame.begin {
            self.out.push(',');
        }
        if CAREFUL {
            let begin = self.out.len();
            self.members.push(Member { child, begin, end: begin });
        }
        if is_kept {
            self.out.push_str(self.body.get(at..end).ok_or(End::NotJson)?);
            self.out.push(':');
        }
        Ok(())
    }

    /// The value ends before `at`.
    #[inline]
    fn finish(&mut self, at: usize) -> Result<(), End> {
        if let Pending::Keep(begin) = self.pending {
            let value = self.body.get(begin..at).ok_or(End::NotJson)?;
            self.out.push_str(value.trim_ascii_end());
            if CAREFUL {
                self.end_member();
            }
        }
        self.pending = Pending::LeaveOut;
        Ok(())
    }

    fn end_member(&mut self) {
        if let (Some(member), Some(Frame { is_object: true, .. })) =
            (self.members.last_mut(), self.frames.last())
        {
            member.end = self.out.len();
        }
    }

    /// Of repeated members the last one counts, in the place of the first.
    fn put_right(&mut self, frame: &Frame<'a>) {
        let members = &self.members[frame.members..];
        let mut last = vec![None; frame.node.children.len()];
        for member in members {
            last[member.child] = Some(*member);
        }
        let mut right = String::new();
        for member in members {
            let Some(last) = last[member.child].take().filter(|last| last.begin < last.end) else { continue };
            if !right.is_empty() {
                right.push(',');
            }
            right.push_str(&self.out[last.begin..last.end]);
        }
        self.out.truncate(frame.begin);
        self.out.push_str(&right);
    }
}

/// What is left of the depth, and of the block, once its brackets were counted.
#[inline]
fn leave(mut deeper: u32, opens: u64, closes: u64) -> (u32, u64) {
    if closes.count_ones() < deeper {
        return (deeper + opens.count_ones() - closes.count_ones(), 0);
    }
    let mut brackets = opens | closes;
    while brackets != 0 {
        let bit = brackets & brackets.wrapping_neg();
        brackets ^= bit;
        if opens & bit != 0 {
            deeper += 1;
        } else {
            deeper -= 1;
            if deeper == 0 {
                return (0, behind(bit));
            }
        }
    }
    (deeper, 0)
}

/// All bits above the one set; none if there is none.
#[inline]
fn behind(bit: u64) -> u64 {
    !(bit | bit.wrapping_sub(1))
}

/// `name` is a string with its quotes. One that means no text, for half a surrogate pair, is never named by a path.
#[cold]
fn find_escaped(node: &Node, name: &str) -> Option<usize> {
    let name: String = serde_json::from_str(name).ok()?;
    node.find(&name)
}
