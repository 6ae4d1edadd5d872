//! Paths in, how well chains of each order foretell paths they have not seen out.
//!
//! Journeys are dealt into folds, and each fold is foretold by a chain counted from the others. A
//! longer memory is mixed with the next shorter one, `p = (n + p_shorter) / (total + 1)` (`MacKay`
//! and Peto 1995), so that what a context was never followed by is still foretold.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, UInt32Array};

use super::draws::mix;
use super::paths::{Paths, Ranks};
use super::{ModelError, ORDER_MAX};
use crate::column::{Map, TableError, narrow};
use crate::journey::{Effort, Journeys};
use crate::threads::side_by_side;

/// How journeys are dealt.
#[derive(Clone, Copy, Debug)]
pub struct Folds {
    /// How many folds.
    pub count: usize,
    /// The same seed deals the same way.
    pub seed: u64,
}

/// More folds change little.
const FOLDS_MAX: usize = 20;

/// `order, log_likelihood, standard_error`: of each order the mean of what a journey's probability
/// is the logarithm of, where its chain had not seen it, and how far off that may be.
///
/// # Errors
/// Orders or folds that cannot be, counts that are no whole numbers, or the effort was stopped.
pub fn orders(
    journeys: &Journeys,
    orders: &[usize],
    folds: Folds,
    effort: Effort<'_>,
) -> Result<RecordBatch, ModelError> {
    if let Some(order) = orders.iter().find(|order| !(1..=ORDER_MAX).contains(*order)) {
        return Err(ModelError::Order(*order));
    }
    if !(2..=FOLDS_MAX).contains(&folds.count) {
        return Err(ModelError::Folds(folds.count));
    }
    if !journeys.is_counted_in_wholes() {
        return Err(ModelError::Fractions);
    }
    let ranks = Ranks::new(journeys.channels());
    let paths = Paths::gather(journeys, &ranks, effort)?;
    let longest = orders.iter().copied().max().unwrap_or(1);
    let grams = Grams::count(&paths, longest, folds, effort)?;
    let work = |fold: usize| {
        let grams = &grams;
        move || grams.foretell(fold, effort)
    };
    // As many at once as there are threads.
    let mut told = Vec::with_capacity(folds.count);
    for first in (0..folds.count).step_by(effort.threads.max(1)) {
        let these = first..(first + effort.threads.max(1)).min(folds.count);
        told.extend(side_by_side(these.map(work)).into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    let numbers = UInt32Array::from_iter_values(orders.iter().map(|order| narrow(*order)));
    let scores: Vec<(f64, f64)> = orders.iter().map(|order| grams.score(&told, *order)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("order", Arc::new(numbers) as ArrayRef, false),
        ("log_likelihood", floats(scores.iter().map(|(mean, _)| *mean)), false),
        ("standard_error", floats(scores.iter().map(|(_, error)| *error)), false),
    ])
    .map_err(|error| TableError::from(error).into())
}

fn floats(numbers: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(numbers))
}

/// A context: the touches before a move.
#[derive(Clone, Copy, Debug)]
struct Context {
    /// How many touches it has.
    length: u32,
    /// Whether it begins where paths begin.
    is_anchored: bool,
}

/// What came after a context.
#[derive(Clone, Copy, Debug)]
struct Gram {
    context: u32,
    /// The same after the next shorter context; its own number where there is none.
    shorter: u32,
}

/// How often what came after which context, by fold.
struct Grams {
    folds: usize,
    channels: usize,
    contexts: Vec<Context>,
    longer: Map<(u32, u32), u32>,
    moves: Vec<Gram>,
    numbers: Map<(u32, u32), u32>,
    /// By gram, then by fold.
    counts: Vec<f64>,
    /// By context, then by fold.
    totals: Vec<f64>,
    /// By fold.
    journeys: Vec<f64>,
}

const ANY: u32 = 0;
const START: u32 = 1;

impl Grams {
    fn count(
        paths: &Paths,
        longest: usize,
        folds: Folds,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let mut grams = Self {
            folds: folds.count,
            channels: paths.channels,
            contexts: Vec::new(),
            longer: Map::default(),
            moves: Vec::new(),
            numbers: Map::default(),
            counts: Vec::new(),
            totals: Vec::new(),
            journeys: vec![0.0; folds.count],
        };
        for is_anchored in [false, true] {
            grams.context(Context { length: 0, is_anchored });
        }
        for (path, conversions, nulls) in paths.iter() {
            effort.go_on()?;
            let key =
                path.iter().fold(mix(folds.seed), |key, channel| mix(key ^ u64::from(*channel)));
            let dealt =
                [(conversions, key), (nulls, !key)].map(|(count, key)| folds.deal(count, key));
            grams.path(path, longest, &dealt);
        }
        Ok(grams)
    }

    /// Count a path, whose conversions and whose ends without one are dealt so.
    fn path(&mut self, path: &[u32], longest: usize, dealt: &[Vec<f64>; 2]) {
        let both: Vec<f64> = dealt[0].iter().zip(&dealt[1]).map(|(a, b)| a + b).collect();
        self.journeys.iter_mut().zip(&both).for_each(|(sum, count)| *sum += count);
        // By length, from none on; then the one that begins where the path does.
        let (mut last, mut anchored) = (vec![ANY], Some(START));
        for channel in path {
            self.follow(&last, anchored, *channel, &both);
            let mut next = vec![ANY];
            for context in last.iter().take(longest) {
                next.push(self.extend(*context, *channel));
            }
            // A context as long as the order needs no start.
            anchored = anchored
                .filter(|_| next.len() <= longest)
                .map(|context| self.extend(context, *channel));
            last = next;
        }
        let ends = narrow(self.channels);
        for (end, dealt) in (ends..).zip(dealt) {
            self.follow(&last, anchored, end, dealt);
        }
    }

    /// Count a move after contexts that are each longer than the one before.
    fn follow(&mut self, last: &[u32], anchored: Option<u32>, outcome: u32, counts: &[f64]) {
        let mut shorter = None;
        for context in last.iter().copied().chain(anchored) {
            let number = *self.numbers.entry((context, outcome)).or_insert_with(|| {
                let number = narrow(self.moves.len());
                self.moves.push(Gram { context, shorter: shorter.unwrap_or(number) });
                self.counts.resize(self.counts.len() + self.folds, 0.0);
                number
            });
            let at = number as usize * self.folds;
            let of = context as usize * self.folds;
            for (fold, count) in counts.iter().enumerate() {
                self.counts[at + fold] += count;
                self.totals[of + fold] += count;
            }
            shorter = Some(number);
        }
    }

    fn extend(&mut self, context: u32, channel: u32) -> u32 {
        if let Some(number) = self.longer.get(&(context, channel)) {
            return *number;
        }
        let Context { length, is_anchored } = self.contexts[context as usize];
        let number = self.context(Context { length: length + 1, is_anchored });
        self.longer.insert((context, channel), number);
        number
    }

    fn context(&mut self, context: Context) -> u32 {
        self.contexts.push(context);
        self.totals.resize(self.totals.len() + self.folds, 0.0);
        narrow(self.contexts.len() - 1)
    }

    /// By length of context, apart from those that begin where paths begin: the logarithm of the
    /// probability of all moves in a fold by what the other folds say.
    fn foretell(&self, fold: usize, effort: Effort<'_>) -> Result<Told, TableError> {
        let mut told = Told { any: vec![0.0; ORDER_MAX + 1], anchored: vec![0.0; ORDER_MAX + 1] };
        let uniform = 1.0 / (self.channels + 2) as f64;
        let seen = |counts: &[f64]| counts.iter().sum::<f64>() - counts[fold];
        let of = |number: usize| number * self.folds..(number + 1) * self.folds;
        let mut chances: Vec<f64> = Vec::with_capacity(self.moves.len());
        for (number, gram) in self.moves.iter().enumerate() {
            if number.is_multiple_of(1 << 16) {
                effort.go_on()?;
            }
            let shorter = chances.get(gram.shorter as usize).copied().unwrap_or(uniform);
            let counts = &self.counts[of(number)];
            let total = seen(&self.totals[of(gram.context as usize)]);
            let chance = (seen(counts) + shorter) / (total + 1.0);
            chances.push(chance);
            let context = self.contexts[gram.context as usize];
            let sums = if context.is_anchored { &mut told.anchored } else { &mut told.any };
            sums[context.length as usize] += counts[fold] * chance.ln();
        }
        Ok(told)
    }

    /// The mean of an order over all journeys, and its standard error from how far folds differ.
    fn score(&self, told: &[Told], order: usize) -> (f64, f64) {
        let all = self.journeys.iter().sum::<f64>().max(1.0);
        let sums: Vec<f64> = told
            .iter()
            .map(|told| told.any[order] + told.anchored[..order].iter().sum::<f64>())
            .collect();
        let mean = sums.iter().sum::<f64>() / all;
        let away = |(sum, journeys): (&f64, &f64)| (sum - mean * journeys).powi(2);
        let spread: f64 = sums.iter().zip(&self.journeys).map(away).sum();
        let folds = self.folds as f64;
        (mean, (spread * folds / (folds - 1.0)).sqrt() / all)
    }
}

/// Sums of logarithms by length of context.
struct Told {
    any: Vec<f64>,
    /// Of contexts that begin where paths begin.
    anchored: Vec<f64>,
}

impl Folds {
    /// Journeys of one path, as evenly as may be; who gets one more is drawn.
    fn deal(self, count: f64, key: u64) -> Vec<f64> {
        let folds = self.count as u64;
        let first = mix(key) % folds;
        let each = (count / self.count as f64).floor();
        let more = count - each * self.count as f64;
        let place = |fold: u64| ((fold + folds - first) % folds) as f64;
        (0..folds).map(|fold| each + f64::from(u8::from(place(fold) < more))).collect()
    }
}
