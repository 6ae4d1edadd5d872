//! How often each person stands in each resample of a bootstrap.
//!
//! Drawing as many people as there are, with replacement, comes to giving each of them a Poisson(1)
//! count of its own once there are more than a few (Hanley and `MacGibbon` 2006; Chamandy et al.
//! 2012). A count follows from seed, key and resample alone: threads cannot show.

/// Of a Poisson(1) count: `P(count ≤ k)` for `k` from 0, in units of 2⁻³².
const LADDER: [u32; 11] = [
    1_580_030_169,
    3_160_060_337,
    3_950_075_422,
    4_213_413_783,
    4_279_248_374,
    4_292_415_292,
    4_294_609_778,
    4_294_923_276,
    4_294_962_463,
    4_294_966_817,
    4_294_967_253,
];
/// Means from which a rounded normal is as good: it differs by less than resamples do.
const NORMAL_FROM: f64 = 64.0;

/// The draws of one bootstrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) seed: u64,
    pub(super) resamples: usize,
}

/// What a draw is for: two of the same key must not be the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Person,
    Conversions,
    Nulls,
}

impl Draws {
    /// A person's count in every resample.
    pub(super) fn person(&self, key: u32, counts: &mut [f64]) {
        let base = self.base(Of::Person, key.into());
        for (pair, counts) in (0..).zip(counts.chunks_mut(2)) {
            let bits = mix(base.wrapping_add(pair));
            for (count, bits) in counts.iter_mut().zip([bits & 0xffff_ffff, bits >> 32]) {
                *count = poisson_1(bits);
            }
        }
    }

    /// A person's count in one resample.
    pub(super) fn once(&self, key: u32, resample: usize) -> f64 {
        let bits = mix(self.base(Of::Person, key.into()).wrapping_add(resample as u64 / 2));
        poisson_1(if resample.is_multiple_of(2) { bits & 0xffff_ffff } else { bits >> 32 })
    }

    /// How many of about `mean` people stand in one resample.
    pub(super) fn among(&self, mean: f64, of: Of, key: u64, resample: usize) -> f64 {
        let bits = mix(self.base(of, key).wrapping_add(resample as u64));
        if mean < NORMAL_FROM {
            return poisson(mean, unit(bits));
        }
        let radius = (-2.0 * unit(bits).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * unit(mix(bits ^ 1))).cos();
        (mean + mean.sqrt() * normal).round().max(0.0)
    }

    fn base(&self, of: Of, key: u64) -> u64 {
        mix(mix(self.seed ^ (of as u64) << 62) ^ key)
    }
}

fn poisson_1(bits: u64) -> f64 {
    let steps: u8 = LADDER.iter().map(|step| u8::from(bits >= u64::from(*step))).sum();
    f64::from(steps)
}

/// The count at which a sum of probabilities passes `at`.
fn poisson(mean: f64, at: f64) -> f64 {
    let mut probability = (-mean).exp();
    let (mut count, mut sum) = (0.0, probability);
    // Where rounding keeps the sum below, the terms have become nothing.
    while sum < at && probability > 0.0 {
        count += 1.0;
        probability *= mean / count;
        sum += probability;
    }
    count
}

/// Above 0 and at most 1.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Every bit of the result depends on every bit given (Steele et al. 2014, `SplitMix64`).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: Draws = Draws { seed: 7, resamples: 400 };

    fn moments(counts: &[f64]) -> (f64, f64) {
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        (mean, counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn counts_of_people_are_poisson_with_mean_one_and_the_same_one_by_one() {
        let mut counts = vec![0.0; DRAWS.resamples];
        let mut all = Vec::new();
        for key in 0..1_000 {
            DRAWS.person(key, &mut counts);
            let single = (0..DRAWS.resamples).map(|resample| DRAWS.once(key, resample));
            assert!(single.eq(counts.iter().copied()));
            all.extend_from_slice(&counts);
        }
        let (mean, variance) = moments(&all);
        // Five standard errors of 400,000 draws.
        assert!((mean - 1.0).abs() < 0.008, "{mean}");
        assert!((variance - 1.0).abs() < 0.014, "{variance}");
    }

    #[test]
    fn counts_among_many_have_their_mean_and_its_variance() {
        for mean in [0.25, 1.0, 10.0, 63.0, 64.0, 1e4] {
            let draw = |resample| DRAWS.among(mean, Of::Nulls, 3, resample);
            let all: Vec<f64> = (0..100_000).map(draw).collect();
            let (found, variance) = moments(&all);
            assert!((found - mean).abs() < 5.0 * (mean / 1e5).sqrt(), "{mean}: {found}");
            assert!((variance / mean - 1.0).abs() < 0.05, "{mean}: {variance}");
            assert!(all.iter().all(|count| count.fract() == 0.0 && *count >= 0.0));
        }
        assert!(DRAWS.among(0.0, Of::Nulls, 3, 5) < 1.0);
    }
}
