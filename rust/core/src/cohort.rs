//! Canonical events in, one row per cohort out: retention, revenue, LTV and ROAS.
//!
//! A person starts with the install, else with the first event that is no touch; people with
//! touches only are no users. The cohort is the touch the start is attributed to (the last one in
//! its lookback). Day N is `floor(elapsed / 24 h) = N`. A person counts for day N once N days have
//! passed between the start and the newest event of the input: nothing else says what was seen.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::column::{Bytes, Interner, Map, NULL, TableError, find, micros, narrow, times};
use crate::identity::Graph;
use crate::journey::{Effort, Settings};
use person::{Cohort, LastTouch, Seen, Start};
use report::Report;

mod person;
mod report;
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

impl CohortSettings<'_> {
    /// Whether people who started then are asked for.
    fn has(&self, start: &Start) -> bool {
        (self.started.0..self.started.1).contains(&start.time)
    }
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
    let People { of_row, starts, touches } =
        People::new(&events, &graph.person_keys(&rows), settings.settings);
    let is_of_touch = TOUCH_COLUMNS.contains(&settings.by);
    let by_start = |start: &Start| Cohort::of(events.by[start.row as usize]);
    let cohorts = if is_of_touch {
        touches.iter().map(LastTouch::cohort).collect()
    } else {
        starts.iter().map(by_start).collect()
    };
    let newest = events.times.iter().copied().max().unwrap_or(i64::MIN);
    let deeds = || of_row.iter().enumerate().filter(|(row, _)| !events.is_touch(*row));
    let mut seen = Seen::new(settings, &starts);
    for (row, person) in deeds() {
        seen.event(*person, events.times[row]);
    }
    let mut report = Report::new(&seen, newest, cohorts);
    for (row, person) in deeds().filter(|(row, _)| events.earns[*row]) {
        let amount = (events.currencies[row], events.micros[row]);
        report.earned(*person, events.times[row], amount);
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

/// Who each event is about, and all who started.
struct People {
    /// Number of each event's person; [`NULL`] where the person never started.
    of_row: Vec<u32>,
    /// By person.
    starts: Vec<Start>,
    touches: Vec<LastTouch>,
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
        let mut starts: Vec<Start> = Vec::new();
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| !events.is_touch(*row)) {
            let is_install = events.what[row] == What::Install;
            let start = Start { row: narrow(row), time: events.times[row], is_install };
            let number = numbers.of(*key, narrow(starts.len()));
            match starts.get_mut(number as usize) {
                None => starts.push(start),
                Some(first) => first.take(start),
            }
        }
        let of_row: Vec<u32> = keys.iter().map(|key| numbers.get(*key)).collect();
        let mut touches = vec![LastTouch::NONE; starts.len()];
        for (row, person) in of_row.iter().enumerate().filter(|(row, _)| events.is_touch(*row)) {
            let (time, is_view) = (events.times[row], events.what[row] == What::View);
            if let Some(start) = starts.get(*person as usize)
                && start.reaches(time, is_view, settings)
            {
                touches[*person as usize].take(time, events.by[row]);
            }
        }
        Self { of_row, starts, touches }
    }
}
