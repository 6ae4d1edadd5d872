//! A journey's touches in, their weights out. Every rule fills `weights` with shares that sum to 1.

use crate::journey::{Journey, Touch};

/// All to one touch.
pub(super) fn only(index: usize, weights: &mut [f64]) {
    weights.fill(0.0);
    weights[index] = 1.0;
}

/// The same to each.
pub(super) fn linear(weights: &mut [f64]) {
    let share = 1.0 / weights.len() as f64;
    weights.fill(share);
}

/// The first, or else the last touch whose channel is not direct; of only direct ones that end.
pub(super) fn non_direct(touches: &[Touch], is_direct: &[bool], is_first: bool) -> usize {
    let counts = |touch: &Touch| touch.channel().is_none_or(|channel| !is_direct[channel as usize]);
    if is_first {
        touches.iter().position(counts).unwrap_or(0)
    } else {
        touches.iter().rposition(counts).unwrap_or(touches.len() - 1)
    }
}

/// `first` and `last` to the ends, the rest evenly to the middle; without a middle the ends are
/// renormalised.
pub(super) fn position_based(first: f64, last: f64, weights: &mut [f64]) {
    let end = weights.len() - 1;
    match end {
        0 => weights[0] = 1.0,
        // Ends that weigh nothing leave two touches alike.
        1 if first + last == 0.0 => linear(weights),
        1 => {
            weights[0] = first / (first + last);
            weights[1] = last / (first + last);
        }
        _ => {
            weights.fill((1.0 - first - last) / (end - 1) as f64);
            weights[0] = first;
            weights[end] = last;
        }
    }
}

/// 30 % each to the first, the key and the last touch, 10 % to the rest. Roles on one touch add
/// up; a role nobody fills is renormalised away.
pub(super) fn w_shape(touches: &[Touch], weights: &mut [f64]) {
    const ROLE: f64 = 0.3;
    const REST: f64 = 0.1;
    let key = touches.iter().position(Touch::is_key);
    let end = touches.len() - 1;
    weights.fill(0.0);
    for index in [Some(0), key, Some(end)].into_iter().flatten() {
        weights[index] += ROLE;
    }
    let rest = weights.iter().filter(|weight| **weight == 0.0).count();
    let roles = if key.is_some() { 3.0 * ROLE } else { 2.0 * ROLE };
    let total = if rest > 0 { roles + REST } else { roles };
    for weight in weights {
        let share = if *weight == 0.0 { REST / rest as f64 } else { *weight };
        *weight = share / total;
    }
}

/// `2^(−age / half_life)`; with `is_stepped` the age counts in whole half-lives.
///
/// Ages are taken relative to the newest touch, so that however old a journey is, its newest touch
/// weighs 1 and the sum is never 0.
pub(super) fn time_decay(
    journey: &Journey<'_>,
    half_life_us: i64,
    is_stepped: bool,
    weights: &mut [f64],
) {
    let half_life = half_life_us.unsigned_abs();
    let newest = journey.touches[journey.touches.len() - 1];
    let newest_age = newest.age_us(journey.time);
    let mut total = 0.0;
    for (weight, touch) in weights.iter_mut().zip(journey.touches) {
        let half_lives = if is_stepped {
            (touch.age_us(journey.time) / half_life - newest_age / half_life) as f64
        } else {
            touch.age_us(newest.time()) as f64 / half_life as f64
        };
        *weight = (-half_lives).exp2();
        total += *weight;
    }
    for weight in weights {
        *weight /= total;
    }
}

/// To each channel of the journey as much as `worth` says of it, evenly over its touches; evenly to
/// all channels where none is worth anything.
pub(super) fn by_channel(
    touches: &[Touch],
    worth: impl Fn(Option<u32>) -> f64,
    weights: &mut [f64],
) {
    let mut order: Vec<usize> = (0..touches.len()).collect();
    order.sort_by_key(|index| touches[*index].channel());
    let mut groups: Vec<&[usize]> =
        order.chunk_by(|a, b| touches[*a].channel() == touches[*b].channel()).collect();
    // In the order of the journey, so that the numbers of channels do not show in the sum.
    groups.sort_by_key(|group| group[0]);
    let worths: Vec<f64> = groups.iter().map(|group| worth(touches[group[0]].channel())).collect();
    let total: f64 = worths.iter().sum();
    for (group, worth) in groups.iter().zip(&worths) {
        let share = if total > 0.0 { worth / total } else { 1.0 / groups.len() as f64 };
        for index in *group {
            weights[*index] = share / group.len() as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{by_channel, position_based};
    use crate::journey::Touch;

    fn shares(channels: &[u32], worth: impl Fn(Option<u32>) -> f64) -> Vec<f64> {
        let touches: Vec<Touch> =
            channels.iter().map(|number| Touch::of_channel(Some(*number))).collect();
        let mut weights = vec![0.0; touches.len()];
        by_channel(&touches, worth, &mut weights);
        weights
    }

    #[test]
    fn a_channel_earns_what_it_is_worth_over_all_its_touches() {
        let worth = |channel: Option<u32>| if channel == Some(7) { 3.0 } else { 1.0 };
        assert_eq!(shares(&[7, 2, 7], worth), [0.375, 0.25, 0.375]);
        assert_eq!(shares(&[2, 2, 2, 2], worth), [0.25; 4]);
    }

    #[test]
    fn channels_that_are_worth_nothing_are_alike() {
        assert_eq!(shares(&[1, 2, 1], |_| 0.0), [0.25, 0.5, 0.25]);
        assert_eq!(shares(&[1, 2, 3, 3], |_| 0.0), [1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0]);
    }

    #[test]
    fn two_ends_share_as_they_weigh() {
        let ends = |first: f64, last: f64| {
            let mut weights = vec![9.0; 2];
            position_based(first, last, &mut weights);
            weights
        };
        assert_eq!(ends(0.3, 0.1), [0.3 / (0.3 + 0.1), 0.1 / (0.3 + 0.1)]);
        assert_eq!(ends(0.4, 0.4), [0.5, 0.5]);
        assert_eq!(ends(0.0, 0.0), [0.5, 0.5]);
    }
}
