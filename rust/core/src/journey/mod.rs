//! Touches and conversions in, journeys out: which touches each conversion may credit.
//!
//! `rows ─partition by person, sort by time→ touches grouped by person ─lookback, policy→ one span
//! of touches per conversion`. Touches of people who never converted stay in, for models that need
//! them.

mod events;
mod group;
mod paths;
mod read;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, Int64Array};

use group::{Groups, partition};

pub use events::{EventSettings, read_events};
pub use paths::read_paths;
pub use read::{Names, read};

use crate::column::{NULL, TableError, narrow};

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            click_lookback_us: 30 * 86_400_000_000,
            view_lookback_us: 86_400_000_000,
            policy: Policy::Partition,
        }
    }
}

/// What a row is, in 32 bits: a conversion with its number, or a touch with its channel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tag(u32);

impl Tag {
    const CONVERSION: u32 = 1 << 31;
    const VIEW: u32 = 1 << 30;
    const KEY: u32 = 1 << 29;
    /// Channel numbers are below this; it stands for the null channel itself.
    const NO_CHANNEL: u32 = Self::KEY - 1;

    pub(crate) fn conversion(index: usize) -> Result<Self, TableError> {
        let max = Self::CONVERSION;
        match u32::try_from(index) {
            Ok(index) if index < max => Ok(Self(index | Self::CONVERSION)),
            _ => Err(TableError::TooMany { what: "conversions", max }),
        }
    }

    pub(crate) fn touch(channel: u32, is_view: bool, is_key: bool) -> Result<Self, TableError> {
        let channel = if channel == NULL { Self::NO_CHANNEL } else { channel };
        if channel > Self::NO_CHANNEL {
            return Err(TableError::TooMany { what: "channels", max: Self::NO_CHANNEL });
        }
        let view = if is_view { Self::VIEW } else { 0 };
        let key = if is_key { Self::KEY } else { 0 };
        Ok(Self(channel | view | key))
    }

    fn is_conversion(self) -> bool {
        self.0 & Self::CONVERSION != 0
    }

    fn index(self) -> usize {
        (self.0 & !Self::CONVERSION) as usize
    }
}

/// One row as the kernel moves it around.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    pub(crate) time: i64,
    pub(crate) row: u32,
    pub(crate) tag: Tag,
}

impl Entry {
    /// Order inside a person: time, touches before conversions, input order.
    fn order(&self) -> (i64, u64) {
        let class = u64::from(self.tag.is_conversion()) << 32;
        (self.time, class | u64::from(self.row))
    }

    /// A hash of the person whose upper bits say where it belongs.
    fn hash(&self) -> u64 {
        self.key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// A click, an impression, or whatever else may earn credit.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// When, in microseconds.
    pub time: i64,
    /// Its row in the input.
    pub row: u32,
    tag: Tag,
}

impl Touch {
    /// Number of its channel; none for the null channel.
    pub fn channel(&self) -> Option<u32> {
        let channel = self.tag.0 & Tag::NO_CHANNEL;
        (channel != Tag::NO_CHANNEL).then_some(channel)
    }

    /// Whether only `view_lookback` applies to it.
    pub fn is_view(&self) -> bool {
        self.tag.0 & Tag::VIEW != 0
    }

    /// Whether it is marked as the key touch.
    pub fn is_key(&self) -> bool {
        self.tag.0 & Tag::KEY != 0
    }

    /// Microseconds before a conversion at or after it.
    pub fn age_us(&self, conversion_time: i64) -> u64 {
        debug_assert!(self.time <= conversion_time);
        conversion_time.abs_diff(self.time)
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
        }
    }
}

/// The touches a conversion may credit: those from `start` to `stop`.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    stop: u32,
    time: i64,
}

/// Rows as read, before they are put in order.
pub(crate) struct Unordered {
    pub(crate) entries: Vec<Entry>,
    pub(crate) channels: Labels,
    pub(crate) conversions: Conversions,
    pub(crate) has_views: bool,
}

/// Touches in order, one journey per conversion.
#[derive(Debug)]
pub struct Journeys {
    touches: Vec<Touch>,
    /// Where in `touches` each person ends: the seam for journeys that never converted.
    persons: Vec<u32>,
    spans: Vec<Span>,
    channels: Labels,
    conversions: Conversions,
    settings: Settings,
    /// Whether some touch in a span may lie outside its own lookback.
    is_mixed: bool,
    is_timed: bool,
}

impl Journeys {
    /// Put rows in order and find each conversion's touches; `stop` ends it early.
    pub(crate) fn build(
        given: Unordered,
        settings: Settings,
        stop: &AtomicBool,
    ) -> Result<Self, TableError> {
        let Unordered { entries, channels, conversions, has_views } = given;
        let is_mixed = has_views && settings.click_lookback_us != settings.view_lookback_us;
        let reach_us = if has_views {
            settings.click_lookback_us.max(settings.view_lookback_us)
        } else {
            settings.click_lookback_us
        };
        let touch_count = entries.len() - conversions.rows.len();
        let mut walk = Walk {
            touches: Vec::with_capacity(touch_count),
            persons: Vec::new(),
            spans: vec![Span::default(); conversions.rows.len()],
            names: &conversions.names,
            consumed: vec![0; conversions.names.iter().max().map_or(0, |n| *n as usize + 1)],
            reach_us: reach_us.unsigned_abs(),
            is_partition: settings.policy == Policy::Partition,
        };
        let (entries, ends) = partition(entries);
        let mut groups = Groups::default();
        let mut start = 0;
        for end in ends {
            if stop.load(Ordering::Relaxed) {
                return Err(TableError::Cancelled);
            }
            groups.each(&entries[start..end], |person| walk.person(person));
            start = end;
        }
        let Walk { touches, persons, spans, .. } = walk;
        Ok(Self {
            touches,
            persons,
            spans,
            channels,
            conversions,
            settings,
            is_mixed,
            is_timed: true,
        })
    }

    /// How many conversions there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no conversion.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The touches the conversion numbered `index` may credit, in order, and its time.
    pub fn journey<'a>(&'a self, index: usize, scratch: &'a mut Vec<Touch>) -> Journey<'a> {
        let span = self.spans[index];
        let touches = &self.touches[span.start as usize..span.stop as usize];
        if !self.is_mixed {
            return Journey { touches, time: span.time };
        }
        let lookback = |touch: &Touch| {
            let views = touch.is_view();
            let us = if views {
                self.settings.view_lookback_us
            } else {
                self.settings.click_lookback_us
            };
            us.unsigned_abs()
        };
        scratch.clear();
        scratch.extend(touches.iter().filter(|t| t.age_us(span.time) <= lookback(t)));
        Journey { touches: scratch, time: span.time }
    }

    /// Every touch, grouped by person and in order.
    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// How many people there are.
    pub fn person_count(&self) -> usize {
        self.persons.len()
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
        self.is_timed
    }

    /// Conversions in all, and those without touches.
    pub fn totals(&self) -> (f64, f64) {
        let mut scratch = Vec::new();
        let mut totals = (0.0, 0.0);
        for index in 0..self.len() {
            let weight = self.weight(index);
            totals.0 += weight;
            if self.journey(index, &mut scratch).touches.is_empty() {
                totals.1 += weight;
            }
        }
        totals
    }

    /// How many conversions the one numbered `index` stands for.
    pub fn weight(&self, index: usize) -> f64 {
        self.conversions.weights.as_ref().map_or(1.0, |weights| weights[index])
    }

    /// Time of the first and the last row, in microseconds.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        let times = || {
            let touches = self.touches.iter().map(|touch| touch.time);
            touches.chain(self.spans.iter().map(|span| span.time))
        };
        if self.is_timed { times().min().zip(times().max()) } else { None }
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

/// The state of going through people one after the other.
struct Walk<'a> {
    touches: Vec<Touch>,
    persons: Vec<u32>,
    spans: Vec<Span>,
    names: &'a [u32],
    /// By name: up to where the last conversion consumed. Another person's lies before all touches
    /// of this one.
    consumed: Vec<u32>,
    reach_us: u64,
    is_partition: bool,
}

impl Walk<'_> {
    fn person(&mut self, rows: &[Entry]) {
        let mut low = self.touches.len();
        for row in rows {
            if row.tag.is_conversion() {
                while self.touches.get(low).is_some_and(|t| t.age_us(row.time) > self.reach_us) {
                    low += 1;
                }
                self.conversion(row, narrow(low));
            } else {
                self.touches.push(Touch { time: row.time, row: row.row, tag: row.tag });
            }
        }
        self.persons.push(narrow(self.touches.len()));
    }

    fn conversion(&mut self, row: &Entry, low: u32) {
        let index = row.tag.index();
        let stop = narrow(self.touches.len());
        let consumed = &mut self.consumed[self.names[index] as usize];
        let start = if self.is_partition { low.max(*consumed) } else { low };
        *consumed = stop;
        self.spans[index] = Span { start, stop, time: row.time };
    }
}
