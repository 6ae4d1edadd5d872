//! What a warehouse keeps of events for cohorts in, the same answer as from all events out.
//!
//! Of what a person did on a day only the first and the last time matter: day N is 24 hours long,
//! so it takes the end of one day of the calendar and the beginning of the next.

use std::borrow::Cow;

use arrow_array::{Array, BooleanArray, RecordBatch};

use super::{CohortSettings, Person, Report, Start};
use crate::column::{Bytes, Interner, NULL, TableError, booleans, find, micros, narrow, times};
use crate::identity::{NOBODY, Named, Uuid, Uuids};
use crate::journey::Effort;
use crate::threads::side_by_side;

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
    /// By number of an identity that of its person among `people`, [`NULL`] if that never started.
    numbers: Vec<u32>,
    people: Vec<Person>,
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
        let none = Start { row: 0, time: i64::MAX, is_install: false };
        let people = vec![Person::new(none); count];
        let newest = days.iter().map(|day| day.last).max().unwrap_or(i64::MIN);
        let mut crowd = Self { named, numbers, people, days, newest };
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
        let (mut people, mut newest) = (self.people.clone(), self.newest);
        let mut by_names = Interner::default();
        for (batch, whose) in stored.touches.iter().zip(self.whose(stored.touches, effort)?) {
            let touches = Touches { batch, whose: &whose };
            newest = newest.max(touches.tell(&mut people, settings, &mut by_names)?);
        }
        effort.go_on()?;
        let mut currency_names = Interner::default();
        let mut earnings = Vec::new();
        for batch in stored.earned {
            let whose = self.people_of(batch)?;
            earnings.extend(whose.into_iter().zip(earned(batch, &mut currency_names)?));
        }
        for batch in stored.alone {
            for earning in earned(batch, &mut currency_names)? {
                let start = Start { row: 0, time: earning.time, is_install: false };
                newest = newest.max(start.time);
                earnings.push((narrow(people.len()), earning));
                people.push(Person::new(start));
            }
        }
        let users = people.iter().map(|person| (person.start, person.cohort())).collect();
        let mut report = Report::new(settings, newest, users);
        for day in &self.days {
            report.event(day.person, day.first, None);
            if day.last != day.first {
                report.event(day.person, day.last, None);
            }
        }
        for (person, earning) in earnings {
            report.event(person, earning.time, earning.amount);
        }
        let is_tied = people.iter().any(|person| person.touch.is_tied);
        Ok((report.table(settings.by, &by_names, &currency_names)?, is_tied))
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
                self.people[day.person as usize].start.take(start);
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

/// Touches, and by row whose they are.
struct Touches<'a> {
    batch: &'a RecordBatch,
    whose: &'a [u32],
}

impl Touches<'_> {
    /// Tell people of their touches; when the newest was.
    fn tell(
        &self,
        people: &mut [Person],
        settings: CohortSettings<'_>,
        by_names: &mut Interner,
    ) -> Result<i64, TableError> {
        let times = moments(self.batch, "timestamp")?;
        let views = flags(self.batch, "is_view")?;
        let values = by_names.column(&text(self.batch, settings.by)?, self.batch.num_rows());
        for (row, person) in self.whose.iter().enumerate() {
            if let Some(person) = people.get_mut(*person as usize) {
                person.touch(times[row], views.value(row), values[row], settings.settings);
            }
        }
        Ok(times.iter().copied().max().unwrap_or(i64::MIN))
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
