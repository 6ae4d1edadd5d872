//! Paths in, each channel's Shapley value in the game of conversion rates out.

use super::paths::Paths;
use crate::column::TableError;
use crate::journey::Effort;

/// Channels up to which every coalition is looked at.
pub(crate) const CHANNELS_MAX: usize = 20;

/// `v(S)` is the conversion rate of the journeys whose channels all lie in `S`: each channel's
/// Shapley value of that game as a share of all values, which may be negative.
pub(crate) fn conversion_rate(paths: &Paths, effort: Effort<'_>) -> Result<Vec<f64>, TableError> {
    let channels = paths.channels;
    debug_assert!(channels <= CHANNELS_MAX);
    let mut conversions = vec![0.0; 1 << channels];
    let mut journeys = vec![0.0; 1 << channels];
    for (path, converted, nulls) in paths.iter() {
        let set = path.iter().fold(0_usize, |set, channel| set | 1 << channel);
        conversions[set] += converted;
        journeys[set] += converted + nulls;
    }
    for sums in [&mut conversions, &mut journeys] {
        effort.go_on()?;
        over_subsets(sums, channels);
    }
    let rates: Vec<f64> = conversions
        .iter()
        .zip(&journeys)
        .map(|(converted, all)| if *all > 0.0 { converted / all } else { 0.0 })
        .collect();
    let weights = weights(channels);
    let value = |channel: usize| -> Result<f64, TableError> {
        effort.go_on()?;
        let bit = 1 << channel;
        let without = (0..rates.len()).filter(|set| set & bit == 0);
        Ok(without
            .map(|set| weights[set.count_ones() as usize] * (rates[set | bit] - rates[set]))
            .sum())
    };
    let values: Vec<f64> = (0..channels).map(value).collect::<Result<_, _>>()?;
    let total: f64 = values.iter().sum();
    Ok(values.iter().map(|value| if total == 0.0 { 0.0 } else { value / total }).collect())
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
