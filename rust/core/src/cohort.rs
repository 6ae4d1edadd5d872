//! Canonical events in, one row per cohort out: retention, revenue, LTV and ROAS.
//!
//! A person starts with the install, else with the first event that is no touch; people with
//! touches only are no users. The cohort is the touch the start is attributed to (the last one in
//! its lookback). Day N is `floor(elapsed / 24 h) = N`. A person counts for day N once N days have
//! passed between the start and the newest event of the input: nothing else says what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::attribution::sum::ExactSum;
use crate::column::{Bytes, Interner, Map, NULL, TableError, find, micros, narrow, numbers, times};
use crate::identity::Graph;
use crate::journey::{Effort, Settings, UNATTRIBUTED};

mod stored;

pub use stored::{Crowd, Stored};

const DAY_US: i64 = 86_400_000_000;

/// Columns that describe the touch; any other describes the event the person started with.
const TOUCH_COLUMNS: [&str; 7] =
    ["source", "medium", "campaign", "adset", "creative", "site_id", "click_id"];

/// What to group by and which days to show.
#[derive(Clone, Copy, Debug)]
pub struct CohortSettings<'a> {
    /// A text column of events: of the touch, or for a column a touch does not describe, of the
    /// start.
    pub by: &'a str,
    /// Days since the start, e.g. 1, 7, 30.
    pub days: &'a [u32],
    /// Name of the event a person starts with.
    pub install: &'a str,
    /// How far the start looks back.
    pub settings: Settings,
    /// Only people who started from the first to before the second, in microseconds since 1970.
    pub started: (i64, i64),
}

/// Money spent: columns named as `by`, `amount` and `currency`.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// Of the batches.
    pub schema: &'a SchemaRef,
    /// Any number of them.
    pub batches: &'a [RecordBatch],
}

/// A row per cohort and currency it has revenue or spend in: the `by` value, `currency`, `users`,
/// per day `users_<d>` (of an age to count), `retention_<d>`, `revenue_<d>` (of all, so far),
/// `ltv_<d>` (per user who counts), then `spend` and per day `roas_<d>` (null without spend).
///
/// People are by the ids seen together, save by `cuts`: each a kind by its place and a text.
///
/// # Errors
/// A column is missing or of a wrong type, or the effort was stopped.
pub fn cohorts(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    cuts: &[(usize, String)],
    spend: Option<Spend<'_>>,
    settings: CohortSettings<'_>,
    effort: Effort<'_>,
) -> Result<RecordBatch, TableError> {
    let mut events = Events::default();
    events.batch(&RecordBatch::new_empty(schema.clone()), settings)?;
    for batch in batches {
        effort.go_on()?;
        events.batch(batch, settings)?;
    }
    let mut graph = Graph::new(effort.salt);
    graph.cut(None, cuts);
    let rows = graph.add(batches)?.rows;
    let People { of_row, people } =
        People::new(&events, &graph.person_keys(&rows), settings.settings);
    let is_of_touch = TOUCH_COLUMNS.contains(&settings.by);
    let by_start = |start: &Start| Cohort::of(events.by[start.row as usize]);
    let cohort =
        |person: &Person| if is_of_touch { person.cohort() } else { by_start(&person.start) };
    let newest = events.times.iter().copied().max().unwrap_or(i64::MIN);
    let users = people.iter().map(|person| (person.start, cohort(person))).collect();
    let mut report = Report::new(settings, newest, users);
    for (row, person) in of_row.iter().enumerate().filter(|(row, _)| !events.is_touch(*row)) {
        let earned = events.earns[row].then(|| (events.currencies[row], events.micros[row]));
        report.event(*person, events.times[row], earned);
    }
    if let Some(spend) = spend {
        report.spend(spend, settings.by, &mut events.by_names, &mut events.currency_names)?;
    }
    report.table(settings.by, &events.by_names, &events.currency_names)
}

/// What an event is to a cohort.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Install,
    Click,
    View,
    Other,
}

/// The columns that matter, over all batches.
#[derive(Default)]
struct Events {
    times: Vec<i64>,
    what: Vec<What>,
    by: Vec<u32>,
    currencies: Vec<u32>,
    micros: Vec<i64>,
    /// Whether the event has revenue, be it 0.
    earns: Vec<bool>,
    by_names: Interner,
    currency_names: Interner,
}

impl Events {
    fn batch(
        &mut self,
        batch: &RecordBatch,
        settings: CohortSettings<'_>,
    ) -> Result<(), TableError> {
        const ROLE: &str = "canonical events";
        let rows = batch.num_rows();
        let column = |name| find(batch, name, ROLE).map(AsRef::as_ref);
        let text = |name| Bytes::text(column(name)?, name);
        let by = Bytes::text(find(batch, settings.by, "by")?.as_ref(), settings.by)?;
        let (names, types) = (text("event_name")?, text("event_type")?);
        let install = settings.install.as_bytes();
        let what = |row: usize| match types.get(row) {
            _ if names.get(row) == Some(install) => What::Install,
            Some(b"click") => What::Click,
            Some(b"impression") => What::View,
            _ => What::Other,
        };
        let first = self.times.len();
        self.times.extend_from_slice(&times(column("timestamp")?, "timestamp", first)?);
        self.what.extend((0..rows).map(what));
        self.by.extend(self.by_names.column(&by, rows));
        self.currencies.extend(self.currency_names.column(&text("currency")?, rows));
        let revenue = column("revenue_micros")?;
        self.micros.extend(micros(revenue, "revenue_micros")?);
        self.earns.extend((0..rows).map(|row| revenue.is_valid(row)));
        Ok(())
    }

    fn is_touch(&self, row: usize) -> bool {
        matches!(self.what[row], What::Click | What::View)
    }
}

/// The event a person started with.
#[derive(Clone, Copy)]
struct Start {
    row: u32,
    time: i64,
    is_install: bool,
}

impl Start {
    /// Installs before anything else, then the earliest, then the first in the input.
    fn is_before(&self, other: &Self) -> bool {
        (!self.is_install, self.time, self.row) < (!other.is_install, other.time, other.row)
    }

    fn take(&mut self, other: Self) {
        if other.is_before(self) {
            *self = other;
        }
    }
}

/// Who each event is about, and all who started.
struct People {
    /// Number of each event's person; [`NULL`] where the person never started.
    of_row: Vec<u32>,
    people: Vec<Person>,
}

/// Somebody who started.
#[derive(Clone, Copy)]
struct Person {
    start: Start,
    touch: LastTouch,
}

/// Ordered as shown: by value, the null value, those without a touch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cohort {
    Value(u32),
    Null,
    Unattributed,
}

impl Cohort {
    fn of(value: u32) -> Self {
        if value == NULL { Self::Null } else { Self::Value(value) }
    }
}

/// A number for each key: keys of persons are small, those of rows that stand alone are huge.
#[derive(Default)]
struct Numbers {
    of_person: Vec<u32>,
    alone: Map<u64, u32>,
}

impl Numbers {
    /// The number of `key`, `next` where it has none yet.
    fn of(&mut self, key: u64, next: u32) -> u32 {
        let Some(place) = Self::place(key) else {
            return *self.alone.entry(key).or_insert(next);
        };
        if place >= self.of_person.len() {
            self.of_person.resize(place + 1, NULL);
        }
        let number = &mut self.of_person[place];
        if *number == NULL {
            *number = next;
        }
        *number
    }

    /// [`NULL`] where it has none.
    fn get(&self, key: u64) -> u32 {
        let known = match Self::place(key) {
            Some(place) => self.of_person.get(place),
            None => self.alone.get(&key),
        };
        known.copied().unwrap_or(NULL)
    }

    fn place(key: u64) -> Option<usize> {
        u32::try_from(key).ok().map(|key| key as usize)
    }
}

impl People {
    fn new(events: &Events, keys: &[u64], settings: Settings) -> Self {
        let mut numbers = Numbers::default();
        let mut people: Vec<Person> = Vec::new();
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| !events.is_touch(*row)) {
            let is_install = events.what[row] == What::Install;
            let start = Start { row: narrow(row), time: events.times[row], is_install };
            let number = numbers.of(*key, narrow(people.len()));
            match people.get_mut(number as usize) {
                None => people.push(Person::new(start)),
                Some(person) => person.start.take(start),
            }
        }
        let of_row: Vec<u32> = keys.iter().map(|key| numbers.get(*key)).collect();
        for (row, number) in of_row.iter().enumerate().filter(|(row, _)| events.is_touch(*row)) {
            if let Some(person) = people.get_mut(*number as usize) {
                let is_view = events.what[row] == What::View;
                person.touch(events.times[row], is_view, events.by[row], settings);
            }
        }
        Self { of_row, people }
    }
}

impl Person {
    fn new(start: Start) -> Self {
        Self { start, touch: LastTouch::NONE }
    }

    /// Take a touch of a person whose start is known.
    fn touch(&mut self, time: i64, is_view: bool, by: u32, settings: Settings) {
        let lookback = if is_view { settings.view_lookback_us } else { settings.click_lookback_us };
        let start = self.start.time;
        if time <= start && start.abs_diff(time) <= lookback.unsigned_abs() {
            self.touch.take(time, by);
        }
    }

    fn cohort(&self) -> Cohort {
        if self.touch.is_some { Cohort::of(self.touch.by) } else { Cohort::Unattributed }
    }
}

/// The last touch in the lookback of a start; of those at the same time the one further down.
#[derive(Clone, Copy)]
struct LastTouch {
    time: i64,
    by: u32,
    is_some: bool,
    /// Whether another one at the same time makes another cohort.
    is_tied: bool,
}

impl LastTouch {
    const NONE: Self = Self { time: i64::MIN, by: NULL, is_some: false, is_tied: false };

    fn take(&mut self, time: i64, by: u32) {
        let is_tied = self.is_some && time == self.time && (self.is_tied || by != self.by);
        if time >= self.time {
            *self = Self { time, by, is_some: true, is_tied };
        }
    }
}

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

struct Report<'a> {
    days: &'a [u32],
    started: (i64, i64),
    newest: i64,
    /// By number of a person.
    starts: Vec<(Start, Cohort)>,
    /// By person and day: whoever comes twice a day is one.
    seen: Vec<bool>,
    users: BTreeMap<Cohort, Users>,
    money: BTreeMap<(Cohort, u32), Money>,
}

impl<'a> Report<'a> {
    fn new(settings: CohortSettings<'a>, newest: i64, starts: Vec<(Start, Cohort)>) -> Self {
        let CohortSettings { days, started, .. } = settings;
        let seen = vec![false; starts.len() * days.len()];
        let (users, money) = (BTreeMap::new(), BTreeMap::new());
        let mut report = Self { days, started, newest, starts: Vec::new(), seen, users, money };
        for (start, cohort) in &starts {
            report.count(start, *cohort);
        }
        report.starts = starts;
        report
    }

    fn is_wanted(&self, start: &Start) -> bool {
        (self.started.0..self.started.1).contains(&start.time)
    }

    /// Whoever is so many days old counts for those days.
    fn age(&self, start: &Start) -> i128 {
        elapsed_days(start.time, self.newest)
    }

    fn count(&mut self, start: &Start, cohort: Cohort) {
        if !self.is_wanted(start) {
            return;
        }
        let age = self.age(start);
        let users = self.users.entry(cohort).or_insert_with(|| self.days.into());
        users.count += 1;
        for (sum, day) in users.counting.iter_mut().zip(self.days) {
            *sum += i64::from(age >= i128::from(*day));
        }
    }

    /// Something a person did that is no touch, and in which currency it earned how much.
    fn event(&mut self, person: u32, time: i64, earned: Option<(u32, i64)>) {
        let Some((start, cohort)) = self.starts.get(person as usize).copied() else { return };
        if time < start.time || !self.is_wanted(&start) {
            return;
        }
        let day = elapsed_days(start.time, time);
        for (index, wanted) in self.days.iter().enumerate() {
            let seen = &mut self.seen[person as usize * self.days.len() + index];
            if i128::from(*wanted) == day
                && !std::mem::replace(seen, true)
                && let Some(users) = self.users.get_mut(&cohort)
            {
                users.active[index] += 1;
            }
        }
        if let Some((currency, micros)) = earned {
            self.earn((cohort, currency), &start, day, micros);
        }
    }

    fn earn(&mut self, key: (Cohort, u32), start: &Start, day: i128, micros: i64) {
        let age = self.age(start);
        for (index, wanted) in self.days.iter().enumerate() {
            let is_counting = age >= i128::from(*wanted);
            let money = self.money.entry(key).or_insert_with(|| self.days.into());
            if i128::from(*wanted) >= day {
                money.revenue[index] += i128::from(micros);
                money.counting[index] += if is_counting { i128::from(micros) } else { 0 };
            }
        }
    }

    fn spend(
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
                self.users.entry(cohort).or_insert_with(|| self.days.into());
                let money = self.money.entry((cohort, currencies[row]));
                let money = money.or_insert_with(|| self.days.into());
                money.spend.get_or_insert_default().add(amount);
            }
            first_row += rows;
        }
        Ok(())
    }

    fn table(
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
        let none = Money::from(self.days);
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
            for (index, day) in self.days.iter().enumerate() {
                let values = rows.iter().map(|(users, money)| value(users, money, index));
                out.add(&format!("{name}_{day}"), values.collect::<Float64Array>());
            }
        };
        for (index, day) in self.days.iter().enumerate() {
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

/// Whole days, rounded down; i128 because two times may lie further apart than an i64 counts.
fn elapsed_days(start: i64, time: i64) -> i128 {
    match time.checked_sub(start) {
        Some(elapsed) => elapsed.div_euclid(DAY_US).into(),
        None => (i128::from(time) - i128::from(start)).div_euclid(DAY_US.into()),
    }
}

fn amount(micros: i128) -> f64 {
    micros as f64 / 1e6
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}
