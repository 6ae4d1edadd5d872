//! Journeys in, paths out with all there is to share: aggregated journeys that credit the same.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};

use super::columns::Columns;
use super::paths::{Found, Ranks};
use super::sum::ExactSum;
use crate::column::{NULL, TableError};
use crate::journey::{Effort, Journeys, Touch, Who};

/// Paths and what their conversions are worth; the last step of each is not a channel, but the
/// number of a currency.
#[derive(Default)]
struct Worth {
    found: Found,
    /// By path: conversions, journeys without one, and the value of its conversions.
    sums: Vec<[ExactSum; 3]>,
}

impl Worth {
    fn of(&mut self, path: &[u32]) -> &mut [ExactSum; 3] {
        let index = self.found.add(path, 0.0, 0.0) as usize;
        self.sums.resize_with(self.found.len(), Default::default);
        &mut self.sums[index]
    }

    fn add(&mut self, path: &[u32], sums: [f64; 3]) {
        for (sum, more) in self.of(path).iter_mut().zip(sums) {
            sum.add(more);
        }
    }

    fn join(mut self, other: Self) -> Self {
        for ((path, _), more) in other.found.iter().zip(other.sums) {
            for (sum, more) in self.of(path).iter_mut().zip(more) {
                sum.join(more);
            }
        }
        self
    }
}

/// `path` as a list of channels, `currency` and `value` where the journeys have them,
/// `conversions` and `nulls`, one row for each path and currency, in their order; conversions
/// without touches are of an empty path.
///
/// # Errors
/// The effort was stopped.
pub fn aggregated(journeys: &Journeys, effort: Effort<'_>) -> Result<RecordBatch, TableError> {
    let ranks = Ranks::new(journeys.channels());
    let names = journeys.channels().in_order();
    let worth = gathered(journeys, &ranks, effort)?;
    let known = journeys.conversions().currencies.as_ref();
    let currency = |number: u32| known.and_then(|(_, names)| names.get(number as usize));
    let mut rows: Vec<(&[u32], Option<&String>, &[ExactSum; 3])> = Vec::new();
    for ((path, _), sums) in worth.found.iter().zip(&worth.sums) {
        let Some((number, path)) = path.split_last() else { continue };
        rows.push((path, currency(*number), sums));
    }
    // By name of the currency: numbers say who came first.
    rows.sort_unstable_by_key(|(path, currency, _)| (*path, currency.is_none(), *currency));
    let mut paths = ListBuilder::new(StringBuilder::new());
    for (path, ..) in &rows {
        paths.append_value(path.iter().map(|rank| names[*rank as usize].1));
    }
    let sums =
        |which: usize| -> Vec<f64> { rows.iter().map(|(.., sums)| sums[which].value()).collect() };
    let mut out = Columns::default();
    out.add("path", Arc::new(paths.finish()) as ArrayRef);
    if known.is_some() {
        let texts = rows.iter().map(|(_, currency, _)| *currency);
        out.add("currency", Arc::new(texts.collect::<StringArray>()));
    }
    out.floats("conversions", sums(0));
    out.floats("nulls", sums(1));
    if journeys.conversions().values.is_some() {
        out.floats("value", sums(2));
    }
    out.batch()
}

fn gathered(journeys: &Journeys, ranks: &Ranks, effort: Effort<'_>) -> Result<Worth, TableError> {
    let conversions = journeys.conversions();
    let currency =
        |index: usize| conversions.currencies.as_ref().map_or(NULL, |(numbers, _)| numbers[index]);
    let value = |index: usize| conversions.values.as_ref().map_or(0.0, |values| values[index]);
    let steps = |path: &mut Vec<u32>, touches: &mut dyn Iterator<Item = &Touch>, last: u32| {
        path.clear();
        path.extend(touches.map(|touch| ranks.rank(touch.channel())));
        path.push(last);
    };
    let make = || (Worth::default(), Vec::new(), Vec::new());
    let made = journeys.fold(Who::All, effort, make, |(worth, path, scratch), person| {
        person.journeys(journeys.lens(), scratch, |index, journey| {
            steps(path, &mut journey.touches.iter(), currency(index));
            worth.add(path, [journeys.weight(index), journeys.nulls(index), value(index)]);
        });
        person.unconverted(journeys.lens(), |touches| {
            steps(path, touches, NULL);
            worth.add(path, [0.0, 1.0, 0.0]);
        });
    })?;
    Ok(made.into_iter().map(|(worth, ..)| worth).reduce(Worth::join).unwrap_or_default())
}
