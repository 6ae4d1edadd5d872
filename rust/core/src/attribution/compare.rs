//! Journeys and several models in, one row per channel out, all in one pass.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::sum::ExactSum;
use super::{Model, ModelError, Rule, Study};
use crate::column::{NULL, TableError, narrow};
use crate::journey::{Effort, Journey, Journeys, Touch, UNATTRIBUTED, Who};

/// `channel`, `currency` where the journeys have one, then `<name>_conversions` and where there is
/// a value `<name>_value` of each model.
///
/// Channels ascend; the null channel and then `(unattributed)` come last. With currencies there is
/// one row per channel and currency, the null currency last.
///
/// # Errors
/// The model does not fit the journeys, the table is not canonical, or the effort was stopped.
pub fn compare(
    journeys: &Journeys,
    models: &[(String, Model)],
    effort: Effort<'_>,
) -> Result<RecordBatch, ModelError> {
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
    let make = || (Totals::new(journeys, columns.len()), Desk::default());
    let made = journeys.fold(Who::Converting, effort, make, |(totals, desk), person| {
        let mut scratch = std::mem::take(&mut desk.scratch);
        person.journeys(journeys.lens(), &mut scratch, |index, journey| {
            totals.journey(index, &journey, &columns, desk);
        });
        desk.scratch = scratch;
    })?;
    let totals = made.into_iter().map(|(totals, _)| totals);
    let totals =
        totals.reduce(Totals::join).unwrap_or_else(|| Totals::new(journeys, columns.len()));
    Ok(totals.finish(models, &columns)?)
}

/// How a model shares conversions.
enum Column<'a> {
    /// Each among its touches.
    Touches(Rule<'a>),
    /// All at once among the channels, by rank.
    Whole(Vec<f64>),
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

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Conversions => "conversions",
            Self::Value => "value",
        }
    }
}

/// What there is to share.
#[derive(Clone, Copy)]
struct Worth {
    conversions: f64,
    value: Option<f64>,
}

/// What each channel, currency and model has so far.
struct Totals<'a> {
    journeys: &'a Journeys,
    models: usize,
    /// Currency numbers in order of their rows, and the place of each number.
    currencies: Vec<u32>,
    currency_places: Vec<usize>,
    conversions: Vec<ExactSum>,
    values: Vec<ExactSum>,
    /// By currency: what conversions with touches are worth.
    attributed: Vec<(ExactSum, ExactSum)>,
}

impl<'a> Totals<'a> {
    fn new(journeys: &'a Journeys, models: usize) -> Self {
        let currencies = currencies(journeys);
        let known = journeys.conversions().currencies.as_ref().map_or(0, |(_, names)| names.len());
        // The place after the last number is the null currency's.
        let mut currency_places = vec![0; known + 1];
        for (place, id) in currencies.iter().enumerate() {
            currency_places[(*id as usize).min(known)] = place;
        }
        let cells = (journeys.channels().names.len() + 2) * currencies.len() * models;
        let values = if journeys.conversions().values.is_some() { cells } else { 0 };
        let attributed = vec![Default::default(); currencies.len()];
        Self {
            journeys,
            models,
            currencies,
            currency_places,
            conversions: vec![ExactSum::default(); cells],
            values: vec![ExactSum::default(); values],
            attributed,
        }
    }

    fn slot_of(&self, channel: Option<u32>) -> usize {
        channel.map_or(self.journeys.channels().null(), |channel| channel as usize)
    }

    fn unattributed(&self) -> usize {
        self.journeys.channels().null() + 1
    }

    /// Share a conversion among its touches by every rule.
    fn journey(
        &mut self,
        index: usize,
        journey: &Journey<'_>,
        columns: &[Column<'_>],
        desk: &mut Desk,
    ) {
        let conversions = self.journeys.conversions();
        let place = conversions
            .currencies
            .as_ref()
            .map_or(0, |(ids, names)| self.currency_places[(ids[index] as usize).min(names.len())]);
        let worth = Worth {
            conversions: self.journeys.weight(index),
            value: conversions.values.as_ref().map(|values| values[index]),
        };
        let cell = |slot| (slot * self.currencies.len() + place) * self.models;
        if journey.touches.is_empty() {
            let cell = cell(self.unattributed());
            (0..columns.len()).for_each(|model| self.add(cell + model, 1.0, worth));
            return;
        }
        let attributed = &mut self.attributed[place];
        attributed.0.add(worth.conversions);
        attributed.1.add(worth.value.unwrap_or_default());
        let Desk { cells, weights, .. } = desk;
        cells.clear();
        cells.extend(journey.touches.iter().map(|touch| cell(self.slot_of(touch.channel()))));
        weights.resize(journey.touches.len(), 0.0);
        for (model, column) in columns.iter().enumerate() {
            let Column::Touches(rule) = column else { continue };
            rule.weigh(journey, weights);
            for (cell, weight) in cells.iter().zip(&*weights).filter(|(_, weight)| **weight != 0.0)
            {
                self.add(cell + model, *weight, worth);
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

    fn add(&mut self, cell: usize, share: f64, worth: Worth) {
        self.conversions[cell].add(share * worth.conversions);
        if let Some(value) = worth.value {
            self.values[cell].add(share * value);
        }
    }

    /// Slots in order of their rows, with what the row is called.
    fn rows(&self) -> Vec<(usize, Option<&str>)> {
        let mut rows = self.journeys.channels().in_order();
        rows.push((self.unattributed(), Some(UNATTRIBUTED)));
        rows
    }

    fn finish(
        &self,
        models: &[(String, Model)],
        made: &[Column<'_>],
    ) -> Result<RecordBatch, TableError> {
        let rows = self.rows();
        let each = self.currencies.len();
        let channels = rows.iter().flat_map(|(_, name)| std::iter::repeat_n(*name, each));
        let mut fields = vec![Field::new("channel", DataType::Utf8, true)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(channels.collect::<StringArray>())];
        if let Some((_, names)) = &self.journeys.conversions().currencies {
            let name = |id: &u32| (*id != NULL).then(|| names[*id as usize].as_str());
            let texts = rows.iter().flat_map(|_| self.currencies.iter().map(name));
            fields.push(Field::new("currency", DataType::Utf8, true));
            columns.push(Arc::new(texts.collect::<StringArray>()));
        }
        for (model, ((name, _), made)) in models.iter().zip(made).enumerate() {
            for what in [What::Conversions, What::Value] {
                if let Some(sums) = self.column(model, made, what, &rows) {
                    let field = format!("{name}_{}", what.name());
                    fields.push(Field::new(field, DataType::Float64, false));
                    columns.push(Arc::new(Float64Array::from(sums)));
                }
            }
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// One model's sums, by row and currency; none where there is no value to sum.
    fn column(
        &self,
        model: usize,
        made: &Column<'_>,
        what: What,
        rows: &[(usize, Option<&str>)],
    ) -> Option<Vec<f64>> {
        let sums = match what {
            What::Conversions => &self.conversions,
            What::Value => &self.values,
        };
        if sums.is_empty() {
            return None;
        }
        let each = self.currencies.len();
        let cell = |row: usize, place: usize| match made {
            // Rows are in the order of ranks; behind them stands the row that is no channel.
            Column::Whole(shares) if row < shares.len() => {
                let (conversions, value) = &self.attributed[place];
                let all = if what == What::Conversions { conversions } else { value };
                shares[row] * all.value()
            }
            _ => sums[(rows[row].0 * each + place) * self.models + model].value(),
        };
        let places = (0..rows.len()).flat_map(|row| (0..each).map(move |place| (row, place)));
        Some(places.map(|(row, place)| cell(row, place)).collect())
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
