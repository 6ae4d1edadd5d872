//! Paths in, removal effects out: how much of the probability to convert each channel carries.
//!
//! States are the last touches of a path, up to the order of the chain, between a start and a
//! conversion or nothing. All probabilities are solved for, none is simulated. With order 1 one
//! inverse gives every effect: a path that meets channel `k` does so first with probability
//! `N[s,k] / N[k,k]`, and converts from there with `b[k]` (Anderl et al. 2016 define the effect).

use super::chain::Chain;
use super::dense::{Solution, System};
use super::paths::{Paths, Ranks};
use crate::column::TableError;
use crate::journey::{Effort, Journeys};

/// What happens to paths that meet a removed channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They end there without a conversion.
    RedirectToNull,
    /// They move on as those do that come to the same state and go elsewhere.
    Redistribute,
    /// They are left out: the effect is the share of conversions whose path has the channel.
    DropPaths,
}

impl Removal {
    fn of_chain(
        self,
        chain: &Chain,
        channels: usize,
        effort: Effort<'_>,
    ) -> Result<Vec<f64>, TableError> {
        let is_redistributed = self == Self::Redistribute;
        let mut effects = chain.effects(channels, is_redistributed, effort)?;
        for effect in &mut effects {
            // Paths that end cannot convert more; and rounding must not earn anything where no
            // channel has an effect.
            let is_nothing = if is_redistributed { effect.abs() < ROUNDING } else { *effect < 0.0 };
            *effect = if is_nothing { 0.0 } else { *effect };
        }
        Ok(effects)
    }
}

/// Effects are shares of 1.
const ROUNDING: f64 = 1e-13;

/// How much each channel's removal costs.
#[derive(Debug)]
pub(crate) struct Effects {
    /// Probability that a path converts.
    pub(crate) p_conversion: f64,
    /// By rank: the share of that probability which is lost without the channel; negative where
    /// it is gained.
    pub(crate) effects: Vec<f64>,
}

impl Effects {
    /// Of some paths that converted and others: nothing has an effect where none did. A chain
    /// converts as often as its paths did, whatever its order.
    fn of(
        (conversions, nulls): (f64, f64),
        channels: usize,
        effects: impl FnOnce() -> Result<Vec<f64>, TableError>,
    ) -> Result<Self, TableError> {
        if conversions == 0.0 {
            return Ok(Self { p_conversion: 0.0, effects: vec![0.0; channels] });
        }
        Ok(Self { p_conversion: conversions / (conversions + nulls), effects: effects()? })
    }

    /// Of a chain that was counted without telling paths apart.
    pub(crate) fn of_chain(
        chain: &Chain,
        channels: usize,
        removal: Removal,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        Self::of(chain.counts(), channels, || removal.of_chain(chain, channels, effort))
    }

    /// Of order 1, paths ending where they meet a removed channel: all that needs is how often
    /// which channel followed which.
    pub(crate) fn of_moves(moves: &Moves, effort: Effort<'_>) -> Result<Self, TableError> {
        let counts = (moves.converts.iter().sum(), moves.ends.iter().sum());
        Self::of(counts, moves.converts.len() - 1, || inverted(moves, effort))
    }

    pub(crate) fn new(
        paths: &Paths,
        order: usize,
        removal: Removal,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let conversions = paths.conversions.iter().sum();
        let counts = (conversions, paths.nulls.iter().sum());
        Self::of(counts, paths.channels, || match removal {
            Removal::DropPaths => Ok(dropped(paths, conversions)),
            Removal::RedirectToNull if order == 1 && paths.channels <= DENSE_MAX => {
                inverted(&Moves::of_paths(paths), effort)
            }
            _ => removal.of_chain(&Chain::of_paths(paths, order), paths.channels, effort),
        })
    }

    /// Each channel's share of all effects; nothing where nothing has an effect.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let earned = self.earned();
        let total: f64 = earned.iter().sum();
        earned.iter().map(|effect| if total > 0.0 { effect / total } else { 0.0 }).collect()
    }

    /// What each channel is worth: nothing where it was in the way.
    pub(crate) fn earned(&self) -> Vec<f64> {
        self.effects.iter().map(|effect| effect.max(0.0)).collect()
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
    /// A row for each state.
    counts: Vec<f64>,
    converts: Vec<f64>,
    ends: Vec<f64>,
}

impl Moves {
    fn new(channels: usize) -> Self {
        let size = channels + 1;
        Self { counts: vec![0.0; size * size], converts: vec![0.0; size], ends: vec![0.0; size] }
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
        let make = || Self::new(ranks.len);
        let made = journeys.fold_paths(effort, make, |moves, tags, conversions, nulls| {
            moves.add(tags.iter().map(|tag| ranks.rank(tag.channel())), conversions, nulls);
        })?;
        Ok(made.into_iter().reduce(|all, other| all.join(&other)).unwrap_or_else(make))
    }

    #[inline]
    fn add(&mut self, path: impl Iterator<Item = u32>, conversions: f64, nulls: f64) {
        let (count, size) = (conversions + nulls, self.converts.len());
        let mut state = 0;
        for channel in path {
            let next = channel as usize + 1;
            self.counts[state * size + next] += count;
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
        sum(&mut self.counts, &other.counts);
        sum(&mut self.converts, &other.converts);
        sum(&mut self.ends, &other.ends);
        self
    }
}

/// All effects of order 1 from one system of equations, `(I − Q) b = r`, and its inverse.
fn inverted(moves: &Moves, effort: Effort<'_>) -> Result<Vec<f64>, TableError> {
    let size = moves.converts.len();
    let mut system = System::zero(size);
    for (state, counts) in moves.counts.chunks_exact(size).enumerate() {
        let total = counts.iter().sum::<f64>() + moves.converts[state] + moves.ends[state];
        let share = |count: f64| if total > 0.0 { count / total } else { 0.0 };
        let row = system.row_mut(state);
        for (cell, count) in row.iter_mut().zip(counts) {
            *cell = -share(*count);
        }
        row[state] += 1.0;
        *system.right_mut(state) = share(moves.converts[state]);
    }
    let Solution { unknowns: reach, first_row: met, diagonal: visits } = system.solve(effort)?;
    let effect = |state: usize| {
        if met[state] == 0.0 { 0.0 } else { met[state] / visits[state] * reach[state] / reach[0] }
    };
    Ok((1..size).map(effect).collect())
}
