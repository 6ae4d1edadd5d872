//! Sets of channels in, Shapley values by sampled orders of channels out, and their errors.
//!
//! In an order, a channel adds what the rate rises by when it joins those before it (Castro et al.
//! 2009). Each order is looked at backwards as well, which takes away most of the error of games
//! that are nearly additive (Lomeli et al. 2019 call such pairs antithetic).

use std::sync::atomic::AtomicUsize;

use super::ModelError;
use super::draws::mix;
use super::paths::Paths;
use super::shapley::{Shares, rate};
use super::sum::ExactSum;
use crate::column::{TableError, narrow};
use crate::journey::Effort;
use crate::threads::side_by_side;

/// How orders of channels are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// How many orders; each is looked at backwards as well.
    samples: usize,
    seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { samples: 1_024, seed: 0 }
    }
}

/// More orders change the third digit of an error.
const SAMPLES_MAX: usize = 1_000_000;

impl Sampling {
    /// Checked.
    ///
    /// # Errors
    /// There is no error to be told of fewer than two orders, and too many take for ever.
    pub fn new(samples: usize, seed: u64) -> Result<Self, ModelError> {
        if (2..=SAMPLES_MAX).contains(&samples) {
            Ok(Self { samples, seed })
        } else {
            Err(ModelError::Samples(samples))
        }
    }
}

/// Orders that are looked at together.
const LANES: usize = 8;

type Lanes<T> = [T; LANES];

/// What one thread has so far.
struct Drawn {
    /// By channel: what it adds, and the squares of that.
    sums: Vec<(ExactSum, ExactSum)>,
    orders: Orders,
}

/// Each channel's share of all values, and its standard error.
pub(super) fn sampled(
    sets: &Paths,
    sampling: Sampling,
    effort: Effort<'_>,
) -> Result<Shares, TableError> {
    let chunks = sampling.samples.div_ceil(LANES);
    let taken = AtomicUsize::new(0);
    let work = || {
        let mut drawn = Drawn::new(sets.channels);
        while let Some(chunk) = effort.claim(&taken, chunks) {
            drawn.look(sets, sampling, chunk * LANES);
        }
        drawn
    };
    let made = side_by_side((0..effort.threads.min(chunks).max(1)).map(|_| work));
    effort.go_on()?;
    let drawn = made.into_iter().reduce(Drawn::join).unwrap_or_else(|| Drawn::new(sets.channels));
    Ok(drawn.shares(sampling.samples as f64))
}

impl Drawn {
    fn new(channels: usize) -> Self {
        Self { sums: vec![Default::default(); channels], orders: Orders::new(channels) }
    }

    /// Look at the orders from number `first` on, and at each backwards.
    fn look(&mut self, sets: &Paths, sampling: Sampling, first: usize) {
        let wanted = LANES.min(sampling.samples - first);
        self.orders.draw(sampling.seed, first as u64);
        self.orders.fill(sets);
        for (channel, (sum, squares)) in self.sums.iter_mut().enumerate() {
            for added in &self.orders.added(channel)[..wanted] {
                sum.add(*added);
                squares.add(added * added);
            }
        }
    }

    /// Sums are exact: who drew what does not show.
    fn join(mut self, other: Self) -> Self {
        for (own, other) in self.sums.iter_mut().zip(other.sums) {
            own.0.join(other.0);
            own.1.join(other.1);
        }
        self
    }

    fn shares(&self, samples: f64) -> Shares {
        let values: Vec<f64> = self.sums.iter().map(|(sum, _)| sum.value() / samples).collect();
        let total: f64 = values.iter().sum();
        let share = |value: f64| if total == 0.0 { 0.0 } else { value / total };
        let error = |((_, squares), mean): (&(ExactSum, ExactSum), &f64)| {
            let spread = (squares.value() / samples - mean * mean).max(0.0);
            share((spread / (samples - 1.0)).sqrt()).abs()
        };
        Shares {
            errors: Some(self.sums.iter().zip(&values).map(error).collect()),
            shares: values.into_iter().map(share).collect(),
        }
    }
}

/// Some orders of channels, and how coalitions fare that grow along each.
struct Orders {
    /// By channel: its place in each order, from 1 on.
    places: Vec<Lanes<u32>>,
    /// By place and lane: journeys that converted and all journeys, of sets whose last channel
    /// stands there; then rates of all sets up to there.
    ahead: Vec<Lanes<[f64; 2]>>,
    /// The same with orders read backwards.
    back: Vec<Lanes<[f64; 2]>>,
}

impl Orders {
    fn new(channels: usize) -> Self {
        let empty = vec![[[0.0; 2]; LANES]; channels + 1];
        Self { places: vec![[0; LANES]; channels], ahead: empty.clone(), back: empty }
    }

    /// Orders by number: each follows from the seed and its number alone.
    fn draw(&mut self, seed: u64, first: u64) {
        let channels = self.places.len();
        let mut order: Vec<usize> = (0..channels).collect();
        for lane in 0..LANES {
            let key = mix(mix(seed) ^ (first + lane as u64));
            order.iter_mut().enumerate().for_each(|(index, channel)| *channel = index);
            for index in (1..channels).rev() {
                let bits = mix(key.wrapping_add(index as u64));
                let other = ((bits >> 32) * (index as u64 + 1)) >> 32;
                order.swap(index, other as usize);
            }
            for (place, channel) in (1..).zip(&order) {
                self.places[*channel][lane] = place;
            }
        }
    }

    /// Count each set where its last channel joins, then turn counts into rates.
    fn fill(&mut self, sets: &Paths) {
        let Self { places, ahead, back } = self;
        ahead.fill([[0.0; 2]; LANES]);
        back.fill([[0.0; 2]; LANES]);
        let turned = narrow(places.len()) + 1;
        for (set, conversions, nulls) in sets.iter() {
            let (mut first, mut last) = ([u32::MAX; LANES], [0; LANES]);
            for channel in set {
                let own = &places[*channel as usize];
                for lane in 0..LANES {
                    first[lane] = first[lane].min(own[lane]);
                    last[lane] = last[lane].max(own[lane]);
                }
            }
            let all = conversions + nulls;
            for lane in 0..LANES {
                let forward = &mut ahead[last[lane] as usize][lane];
                forward[0] += conversions;
                forward[1] += all;
                let backward = &mut back[(turned - first[lane]) as usize][lane];
                backward[0] += conversions;
                backward[1] += all;
            }
        }
        for counts in [ahead, back] {
            let mut sums = [[0.0; 2]; LANES];
            for counts in counts {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    sum[0] += count[0];
                    sum[1] += count[1];
                    count[0] = rate(sum[0], sum[1]);
                }
            }
        }
    }

    /// What a channel adds in each order, on average of both readings.
    fn added(&self, channel: usize) -> Lanes<f64> {
        let turned = self.places.len() + 1;
        std::array::from_fn(|lane| {
            let place = self.places[channel][lane] as usize;
            let added = |rates: &[Lanes<[f64; 2]>], place: usize| {
                rates[place][lane][0] - rates[place - 1][lane][0]
            };
            f64::midpoint(added(&self.ahead, place), added(&self.back, turned - place))
        })
    }
}
