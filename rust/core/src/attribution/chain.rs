//! Paths in, a chain whose states are their last touches out, and what it loses without a channel.
//!
//! Nothing is simulated: probabilities are solved for, of several removed channels at once.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::paths::{Paths, Ranks};
use crate::column::{Map, TableError, narrow};
use crate::journey::{Effort, Journeys};
use crate::threads::side_by_side;

/// How often which state followed which, as it is counted.
#[derive(Debug)]
pub(super) struct Walks {
    order: usize,
    /// By state: which touches it is made of; the start, of none, is the first.
    touches: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32, FixedState>,
    /// By state and channel: the number of the move.
    moves: Map<u64, u32>,
    /// By move: where to, and how often.
    steps: Vec<(u32, f64)>,
    converts: Vec<f64>,
    ends: Vec<f64>,
}

/// The channel of a key of moves.
const KEY_MASK: u64 = 0xffff_ffff;

impl Walks {
    fn new(order: usize) -> Self {
        let mut walks = Self {
            order,
            touches: Vec::new(),
            numbers: HashMap::default(),
            moves: Map::default(),
            steps: Vec::new(),
            converts: Vec::new(),
            ends: Vec::new(),
        };
        let _ = walks.state(&[]);
        walks
    }

    /// The number of a state.
    fn state(&mut self, touches: &[u32]) -> u32 {
        if let Some(number) = self.numbers.get(touches) {
            return *number;
        }
        let number = narrow(self.touches.len());
        self.numbers.insert(touches.to_vec(), number);
        self.touches.push(touches.to_vec());
        self.converts.push(0.0);
        self.ends.push(0.0);
        number
    }

    /// Count a move; where it leads.
    fn step(&mut self, state: u32, channel: u32, count: f64) -> u32 {
        let key = u64::from(state) << 32 | u64::from(channel);
        if let Some(at) = self.moves.get(&key) {
            let (next, counted) = &mut self.steps[*at as usize];
            *counted += count;
            return *next;
        }
        let last = &self.touches[state as usize];
        let kept = (last.len() + 1).saturating_sub(self.order);
        let next: Vec<u32> = last[kept..].iter().copied().chain([channel]).collect();
        let next = self.state(&next);
        self.moves.insert(key, narrow(self.steps.len()));
        self.steps.push((next, count));
        next
    }

    fn add(&mut self, path: impl Iterator<Item = u32>, conversions: f64, nulls: f64) {
        let count = conversions + nulls;
        let last = path.fold(0, |state, channel| self.step(state, channel, count));
        self.converts[last as usize] += conversions;
        self.ends[last as usize] += nulls;
    }

    /// Counts are whole numbers wherever several threads count, so that no order shows.
    fn join(mut self, other: &Self) -> Self {
        let numbers: Vec<u32> = other.touches.iter().map(|touches| self.state(touches)).collect();
        for (key, at) in &other.moves {
            let (from, channel) = ((key >> 32) as usize, narrow((key & KEY_MASK) as usize));
            let _ = self.step(numbers[from], channel, other.steps[*at as usize].1);
        }
        for (state, number) in numbers.iter().enumerate() {
            self.converts[*number as usize] += other.converts[state];
            self.ends[*number as usize] += other.ends[state];
        }
        self
    }
}

/// States by number, ascending by their touches; moves of one state after those of another.
#[derive(Debug)]
pub(super) struct Chain {
    touches: Vec<Vec<u32>>,
    /// By state: where its moves end.
    ends: Vec<usize>,
    /// Where to and with what probability.
    moves: Vec<(u32, f64)>,
    converts: Vec<f64>,
    /// How many paths converted, and how many did not.
    counts: (f64, f64),
}

/// Channels whose removal is solved for at once.
const LANES: usize = 8;
/// A sweep that moves no probability by more than this was the last.
const SETTLED: f64 = 1e-16;
const SWEEPS_MAX: usize = 100_000;

type Chances = Vec<[f64; LANES]>;

impl Chain {
    /// Of journeys that are counted in whole numbers.
    pub(super) fn gather(
        journeys: &Journeys,
        ranks: &Ranks,
        order: usize,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let make = || Walks::new(order);
        let made = journeys.fold_paths(effort, make, |walks, tags, conversions, nulls| {
            walks.add(tags.iter().map(|tag| ranks.rank(tag.channel())), conversions, nulls);
        })?;
        let walks = made.into_iter().reduce(|all, other| all.join(&other)).unwrap_or_else(make);
        Ok(Self::of(walks))
    }

    pub(super) fn of_paths(paths: &Paths, order: usize) -> Self {
        let mut walks = Walks::new(order);
        for (path, conversions, nulls) in paths.iter() {
            walks.add(path.iter().copied(), conversions, nulls);
        }
        Self::of(walks)
    }

    /// Who was counted first does not show: states and their moves are put in order.
    fn of(walks: Walks) -> Self {
        let Walks { touches, moves, steps, converts, ends, .. } = walks;
        let mut order: Vec<u32> = (0..narrow(touches.len())).collect();
        order.sort_unstable_by_key(|state| &touches[*state as usize]);
        let mut places = vec![0; order.len()];
        for (place, state) in order.iter().enumerate() {
            places[*state as usize] = narrow(place);
        }
        let mut made: Vec<(u32, u32, f64)> = moves
            .into_iter()
            .map(|(key, at)| {
                let (next, count) = steps[at as usize];
                (places[(key >> 32) as usize], places[next as usize], count)
            })
            .collect();
        made.sort_unstable_by_key(|(from, to, _)| (*from, *to));
        let mut chain = Self {
            counts: (converts.iter().sum(), ends.iter().sum()),
            touches: order.iter().map(|state| touches[*state as usize].clone()).collect(),
            ends: Vec::with_capacity(order.len()),
            moves: Vec::with_capacity(made.len()),
            converts: Vec::with_capacity(order.len()),
        };
        let mut made = made.into_iter().peekable();
        for (place, state) in order.iter().enumerate() {
            let start = chain.moves.len();
            while let Some((_, to, count)) = made.next_if(|(from, ..)| *from as usize == place) {
                chain.moves.push((to, count));
            }
            let moved: f64 = chain.moves[start..].iter().map(|(_, count)| count).sum();
            let total = moved + converts[*state as usize] + ends[*state as usize];
            let share = |count: f64| if total > 0.0 { count / total } else { 0.0 };
            chain.moves[start..].iter_mut().for_each(|(_, count)| *count = share(*count));
            chain.converts.push(share(converts[*state as usize]));
            chain.ends.push(chain.moves.len());
        }
        chain
    }

    /// How many paths converted, and how many did not.
    pub(super) fn counts(&self) -> (f64, f64) {
        self.counts
    }

    /// By channel: the share of the probability to convert that is lost without it, as many at
    /// once as there are threads and lanes. Some path converted.
    pub(super) fn effects(
        &self,
        channels: usize,
        is_redistributed: bool,
        effort: Effort<'_>,
    ) -> Result<Vec<f64>, TableError> {
        let states = self.touches.len();
        let zero = vec![[0.0; LANES]; states];
        let whole = self.reach(&vec![0; states], false, zero.clone(), effort)?;
        let from_start = whole[0][0];
        // Where moves are redistributed, chances may rise, and those who go round for ever have
        // none: only from below does a sweep come to that.
        let guess = if is_redistributed { zero } else { whole };
        let effects = Mutex::new(vec![0.0; channels]);
        let taken = AtomicUsize::new(0);
        let blocks = channels.div_ceil(LANES);
        let work = || -> Result<(), TableError> {
            while let Some(block) = effort.claim(&taken, blocks) {
                let first = block * LANES;
                let gone = self.gone(first);
                let without = self.reach(&gone, is_redistributed, guess.clone(), effort)?[0];
                let mut effects = effects.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for (effect, without) in effects[first..].iter_mut().zip(without) {
                    *effect = 1.0 - without / from_start;
                }
            }
            effort.go_on()
        };
        let threads = effort.threads.min(blocks).max(1);
        side_by_side((0..threads).map(|_| work)).into_iter().collect::<Result<(), _>>()?;
        Ok(effects.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// By state: a bit for each of the channels from `first` on that it is made of.
    fn gone(&self, first: usize) -> Vec<u8> {
        let bit = |channel: &u32| {
            let lane = (*channel as usize).checked_sub(first).filter(|lane| *lane < LANES);
            lane.map_or(0, |lane| 1 << lane)
        };
        self.touches.iter().map(|touches| touches.iter().map(bit).fold(0, |a, b| a | b)).collect()
    }

    /// Probability to convert from each state when those that are gone end paths, or when what
    /// moved there moves as the rest does; from a guess that is no lower, or from none: every sweep
    /// brings it nearer to the solution of `b = Q b + r`.
    fn reach(
        &self,
        gone: &[u8],
        is_redistributed: bool,
        mut guess: Chances,
        effort: Effort<'_>,
    ) -> Result<Chances, TableError> {
        for (chances, gone) in guess.iter_mut().zip(gone) {
            end(chances, *gone);
        }
        for _ in 0..SWEEPS_MAX {
            effort.go_on()?;
            let mut moved = [0.0_f64; LANES];
            // From the longest paths to their start, since that is how chances travel.
            for state in (0..guess.len()).rev() {
                let mut chances = [self.converts[state]; LANES];
                let start = state.checked_sub(1).map_or(0, |before| self.ends[before]);
                let mut kept = [1.0; LANES];
                for (next, p) in &self.moves[start..self.ends[state]] {
                    if is_redistributed {
                        take_off(&mut kept, *p, gone[*next as usize]);
                    }
                    let later = &guess[*next as usize];
                    for (chance, later) in chances.iter_mut().zip(later) {
                        *chance += p * later;
                    }
                }
                if is_redistributed {
                    scale(&mut chances, &kept);
                }
                end(&mut chances, gone[state]);
                let old = std::mem::replace(&mut guess[state], chances);
                for ((moved, old), chance) in moved.iter_mut().zip(old).zip(chances) {
                    *moved = moved.max((chance - old).abs());
                }
            }
            if moved.iter().all(|moved| *moved <= SETTLED) {
                break;
            }
        }
        Ok(guess)
    }
}

/// No chance where a channel is gone.
fn end(chances: &mut [f64; LANES], gone: u8) {
    if gone != 0 {
        for (lane, chance) in chances.iter_mut().enumerate() {
            if gone >> lane & 1 == 1 {
                *chance = 0.0;
            }
        }
    }
}

/// Less is kept where a move leads to a channel that is gone.
fn take_off(kept: &mut [f64; LANES], p: f64, gone: u8) {
    if gone != 0 {
        for (lane, kept) in kept.iter_mut().enumerate() {
            if gone >> lane & 1 == 1 {
                *kept -= p;
            }
        }
    }
}

/// What is kept becomes the whole; nothing does where nothing is kept, save for rounding.
fn scale(chances: &mut [f64; LANES], kept: &[f64; LANES]) {
    for (chance, kept) in chances.iter_mut().zip(kept) {
        *chance = if *kept > 1e-12 { *chance / kept } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Walked = (&'static [u32], f64, f64);

    const WALKED: [Walked; 6] = [
        (&[0, 1, 2], 2.0, 1.0),
        (&[1], 1.0, 4.0),
        (&[2, 2], 0.0, 3.0),
        (&[0, 1], 1.0, 0.0),
        (&[1, 0, 2, 1], 3.0, 2.0),
        (&[0, 1, 2], 1.0, 1.0),
    ];

    fn walks(order: usize, walked: &[Walked]) -> Walks {
        let mut walks = Walks::new(order);
        for (path, conversions, nulls) in walked {
            walks.add(path.iter().copied(), *conversions, *nulls);
        }
        walks
    }

    #[test]
    fn what_threads_count_joins_into_what_one_would() {
        for order in 1..=3 {
            let whole = format!("{:?}", Chain::of(walks(order, &WALKED)));
            for (one, other) in (0..=WALKED.len()).map(|cut| WALKED.split_at(cut)) {
                for (one, other) in [(one, other), (other, one)] {
                    let joined = walks(order, one).join(&walks(order, other));
                    assert_eq!(format!("{:?}", Chain::of(joined)), whole);
                }
            }
        }
    }

    #[test]
    fn a_chain_says_what_follows_with_what_probability() {
        let chain = Chain::of(walks(1, &[(&[1, 0], 1.0, 0.0), (&[1], 0.0, 3.0)]));
        assert_eq!(chain.touches, [vec![], vec![0], vec![1]]);
        assert_eq!(chain.ends, [1, 1, 2]);
        assert_eq!(format!("{:?}", chain.moves), "[(2, 1.0), (1, 0.25)]");
        assert_eq!(format!("{:?}", chain.converts), "[0.0, 1.0, 0.0]");
        assert_eq!(format!("{:?}", chain.counts()), "(1.0, 3.0)");
    }
}
