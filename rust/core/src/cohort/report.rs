//! People and what they earned in, one row per cohort and currency out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::person::{Cohort, Seen, Start};
use super::{CohortSettings, Spend};
use crate::attribution::sum::ExactSum;
use crate::column::{Bytes, Interner, NULL, TableError, find, numbers};
use crate::journey::UNATTRIBUTED;

/// Sums of one cohort that do not depend on a currency.
#[derive(Clone, Default)]
struct Users {
    count: i64,
    /// By day: those of an age to count, and those of them active that day.
    counting: Vec<i64>,
    active: Vec<i64>,
}

/// Sums of one cohort in one currency, by day: micros of all, and of those of an age to count.
#[derive(Clone, Default)]
struct Money {
    revenue: Vec<i128>,
    counting: Vec<i128>,
    spend: Option<ExactSum>,
}

/// The sums of every cohort.
pub(super) struct Report<'a> {
    settings: CohortSettings<'a>,
    newest: i64,
    /// By person.
    starts: &'a [Start],
    cohorts: Vec<Cohort>,
    users: BTreeMap<Cohort, Users>,
    money: BTreeMap<(Cohort, u32), Money>,
}

impl<'a> Report<'a> {
    /// `newest` is the time of the last event of all; `cohorts` has one per person.
    pub(super) fn new(seen: &Seen<'a>, newest: i64, cohorts: Vec<Cohort>) -> Self {
        let Seen { settings, starts, .. } = *seen;
        let (users, money) = (BTreeMap::new(), BTreeMap::new());
        let mut report = Self { settings, newest, starts, cohorts: Vec::new(), users, money };
        for (person, (start, cohort)) in starts.iter().zip(&cohorts).enumerate() {
            let marks = seen.of(person);
            report.count(start, *cohort, |day| marks[day]);
        }
        report.cohorts = cohorts;
        report
    }

    /// Whoever is so many days old counts for those days.
    fn age(&self, start: &Start) -> i128 {
        start.days_to(self.newest)
    }

    /// Somebody who came on the days of which `came` says so.
    fn count(&mut self, start: &Start, cohort: Cohort, came: impl Fn(usize) -> bool) {
        if !self.settings.has(start) {
            return;
        }
        let (age, days) = (self.age(start), self.settings.days);
        let users = self.users.entry(cohort).or_insert_with(|| days.into());
        users.count += 1;
        for (index, day) in days.iter().enumerate() {
            users.counting[index] += i64::from(age >= i128::from(*day));
            users.active[index] += i64::from(came(index));
        }
    }

    /// What a person earned, in which currency, with something that is no touch.
    pub(super) fn earned(&mut self, person: u32, time: i64, amount: (u32, i64)) {
        let Some(start) = self.starts.get(person as usize).copied() else { return };
        if time >= start.time && self.settings.has(&start) {
            self.earn(self.cohorts[person as usize], &start, start.days_to(time), amount);
        }
    }

    /// An event that is no touch and stands alone: somebody who came once.
    pub(super) fn alone(&mut self, time: i64, amount: Option<(u32, i64)>) {
        let (start, cohort) = (Start::at(time), Cohort::Unattributed);
        let days = self.settings.days;
        self.count(&start, cohort, |day| days[day] == 0);
        if let Some(amount) = amount
            && self.settings.has(&start)
        {
            self.earn(cohort, &start, 0, amount);
        }
    }

    fn earn(&mut self, cohort: Cohort, start: &Start, day: i128, (currency, micros): (u32, i64)) {
        let (age, days) = (self.age(start), self.settings.days);
        let money = self.money.entry((cohort, currency)).or_insert_with(|| days.into());
        for (index, wanted) in days.iter().enumerate() {
            let is_counting = age >= i128::from(*wanted);
            if i128::from(*wanted) >= day {
                money.revenue[index] += i128::from(micros);
                money.counting[index] += if is_counting { i128::from(micros) } else { 0 };
            }
        }
    }

    pub(super) fn spend(
        &mut self,
        spend: Spend<'_>,
        by: &str,
        by_names: &mut Interner,
        currency_names: &mut Interner,
    ) -> Result<(), TableError> {
        let empty = RecordBatch::new_empty(spend.schema.clone());
        let mut first_row = 0;
        for batch in std::iter::once(&empty).chain(spend.batches) {
            let rows = batch.num_rows();
            let column = |name| find(batch, name, "spend").map(AsRef::as_ref);
            let values = by_names.column(&Bytes::text(column(by)?, by)?, rows);
            let currency = Bytes::text(column("currency")?, "currency")?;
            let currencies = currency_names.column(&currency, rows);
            let amounts = numbers(column("amount")?, "amount")?;
            for (row, amount) in amounts.into_iter().enumerate() {
                if !amount.is_finite() {
                    return Err(TableError::OutOfRange {
                        name: "amount".to_owned(),
                        row: first_row + row,
                        what: "not a finite number",
                        hint: "fill it with 0",
                    });
                }
                let cohort = match values[row] {
                    value if value != NULL && is_reserved(by_names.value(value)) => {
                        Cohort::Unattributed
                    }
                    value => Cohort::of(value),
                };
                self.users.entry(cohort).or_insert_with(|| self.settings.days.into());
                let money = self.money.entry((cohort, currencies[row]));
                let money = money.or_insert_with(|| self.settings.days.into());
                money.spend.get_or_insert_default().add(amount);
            }
            first_row += rows;
        }
        Ok(())
    }

    /// A row per cohort and currency.
    pub(super) fn table(
        &self,
        by: &str,
        by_names: &Interner,
        currency_names: &Interner,
    ) -> Result<RecordBatch, TableError> {
        let name = |names: &Interner, id: u32| {
            (id != NULL).then(|| String::from_utf8_lossy(names.value(id)).into_owned())
        };
        let label = |cohort: &Cohort| match cohort {
            Cohort::Value(value) => (0, name(by_names, *value)),
            Cohort::Null => (1, None),
            Cohort::Unattributed => (2, Some(UNATTRIBUTED.to_owned())),
        };
        let none = Money::from(self.settings.days);
        // Ascending by value, then by currency, the null currency last.
        let mut rows = BTreeMap::new();
        for (cohort, users) in &self.users {
            let own = self.money.range((*cohort, 0)..=(*cohort, NULL));
            let mut own: Vec<_> = own.map(|((_, currency), money)| (*currency, money)).collect();
            if own.is_empty() {
                own.push((NULL, &none));
            }
            for (currency, money) in own {
                let currency = name(currency_names, currency);
                let order = (label(cohort), currency.is_none(), currency);
                rows.insert(order, (users, money));
            }
        }
        let mut out = Columns::default();
        out.add(
            by,
            rows.keys().map(|((_, value), _, _)| value.as_deref()).collect::<StringArray>(),
        );
        let currency = rows.keys().map(|(_, _, currency)| currency.as_deref());
        out.add("currency", currency.collect::<StringArray>());
        let rows: Vec<_> = rows.into_values().collect();
        self.columns(&rows, &mut out);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(out.fields)), out.columns)?)
    }

    fn columns(&self, rows: &[(&Users, &Money)], out: &mut Columns) {
        out.add("users", rows.iter().map(|(users, _)| Some(users.count)).collect::<Int64Array>());
        let each = |out: &mut Columns, name: &str, value: &dyn Fn(&Users, &Money, usize) -> _| {
            for (index, day) in self.settings.days.iter().enumerate() {
                let values = rows.iter().map(|(users, money)| value(users, money, index));
                out.add(&format!("{name}_{day}"), values.collect::<Float64Array>());
            }
        };
        for (index, day) in self.settings.days.iter().enumerate() {
            let counting = rows.iter().map(|(users, _)| Some(users.counting[index]));
            out.add(&format!("users_{day}"), counting.collect::<Int64Array>());
        }
        each(out, "retention", &|users, _, day| {
            ratio(users.active[day] as f64, users.counting[day] as f64)
        });
        each(out, "revenue", &|_, money, day| Some(amount(money.revenue[day])));
        each(out, "ltv", &|users, money, day| {
            ratio(amount(money.counting[day]), users.counting[day] as f64)
        });
        let spend = |money: &Money| money.spend.as_ref().map(ExactSum::value);
        out.add("spend", rows.iter().map(|(_, money)| spend(money)).collect::<Float64Array>());
        each(out, "roas", &|_, money, day| ratio(amount(money.revenue[day]), spend(money)?));
    }
}

#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Columns {
    fn add(&mut self, name: &str, column: impl Array + 'static) {
        let kind: DataType = column.data_type().clone();
        self.fields.push(Field::new(name, kind, true));
        self.columns.push(Arc::new(column));
    }
}

impl From<&[u32]> for Users {
    fn from(days: &[u32]) -> Self {
        Self { count: 0, counting: vec![0; days.len()], active: vec![0; days.len()] }
    }
}

impl From<&[u32]> for Money {
    fn from(days: &[u32]) -> Self {
        Self { revenue: vec![0; days.len()], counting: vec![0; days.len()], spend: None }
    }
}

fn is_reserved(value: &[u8]) -> bool {
    value == UNATTRIBUTED.as_bytes()
}

fn amount(micros: i128) -> f64 {
    micros as f64 / 1e6
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}
