//! Numbers that look random and follow from a seed.

use std::f64::consts::TAU;

/// The nearest whole number.
#[allow(clippy::cast_possible_truncation, reason = "a cast saturates, and so does this")]
pub(crate) fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// `SplitMix64`: one addition and one mix a number. A counter is all its state, so every person
/// and every day can have a stream of its own for nothing.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// A well-mixed function of one word.
pub(crate) const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Random {
    /// The stream named by two words.
    pub(crate) const fn of(key: u64, name: u64) -> Self {
        Self(mix(key ^ mix(name.wrapping_add(0x9E37_79B9_7F4A_7C15))))
    }

    pub(crate) const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Evenly in `[0, 1)`.
    pub(crate) fn share(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    pub(crate) fn is(&mut self, chance: f64) -> bool {
        self.share() < chance
    }

    /// Evenly in `0..count`; a bias of at most `count / 2^64` is invisible here.
    pub(crate) const fn below(&mut self, count: u64) -> u64 {
        ((self.word() as u128 * count as u128) >> 64) as u64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (TAU * self.share()).cos()
    }

    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Knuth's product of uniforms: fit for the small means of daily habits.
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        let floor = (-mean).exp();
        let mut product = self.share();
        let mut count = 0;
        while product > floor {
            product *= self.share();
            count += 1;
        }
        count
    }
}

/// Picks positions by weight.
#[derive(Clone, Debug)]
pub(crate) struct Weights(Vec<f64>);

impl Weights {
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = weights
            .into_iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for value in &mut cumulative {
            *value /= sum;
        }
        Self(cumulative)
    }

    /// Zipf: the weight of rank `r` is `r^-exponent`.
    pub(crate) fn zipf(count: u32, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| f64::from(rank).powf(-exponent)))
    }

    pub(crate) fn pick(&self, random: &mut Random) -> usize {
        let share = random.share();
        self.0.partition_point(|end| *end <= share).min(self.0.len() - 1)
    }
}
