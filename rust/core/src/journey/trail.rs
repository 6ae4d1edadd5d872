//! Aggregated paths as they are kept: four bytes a touch, and a person made of a path when asked.

use std::ops::Range;

use super::walk::{Person, Span};
use super::{Step, Tag, Touch};
use crate::column::narrow;

/// The touches of each path, one path after the other.
#[derive(Debug, Default)]
pub(crate) struct Trails {
    tags: Vec<Tag>,
    ends: Vec<u32>,
}

/// Paths that one thread takes at once.
const DRAWER: usize = 1 << 14;

impl Trails {
    pub(super) fn push(&mut self, tag: Tag) {
        self.tags.push(tag);
    }

    /// What was pushed since the last call is a path.
    pub(super) fn end(&mut self) {
        self.ends.push(narrow(self.tags.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn touch_count(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn drawer_count(&self) -> usize {
        self.len().div_ceil(DRAWER)
    }

    /// The paths in a drawer.
    pub(super) fn drawer(&self, drawer: usize) -> Range<usize> {
        drawer * DRAWER..((drawer + 1) * DRAWER).min(self.len())
    }

    pub(super) fn tags(&self, index: usize) -> &[Tag] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tags[start as usize..self.ends[index] as usize]
    }

    /// A path's touches into `touches`, in whose place they stand.
    #[inline]
    pub(super) fn touches<'a>(&self, index: usize, touches: &'a mut Vec<Touch>) -> &'a [Touch] {
        let step = Step { row: narrow(index), ..Step::default() };
        touches.clear();
        touches.extend(self.tags(index).iter().map(|tag| Touch(Step { tag: *tag, ..step })));
        touches
    }

    /// Call `take` with each of some paths as a person who converted once.
    pub(super) fn each(
        &self,
        paths: impl Iterator<Item = usize>,
        take: &mut dyn FnMut(Person<'_>),
    ) {
        let mut scratch = Vec::new();
        for index in paths {
            let touches = self.touches(index, &mut scratch);
            let stop = narrow(touches.len());
            let span = Span { index: narrow(index), stop, ..Span::default() };
            take(Person { touches, spans: &[span] });
        }
    }
}
