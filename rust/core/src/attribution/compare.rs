//! Journeys and several models in, one row per channel out, all in one pass.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};

use super::columns::Columns;
use super::intervals::{Bootstrap, intervals};
use super::shapley::Shares;
use super::sum::ExactSum;
use super::{Model, ModelError, Rule, Study};
use crate::column::{NULL, TableError, narrow};
use crate::journey::{Effort, Journey, Journeys, Touch, UNATTRIBUTED, Who};

/// `channel`, `currency` where the journeys have one, then `<name>_conversions` and where there is
/// a value `<name>_value` of each model; with a bootstrap also `<name>_conversions_low` and
/// `<name>_conversions_high`, and of a model that samples `<name>_conversions_standard_error`.
///
/// Channels ascend; the null channel and then `(unattributed)` come last. With currencies there is
/// one row per channel and currency, the null currency last.
///
/// # Errors
/// The model does not fit the journeys, the table is not canonical, or the effort was stopped.
pub fn compare(
    journeys: &Journeys,
    models: &[(String, Model)],
    bootstrap: Option<Bootstrap>,
    effort: Effort<'_>,
) -> Result<RecordBatch, ModelError> {
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
    }
    for (index, (name, _)) in models.iter().enumerate() {
        if models[..index].iter().any(|(other, _)| other == name) {
            return Err(ModelError::SameName(name.clone()));
        }
    }
    let study = Study::new(journeys, models.iter().map(|(_, model)| model), effort)?;
    let mut columns = Vec::with_capacity(models.len());
    for (_, model) in models {
        columns.push(match study.shares(model, effort)? {
            Some(shares) => Column::Whole(shares),
            None => Column::Touches(Rule::new(model, journeys, &study, effort)?),
        });
    }
    let grid = Grid::new(journeys);
    let totals = Totals::gather(&grid, &columns, effort)?;
    let made = bootstrap.map(|bootstrap| intervals(&grid, models, bootstrap, effort));
    Ok(totals.finish(models, &columns, made.transpose()?.as_deref())?)
}

/// How a model shares conversions.
enum Column<'a> {
    /// Each among its touches.
    Touches(Rule<'a>),
    /// All at once among the channels, by rank.
    Whole(Shares),
}

/// Memory kept between people.
#[derive(Default)]
struct Desk {
    scratch: Vec<Touch>,
    /// Of each touch: where its channel's sums begin.
    cells: Vec<usize>,
    weights: Vec<f64>,
}

/// Which sums.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Conversions,
    Value,
}

/// What there is to share.
#[derive(Clone, Copy)]
struct Worth {
    conversions: f64,
    value: Option<f64>,
}

/// A cell for each channel and currency.
pub(super) struct Grid<'a> {
    pub(super) journeys: &'a Journeys,
    /// Currency numbers in order of their rows, and the place of each number.
    currencies: Vec<u32>,
    currency_places: Vec<usize>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(journeys: &'a Journeys) -> Self {
        let currencies = currencies(journeys);
        let known = journeys.conversions().currencies.as_ref().map_or(0, |(_, names)| names.len());
        // The place after the last number is the null currency's.
        let mut currency_places = vec![0; known + 1];
        for (place, id) in currencies.iter().enumerate() {
            currency_places[(*id as usize).min(known)] = place;
        }
        Self { journeys, currencies, currency_places }
    }

    /// How many currencies there are, the null one among them; one where there is no such column.
    pub(super) fn places(&self) -> usize {
        self.currencies.len()
    }

    pub(super) fn cells(&self) -> usize {
        (self.unattributed() + 1) * self.places()
    }

    pub(super) fn cell(&self, slot: usize, place: usize) -> usize {
        slot * self.places() + place
    }

    /// The place of a conversion's currency.
    pub(super) fn place(&self, index: usize) -> usize {
        let currencies = self.journeys.conversions().currencies.as_ref();
        currencies
            .map_or(0, |(ids, names)| self.currency_places[(ids[index] as usize).min(names.len())])
    }

    pub(super) fn slot(&self, channel: Option<u32>) -> usize {
        channel.map_or(self.journeys.channels().null(), |channel| channel as usize)
    }

    pub(super) fn unattributed(&self) -> usize {
        self.journeys.channels().null() + 1
    }
}

/// What each cell and model has so far.
struct Totals<'a> {
    grid: &'a Grid<'a>,
    models: usize,
    conversions: Vec<ExactSum>,
    values: Vec<ExactSum>,
    /// By currency: what conversions with touches are worth.
    attributed: Vec<(ExactSum, ExactSum)>,
}

impl<'a> Totals<'a> {
    fn new(grid: &'a Grid<'a>, models: usize) -> Self {
        let cells = grid.cells() * models;
        let values = if grid.journeys.conversions().values.is_some() { cells } else { 0 };
        Self {
            grid,
            models,
            conversions: vec![ExactSum::default(); cells],
            values: vec![ExactSum::default(); values],
            attributed: vec![Default::default(); grid.places()],
        }
    }

    fn gather(
        grid: &'a Grid<'a>,
        columns: &[Column<'_>],
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let journeys = grid.journeys;
        let make = || (Self::new(grid, columns.len()), Desk::default());
        if let Some(paths) = journeys.path_lengths()
            && columns.iter().all(|column| matches!(column, Column::Whole(_)))
        {
            let mut totals = Self::new(grid, columns.len());
            for (index, length) in paths {
                let _ = totals.count(index, length > 0);
            }
            return Ok(totals);
        }
        let made = journeys.fold(Who::Converting, effort, make, |(totals, desk), person| {
            let mut scratch = std::mem::take(&mut desk.scratch);
            person.journeys(journeys.lens(), &mut scratch, |index, journey| {
                totals.journey(index, &journey, columns, desk);
            });
            desk.scratch = scratch;
        })?;
        let made = made.into_iter().map(|(totals, _)| totals);
        Ok(made.reduce(Totals::join).unwrap_or_else(|| make().0))
    }

    /// Count a conversion with what it is worth; without touches, it is unattributed by each model.
    fn count(&mut self, index: usize, has_touches: bool) -> Worth {
        let grid = self.grid;
        let place = grid.place(index);
        let values = grid.journeys.conversions().values.as_ref();
        let worth = Worth {
            conversions: grid.journeys.weight(index),
            value: values.map(|values| values[index]),
        };
        if has_touches {
            let attributed = &mut self.attributed[place];
            attributed.0.add(worth.conversions);
            attributed.1.add(worth.value.unwrap_or_default());
        } else {
            let cell = grid.cell(grid.unattributed(), place) * self.models;
            for cell in cell..cell + self.models {
                self.conversions[cell].add(worth.conversions);
                if let Some(value) = worth.value {
                    self.values[cell].add(value);
                }
            }
        }
        worth
    }

    /// Share a conversion among its touches by every rule.
    fn journey(
        &mut self,
        index: usize,
        journey: &Journey<'_>,
        columns: &[Column<'_>],
        desk: &mut Desk,
    ) {
        let grid = self.grid;
        let place = grid.place(index);
        let worth = self.count(index, !journey.touches.is_empty());
        if journey.touches.is_empty() {
            return;
        }
        let Desk { cells, weights, .. } = desk;
        cells.clear();
        let cell = |touch: &Touch| grid.cell(grid.slot(touch.channel()), place) * self.models;
        cells.extend(journey.touches.iter().map(cell));
        weights.resize(journey.touches.len(), 0.0);
        for (model, column) in columns.iter().enumerate() {
            let Column::Touches(rule) = column else { continue };
            if let Some(index) = rule.only(journey.touches) {
                self.conversions[cells[index] + model].add(worth.conversions);
                if let Some(value) = worth.value {
                    self.values[cells[index] + model].add(value);
                }
                continue;
            }
            rule.weigh(journey, weights);
            share(&mut self.conversions[model..], cells, weights, worth.conversions);
            if let Some(value) = worth.value {
                share(&mut self.values[model..], cells, weights, value);
            }
        }
    }

    fn join(mut self, other: Self) -> Self {
        let join = |own: &mut Vec<ExactSum>, others: Vec<ExactSum>| {
            own.iter_mut().zip(others).for_each(|(sum, other)| sum.join(other));
        };
        join(&mut self.conversions, other.conversions);
        join(&mut self.values, other.values);
        for (own, other) in self.attributed.iter_mut().zip(other.attributed) {
            own.0.join(other.0);
            own.1.join(other.1);
        }
        self
    }

    /// Slots in order of their rows, with what the row is called.
    fn rows(&self) -> Vec<(usize, Option<&str>)> {
        let mut rows = self.grid.journeys.channels().in_order();
        rows.push((self.grid.unattributed(), Some(UNATTRIBUTED)));
        rows
    }

    fn finish(
        &self,
        models: &[(String, Model)],
        made: &[Column<'_>],
        intervals: Option<&[Vec<(f64, f64)>]>,
    ) -> Result<RecordBatch, TableError> {
        let (grid, rows) = (self.grid, self.rows());
        let each = grid.places();
        let cells = |number: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let places = (0..rows.len()).flat_map(|row| (0..each).map(move |place| (row, place)));
            places.map(|(row, place)| number(row, place)).collect()
        };
        let channels = rows.iter().flat_map(|(_, name)| std::iter::repeat_n(*name, each));
        let mut out = Columns::default();
        out.add("channel", Arc::new(channels.collect::<StringArray>()));
        if let Some((_, names)) = &grid.journeys.conversions().currencies {
            let name = |id: &u32| (*id != NULL).then(|| names[*id as usize].as_str());
            let texts = rows.iter().flat_map(|_| grid.currencies.iter().map(name));
            out.add("currency", Arc::new(texts.collect::<StringArray>()));
        }
        for (model, ((name, _), made)) in models.iter().zip(made).enumerate() {
            let sums = |what: What| {
                cells(&|row, place| self.sum(model, made, what, (row, rows[row].0), place))
            };
            out.floats(&format!("{name}_conversions"), sums(What::Conversions));
            if let Some(intervals) = intervals {
                let interval = |row: usize, place| intervals[model][grid.cell(rows[row].0, place)];
                let ends = [
                    ("low", cells(&|row, place| interval(row, place).0)),
                    ("high", cells(&|row, place| interval(row, place).1)),
                ];
                for (end, cells) in ends {
                    out.floats(&format!("{name}_conversions_{end}"), cells);
                }
            }
            if let Column::Whole(Shares { errors: Some(errors), .. }) = made {
                // What is no channel is counted, not sampled.
                let error = |row: usize, place: usize| {
                    let share = errors.get(row).copied().unwrap_or_default();
                    share * self.attributed[place].0.value()
                };
                out.floats(&format!("{name}_conversions_standard_error"), cells(&error));
            }
            if !self.values.is_empty() {
                out.floats(&format!("{name}_value"), sums(What::Value));
            }
        }
        out.batch()
    }

    /// One model's sum of a row, which has a slot, in one currency.
    fn sum(
        &self,
        model: usize,
        made: &Column<'_>,
        what: What,
        (row, slot): (usize, usize),
        place: usize,
    ) -> f64 {
        let (conversions, value) = &self.attributed[place];
        let (all, sums) = match what {
            What::Conversions => (conversions, &self.conversions),
            What::Value => (value, &self.values),
        };
        match made {
            // Rows are in the order of ranks; behind them stands the row that is no channel.
            Column::Whole(Shares { shares, .. }) if row < shares.len() => shares[row] * all.value(),
            _ => sums[self.grid.cell(slot, place) * self.models + model].value(),
        }
    }
}

/// Add to each touch's cell its share of `worth`. Neighbours often have the same share, which is
/// then taken apart once.
fn share(sums: &mut [ExactSum], cells: &[usize], weights: &[f64], worth: f64) {
    let (mut last, mut units) = (0.0_f64.to_bits(), Some(0));
    for (cell, weight) in cells.iter().zip(weights) {
        if weight.to_bits() != last {
            last = weight.to_bits();
            units = if *weight == 0.0 { Some(0) } else { ExactSum::units(weight * worth) };
        }
        match units {
            Some(units) => sums[*cell].add_units(units),
            None => sums[*cell].add(weight * worth),
        }
    }
}

/// Numbers of the currencies of all conversions, ascending by name, null last; one null where
/// there are none.
fn currencies(journeys: &Journeys) -> Vec<u32> {
    let Some((ids, names)) = &journeys.conversions().currencies else { return vec![NULL] };
    let mut used = vec![false; names.len() + 1];
    for id in ids {
        used[(*id as usize).min(names.len())] = true;
    }
    let mut found: Vec<u32> = (0..narrow(names.len())).filter(|id| used[*id as usize]).collect();
    found.sort_by_key(|id| &names[*id as usize]);
    if used[names.len()] || found.is_empty() {
        found.push(NULL);
    }
    found
}
