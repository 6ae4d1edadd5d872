//! Ids in, first copies out: what was seen within a window of time and number.
//!
//! Ids lie in generations. The newest takes new ones; the oldest is dropped whole once all of it
//! is older than the window, or once the others alone hold as many ids as are to be remembered.
//! So an id is known for at least the window or until `ids_max` later ones came, whichever ends
//! first, and at most an eighth longer. An id takes 16 bytes plus one, divided by the load of
//! its table: 19 to 39 bytes.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use thiserror::Error;

/// An idempotency key within an app.
pub type Id = [u8; 16];

/// Generations that a full window has, the newest not counted.
const PARTS: u32 = 8;
const VERSION: u8 = 1;

/// How long ids are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Ids to remember, over all apps.
    pub ids_max: usize,
    /// Time to remember them for, in microseconds.
    pub window_us: i64,
}

struct Generation {
    apps: HashMap<String, HashTable<Id>, FixedState>,
    count: usize,
    oldest_us: i64,
    newest_us: i64,
}

/// What was seen. Holds no clock: every call that needs one takes the time.
pub struct Window {
    bounds: Bounds,
    hasher: FixedState,
    /// Oldest first; never empty.
    generations: VecDeque<Generation>,
    count: usize,
    /// The newest of the ids that were dropped, for whatever reason.
    dropped_us: i64,
    /// The newest of those that were dropped for their number, younger than the window.
    crowded_us: Option<i64>,
}

impl Generation {
    fn new(hasher: &FixedState) -> Self {
        let apps = HashMap::with_hasher(hasher.clone());
        Self { apps, count: 0, oldest_us: i64::MAX, newest_us: i64::MIN }
    }
}

impl Window {
    /// An empty window. The seed keeps clients from choosing ids that collide.
    pub fn new(bounds: Bounds, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            bounds,
            generations: VecDeque::from([Generation::new(&hasher)]),
            hasher,
            count: 0,
            dropped_us: i64::MIN,
            crowded_us: None,
        }
    }

    /// Start a commit at `now_us`: drop what is outside the window. Ids that are remembered
    /// until the next call belong to this commit and can be forgotten again.
    pub fn advance(&mut self, now_us: i64) {
        let Bounds { ids_max, window_us } = self.bounds;
        if let Some(newest) = self.generations.back()
            && (newest.count >= (ids_max / PARTS as usize).max(1)
                || now_us.saturating_sub(newest.oldest_us) >= window_us / i64::from(PARTS))
        {
            self.generations.push_back(Generation::new(&self.hasher));
        }
        while let Some(oldest) = self.generations.front()
            && self.generations.len() > 1
        {
            let is_old = oldest.newest_us < now_us.saturating_sub(window_us);
            let is_crowded = self.count - oldest.count >= ids_max;
            if !is_old && !is_crowded {
                break;
            }
            if !is_old {
                self.crowded_us = self.crowded_us.max(Some(oldest.newest_us));
            }
            self.count -= oldest.count;
            self.dropped_us = self.dropped_us.max(oldest.newest_us);
            self.generations.pop_front();
        }
    }

    /// Remember the ids of an app, committed at `time_us`, in order. `first` gets one entry per
    /// id: whether this is its first copy.
    pub fn remember(&mut self, app: &str, ids: &[Id], time_us: i64, first: &mut Vec<bool>) {
        let hasher = &self.hasher;
        let Some(mut newest) = self.generations.pop_back() else { return };
        let older: Vec<&HashTable<Id>> =
            self.generations.iter().rev().filter_map(|g| g.apps.get(app)).collect();
        let table = newest.apps.entry_ref(app).or_default();
        let before = table.len();
        for id in ids {
            let hash = hasher.hash_one(id);
            let is_known = table.find(hash, |known| known == id).is_some()
                || older.iter().any(|t| t.find(hash, |known| known == id).is_some());
            if !is_known {
                table.insert_unique(hash, *id, |id| hasher.hash_one(id));
            }
            first.push(!is_known);
        }
        let added = table.len() - before;
        if added > 0 {
            newest.oldest_us = newest.oldest_us.min(time_us);
            newest.newest_us = newest.newest_us.max(time_us);
        }
        newest.count += added;
        self.count += added;
        self.generations.push_back(newest);
    }

    /// Take back ids of the running commit, which failed.
    pub fn forget(&mut self, app: &str, ids: &[Id]) {
        let hasher = &self.hasher;
        let Some(newest) = self.generations.back_mut() else { return };
        let Some(table) = newest.apps.get_mut(app) else { return };
        for id in ids {
            if let Ok(known) = table.find_entry(hasher.hash_one(id), |known| known == id) {
                known.remove();
                newest.count -= 1;
                self.count -= 1;
            }
        }
    }

    /// Remember what a commit at `time_us` wrote as [`Block`].
    ///
    /// # Errors
    /// Bytes that are no block; what precedes the fault is remembered.
    pub fn restore(&mut self, time_us: i64, block: &[u8]) -> Result<(), BlockError> {
        self.advance(time_us);
        let mut first = Vec::new();
        for part in parts(block)? {
            let (app, ids) = part?;
            first.clear();
            self.remember(app, ids, time_us, &mut first);
        }
        Ok(())
    }

    /// Ids it knows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        let tables = self.generations.iter().flat_map(|g| g.apps.values());
        tables.map(HashTable::allocation_size).sum()
    }

    /// How far back from `now_us` every id is known, in microseconds: the window, or less where
    /// ids were dropped for their number.
    pub fn covers_us(&self, now_us: i64) -> i64 {
        let since = self.crowded_us.map_or(i64::MAX, |us| now_us.saturating_sub(us).max(0));
        since.min(self.bounds.window_us)
    }

    /// Ids committed before this time are not known any more.
    pub fn floor_us(&self) -> i64 {
        self.dropped_us
    }
}

/// Bytes that are no block of ids.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a block of ids is cut or of an unknown version\nhint: a newer version wrote it")]
pub struct BlockError;

/// The ids of one commit as bytes: a version, then for each app the length of its name u32, its
/// name, the number of ids u32 and the ids.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    count: u32,
}

impl Block {
    /// Add ids of an app.
    pub fn push(&mut self, app: &str, ids: &[Id]) {
        let (Ok(name), Ok(count)) = (u32::try_from(app.len()), u32::try_from(ids.len())) else {
            return;
        };
        if ids.is_empty() {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        self.bytes.extend_from_slice(&name.to_le_bytes());
        self.bytes.extend_from_slice(app.as_bytes());
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.bytes.extend_from_slice(ids.as_flattened());
        self.count += count;
    }

    /// The bytes, none where no id was added.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ids that were added.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Forget everything, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

type Part<'a> = Result<(&'a str, &'a [Id]), BlockError>;

fn parts(block: &[u8]) -> Result<impl Iterator<Item = Part<'_>>, BlockError> {
    let Some((&VERSION, mut rest)) = block.split_first() else { return Err(BlockError) };
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let part = take_part(&mut rest).ok_or(BlockError);
        if part.is_err() {
            rest = &[];
        }
        Some(part)
    }))
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a [Id])> {
    let name = take(rest, 1)?;
    let app = str::from_utf8(name).ok()?;
    let ids = take(rest, size_of::<Id>())?;
    Some((app, ids.as_chunks().0))
}

/// Bytes behind a count of units of `size` bytes.
fn take<'a>(rest: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (count, after) = rest.split_first_chunk()?;
    let bytes = (u32::from_le_bytes(*count) as usize).checked_mul(size)?;
    let (taken, after) = after.split_at_checked(bytes)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const BOUNDS: Bounds = Bounds { ids_max: 1_000, window_us: 24 * HOUR };

    fn id(number: u64) -> Id {
        (u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes()
    }

    fn see(window: &mut Window, app: &str, numbers: &[u64], time_us: i64) -> Vec<bool> {
        let ids: Vec<_> = numbers.iter().copied().map(id).collect();
        let mut first = Vec::new();
        window.advance(time_us);
        window.remember(app, &ids, time_us, &mut first);
        first
    }

    #[test]
    fn first_copy_wins_within_an_app() {
        let mut window = Window::new(BOUNDS, 1);
        assert_eq!(see(&mut window, "a", &[1, 2, 1], 0), [true, true, false]);
        assert_eq!(see(&mut window, "a", &[2, 3], 1), [false, true]);
        assert_eq!(see(&mut window, "b", &[1, 2, 3], 2), [true; 3]);
        assert_eq!(window.len(), 6);
    }

    #[test]
    fn ids_are_known_for_the_whole_window_and_not_much_longer() {
        let mut window = Window::new(BOUNDS, 1);
        for hour in 0..200 {
            see(&mut window, "a", &[hour.try_into().unwrap()], hour * HOUR);
            let oldest = (hour - 24).max(0);
            for back in oldest..hour {
                let known = see(&mut window, "a", &[back.try_into().unwrap()], hour * HOUR);
                assert_eq!(known, [false], "{back} at {hour}");
            }
            assert!(window.len() <= 24 + 4, "{} ids", window.len());
            assert_eq!(window.covers_us(hour * HOUR), 24 * HOUR);
        }
        assert!(window.floor_us() > 165 * HOUR && window.floor_us() < 176 * HOUR);
    }

    #[test]
    fn ids_are_known_until_as_many_later_ones_came() {
        let mut window = Window::new(BOUNDS, 1);
        for number in 0..10_000 {
            let now = i64::try_from(number).unwrap();
            assert_eq!(see(&mut window, "a", &[number], now), [true]);
            let back = number.saturating_sub(999);
            assert_eq!(see(&mut window, "a", &[back], now), [false]);
        }
        assert!((1_000..=1_126).contains(&window.len()), "{} ids", window.len());
        let covers = window.covers_us(10_000);
        assert!((1_000..=1_126).contains(&covers), "covers {covers}");
    }

    #[test]
    fn a_full_window_has_eight_parts_and_the_newest() {
        let small = Bounds { ids_max: 80, ..BOUNDS };
        let (mut by_number, mut by_time) = (Window::new(small, 1), Window::new(BOUNDS, 1));
        for number in 0..200 {
            see(&mut by_number, "a", &[number], 0);
            see(&mut by_time, "a", &[number], i64::try_from(number).unwrap() * HOUR);
        }
        // One more is on its way out.
        for window in [by_number, by_time] {
            assert!((9..=10).contains(&window.generations.len()), "{}", window.generations.len());
        }
    }

    #[test]
    fn a_copy_does_not_prolong_the_first() {
        let mut window = Window::new(BOUNDS, 1);
        see(&mut window, "a", &[1], 0);
        assert_eq!(see(&mut window, "a", &[1], 2 * HOUR), [false]);
        assert_eq!(see(&mut window, "a", &[1], 25 * HOUR), [true]);
    }

    #[test]
    fn commits_that_fail_take_no_room() {
        let mut window = Window::new(Bounds { ids_max: 80, ..BOUNDS }, 1);
        for round in 0..50 {
            let numbers: Vec<u64> = (round * 5..round * 5 + 5).collect();
            see(&mut window, "b", &numbers, 0);
            window.forget("b", &numbers.into_iter().map(id).collect::<Vec<_>>());
        }
        assert!(window.is_empty());
        for number in 0..80 {
            assert_eq!(see(&mut window, "a", &[number], 0), [true]);
        }
        assert_eq!(see(&mut window, "a", &(0..80).collect::<Vec<_>>(), 0), [false; 80]);
        assert_eq!((window.len(), window.is_empty()), (80, false));
        // Each part is as long as it was to be.
        assert_eq!(window.generations.len(), 9);
    }

    #[test]
    fn forgotten_ids_are_first_again() {
        let mut window = Window::new(BOUNDS, 1);
        see(&mut window, "a", &[1], 0);
        assert_eq!(see(&mut window, "a", &[2, 3], 1), [true, true]);
        window.forget("a", &[id(2), id(3)]);
        assert_eq!(window.len(), 1);
        assert_eq!(see(&mut window, "a", &[1, 2, 3], 2), [false, true, true]);
    }

    #[test]
    fn block_restores_what_was_committed() {
        let mut block = Block::default();
        block.push("a", &[id(1), id(2)]);
        block.push("größer", &[id(1)]);
        block.push("none", &[]);
        assert_eq!(block.count(), 3);
        let mut used = Block::default();
        used.push("other", &[id(9)]);
        used.clear();
        assert_eq!((used.count(), used.bytes().len()), (0, 0));
        for (app, ids) in [("a", &[id(1), id(2)][..]), ("größer", &[id(1)])] {
            used.push(app, ids);
        }
        assert_eq!(used.bytes(), block.bytes());
        let mut window = Window::new(BOUNDS, 7);
        window.restore(5, block.bytes()).unwrap();
        assert_eq!(see(&mut window, "a", &[1, 2, 3], 6), [false, false, true]);
        assert_eq!(see(&mut window, "größer", &[1, 2], 6), [false, true]);
    }

    #[test]
    fn cut_block_is_an_error_and_never_a_panic() {
        let mut block = Block::default();
        block.push("app", &[id(1), id(2)]);
        for cut in 0..block.bytes().len() {
            let mut window = Window::new(BOUNDS, 7);
            let result = window.restore(0, &block.bytes()[..cut]);
            assert_eq!(result.is_ok(), cut == 1, "cut at {cut}");
            assert!(window.is_empty());
        }
    }

    #[test]
    fn an_id_takes_less_than_forty_bytes() {
        let bounds = Bounds { ids_max: 1 << 20, ..BOUNDS };
        let mut window = Window::new(bounds, 7);
        for start in 0..200 {
            let numbers: Vec<u64> = (start * 1_000..(start + 1) * 1_000).collect();
            see(&mut window, "a", &numbers, 0);
        }
        assert_eq!(window.len(), 200_000);
        assert!((17..40).contains(&(window.bytes() / window.len())), "{}", window.bytes());
    }
}
