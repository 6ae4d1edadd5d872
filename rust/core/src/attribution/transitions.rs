//! Journeys in, how often which channel followed which out.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};

use super::paths::Ranks;
use super::sum::ExactSum;
use crate::column::{Map, TableError};
use crate::journey::{Effort, Journeys};

/// A state, in the order of rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum State {
    Start,
    Channel(u32),
    Conversion,
    Null,
}

type Counts = Map<(State, State), ExactSum>;

/// `kind, from, to, count, probability`: of kind `start` journeys begin with `to`, of kind `move`
/// `to` came after `from`, of the kinds `conversion` and `null` the journey ended after `from`. A
/// probability is the share of all that came after `from`, or that began so.
///
/// # Errors
/// The effort was stopped.
pub fn transitions(journeys: &Journeys, effort: Effort<'_>) -> Result<RecordBatch, TableError> {
    let names = journeys.channels().in_order();
    let counts = counted(journeys, effort)?;
    let mut rows: Vec<(State, State, f64)> =
        counts.into_iter().map(|((from, to), count)| (from, to, count.value())).collect();
    rows.retain(|(.., count)| *count > 0.0);
    rows.sort_unstable_by_key(|(from, to, _)| (*from, *to));
    let totals: Vec<f64> = rows
        .chunk_by(|one, other| one.0 == other.0)
        .flat_map(|rows| {
            let total = rows.iter().map(|(.., count)| count).sum::<f64>();
            std::iter::repeat_n(total, rows.len())
        })
        .collect();
    let kind = |(from, to, _): &(State, State, f64)| match (from, to) {
        (_, State::Conversion) => "conversion",
        (_, State::Null) => "null",
        (State::Start, _) => "start",
        _ => "move",
    };
    let name = |state: &State| match state {
        State::Channel(rank) => names[*rank as usize].1,
        _ => None,
    };
    let texts = |texts: &mut dyn Iterator<Item = Option<&str>>| -> ArrayRef {
        Arc::new(texts.collect::<StringArray>())
    };
    let floats = |numbers: &mut dyn Iterator<Item = f64>| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(numbers))
    };
    let shares = rows.iter().zip(&totals).map(|((.., count), total)| count / total);
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("kind", texts(&mut rows.iter().map(kind).map(Some)), false),
        ("from", texts(&mut rows.iter().map(|(from, ..)| name(from))), true),
        ("to", texts(&mut rows.iter().map(|(_, to, _)| name(to))), true),
        ("count", floats(&mut rows.iter().map(|(.., count)| *count)), false),
        ("probability", floats(&mut shares.into_iter()), false),
    ])?)
}

fn counted(journeys: &Journeys, effort: Effort<'_>) -> Result<Counts, TableError> {
    let ranks = Ranks::new(journeys.channels());
    let made =
        journeys.fold_paths(effort, Counts::default, |counts, tags, conversions, nulls| {
            let mut add = |from, to, count| counts.entry((from, to)).or_default().add(count);
            let mut last = State::Start;
            for tag in tags {
                let next = State::Channel(ranks.rank(tag.channel()));
                add(last, next, conversions + nulls);
                last = next;
            }
            add(last, State::Conversion, conversions);
            add(last, State::Null, nulls);
        })?;
    let mut all = Counts::default();
    for (moved, count) in made.into_iter().flatten() {
        all.entry(moved).or_default().join(count);
    }
    Ok(all)
}
