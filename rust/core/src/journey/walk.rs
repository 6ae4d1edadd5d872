//! One person's steps in, the touches each of their conversions may credit out.

use super::row::Step;
use super::{Journey, Policy, Settings, Touch};
use crate::column::narrow;

/// The touches a conversion may credit: those from `start` to `stop`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// Number of the conversion.
    pub(crate) index: u32,
    /// Number of its name.
    pub(crate) name: u32,
    pub(crate) start: u32,
    pub(crate) stop: u32,
    pub(crate) time: i64,
}

/// One person: all touches in order, and a span of them per conversion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) touches: &'a [Touch],
    pub(crate) spans: &'a [Span],
}

impl Person<'_> {
    /// Call `take` with the number and the journey of each conversion.
    pub(crate) fn journeys(
        &self,
        lens: &Lens,
        scratch: &mut Vec<Touch>,
        mut take: impl FnMut(usize, Journey<'_>),
    ) {
        for span in self.spans {
            let touches = &self.touches[span.start as usize..span.stop as usize];
            take(span.index as usize, lens.journey(touches, span.time, scratch));
        }
    }
}

impl<'a> Person<'a> {
    /// Call `take` with the touches of each journey that did not convert: those in no conversion's
    /// window, cut where a conversion or a gap longer than the click lookback lies between.
    pub(crate) fn unconverted(
        &self,
        lens: &Lens,
        mut take: impl FnMut(&mut dyn Iterator<Item = &'a Touch>),
    ) {
        if !lens.is_timed {
            return;
        }
        let mut end = |journey: &mut Vec<&'a Touch>| {
            if lens.prefers_clicks && !journey.iter().all(|touch| touch.is_view()) {
                journey.retain(|touch| !touch.is_view());
            }
            if !journey.is_empty() {
                take(&mut journey.iter().copied());
            }
            journey.clear();
        };
        let mut spans = self.spans.iter().peekable();
        let mut journey: Vec<&Touch> = Vec::new();
        for (index, touch) in (0..).zip(self.touches) {
            let mut is_cut = false;
            while spans.next_if(|span| span.stop <= index).is_some() {
                is_cut = true;
            }
            // The next conversion is the nearest: whose window it is not in, it is in none.
            let is_inside = spans.peek().is_some_and(|next| lens.reaches(touch, next.time));
            let last = journey.last();
            is_cut |= last.is_some_and(|last| last.age_us(touch.time()) > lens.click_us);
            if is_cut {
                end(&mut journey);
            }
            if !is_inside {
                journey.push(touch);
            }
        }
        end(&mut journey);
    }
}

/// How far back a conversion looks, by the type of the touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lens {
    click_us: u64,
    view_us: u64,
    /// Whether some touch in a span may not count.
    is_mixed: bool,
    /// Whether impressions are left out of a journey that has another touch.
    prefers_clicks: bool,
    /// Aggregated paths have no times, and say how often they did not convert.
    is_timed: bool,
}

impl Lens {
    /// Whether a touch lies in its own lookback before `time`.
    pub(crate) fn reaches(&self, touch: &Touch, time: i64) -> bool {
        touch.age_us(time) <= self.lookback_us(touch)
    }

    /// Whether a lookback half as long would not reach a touch.
    pub(crate) fn is_in_older_half(&self, touch: &Touch, time: i64) -> bool {
        touch.age_us(time) > self.lookback_us(touch) / 2
    }

    fn lookback_us(&self, touch: &Touch) -> u64 {
        if touch.is_view() { self.view_us } else { self.click_us }
    }

    pub(crate) fn new(settings: Settings, has_views: bool) -> Self {
        let (click_us, view_us) =
            (settings.click_lookback_us.unsigned_abs(), settings.view_lookback_us.unsigned_abs());
        let prefers_clicks = has_views && settings.prefers_clicks;
        let is_mixed = has_views && click_us != view_us || prefers_clicks;
        Self { click_us, view_us, is_mixed, prefers_clicks, is_timed: true }
    }

    fn reach_us(&self) -> u64 {
        if self.is_mixed { self.click_us.max(self.view_us) } else { self.click_us }
    }

    /// Those of a span's touches that count.
    pub(crate) fn journey<'a>(
        &self,
        touches: &'a [Touch],
        time: i64,
        scratch: &'a mut Vec<Touch>,
    ) -> Journey<'a> {
        if !self.is_mixed {
            return Journey { touches, time };
        }
        scratch.clear();
        scratch.extend(touches.iter().filter(|touch| self.reaches(touch, time)));
        if self.prefers_clicks && !scratch.iter().all(Touch::is_view) {
            scratch.retain(|touch| !touch.is_view());
        }
        Journey { touches: scratch, time }
    }
}

/// Goes through people one after the other and keeps its memory between them.
pub(crate) struct Walk<'a> {
    touches: Vec<Touch>,
    spans: Vec<Span>,
    /// By conversion: the number of its name; empty where all have one name.
    names: &'a [u32],
    /// By name: up to where this person's last conversion consumed.
    consumed: Vec<u32>,
    reach_us: u64,
    is_partition: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(names: &'a [u32], lens: &Lens, policy: Policy) -> Self {
        let name_count = names.iter().max().map_or(1, |name| *name as usize + 1);
        Self {
            touches: Vec::new(),
            spans: Vec::new(),
            names: if name_count > 1 { names } else { &[] },
            consumed: vec![0; name_count],
            reach_us: lens.reach_us(),
            is_partition: policy == Policy::Partition,
        }
    }

    pub(crate) fn person(&mut self, steps: impl Iterator<Item = Step>) -> Person<'_> {
        for span in self.spans.drain(..) {
            self.consumed[span.name as usize] = 0;
        }
        self.touches.clear();
        let mut low = 0;
        for step in steps {
            if step.tag.is_conversion() {
                while self.touches.get(low).is_some_and(|t| t.age_us(step.time) > self.reach_us) {
                    low += 1;
                }
                self.conversion(step, narrow(low));
            } else {
                self.touches.push(Touch(step));
            }
        }
        Person { touches: &self.touches, spans: &self.spans }
    }

    fn conversion(&mut self, step: Step, low: u32) {
        let index = step.tag.payload();
        let name = self.names.get(index as usize).copied().unwrap_or_default();
        let stop = narrow(self.touches.len());
        let consumed = &mut self.consumed[name as usize];
        let start = if self.is_partition { low.max(*consumed) } else { low };
        *consumed = stop;
        self.spans.push(Span { index, name, start, stop, time: step.time });
    }
}
