//! What a plan has gathered, and how far each family has got.

use crate::notice::Backfilled;

use super::{Item, Recipe};

const MOST_ITEMS: usize = 50_000;
const MOST_BYTES: usize = 64 << 20;

/// The bounds in words.
pub(super) const LIMITS: &str = "more than 50,000 items or 64 MiB";

/// Items on their way out, and the count of all there were.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    fresh: Vec<Item>,
    items: usize,
    bytes: usize,
    is_cut: bool,
}

impl Harvest {
    pub(super) fn add(&mut self, topic: &str, body: &str, source: &'static str) {
        if self.is_full() {
            self.is_cut = true;
            return;
        }
        self.items += 1;
        self.bytes += body.len();
        self.fresh.push(Item { topic: topic.to_owned(), body: body.to_owned(), source });
    }

    /// Something that should have been there was not, or could not be read.
    pub(super) fn lacks(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn is_full(&self) -> bool {
        self.items >= MOST_ITEMS || self.bytes >= MOST_BYTES
    }

    pub(super) fn take(&mut self, progress: &mut Progress) -> Vec<Item> {
        progress.items += self.fresh.len();
        progress.is_cut |= std::mem::take(&mut self.is_cut);
        std::mem::take(&mut self.fresh)
    }
}

/// How far a family has got.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) recipe: Recipe,
    pub(super) answered: usize,
    pub(super) items: usize,
    /// Something is missing.
    pub(super) is_cut: bool,
}

impl Progress {
    pub(super) fn new(recipe: Recipe) -> Self {
        Self { recipe, answered: 0, items: 0, is_cut: false }
    }

    /// A state that is known now says nothing of what was before, so it never makes a gap whole.
    pub(super) fn outcome(&self) -> Backfilled {
        match self.recipe.is_history() {
            true if self.answered == 0 => Backfilled::No,
            true if self.is_cut => Backfilled::Partial,
            true => Backfilled::Yes,
            false if self.items == 0 => Backfilled::No,
            false => Backfilled::Partial,
        }
    }
}
