//! What a warehouse keeps of events for cohorts in, the same answer as from all events out.
//!
//! Of what a person did on a day only the first and the last time matter: day N is 24 hours long,
//! so it takes the end of one day of the calendar and the beginning of the next.

use std::borrow::Cow;

use arrow_array::{Array, BooleanArray, RecordBatch};

use super::CohortSettings;
use super::person::{LastTouch, Seen, Start};
use super::report::Report;
use crate::column::{Bytes, Interner, NULL, TableError, booleans, find, micros, narrow, times};
use crate::identity::{NOBODY, Named, Uuid, Uuids};
use crate::journey::Effort;
use crate::threads::{both, side_by_side};

const ROLE: &str = "what is stored for cohorts";

/// What a warehouse has of touches and earnings.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Touches: `identity`, `timestamp`, `is_view` and a column named as `by`.
    pub touches: &'a [RecordBatch],
    /// Events that are no touch and have revenue: `identity`, `timestamp`, `micros`, `currency`.
    pub earned: &'a [RecordBatch],
    /// Events that are no touch, of identities that belong to nobody, so that each stands alone:
    /// `timestamp`, `micros` (null if it has none), `currency`.
    pub alone: &'a [RecordBatch],
}

/// When somebody was active on a day of the calendar.
struct Day {
    person: u32,
    first: i64,
    last: i64,
}

/// An event that may have earned so much in a currency.
struct Earning {
    time: i64,
    amount: Option<(u32, i64)>,
}

/// Who started, found by identity.
///
/// Each pass over rows does one thing: what it waits for is often far away, and the next rows do
/// not have to wait behind it.
pub struct Crowd {
    named: Named,
    /// By number of an identity that of its person among `starts`, [`NULL`] if that never started.
    numbers: Vec<u32>,
    starts: Vec<Start>,
    days: Vec<Day>,
    newest: i64,
}

impl Crowd {
    /// By identity and day of the calendar (UTC) when it did something that is no touch:
    /// `first_at` and `last_at`; `install_at`, where it `has_installed`.
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn new(active: &[RecordBatch], mut named: Named) -> Result<Self, TableError> {
        named.make_room(active)?;
        let rows = active.iter().map(RecordBatch::num_rows).sum();
        let mut days: Vec<Day> = Vec::with_capacity(rows);
        for batch in active {
            let (firsts, lasts) = (moments(batch, "first_at")?, moments(batch, "last_at")?);
            for (row, person) in numbers_of(batch, |id| named.own(id))?.into_iter().enumerate() {
                days.push(Day { person, first: firsts[row], last: lasts[row] });
            }
        }
        let (numbers, count) = numbered(&named, &mut days);
        let starts = vec![Start::NONE; count];
        let newest = days.iter().map(|day| day.last).max().unwrap_or(i64::MIN);
        let mut crowd = Self { named, numbers, starts, days, newest };
        crowd.start(active)?;
        Ok(crowd)
    }

    /// As [`super::cohorts`], and whether the order of touches at the same time decided anything:
    /// it should be that of their event ids then, and asked anew.
    ///
    /// # Errors
    /// A column is missing or of a wrong type, or the effort was stopped.
    pub fn report(
        &self,
        stored: Stored<'_>,
        settings: CohortSettings<'_>,
        effort: Effort<'_>,
    ) -> Result<(RecordBatch, bool), TableError> {
        let (seen, told) =
            both(effort.threads, || self.seen(settings), || self.told(&stored, settings, effort));
        let Told { touches, by_names, newest } = told?;
        effort.go_on()?;
        let mut currency_names = Interner::default();
        let mut alone = Vec::new();
        for batch in stored.alone {
            alone.extend(earned(batch, &mut currency_names)?);
        }
        let newest = alone.iter().map(|earning| earning.time).fold(newest, i64::max);
        let cohorts = touches.iter().map(LastTouch::cohort).collect();
        let mut report = Report::new(&seen, newest, cohorts);
        for batch in stored.earned {
            let whose = self.people_of(batch)?;
            for (person, earning) in whose.into_iter().zip(earned(batch, &mut currency_names)?) {
                if let Some(amount) = earning.amount {
                    report.earned(person, earning.time, amount);
                }
            }
        }
        for Earning { time, amount } in alone {
            report.alone(time, amount);
        }
        let is_tied = touches.iter().any(|touch| touch.is_tied);
        Ok((report.table(settings.by, &by_names, &currency_names)?, is_tied))
    }

    fn seen<'a>(&'a self, settings: CohortSettings<'a>) -> Seen<'a> {
        let mut seen = Seen::new(settings, &self.starts);
        for day in &self.days {
            seen.event(day.person, day.first);
            if day.last != day.first {
                seen.event(day.person, day.last);
            }
        }
        seen
    }

    /// Everybody's last touch.
    fn told(
        &self,
        stored: &Stored<'_>,
        settings: CohortSettings<'_>,
        effort: Effort<'_>,
    ) -> Result<Told, TableError> {
        let mut told = Told {
            touches: vec![LastTouch::NONE; self.starts.len()],
            by_names: Interner::default(),
            newest: self.newest,
        };
        for (batch, whose) in stored.touches.iter().zip(self.whose(stored.touches, effort)?) {
            told.tell(batch, &whose, &self.starts, settings)?;
        }
        Ok(told)
    }

    fn start(&mut self, active: &[RecordBatch]) -> Result<(), TableError> {
        let mut days = self.days.iter();
        for batch in active {
            let installs = moments(batch, "install_at")?;
            let has_installed = flags(batch, "has_installed")?;
            for (row, day) in days.by_ref().take(batch.num_rows()).enumerate() {
                let is_install = has_installed.value(row);
                let time = if is_install { installs[row] } else { day.first };
                let start = Start { row: 0, time, is_install };
                self.starts[day.person as usize].take(start);
            }
        }
        Ok(())
    }

    /// By batch and row, [`NULL`] where the person never started; by several threads, since most
    /// of it is waiting for memory.
    fn whose(
        &self,
        batches: &[RecordBatch],
        effort: Effort<'_>,
    ) -> Result<Vec<Vec<u32>>, TableError> {
        let share = batches.len().div_ceil(effort.threads.max(1)).max(1);
        let shares = batches.chunks(share).map(|share| {
            move || share.iter().map(|batch| self.people_of(batch)).collect::<Result<Vec<_>, _>>()
        });
        let found = side_by_side(shares).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// By row, [`NULL`] where the person never started.
    fn people_of(&self, batch: &RecordBatch) -> Result<Vec<u32>, TableError> {
        numbers_of(batch, |identity| {
            let own = self.named.find(identity);
            self.numbers.get(own as usize).copied().unwrap_or(NULL)
        })
    }
}

/// What touches say.
struct Told {
    /// By person.
    touches: Vec<LastTouch>,
    by_names: Interner,
    /// When the last event of all was.
    newest: i64,
}

impl Told {
    /// Touches, and by row whose they are.
    fn tell(
        &mut self,
        batch: &RecordBatch,
        whose: &[u32],
        starts: &[Start],
        settings: CohortSettings<'_>,
    ) -> Result<(), TableError> {
        let times = moments(batch, "timestamp")?;
        let views = flags(batch, "is_view")?;
        let values = self.by_names.column(&text(batch, settings.by)?, batch.num_rows());
        for (row, person) in whose.iter().enumerate() {
            let Some(start) = starts.get(*person as usize) else { continue };
            if start.reaches(times[row], views.value(row), settings.settings) {
                self.touches[*person as usize].take(times[row], values[row]);
            }
        }
        self.newest = times.iter().copied().fold(self.newest, i64::max);
        Ok(())
    }
}

/// Number those who were active, whose days name identities before and people after; by number of
/// an identity that of its person, and how many people there are.
fn numbered(named: &Named, days: &mut [Day]) -> (Vec<u32>, usize) {
    let persons = named.persons();
    let mut numbers = vec![NULL; persons.len()];
    let mut count = 0;
    for day in days {
        let number = &mut numbers[persons[day.person as usize] as usize];
        if *number == NULL {
            *number = narrow(count);
            count += 1;
        }
        day.person = *number;
    }
    (persons.iter().map(|person| numbers[*person as usize]).collect(), count)
}

fn earned(batch: &RecordBatch, names: &mut Interner) -> Result<Vec<Earning>, TableError> {
    let times = moments(batch, "timestamp")?;
    let revenue = find(batch, "micros", ROLE)?;
    let amounts = micros(revenue, "micros")?;
    let currencies = names.column(&text(batch, "currency")?, batch.num_rows());
    let earning = |row: usize| Earning {
        time: times[row],
        amount: revenue.is_valid(row).then_some((currencies[row], amounts[row])),
    };
    Ok((0..batch.num_rows()).map(earning).collect())
}

/// By row, asked once for rows of one identity, which come together where they are stored by it.
fn numbers_of(
    batch: &RecordBatch,
    mut number: impl FnMut(Uuid) -> u32,
) -> Result<Vec<u32>, TableError> {
    let identities = Uuids::new(batch, "identity")?.all(batch.num_rows());
    let mut met = (NOBODY, NULL);
    let of = |identity: &Uuid| {
        if *identity != met.0 {
            met = (*identity, number(*identity));
        }
        met.1
    };
    Ok(identities.iter().map(of).collect())
}

/// Microseconds since 1970.
fn moments<'a>(batch: &'a RecordBatch, name: &str) -> Result<Cow<'a, [i64]>, TableError> {
    times(find(batch, name, ROLE)?.as_ref(), name, 0)
}

fn flags(batch: &RecordBatch, name: &str) -> Result<BooleanArray, TableError> {
    booleans(find(batch, name, ROLE)?.as_ref(), name)
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<Bytes<'a>, TableError> {
    Bytes::text(find(batch, name, ROLE)?.as_ref(), name)
}
