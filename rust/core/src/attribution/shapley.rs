//! Sets of channels in, each channel's Shapley value in the game of conversion rates out.
//!
//! `v(S)` is the conversion rate of the journeys whose channels all lie in `S`. Up to 20 channels
//! every coalition is looked at; of more, orders of channels are sampled.

use super::paths::{Found, Paths, Ranks};
use super::permutations::{Sampling, sampled};
use crate::column::TableError;
use crate::journey::{Effort, Journeys};

/// Channels up to which every coalition is looked at.
const CHANNELS_MAX: usize = 20;

/// How all attributed conversions are shared among channels.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// By rank.
    pub(super) shares: Vec<f64>,
    /// By rank: the standard error of each share, where they were sampled.
    pub(super) errors: Option<Vec<f64>>,
}

/// The sets of channels that journeys have, and how each fared.
#[derive(Debug)]
pub(super) enum Coalitions {
    /// By set, a bit for each channel.
    Every(Sums),
    /// Those that were seen, their channels ascending.
    Seen(Paths),
}

/// By set: journeys that converted, and all journeys.
#[derive(Debug)]
pub(super) struct Sums {
    channels: usize,
    conversions: Vec<f64>,
    journeys: Vec<f64>,
}

impl Coalitions {
    /// Of journeys that are counted in whole numbers.
    pub(super) fn gather(
        journeys: &Journeys,
        ranks: &Ranks,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let channels = ranks.len;
        if channels <= CHANNELS_MAX {
            let make = || Sums::new(channels);
            let made = journeys.fold_paths(effort, make, |sums, tags, conversions, nulls| {
                let path = tags.iter().map(|tag| ranks.rank(tag.channel()));
                sums.add(path, conversions, nulls);
            })?;
            let made = made.into_iter().reduce(|all, other| all.join(&other));
            return Ok(Self::Every(made.unwrap_or_else(make)));
        }
        let make = || (Found::default(), Vec::new());
        let made =
            journeys.fold_paths(effort, make, |(found, set), tags, conversions, nulls| {
                set.clear();
                set.extend(tags.iter().map(|tag| ranks.rank(tag.channel())));
                let _ = found.add(distinct(set), conversions, nulls);
            })?;
        let mut all = Found::default();
        for (found, _) in &made {
            all.absorb(found);
        }
        Ok(Self::Seen(Paths::sorted(&all, channels).0))
    }

    pub(super) fn of_paths(paths: &Paths) -> Self {
        if paths.channels <= CHANNELS_MAX {
            let mut sums = Sums::new(paths.channels);
            for (path, conversions, nulls) in paths.iter() {
                sums.add(path.iter().copied(), conversions, nulls);
            }
            return Self::Every(sums);
        }
        let (mut found, mut set) = (Found::default(), Vec::new());
        for (path, conversions, nulls) in paths.iter() {
            set.clear();
            set.extend_from_slice(path);
            let _ = found.add(distinct(&mut set), conversions, nulls);
        }
        Self::Seen(Paths::sorted(&found, paths.channels).0)
    }

    /// Each channel's Shapley value as a share of all values, which may be negative.
    pub(super) fn shares(
        &self,
        sampling: Sampling,
        effort: Effort<'_>,
    ) -> Result<Shares, TableError> {
        match self {
            Self::Every(sums) => Ok(Shares { shares: sums.shares(effort)?, errors: None }),
            Self::Seen(sets) => sampled(sets, sampling, effort),
        }
    }
}

fn distinct(channels: &mut Vec<u32>) -> &[u32] {
    channels.sort_unstable();
    channels.dedup();
    channels
}

impl Sums {
    fn new(channels: usize) -> Self {
        let sets = 1 << channels;
        Self { channels, conversions: vec![0.0; sets], journeys: vec![0.0; sets] }
    }

    fn add(&mut self, path: impl Iterator<Item = u32>, conversions: f64, nulls: f64) {
        let set = path.fold(0_usize, |set, channel| set | 1 << channel);
        self.conversions[set] += conversions;
        self.journeys[set] += conversions + nulls;
    }

    fn join(mut self, other: &Self) -> Self {
        for (own, others) in
            [(&mut self.conversions, &other.conversions), (&mut self.journeys, &other.journeys)]
        {
            own.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        self
    }

    fn shares(&self, effort: Effort<'_>) -> Result<Vec<f64>, TableError> {
        let channels = self.channels;
        let (mut conversions, mut journeys) = (self.conversions.clone(), self.journeys.clone());
        for sums in [&mut conversions, &mut journeys] {
            effort.go_on()?;
            over_subsets(sums, channels);
        }
        let rates: Vec<f64> = conversions
            .iter()
            .zip(&journeys)
            .map(|(converted, all)| rate(*converted, *all))
            .collect();
        let weights = weights(channels);
        let value = |channel: usize| -> Result<f64, TableError> {
            effort.go_on()?;
            Ok(marginals(&rates, &weights, channel))
        };
        let values: Vec<f64> = (0..channels).map(value).collect::<Result<_, _>>()?;
        let total: f64 = values.iter().sum();
        Ok(values.iter().map(|value| if total == 0.0 { 0.0 } else { value / total }).collect())
    }
}

pub(super) fn rate(converted: f64, all: f64) -> f64 {
    if all > 0.0 { converted / all } else { 0.0 }
}

/// What a channel adds to all coalitions without it, by the weights of their sizes.
fn marginals(rates: &[f64], weights: &[f64], channel: usize) -> f64 {
    let half = 1 << channel;
    let mut sum = 0.0;
    for (block, rates) in rates.chunks_exact(2 * half).enumerate() {
        let (without, with) = rates.split_at(half);
        for (low, (without, with)) in without.iter().zip(with).enumerate() {
            let size = block.count_ones() + low.count_ones();
            sum += weights[size as usize] * (with - without);
        }
    }
    sum
}

/// Each cell becomes the sum over all subsets of its set.
fn over_subsets(sums: &mut [f64], channels: usize) {
    for channel in 0..channels {
        let half = 1 << channel;
        for block in sums.chunks_exact_mut(2 * half) {
            let (without, with) = block.split_at_mut(half);
            with.iter_mut().zip(without).for_each(|(sum, part)| *sum += *part);
        }
    }
}

/// By the size of a coalition: the share of orders in which a channel joins it,
/// `|S|! (n − |S| − 1)! / n!`.
fn weights(channels: usize) -> Vec<f64> {
    let mut weight = 1.0 / channels.max(1) as f64;
    let mut weights = vec![weight];
    for size in 1..channels {
        weight *= size as f64 / (channels - size) as f64;
        weights.push(weight);
    }
    weights
}
