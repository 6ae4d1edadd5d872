//! Journeys in, distinct sequences of channels out: how often each converted, and how often not.
//!
//! Conversions without touches are in no path. Channels are numbered by name here, and paths are
//! sorted, so that neither the order of rows nor threads can show in what is computed from them.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::column::{TableError, narrow};
use crate::journey::{Effort, Journeys, Labels};

/// Distinct paths.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// How many channels there are, the null channel last where there is one.
    pub(crate) channels: usize,
    ends: Vec<usize>,
    steps: Vec<u32>,
    /// How many touches paths have, ascending.
    lengths: Vec<usize>,
    /// How often each path converted.
    pub(crate) conversions: Vec<f64>,
    /// How often each path ended without a conversion.
    pub(crate) nulls: Vec<f64>,
}

/// The number of each channel by name: nothing depends on who came first.
pub(crate) struct Ranks {
    /// By number of the journeys' own, from 1 on; the null channel is 0.
    of: Vec<u32>,
    pub(crate) len: usize,
}

impl Ranks {
    pub(crate) fn new(labels: &Labels) -> Self {
        let ordered = labels.in_order();
        let mut of = vec![0; labels.null() + 1];
        for (rank, (number, _)) in ordered.iter().enumerate() {
            of[if *number == labels.null() { 0 } else { number + 1 }] = narrow(rank);
        }
        Self { of, len: ordered.len() }
    }

    pub(crate) fn rank(&self, channel: Option<u32>) -> u32 {
        self.of[channel.map_or(0, |channel| channel as usize + 1)]
    }
}

/// `path` as a list of channels, `conversions` and `nulls`, one row per distinct path: those that
/// converted most come first, or `by_all` those taken most, and of those the shortest.
///
/// # Errors
/// The effort was stopped.
pub fn paths(
    journeys: &Journeys,
    by_all: bool,
    effort: Effort<'_>,
) -> Result<RecordBatch, TableError> {
    let labels = journeys.channels();
    let found = Paths::gather(journeys, &Ranks::new(labels), effort)?;
    let names = labels.in_order();
    let weight =
        |index: usize| found.conversions[index] + if by_all { found.nulls[index] } else { 0.0 };
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| {
        let most = weight(*b).total_cmp(&weight(*a));
        most.then_with(|| found.path(*a).len().cmp(&found.path(*b).len()))
    });
    let mut paths = ListBuilder::new(StringBuilder::new());
    for index in &order {
        paths.append_value(found.path(*index).iter().map(|rank| names[*rank as usize].1));
    }
    let counts = |counts: &[f64]| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(order.iter().map(|index| counts[*index])))
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("path", Arc::new(paths.finish()) as ArrayRef, false),
        ("conversions", counts(&found.conversions), false),
        ("nulls", counts(&found.nulls), false),
    ])?)
}

/// The path numbered `index` of those that end at `ends`.
fn steps_of<'a>(ends: &[usize], steps: &'a [u32], index: usize) -> &'a [u32] {
    &steps[index.checked_sub(1).map_or(0, |before| ends[before])..ends[index]]
}

/// Paths as they are found, with their counts.
#[derive(Default)]
pub(super) struct Found {
    table: HashTable<u32>,
    ends: Vec<usize>,
    steps: Vec<u32>,
    counts: Vec<(f64, f64)>,
    hasher: foldhash::fast::FixedState,
}

impl Found {
    fn path(&self, index: usize) -> &[u32] {
        steps_of(&self.ends, &self.steps, index)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Add all that another thread found.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (index, (conversions, nulls)) in other.counts.iter().enumerate() {
            let _ = self.add(other.path(index), *conversions, *nulls);
        }
    }

    /// Each path with how often it did not convert, as they were found.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u32], f64)> {
        (0..self.counts.len()).map(|index| (self.path(index), self.counts[index].1))
    }

    /// Count a path; its number.
    pub(super) fn add(&mut self, path: &[u32], conversions: f64, nulls: f64) -> u32 {
        let Self { table, ends, steps, counts, hasher } = self;
        let known = |index: u32| steps_of(ends, steps, index as usize);
        let is_same = |index: &u32| known(*index) == path;
        let hash = |index: &u32| hasher.hash_one(known(*index));
        let index = match table.entry(hasher.hash_one(path), is_same, hash) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                let index = narrow(ends.len());
                free.insert(index);
                steps.extend_from_slice(path);
                ends.push(steps.len());
                counts.push((0.0, 0.0));
                index
            }
        };
        let counts = &mut counts[index as usize];
        counts.0 += conversions;
        counts.1 += nulls;
        index
    }
}

impl Paths {
    /// All paths of `journeys`, converting or not.
    pub(crate) fn gather(
        journeys: &Journeys,
        ranks: &Ranks,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let make = || (Found::default(), Vec::new());
        let made =
            journeys.fold_paths(effort, make, |(found, path), tags, conversions, nulls| {
                path.clear();
                path.extend(tags.iter().map(|tag| ranks.rank(tag.channel())));
                let _ = found.add(path, conversions, nulls);
            })?;
        // Counts of events are whole numbers, whose sums no order changes; aggregated paths, whose
        // counts may be any, are read by one thread.
        let mut all = Found::default();
        for (found, _) in &made {
            all.absorb(found);
        }
        Ok(Self::sorted(&all, ranks.len).0)
    }

    /// In order, and where each went.
    pub(super) fn sorted(found: &Found, channels: usize) -> (Self, Vec<u32>) {
        let mut order: Vec<usize> = (0..found.counts.len()).collect();
        order.sort_unstable_by_key(|index| found.path(*index));
        let mut places = vec![0; order.len()];
        let mut paths = Self { channels, ..Self::default() };
        for index in order {
            places[index] = narrow(paths.len());
            let (conversions, nulls) = found.counts[index];
            paths.push(found.path(index), conversions, nulls);
        }
        paths.measure();
        (paths, places)
    }

    /// The same paths with other counts; those without any are left out.
    pub(super) fn resampled(&self, counts: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut paths = Self { channels: self.channels, ..Self::default() };
        for (index, (conversions, nulls)) in counts.enumerate() {
            if conversions + nulls > 0.0 {
                paths.push(self.path(index), conversions, nulls);
            }
        }
        paths.measure();
        paths
    }

    fn push(&mut self, path: &[u32], conversions: f64, nulls: f64) {
        self.steps.extend_from_slice(path);
        self.ends.push(self.steps.len());
        self.conversions.push(conversions);
        self.nulls.push(nulls);
    }

    fn measure(&mut self) {
        let lengths: BTreeSet<usize> = (0..self.len()).map(|at| self.path(at).len()).collect();
        self.lengths = lengths.into_iter().collect();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The channels of the path numbered `index`.
    pub(crate) fn path(&self, index: usize) -> &[u32] {
        steps_of(&self.ends, &self.steps, index)
    }

    /// Whether some path has so many touches.
    pub(crate) fn has_length(&self, length: usize) -> bool {
        self.lengths.binary_search(&length).is_ok()
    }

    /// The place of a path, if it was seen.
    pub(crate) fn find(&self, path: &[u32]) -> Option<usize> {
        let mut low = 0;
        let mut high = self.len();
        while low < high {
            let middle = low.midpoint(high);
            match self.path(middle).cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Each path with how often it converted and how often it did not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u32], f64, f64)> {
        (0..self.len()).map(|index| (self.path(index), self.conversions[index], self.nulls[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each path with how often it converted and how often not.
    fn shown<'a>(paths: impl Iterator<Item = (&'a [u32], f64, f64)>) -> Vec<String> {
        paths.map(|(path, won, lost)| format!("{path:?} {won} {lost}")).collect()
    }

    fn counted(found: &Found) -> Vec<String> {
        let counts = found.counts.iter().enumerate();
        shown(counts.map(|(index, (won, lost))| (found.path(index), *won, *lost)))
    }

    #[test]
    fn what_threads_found_adds_up() {
        let mut one = Found::default();
        assert_eq!(one.add(&[1, 2], 1.0, 0.0), 0);
        assert_eq!(one.add(&[2], 0.0, 1.0), 1);
        assert_eq!(one.add(&[1, 2], 2.0, 3.0), 0);
        assert_eq!(counted(&one), ["[1, 2] 3 3", "[2] 0 1"]);
        let mut other = Found::default();
        let _ = other.add(&[2, 1], 1.0, 1.0);
        let _ = other.add(&[1, 2], 5.0, 7.0);
        one.absorb(&other);
        assert_eq!(counted(&one), ["[1, 2] 8 10", "[2] 0 1", "[2, 1] 1 1"]);
    }

    #[test]
    fn paths_are_sorted_found_and_resampled() {
        let mut found = Found::default();
        for path in [&[2, 1][..], &[0], &[1, 2, 0], &[1]] {
            let _ = found.add(path, path.len() as f64, 1.0);
        }
        let (paths, places) = Paths::sorted(&found, 3);
        assert_eq!(places, [3, 0, 2, 1]);
        assert_eq!(shown(paths.iter()), ["[0] 1 1", "[1] 1 1", "[1, 2, 0] 3 1", "[2, 1] 2 1"]);
        for place in 0..paths.len() {
            assert_eq!(paths.find(paths.path(place)), Some(place));
        }
        assert_eq!(paths.find(&[1, 2]), None);
        assert!((1..=3).all(|length| paths.has_length(length)));
        assert!(!paths.has_length(0) && !paths.has_length(4));
        let some = paths.resampled([(0.0, 0.0), (2.0, 0.0), (0.0, 1.0), (0.0, 0.0)].into_iter());
        assert_eq!(shown(some.iter()), ["[1] 2 0", "[1, 2, 0] 0 1"]);
        assert!(!some.has_length(2));
    }
}
