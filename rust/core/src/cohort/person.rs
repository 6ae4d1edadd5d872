//! What is known of somebody who started: with what, after which touch, and seen on which days.

use super::{CohortSettings, DAY_US};
use crate::column::NULL;
use crate::journey::Settings;

/// The event a person started with.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) row: u32,
    pub(super) time: i64,
    pub(super) is_install: bool,
}

impl Start {
    /// Before it is known.
    pub(super) const NONE: Self = Self { row: 0, time: i64::MAX, is_install: false };

    /// With an event that is no install.
    pub(super) fn at(time: i64) -> Self {
        Self { time, ..Self::NONE }
    }

    /// Installs before anything else, then the earliest, then the first in the input.
    fn is_before(&self, other: &Self) -> bool {
        (!self.is_install, self.time, self.row) < (!other.is_install, other.time, other.row)
    }

    pub(super) fn take(&mut self, other: Self) {
        if other.is_before(self) {
            *self = other;
        }
    }

    /// Whether it looks back to a touch.
    pub(super) fn reaches(&self, time: i64, is_view: bool, settings: Settings) -> bool {
        let lookback = if is_view { settings.view_lookback_us } else { settings.click_lookback_us };
        time <= self.time && self.time.abs_diff(time) <= lookback.unsigned_abs()
    }

    /// Whole days from it to a time, rounded down; i128 because two times may lie further apart
    /// than an i64 counts.
    pub(super) fn days_to(&self, time: i64) -> i128 {
        match time.checked_sub(self.time) {
            Some(elapsed) => elapsed.div_euclid(DAY_US).into(),
            None => (i128::from(time) - i128::from(self.time)).div_euclid(DAY_US.into()),
        }
    }
}

/// Ordered as shown: by value, the null value, those without a touch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cohort {
    Value(u32),
    Null,
    Unattributed,
}

impl Cohort {
    pub(super) fn of(value: u32) -> Self {
        if value == NULL { Self::Null } else { Self::Value(value) }
    }
}

/// The last touch in the lookback of a start; of those at the same time the one further down.
#[derive(Clone, Copy)]
pub(super) struct LastTouch {
    time: i64,
    by: u32,
    is_some: bool,
    /// Whether another one at the same time makes another cohort.
    pub(super) is_tied: bool,
}

impl LastTouch {
    pub(super) const NONE: Self = Self { time: i64::MIN, by: NULL, is_some: false, is_tied: false };

    pub(super) fn take(&mut self, time: i64, by: u32) {
        let is_tied = self.is_some && time == self.time && (self.is_tied || by != self.by);
        if time >= self.time {
            *self = Self { time, by, is_some: true, is_tied };
        }
    }

    pub(super) fn cohort(&self) -> Cohort {
        if self.is_some { Cohort::of(self.by) } else { Cohort::Unattributed }
    }
}

/// Who came on which of the days that are shown; whoever comes twice a day is one.
pub(super) struct Seen<'a> {
    pub(super) settings: CohortSettings<'a>,
    /// By person.
    pub(super) starts: &'a [Start],
    /// By person and day.
    marks: Vec<bool>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(settings: CohortSettings<'a>, starts: &'a [Start]) -> Self {
        let marks = vec![false; starts.len() * settings.days.len()];
        Self { settings, starts, marks }
    }

    /// Something a person did that is no touch.
    pub(super) fn event(&mut self, person: u32, time: i64) {
        let Some(start) = self.starts.get(person as usize) else { return };
        if time < start.time || !self.settings.has(start) {
            return;
        }
        let (day, count) = (start.days_to(time), self.settings.days.len());
        let marks = &mut self.marks[person as usize * count..][..count];
        for (mark, wanted) in marks.iter_mut().zip(self.settings.days) {
            *mark |= i128::from(*wanted) == day;
        }
    }

    /// By day.
    pub(super) fn of(&self, person: usize) -> &[bool] {
        let count = self.settings.days.len();
        &self.marks[person * count..][..count]
    }
}
