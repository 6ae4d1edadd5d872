//! A journey's touches in, their weights by what the journey would be without each.

use super::Study;
use super::paths::Paths;
use crate::journey::Touch;

/// A touch's share is how much less its path converts without it, among the paths that were seen;
/// all of it to the last touch where no touch makes a difference.
pub(super) fn weigh(touches: &[Touch], study: &Study, weights: &mut [f64]) {
    let path: Vec<u32> = touches.iter().map(|touch| study.ranks.rank(touch.channel())).collect();
    let with = rate(&study.paths, &path);
    if !study.paths.has_length(path.len() - 1) {
        // No touch can be spared: all make the same difference.
        return if with > 0.0 { super::rules::linear(weights) } else { last(weights) };
    }
    let mut without = Vec::with_capacity(path.len());
    let mut total = 0.0;
    for (index, weight) in weights.iter_mut().enumerate() {
        without.clear();
        without.extend_from_slice(&path[..index]);
        without.extend_from_slice(&path[index + 1..]);
        *weight = (with - rate(&study.paths, &without)).max(0.0);
        total += *weight;
    }
    if total > 0.0 {
        for weight in weights {
            *weight /= total;
        }
    } else {
        last(weights);
    }
}

fn last(weights: &mut [f64]) {
    super::rules::only(weights.len() - 1, weights);
}

/// How often a path converts; never, where it was not seen.
fn rate(paths: &Paths, path: &[u32]) -> f64 {
    paths.find(path).map_or(0.0, |index| {
        let converted = paths.conversions[index];
        if converted > 0.0 { converted / (converted + paths.nulls[index]) } else { 0.0 }
    })
}
