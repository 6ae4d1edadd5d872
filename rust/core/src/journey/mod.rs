//! Touches and conversions in, journeys out: which touches each conversion may credit.
//!
//! `rows ─partition by person, sort by time→ touches grouped by person ─lookback, policy→ one span
//! of touches per conversion`. Touches of people who never converted stay in, for models that need
//! them.

mod events;
mod group;
mod paths;
mod person;
mod read;
mod row;
mod tag;
mod trail;
mod walk;

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Int64Array};

use group::People;
use trail::Trails;
use walk::Walk;

pub use events::{EventSettings, read_events};
pub use paths::read_paths;
pub use read::{Names, read};

pub(crate) use group::{Filed, Filing, Who};
pub(crate) use row::{Step, Wide};
pub(crate) use tag::Tag;
pub(crate) use walk::{Lens, Person, Span};

use crate::column::{TableError, narrow};
use crate::threads::side_by_side;

/// The row of results that is no channel.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// What the next conversion of the same name sees of the touches before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: a conversion consumes the touches before it.
    Partition,
    /// Everything: each conversion looks back on its own.
    Overlap,
}

impl Policy {
    /// The policy called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "partition" => Some(Self::Partition),
            "overlap" => Some(Self::Overlap),
            _ => None,
        }
    }
}

/// How far back a conversion looks, and whether it consumes what it saw.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For clicks and touches of no known type, inclusive.
    pub click_lookback_us: i64,
    /// For impressions, inclusive.
    pub view_lookback_us: i64,
    /// See [`Policy`].
    pub policy: Policy,
    /// Whether impressions are left out of a journey that has another touch.
    pub prefers_clicks: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            click_lookback_us: 30 * 86_400_000_000,
            view_lookback_us: 86_400_000_000,
            policy: Policy::Partition,
            prefers_clicks: false,
        }
    }
}

/// A click, an impression, or whatever else may earn credit.
#[derive(Clone, Copy, Debug)]
pub struct Touch(Step);

impl Touch {
    /// One of which only the channel is known.
    pub(crate) fn of_channel(number: Option<u32>) -> Self {
        Self(Step { tag: number.map_or_else(Tag::default, Tag::touch), ..Step::default() })
    }

    /// When, in microseconds.
    pub fn time(&self) -> i64 {
        self.0.time
    }

    /// Its row in the input, of journeys of canonical events.
    pub fn row(&self) -> u32 {
        self.0.row
    }

    /// Number of its channel; none for the null channel.
    pub fn channel(&self) -> Option<u32> {
        self.0.tag.channel()
    }

    /// Whether only `view_lookback` applies to it.
    pub fn is_view(&self) -> bool {
        self.0.tag.is_view()
    }

    /// Whether it is marked as the key touch.
    pub fn is_key(&self) -> bool {
        self.0.tag.is_key()
    }

    /// Microseconds before a conversion at or after it.
    pub fn age_us(&self, conversion_time: i64) -> u64 {
        debug_assert!(self.0.time <= conversion_time);
        conversion_time.abs_diff(self.0.time)
    }
}

/// Text values of a column by number.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The values.
    pub names: Vec<String>,
    /// Whether a row that counts has this value.
    pub is_used: Vec<bool>,
    /// Whether a row that counts has a null.
    pub has_null: bool,
}

impl Labels {
    /// The number of the null label: the one after all others.
    pub(crate) fn null(&self) -> usize {
        self.names.len()
    }

    /// Those in use with their numbers: by name, and null last.
    pub(crate) fn in_order(&self) -> Vec<(usize, Option<&str>)> {
        let used = self.names.iter().enumerate().filter(|(number, _)| self.is_used[*number]);
        let mut ordered: Vec<_> =
            used.map(|(number, name)| (number, Some(name.as_str()))).collect();
        ordered.sort_unstable_by_key(|(_, name)| *name);
        if self.has_null {
            ordered.push((self.null(), None));
        }
        ordered
    }
}

/// The conversions, in input order.
#[derive(Debug)]
pub struct Conversions {
    /// Row of each in the input.
    pub rows: Vec<u32>,
    /// What the user calls each; any type.
    pub ids: ArrayRef,
    /// Number of each one's name; only equality matters.
    pub(crate) names: Vec<u32>,
    /// Worth of each, where there is a value column.
    pub values: Option<Vec<f64>>,
    /// Number of each one's currency and what they stand for, where there is a currency column.
    pub currencies: Option<(Vec<u32>, Vec<String>)>,
    /// How many conversions each stands for; none: one each.
    pub weights: Option<Vec<f64>>,
    /// How often each one's path ended without a conversion; none: never.
    pub nulls: Option<Vec<f64>>,
    /// See [`Journeys::is_counted_in_wholes`].
    are_counts_whole: bool,
}

impl Conversions {
    /// Conversions all of one name, with nothing known but their rows.
    pub(crate) fn unnamed(rows: Vec<u32>) -> Self {
        Self {
            ids: Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(*row)))),
            names: vec![0; rows.len()],
            rows,
            values: None,
            currencies: None,
            weights: None,
            nulls: None,
            are_counts_whole: true,
        }
    }

    /// Take in those of rows that come later, whose names and currencies are numbered so here.
    fn absorb(&mut self, other: Self, names: &[u32], currencies: &[u32]) {
        // Null stays null, and without a column of names all of them are 0.
        let number = |of: &[u32], id: u32| of.get(id as usize).copied().unwrap_or(id);
        self.rows.extend(other.rows);
        self.names.extend(other.names.into_iter().map(|id| number(names, id)));
        if let (Some(all), Some(values)) = (&mut self.values, other.values) {
            all.extend(values);
        }
        if let (Some((all, _)), Some((ids, _))) = (&mut self.currencies, other.currencies) {
            all.extend(ids.into_iter().map(|id| number(currencies, id)));
        }
    }
}

/// One conversion's touches.
#[derive(Clone, Copy, Debug)]
pub struct Journey<'a> {
    /// In order.
    pub touches: &'a [Touch],
    /// When it converted, in microseconds.
    pub time: i64,
}

/// How work on journeys is done: on how many threads, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Effort<'a> {
    /// At least one; results do not depend on it.
    pub threads: usize,
    /// Ends the work early when set.
    pub stop: &'a AtomicBool,
    /// What ids are digested with, hard to guess; results do not depend on it.
    pub salt: u64,
}

#[cfg(test)]
impl<'a> Effort<'a> {
    /// On the calling thread only.
    pub(crate) fn alone(stop: &'a AtomicBool) -> Self {
        Self { threads: 1, stop, salt: 0 }
    }
}

impl Effort<'_> {
    /// The next of `count` pieces of work that no thread has `taken`; none once it was stopped.
    pub(crate) fn claim(&self, taken: &AtomicUsize, count: usize) -> Option<usize> {
        let piece = taken.fetch_add(1, Ordering::Relaxed);
        (piece < count && self.go_on().is_ok()).then_some(piece)
    }

    pub(crate) fn go_on(&self) -> Result<(), TableError> {
        if self.stop.load(Ordering::Relaxed) { Err(TableError::Cancelled) } else { Ok(()) }
    }
}

/// Touches in order, one journey per conversion.
///
/// Rows are read and filed by person at once; they are put in order person by person when somebody
/// goes through them, and kept in order only for those who want journeys by number.
#[derive(Debug)]
pub struct Journeys {
    source: Source,
    /// What [`Journeys::in_order`] needs, from its first call on.
    laid: OnceLock<Laid>,
    channels: Labels,
    conversions: Conversions,
    lens: Lens,
    policy: Policy,
}

#[derive(Debug)]
enum Source {
    /// People who converted, at least, and who else there is.
    Filed(Box<dyn People>, Everybody),
    /// Aggregated paths: as many people as there are paths.
    Paths(Trails),
}

/// Files everybody's rows anew.
type File = Box<dyn Fn(Effort<'_>) -> Result<Box<dyn People>, TableError> + Send + Sync>;

/// People who did not convert matter to few models, so that they are filed when one asks.
enum Everybody {
    /// They were filed with the others.
    Here,
    Later(File, OnceLock<Box<dyn People>>),
}

impl Debug for Everybody {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_str(if matches!(self, Self::Here) { "Here" } else { "Later" })
    }
}

/// Touches, person by person, and the span of each conversion.
#[derive(Debug, Default)]
struct Laid {
    touches: Vec<Touch>,
    spans: Vec<Span>,
}

impl Journeys {
    pub(crate) fn new<K: row::Key, W: row::Word>(
        rows: Filed<K, W>,
        channels: Labels,
        conversions: Conversions,
        settings: Settings,
    ) -> Self {
        Self::of(Box::new(rows), Everybody::Here, channels, conversions, settings)
    }

    /// Of rows that are those of all who converted; `everybody` files all.
    fn of_converting<K: row::Key, W: row::Word>(
        rows: Filed<K, W>,
        everybody: File,
        channels: Labels,
        conversions: Conversions,
        settings: Settings,
    ) -> Self {
        let everybody = Everybody::Later(everybody, OnceLock::new());
        Self::of(Box::new(rows), everybody, channels, conversions, settings)
    }

    fn of(
        people: Box<dyn People>,
        everybody: Everybody,
        channels: Labels,
        conversions: Conversions,
        settings: Settings,
    ) -> Self {
        let lens = Lens::new(settings, people.extent().has_views);
        let source = Source::Filed(people, everybody);
        Self { source, laid: OnceLock::new(), channels, conversions, lens, policy: settings.policy }
    }

    /// How many conversions there are.
    pub fn len(&self) -> usize {
        self.conversions.rows.len()
    }

    /// Whether there is no conversion.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Go through people on several threads: what each thread made of those it met.
    ///
    /// # Errors
    /// The effort was stopped.
    pub(crate) fn fold<T: Send>(
        &self,
        who: Who,
        effort: Effort<'_>,
        make: impl Fn() -> T + Sync,
        take: impl Fn(&mut T, Person<'_>) + Sync,
    ) -> Result<Vec<T>, TableError> {
        let crowd = self.crowd(who, effort)?;
        let taken = AtomicUsize::new(0);
        let work = || {
            let mut made = make();
            self.each(&crowd, who, effort, &taken, &mut |person| take(&mut made, person));
            made
        };
        let made = side_by_side((0..self.threads(&crowd, effort)).map(|_| work));
        effort.go_on()?;
        Ok(made)
    }

    /// Go through the paths of all journeys with touches on several threads: the tags of their
    /// touches, how often they converted, and how often they did not.
    pub(crate) fn fold_paths<T: Send>(
        &self,
        effort: Effort<'_>,
        make: impl Fn() -> T + Sync,
        take: impl Fn(&mut T, &[Tag], f64, f64) + Sync,
    ) -> Result<Vec<T>, TableError> {
        let Source::Paths(trails) = &self.source else {
            return self.fold_paths_of_people(effort, make, take);
        };
        let taken = AtomicUsize::new(0);
        let work = || {
            let mut made = make();
            while let Some(drawer) = effort.claim(&taken, trails.drawer_count()) {
                for index in trails.drawer(drawer) {
                    let tags = trails.tags(index);
                    if !tags.is_empty() {
                        take(&mut made, tags, self.weight(index), self.nulls(index));
                    }
                }
            }
            made
        };
        let made = side_by_side((0..self.threads(&Crowd::Paths(trails), effort)).map(|_| work));
        effort.go_on()?;
        Ok(made)
    }

    fn fold_paths_of_people<T: Send>(
        &self,
        effort: Effort<'_>,
        make: impl Fn() -> T + Sync,
        take: impl Fn(&mut T, &[Tag], f64, f64) + Sync,
    ) -> Result<Vec<T>, TableError> {
        let make = || (make(), Vec::new(), Vec::new());
        let made = self.fold(Who::All, effort, make, |(made, scratch, tags), person| {
            person.journeys(&self.lens, scratch, |index, journey| {
                tags.clear();
                tags.extend(journey.touches.iter().map(|touch| touch.0.tag));
                if !tags.is_empty() {
                    take(made, tags, self.weight(index), self.nulls(index));
                }
            });
            person.unconverted(&self.lens, |touches| {
                tags.clear();
                tags.extend(touches.map(|touch| touch.0.tag));
                take(made, tags, 0.0, 1.0);
            });
        })?;
        Ok(made.into_iter().map(|(made, ..)| made).collect())
    }

    /// How many threads go through people: one where sums of fractions would show who summed them.
    fn threads(&self, crowd: &Crowd<'_>, effort: Effort<'_>) -> usize {
        let most = effort.threads.min(crowd.drawer_count()).max(1);
        if most > 1 && !self.is_counted_in_wholes() { 1 } else { most }
    }

    /// Those who are meant.
    fn crowd(&self, who: Who, effort: Effort<'_>) -> Result<Crowd<'_>, TableError> {
        match &self.source {
            Source::Paths(trails) => Ok(Crowd::Paths(trails)),
            Source::Filed(_, Everybody::Later(file, filed)) if who == Who::All => {
                if filed.get().is_none() {
                    let _ = filed.set(file(effort)?);
                }
                filed.get().map(|people| Crowd::Filed(&**people)).ok_or(TableError::Cancelled)
            }
            Source::Filed(people, _) => Ok(Crowd::Filed(&**people)),
        }
    }

    /// Call `take` with the people of the drawers that nobody has `taken` yet.
    fn each(
        &self,
        crowd: &Crowd<'_>,
        who: Who,
        effort: Effort<'_>,
        taken: &AtomicUsize,
        take: &mut dyn FnMut(Person<'_>),
    ) {
        let count = crowd.drawer_count();
        let mut next = || effort.claim(taken, count);
        match crowd {
            Crowd::Filed(people) => {
                let mut walk = Walk::new(&self.conversions.names, &self.lens, self.policy);
                people.each(who, &mut next, &mut walk, take);
            }
            Crowd::Paths(trails) => {
                while let Some(drawer) = next() {
                    let paths = trails.drawer(drawer);
                    match who {
                        Who::All => trails.each(paths, take),
                        Who::Converting => {
                            trails.each(paths.filter(|index| self.is_worth(*index)), take);
                        }
                    }
                }
            }
        }
    }

    /// The touches of all who converted, in order, kept from the first call on.
    fn laid(&self, effort: Effort<'_>) -> Result<&Laid, TableError> {
        if let Some(laid) = self.laid.get() {
            return Ok(laid);
        }
        let (who, none) = (Who::Converting, AtomicUsize::new(0));
        let mut made = Laid { spans: vec![Span::default(); self.len()], ..Laid::default() };
        let crowd = self.crowd(who, effort)?;
        self.each(&crowd, who, effort, &none, &mut |person| made.put(person));
        effort.go_on()?;
        Ok(self.laid.get_or_init(|| made))
    }

    /// Call `take` with the number and the journey of each conversion, in input order.
    ///
    /// # Errors
    /// What `take` refuses, or the effort was stopped.
    pub fn in_order<E: From<TableError>>(
        &self,
        effort: Effort<'_>,
        mut take: impl FnMut(usize, Journey<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut scratch = Vec::new();
        if let Source::Paths(trails) = &self.source {
            return (0..trails.len()).try_for_each(|index| {
                take(index, Journey { touches: trails.touches(index, &mut scratch), time: 0 })
            });
        }
        let laid = self.laid(effort)?;
        for (index, span) in laid.spans.iter().enumerate() {
            let touches = &laid.touches[span.start as usize..span.stop as usize];
            take(index, self.lens.journey(touches, span.time, &mut scratch))?;
        }
        Ok(())
    }

    /// How many touches there are, in journeys or not.
    pub fn touch_count(&self) -> usize {
        match &self.source {
            Source::Filed(people, _) => people.extent().touches,
            Source::Paths(trails) => trails.touch_count(),
        }
    }

    /// Of aggregated paths with something to share: their numbers, and how many touches they have.
    pub(crate) fn path_lengths(&self) -> Option<impl Iterator<Item = (usize, usize)>> {
        let Source::Paths(trails) = &self.source else { return None };
        let worth = (0..trails.len()).filter(|index| self.is_worth(*index));
        Some(worth.map(|index| (index, trails.tags(index).len())))
    }

    /// Channels by number.
    pub fn channels(&self) -> &Labels {
        &self.channels
    }

    /// What is known of each conversion.
    pub fn conversions(&self) -> &Conversions {
        &self.conversions
    }

    /// Whether touches and conversions have times.
    pub fn is_timed(&self) -> bool {
        matches!(self.source, Source::Filed(..))
    }

    /// Conversions in all, and those without touches.
    ///
    /// # Errors
    /// The effort was stopped.
    pub fn totals(&self, effort: Effort<'_>) -> Result<(f64, f64), TableError> {
        let total = (0..self.len()).map(|index| self.weight(index)).sum();
        let make = || (0.0, Vec::new());
        let made = self.fold(Who::Converting, effort, make, |(lost, scratch), person| {
            person.journeys(&self.lens, scratch, |index, journey| {
                if journey.touches.is_empty() {
                    *lost += self.weight(index);
                }
            });
        })?;
        Ok((total, made.iter().map(|(lost, _)| lost).sum()))
    }

    /// How many conversions the one numbered `index` stands for.
    pub fn weight(&self, index: usize) -> f64 {
        self.conversions.weights.as_ref().map_or(1.0, |weights| weights[index])
    }

    /// Whether there is anything to share of the one numbered `index`.
    #[inline]
    fn is_worth(&self, index: usize) -> bool {
        let values = self.conversions.values.as_ref();
        self.weight(index) != 0.0 || values.is_some_and(|values| values[index] != 0.0)
    }

    /// How often the path of the one numbered `index` ended without a conversion.
    pub(crate) fn nulls(&self, index: usize) -> f64 {
        self.conversions.nulls.as_ref().map_or(0.0, |nulls| nulls[index])
    }

    /// Whether all counts of conversions and journeys without one are whole numbers, few enough
    /// that their sums are exact in any order.
    pub(crate) fn is_counted_in_wholes(&self) -> bool {
        self.conversions.are_counts_whole
    }

    /// How far back its conversions look.
    pub(crate) fn lens(&self) -> &Lens {
        &self.lens
    }

    /// Time of the first and the last row, in microseconds.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        match &self.source {
            Source::Filed(people, _) => {
                let extent = people.extent();
                (extent.first_us <= extent.last_us).then_some((extent.first_us, extent.last_us))
            }
            Source::Paths(_) => None,
        }
    }
}

/// People to go through.
enum Crowd<'a> {
    Filed(&'a dyn People),
    Paths(&'a Trails),
}

impl Crowd<'_> {
    fn drawer_count(&self) -> usize {
        match self {
            Self::Filed(people) => people.drawer_count(),
            Self::Paths(trails) => trails.drawer_count(),
        }
    }
}

impl Laid {
    fn put(&mut self, person: Person<'_>) {
        let first = narrow(self.touches.len());
        self.touches.extend_from_slice(person.touches);
        for span in person.spans {
            let (start, stop) = (first + span.start, first + span.stop);
            self.spans[span.index as usize] = Span { start, stop, ..*span };
        }
    }
}
