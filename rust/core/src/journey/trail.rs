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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_hold_every_path_once_and_in_order() {
        for paths in [0, 1, DRAWER, DRAWER + 1, 2 * DRAWER + 3] {
            let mut trails = Trails::default();
            for path in 0..paths {
                for _ in 0..path % 3 {
                    trails.push(Tag::touch(narrow(path % 7)));
                }
                trails.end();
            }
            assert_eq!(trails.len(), paths);
            assert_eq!(trails.touch_count(), (0..paths).map(|path| path % 3).sum::<usize>());
            assert_eq!(trails.drawer_count(), paths.div_ceil(DRAWER));
            let all: Vec<usize> =
                (0..trails.drawer_count()).flat_map(|at| trails.drawer(at)).collect();
            assert_eq!(all, (0..paths).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_path_is_somebody_who_converted_once_behind_all_its_touches() {
        let mut trails = Trails::default();
        for path in [&[4, 2][..], &[], &[1]] {
            for channel in path {
                trails.push(Tag::touch(*channel));
            }
            trails.end();
        }
        let mut met = Vec::new();
        trails.each(0..3, &mut |person| {
            let touches: Vec<_> = person.touches.iter().map(|t| (t.row(), t.channel())).collect();
            let [span] = person.spans else { panic!("one conversion") };
            met.push((touches, span.index, (span.start, span.stop)));
        });
        let two = vec![(0, Some(4)), (0, Some(2))];
        let expected = [(two, 0, (0, 2)), (vec![], 1, (0, 0)), (vec![(2, Some(1))], 2, (0, 1))];
        assert_eq!(met, expected);
    }
}
