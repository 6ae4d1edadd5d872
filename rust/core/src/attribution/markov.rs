//! Paths in, removal effects out: how much of the probability to convert each channel carries.
//!
//! States are the last touches of a path, up to the order of the chain, between a start and a
//! conversion or nothing. All probabilities are solved for, none is simulated. With order 1 one
//! inverse gives every effect: a path that meets channel `k` does so first with probability
//! `N[s,k] / N[k,k]`, and converts from there with `b[k]` (Anderl et al. 2016 define the effect).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;

use super::dense::Matrix;
use super::paths::{Paths, Ranks};
use crate::column::{Map, TableError, narrow};
use crate::journey::{Effort, Journeys, Who};
use crate::threads::side_by_side;

/// What happens to paths that meet a removed channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They end there without a conversion.
    RedirectToNull,
    /// They are left out: the effect is the share of conversions whose path has the channel.
    DropPaths,
}

/// How much each channel's removal costs.
#[derive(Debug)]
pub(crate) struct Effects {
    /// Probability that a path converts.
    pub(crate) p_conversion: f64,
    /// By rank: the share of that probability which is lost without the channel.
    pub(crate) effects: Vec<f64>,
}

impl Effects {
    /// Of order 1, paths ending where they meet a removed channel: all that needs is how often
    /// which channel followed which.
    pub(crate) fn of_moves(moves: &Moves, effort: Effort<'_>) -> Result<Self, TableError> {
        let conversions: f64 = moves.converts.iter().sum();
        let all = conversions + moves.ends.iter().sum::<f64>();
        if conversions == 0.0 {
            return Ok(Self { p_conversion: 0.0, effects: vec![0.0; moves.converts.len() - 1] });
        }
        Ok(Self { p_conversion: conversions / all, effects: inverted(moves, effort)? })
    }

    pub(crate) fn new(
        paths: &Paths,
        order: usize,
        removal: Removal,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let conversions: f64 = paths.conversions.iter().sum();
        let all = conversions + paths.nulls.iter().sum::<f64>();
        if conversions == 0.0 {
            return Ok(Self { p_conversion: 0.0, effects: vec![0.0; paths.channels] });
        }
        let effects = match removal {
            Removal::DropPaths => dropped(paths, conversions),
            Removal::RedirectToNull if order == 1 && paths.channels <= DENSE_MAX => {
                inverted(&Moves::of_paths(paths), effort)?
            }
            Removal::RedirectToNull => Chain::new(paths, order).effects(paths.channels, effort)?,
        };
        // The chain converts as often as its paths did, whatever its order.
        Ok(Self { p_conversion: conversions / all, effects })
    }

    /// Each channel's share of all effects; nothing where nothing has an effect.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let total: f64 = self.effects.iter().sum();
        let share = |effect: &f64| if total > 0.0 { effect / total } else { 0.0 };
        self.effects.iter().map(share).collect()
    }
}

/// Channels up to which the whole inverse is made.
pub(crate) const DENSE_MAX: usize = 4_000;

fn dropped(paths: &Paths, conversions: f64) -> Vec<f64> {
    let mut with = vec![0.0; paths.channels];
    let mut seen: Vec<u32> = Vec::new();
    for (path, converted, _) in paths.iter() {
        seen.clear();
        seen.extend_from_slice(path);
        seen.sort_unstable();
        seen.dedup();
        for channel in &seen {
            with[*channel as usize] += converted;
        }
    }
    with.iter().map(|count| count / conversions).collect()
}

/// How often which channel followed which, and what came of it. State 0 is the start, `k + 1`
/// channel `k`.
#[derive(Debug)]
pub(crate) struct Moves {
    counts: Matrix,
    converts: Vec<f64>,
    ends: Vec<f64>,
}

impl Moves {
    fn new(channels: usize) -> Self {
        let size = channels + 1;
        Self { counts: Matrix::zero(size), converts: vec![0.0; size], ends: vec![0.0; size] }
    }

    fn of_paths(paths: &Paths) -> Self {
        let mut moves = Self::new(paths.channels);
        for (path, conversions, nulls) in paths.iter() {
            moves.add(path.iter().copied(), conversions, nulls);
        }
        moves
    }

    /// Count without telling paths apart.
    pub(crate) fn gather(
        journeys: &Journeys,
        ranks: &Ranks,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let make = || (Self::new(ranks.len), Vec::new());
        let made = journeys.fold(Who::All, effort, make, |(moves, scratch), person| {
            person.journeys(journeys.lens(), scratch, |index, journey| {
                if !journey.touches.is_empty() {
                    let path = journey.touches.iter().map(|touch| ranks.rank(touch.channel()));
                    moves.add(path, journeys.weight(index), journeys.nulls(index));
                }
            });
            person.unconverted(journeys.lens(), |touches| {
                moves.add(touches.map(|touch| ranks.rank(touch.channel())), 0.0, 1.0);
            });
        })?;
        let made = made.into_iter().map(|(moves, _)| moves);
        Ok(made.reduce(|all, other| all.join(&other)).unwrap_or_else(|| Self::new(ranks.len)))
    }

    fn add(&mut self, path: impl Iterator<Item = u32>, conversions: f64, nulls: f64) {
        let mut state = 0;
        for channel in path {
            let next = channel as usize + 1;
            *self.counts.at(state, next) += conversions + nulls;
            state = next;
        }
        self.converts[state] += conversions;
        self.ends[state] += nulls;
    }

    /// Counts are whole numbers wherever several threads count, so that no order shows.
    fn join(mut self, other: &Self) -> Self {
        let sum = |own: &mut [f64], others: &[f64]| {
            for (count, other) in own.iter_mut().zip(others) {
                *count += other;
            }
        };
        for state in 0..self.converts.len() {
            sum(self.counts.row_mut(state), other.counts.row(state));
        }
        sum(&mut self.converts, &other.converts);
        sum(&mut self.ends, &other.ends);
        self
    }
}

/// All effects of order 1 by one inverse.
fn inverted(moves: &Moves, effort: Effort<'_>) -> Result<Vec<f64>, TableError> {
    let size = moves.converts.len();
    let (mut visits, mut converts) = (moves.counts.clone(), moves.converts.clone());
    for state in 0..size {
        let row = visits.row_mut(state);
        let total = row.iter().sum::<f64>() + converts[state] + moves.ends[state];
        if total > 0.0 {
            for count in row.iter_mut() {
                *count = -*count / total;
            }
            converts[state] /= total;
        }
        row[state] += 1.0;
    }
    visits.invert(effort)?;
    let reach = |state: usize| -> f64 {
        visits.row(state).iter().zip(&converts).map(|(visits, p)| visits * p).sum()
    };
    let from_start = reach(0);
    let effect = |state: usize| {
        let met = visits.row(0)[state];
        if met == 0.0 { 0.0 } else { met / visits.row(state)[state] * reach(state) / from_start }
    };
    Ok((1..size).map(effect).collect())
}

/// A chain of any order: states by number, the start first.
struct Chain {
    /// By state: which touches it is made of.
    touches: Vec<Vec<u32>>,
    /// By state: where to and with what probability.
    moves: Vec<Vec<(u32, f64)>>,
    converts: Vec<f64>,
}

/// A sweep that moves no probability by more than this was the last.
const SETTLED: f64 = 1e-16;
const SWEEPS_MAX: usize = 100_000;

impl Chain {
    fn new(paths: &Paths, order: usize) -> Self {
        let mut states: HashMap<Vec<u32>, u32, foldhash::fast::FixedState> = HashMap::default();
        let mut next_of: Map<(u32, u32), u32> = Map::default();
        let mut touches: Vec<Vec<u32>> = vec![Vec::new()];
        let mut counts: Vec<Map<u32, f64>> = vec![Map::default()];
        let mut converts = vec![0.0];
        let mut ends = vec![0.0];
        for (path, conversions, nulls) in paths.iter() {
            let mut state = 0;
            for channel in path {
                let next = *next_of.entry((state, *channel)).or_insert_with(|| {
                    let last = &touches[state as usize];
                    let skipped = (last.len() + 1).saturating_sub(order);
                    let mut made = last[skipped..].to_vec();
                    made.push(*channel);
                    *states.entry(made).or_insert_with_key(|made| {
                        touches.push(made.clone());
                        counts.push(Map::default());
                        converts.push(0.0);
                        ends.push(0.0);
                        narrow(touches.len() - 1)
                    })
                });
                *counts[state as usize].entry(next).or_default() += conversions + nulls;
                state = next;
            }
            converts[state as usize] += conversions;
            ends[state as usize] += nulls;
        }
        let mut moves = Vec::with_capacity(counts.len());
        for (state, counts) in counts.into_iter().enumerate() {
            let mut row: Vec<(u32, f64)> = counts.into_iter().collect();
            row.sort_unstable_by_key(|(next, _)| *next);
            let moved: f64 = row.iter().map(|(_, count)| count).sum();
            let total = moved + converts[state] + ends[state];
            if total > 0.0 {
                for (_, count) in &mut row {
                    *count /= total;
                }
                converts[state] /= total;
            }
            moves.push(row);
        }
        Self { touches, moves, converts }
    }

    /// The effect of each channel, as many at once as there are threads.
    fn effects(&self, channels: usize, effort: Effort<'_>) -> Result<Vec<f64>, TableError> {
        let whole =
            self.reach(&vec![false; self.moves.len()], vec![0.0; self.moves.len()], effort)?;
        let from_start = whole[0];
        let effects = Mutex::new(vec![0.0; channels]);
        let taken = AtomicUsize::new(0);
        let work = || -> Result<(), TableError> {
            loop {
                let channel = taken.fetch_add(1, Ordering::Relaxed);
                if channel >= channels {
                    return Ok(());
                }
                let number = narrow(channel);
                let is_gone: Vec<bool> =
                    self.touches.iter().map(|touches| touches.contains(&number)).collect();
                let without = self.reach(&is_gone, whole.clone(), effort)?[0];
                let effect = (1.0 - without / from_start).max(0.0);
                effects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[channel] = effect;
            }
        };
        side_by_side((0..effort.threads.max(1)).map(|_| work))
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(effects.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Probability to convert from each state when those that are gone end paths, from a guess that
    /// is no lower: every sweep brings it down to the solution of `b = Q b + r`.
    fn reach(
        &self,
        is_gone: &[bool],
        mut guess: Vec<f64>,
        effort: Effort<'_>,
    ) -> Result<Vec<f64>, TableError> {
        for (chance, is_gone) in guess.iter_mut().zip(is_gone) {
            if *is_gone {
                *chance = 0.0;
            }
        }
        for _ in 0..SWEEPS_MAX {
            effort.go_on()?;
            let mut moved: f64 = 0.0;
            // From the ends of paths to their start, since that is how chances travel.
            for state in (0..guess.len()).rev().filter(|state| !is_gone[*state]) {
                let later = self.moves[state].iter().map(|(next, p)| p * guess[*next as usize]);
                let chance = self.converts[state] + later.sum::<f64>();
                moved = moved.max((chance - guess[state]).abs());
                guess[state] = chance;
            }
            if moved <= SETTLED {
                break;
            }
        }
        Ok(guess)
    }
}
