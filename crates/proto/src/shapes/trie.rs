//! The keys of objects in their order, as a trie: candidates first, shapes once they were seen often enough.

use super::Shape;

/// Index of a node. The root is the object that has no key yet.
pub(super) type NodeId = u32;
pub(super) const ROOT: NodeId = 0;

/// Number of a shape, or none.
pub(super) const NONE: u32 = u32::MAX;

const MOST_SHAPES: usize = 512;
/// Of all shapes together.
const MOST_STEPS: usize = 16_384;
const MOST_KEYS: u32 = 256;
const MOST_KEY_BYTES: usize = 128;
/// Nodes that belong to no shape. When there are more, the least promising are forgotten.
const MOST_CANDIDATES: usize = 4_096;
/// Where that comes about before so many shapes were found, keys are mostly unique: for as many bodies no new ones are
/// taken in, and for twice as many the next time.
const FRUITFUL: usize = 4;
const REST: (u32, u32) = (256, 16_384);
const MOST_CHILDREN: usize = 128;
/// Keys that found no room before the candidates are forgotten to make some.
const MOST_REFUSED: usize = 2_048;
/// The constructor of a shape costs JavaScript some 50 µs, and saves less than one with each object.
const SIGHTINGS: u8 = 32;
/// So many objects in a row of no shape and never seen before, and the next ones in that place are not tried: twice as many each time.
const PATIENCE: u16 = 64;
const MOST_RESTING: u16 = 256;

/// What a key was seen to hold. Values that fit both kinds of slots say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Unknown,
    Number,
    Container,
    Both,
}

impl Kind {
    pub(super) fn and(self, seen: Self) -> Self {
        match (self, seen) {
            (Self::Unknown, seen) => seen,
            (known, Self::Unknown) => known,
            (known, seen) if known == seen => known,
            _ => Self::Both,
        }
    }
}

/// Whether trying is worth it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    misses: u16,
    last_rest: u16,
    rest: u16,
}

impl Patience {
    #[inline]
    pub(super) fn is_over(&mut self) -> bool {
        if self.rest == 0 {
            return false;
        }
        self.rest -= 1;
        true
    }

    #[inline]
    pub(super) fn learn(&mut self, is_hit: bool) {
        if is_hit {
            *self = Self::default();
        } else if self.misses < PATIENCE {
            self.misses += 1;
        } else {
            self.last_rest = (self.last_rest * 2).clamp(1, MOST_RESTING);
            self.rest = self.last_rest;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Node {
    parent: NodeId,
    /// Keys up to and with this one.
    depth: u32,
    key: String,
    /// The key as JSON and a colon: what is usually in the text.
    written: Vec<u8>,
    children: Vec<NodeId>,
    /// The child taken last.
    recent: NodeId,
    pub(super) kind: Kind,
    sightings: u8,
    /// The shape of the objects that end here.
    shape: u32,
    /// The last shape of an object that had these keys and more.
    toward: u32,
    /// How many shapes lead through here.
    shapes: u32,
    /// The last shape of an object that was the value of this key, or an item in it; of bodies, at the root.
    pub(super) inside: u32,
    /// With objects that are the value of this key.
    pub(super) patience: Patience,
    /// With bodies that begin like this.
    pub(super) body_patience: Patience,
}

/// One key of a shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) node: NodeId,
    pub(super) is_container: bool,
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    first: u32,
    keys: u32,
    is_current: bool,
}

#[derive(Debug)]
pub(super) struct Trie {
    pub(super) nodes: Vec<Node>,
    shapes: Vec<Known>,
    /// The keys of all shapes one after another, so that an expected object touches little memory.
    steps: Vec<Step>,
    written: Vec<u8>,
    /// Nodes that lead to no shape.
    candidates: usize,
    /// Keys that found too many others in their place.
    refused: usize,
    /// How many shapes there were when candidates were last forgotten.
    shapes_before: usize,
    /// Bodies until new keys are taken in again, and how many those were the last time.
    rest: u32,
    last_rest: u32,
}

impl Default for Trie {
    fn default() -> Self {
        let root = Node { shape: NONE, toward: NONE, inside: NONE, ..Node::default() };
        Self {
            nodes: vec![root],
            shapes: Vec::new(),
            steps: Vec::new(),
            written: Vec::new(),
            candidates: 0,
            refused: 0,
            shapes_before: 0,
            rest: 0,
            last_rest: 0,
        }
    }
}

impl Trie {
    /// The steps of a shape: where they begin, and how many.
    #[inline]
    pub(super) fn plan(&self, shape: u32) -> Option<(usize, usize)> {
        let known = self.shapes.get(shape as usize).filter(|known| known.is_current)?;
        Some((known.first as usize, known.keys as usize))
    }

    #[inline]
    pub(super) fn step(&self, index: usize) -> Option<(Step, &[u8])> {
        let step = *self.steps.get(index)?;
        Some((step, self.written.get(step.from as usize..step.to as usize)?))
    }

    /// The shape that an object with these keys so far had last, and how many keys those are.
    pub(super) fn toward(&self, node: NodeId) -> (u32, usize) {
        let node = &self.nodes[node as usize];
        (node.toward, node.depth as usize)
    }

    /// The next node, if the key it is for stands there as usual, and where the key ends.
    pub(super) fn recent(&self, node: NodeId, text: &[u8]) -> Option<(NodeId, usize)> {
        let recent = self.nodes[node as usize].recent;
        let next = &self.nodes[recent as usize];
        (recent != ROOT && text.starts_with(&next.written)).then_some((recent, next.written.len()))
    }

    /// The node of a further key; none where it would lead to no shape.
    pub(super) fn next(&mut self, node: NodeId, key: &str) -> Option<NodeId> {
        let children = &self.nodes[node as usize].children;
        let found = children.iter().copied().find(|child| self.nodes[*child as usize].key == key);
        let next = match found {
            Some(next) => next,
            None => self.grow(node, key)?,
        };
        self.nodes[node as usize].recent = next;
        Some(next)
    }

    fn grow(&mut self, parent: NodeId, key: &str) -> Option<NodeId> {
        let before = &self.nodes[parent as usize];
        let depth = before.depth + 1;
        if self.rest > 0
            || self.is_full()
            || self.candidates >= MOST_CANDIDATES
            || depth > MOST_KEYS
            || key.len() > MOST_KEY_BYTES
            || self.has_on_its_way(parent, key)
        {
            return None;
        }
        if before.children.len() >= MOST_CHILDREN {
            self.refused += 1;
            return None;
        }
        let id = NodeId::try_from(self.nodes.len()).ok()?;
        let mut written = serde_json::to_vec(key).ok()?;
        written.push(b':');
        self.nodes.push(Node {
            parent,
            depth,
            key: key.to_owned(),
            written,
            shape: NONE,
            toward: NONE,
            inside: NONE,
            ..Node::default()
        });
        self.nodes[parent as usize].children.push(id);
        self.candidates += 1;
        Some(id)
    }

    fn has_on_its_way(&self, mut node: NodeId, key: &str) -> bool {
        while node != ROOT {
            let here = &self.nodes[node as usize];
            if here.key == key {
                return true;
            }
            node = here.parent;
        }
        false
    }

    fn is_full(&self) -> bool {
        self.shapes.len() >= MOST_SHAPES || self.steps.len() >= MOST_STEPS
    }

    /// An object with these keys was seen. Its shape, if it has one by now.
    pub(super) fn sighted(&mut self, node: NodeId) -> Option<u32> {
        let seen = &mut self.nodes[node as usize];
        if seen.shape == NONE {
            seen.sightings = seen.sightings.saturating_add(1);
            if seen.sightings < SIGHTINGS || self.is_full() {
                return None;
            }
            self.promote(node)?;
        }
        let shape = self.nodes[node as usize].shape;
        let (first, keys) = self.plan(shape)?;
        self.nodes[ROOT as usize].toward = shape;
        for step in first..first + keys {
            self.nodes[self.steps[step].node as usize].toward = shape;
        }
        Some(shape)
    }

    /// Whether such an object was seen before, and may become a shape.
    pub(super) fn is_promising(&self, node: NodeId) -> bool {
        self.nodes[node as usize].sightings > 1 && !self.is_full()
    }

    fn promote(&mut self, last: NodeId) -> Option<()> {
        let shape = u32::try_from(self.shapes.len()).ok()?;
        let first = u32::try_from(self.steps.len()).ok()?;
        let way = self.way(last);
        for id in &way {
            let node = &mut self.nodes[*id as usize];
            node.shapes += 1;
            self.candidates -= usize::from(node.shapes == 1);
            let from = u32::try_from(self.written.len()).ok()?;
            self.written.extend_from_slice(&node.written);
            let to = u32::try_from(self.written.len()).ok()?;
            self.steps.push(Step { node: *id, is_container: node.kind == Kind::Container, from, to });
        }
        self.shapes.push(Known { first, keys: u32::try_from(way.len()).ok()?, is_current: true });
        self.nodes[last as usize].shape = shape;
        Some(())
    }

    /// The nodes up to this one, without the root.
    fn way(&self, mut node: NodeId) -> Vec<NodeId> {
        let mut way = Vec::new();
        while node != ROOT {
            way.push(node);
            node = self.nodes[node as usize].parent;
        }
        way.reverse();
        way
    }

    /// A key was seen to hold something.
    pub(super) fn learn(&mut self, id: NodeId, seen: Kind) {
        let node = &mut self.nodes[id as usize];
        let before = node.kind;
        node.kind = before.and(seen);
        let is_other = (before == Kind::Container) != (node.kind == Kind::Container);
        if is_other && node.shapes > 0 {
            self.retire(id);
        }
    }

    /// The shapes that lead through a node end; the next sightings give them new numbers.
    fn retire(&mut self, through: NodeId) {
        for shape in 0..self.shapes.len() {
            let Known { first, keys, is_current } = self.shapes[shape];
            let steps = &self.steps[first as usize..(first + keys) as usize];
            if !is_current || !steps.iter().any(|step| step.node == through) {
                continue;
            }
            self.shapes[shape].is_current = false;
            for step in steps {
                let node = &mut self.nodes[step.node as usize];
                node.shapes -= 1;
                self.candidates += usize::from(node.shapes == 0);
            }
            if let Some(last) = steps.last() {
                self.nodes[last.node as usize].shape = NONE;
            }
        }
    }

    /// Before each body: forgets candidates when there are too many, or when there will be no further shapes.
    pub(super) fn make_room(&mut self) {
        self.rest = self.rest.saturating_sub(1);
        let is_crowded = self.candidates >= MOST_CANDIDATES || self.refused >= MOST_REFUSED;
        if is_crowded || (self.candidates > 0 && self.is_full()) {
            let is_fruitful = self.shapes.len() - self.shapes_before >= FRUITFUL;
            self.last_rest = if is_fruitful { 0 } else { (self.last_rest * 2).clamp(REST.0, REST.1) };
            self.rest = self.last_rest;
            self.shapes_before = self.shapes.len();
            self.forget();
        }
    }

    #[cold]
    fn forget(&mut self) {
        // How often the most frequent object was seen that a candidate leads to.
        let mut promise = vec![0; self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate().skip(1).rev() {
            if node.shapes == 0 {
                promise[id] = promise[id].max(node.sightings);
                let parent = node.parent as usize;
                promise[parent] = promise[parent].max(promise[id]);
            }
        }
        let is_candidate = |id: usize| id > 0 && self.nodes[id].shapes == 0;
        let promising =
            |least: u8| (0..self.nodes.len()).filter(|id| is_candidate(*id) && promise[*id] >= least).count();
        let mut least = 2;
        while least <= SIGHTINGS && promising(least) > MOST_CANDIDATES / 2 {
            least *= 2;
        }
        let is_kept: Vec<bool> = (0..self.nodes.len())
            .map(|id| !is_candidate(id) || !self.is_full() && promise[id] >= least)
            .collect();
        self.keep(&is_kept);
        self.refused = 0;
    }

    fn keep(&mut self, is_kept: &[bool]) {
        let mut moved = vec![ROOT; self.nodes.len()];
        let mut kept: Vec<Node> = Vec::new();
        self.candidates = 0;
        // Parents come before their children, and are kept where a child is.
        for (id, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if !is_kept[id] {
                continue;
            }
            moved[id] = kept.len() as NodeId;
            node.parent = moved[node.parent as usize];
            node.children.clear();
            node.recent = ROOT;
            if id > 0 {
                kept[node.parent as usize].children.push(moved[id]);
                self.candidates += usize::from(node.shapes == 0);
            }
            kept.push(node);
        }
        self.nodes = kept;
        for step in &mut self.steps {
            step.node = moved[step.node as usize];
        }
    }

    /// What was announced holds for ever: a retired shape may still be on its way.
    pub(super) fn shapes_from(&self, first: usize) -> Vec<Shape> {
        let new = self.shapes.get(first..).unwrap_or_default();
        new.iter().map(|known| self.described(*known)).collect()
    }

    fn described(&self, Known { first, keys, .. }: Known) -> Shape {
        let steps = &self.steps[first as usize..(first + keys) as usize];
        let key = |step: &Step| {
            let written = &self.written[step.from as usize..step.to as usize - 1];
            serde_json::from_slice(written).unwrap_or_default()
        };
        Shape {
            keys: steps.iter().map(key).collect(),
            containers: steps.iter().map(|step| step.is_container).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.nodes.len(), self.shapes.len(), self.steps.len())
    }
}
