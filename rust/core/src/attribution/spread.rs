//! Stored shares of credit in, intervals of their sums out: the bootstrap over people once more,
//! where a warehouse knows what each conversion's touches earned.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};

use super::ModelError;
use super::draws::Draws;
use super::intervals::{Bootstrap, add_all, ends};
use crate::column::{Bytes, Interner, Map, NULL, TableError, find, narrow, numbers};
use crate::identity::{NOBODY, Uuid, Uuids};
use crate::journey::Effort;

const ROLE: &str = "who earned which share";

/// `key, currency, low, high`: between which sums of `share` each key and currency may lie.
///
/// Takes `person, key, currency, share`, all rows of a person one after the other; the nil person
/// is somebody else in each row. A null key and a null currency are values like others. Keys come
/// in order of first appearance.
///
/// # Errors
/// A column is missing or of a wrong type, the bootstrap is none, or the effort was stopped.
pub fn spread(
    batches: &[RecordBatch],
    bootstrap: Bootstrap,
    effort: Effort<'_>,
) -> Result<RecordBatch, ModelError> {
    bootstrap.check()?;
    let mut tally = Tally::new(bootstrap);
    for batch in batches {
        effort.go_on()?;
        tally.batch(batch)?;
    }
    tally.table(bootstrap.level)
}

struct Tally {
    draws: Draws,
    keys: Interner,
    currencies: Interner,
    /// Key and currency of each cell, and its place.
    cells: Vec<(u32, u32)>,
    places: Map<(u32, u32), usize>,
    /// By cell and resample.
    sums: Vec<f64>,
    /// How often the person at hand stands in each resample.
    counts: Vec<f64>,
    person: Option<Uuid>,
    people: usize,
}

impl Tally {
    fn new(Bootstrap { resamples, seed, .. }: Bootstrap) -> Self {
        Self {
            draws: Draws { seed, resamples },
            keys: Interner::default(),
            currencies: Interner::default(),
            cells: Vec::new(),
            places: Map::default(),
            sums: Vec::new(),
            counts: vec![0.0; resamples],
            person: None,
            people: 0,
        }
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ModelError> {
        let persons = Uuids::new(batch, "person")?;
        let shares = numbers(find(batch, "share", ROLE)?.as_ref(), "share")?;
        let text = |name| Bytes::text(find(batch, name, ROLE)?.as_ref(), name);
        let keys = self.keys.column(&text("key")?, batch.num_rows());
        let currencies = self.currencies.column(&text("currency")?, batch.num_rows());
        for (row, share) in shares.into_iter().enumerate() {
            self.meet(persons.get(row));
            let cell = self.cell((keys[row], currencies[row])) * self.counts.len();
            add_all(&mut self.sums[cell..cell + self.counts.len()], &self.counts, share);
        }
        Ok(())
    }

    fn meet(&mut self, person: Uuid) {
        if self.person != Some(person) || person == NOBODY {
            self.draws.person(narrow(self.people), &mut self.counts);
            self.person = Some(person);
            self.people += 1;
        }
    }

    /// The place of a cell, new or old.
    fn cell(&mut self, wanted: (u32, u32)) -> usize {
        let next = self.cells.len();
        let place = *self.places.entry(wanted).or_insert(next);
        if place == next {
            self.cells.push(wanted);
            self.sums.resize(self.sums.len() + self.counts.len(), 0.0);
        }
        place
    }

    fn table(mut self, level: f64) -> Result<RecordBatch, ModelError> {
        let samples = self.sums.chunks_exact_mut(self.counts.len());
        let (low, high): (Vec<f64>, Vec<f64>) = samples.map(|sums| ends(sums, level)).unzip();
        let names = |of: &Interner, ids: Vec<u32>| -> ArrayRef {
            let texts = of.texts();
            let name = |id: u32| (id != NULL).then(|| texts[id as usize].as_str());
            Arc::new(ids.into_iter().map(name).collect::<StringArray>())
        };
        let (keys, currencies) = self.cells.iter().copied().unzip();
        let columns = [
            ("key", names(&self.keys, keys), true),
            ("currency", names(&self.currencies, currencies), true),
            ("low", Arc::new(Float64Array::from(low)), false),
            ("high", Arc::new(Float64Array::from(high)), false),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns).map_err(TableError::from)?)
    }
}
