//! One day of one person: what it sees, clicks, opens and buys.

use crate::person::{Person, millis};
use crate::random::{Random, whole};
use crate::world::{DAY, SECOND, Touch, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Impression,
    Click,
    Install,
    SessionStart,
    ScreenView,
    SignUp,
    Purchase,
}

impl Kind {
    pub(crate) const fn is_touch(self) -> bool {
        matches!(self, Self::Impression | Self::Click)
    }
}

/// One event before it is text. Times are microseconds after the start of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) arrives: i64,
    pub(crate) at: i64,
    /// Half of the event's id, and the seed of its details.
    pub(crate) tag: u64,
    pub(crate) session: u64,
    pub(crate) person: u32,
    pub(crate) cents: u32,
    pub(crate) touch: Touch,
    pub(crate) kind: Kind,
    pub(crate) is_copy: bool,
}

/// Writes the events of one person's day.
pub(crate) struct Life<'w> {
    pub(crate) world: &'w World,
    pub(crate) person: &'w Person,
    pub(crate) index: u32,
}

impl Life<'_> {
    /// Append everything that begins on `day` and happens before the scenario ends.
    pub(crate) fn day(&self, day: i64, out: &mut Vec<Event>) {
        if !self.person.is_around(day) {
            return;
        }
        let mut random = Random::of(self.person.key, day.cast_unsigned().wrapping_add(1));
        let from = out.len();
        self.see(day, &mut random, out);
        if let Some(click) = self.person.click.filter(|click| click / DAY == day) {
            self.push(Kind::Click, click, self.person.touch, &mut random, out);
        }
        if let Some(install) = self.person.install {
            self.use_app(install, day - install / DAY, &mut random, out);
        }
        let end = self.world.end();
        let mut kept = from;
        for at in from..out.len() {
            if out[at].at < end {
                out.swap(kept, at);
                kept += 1;
            }
        }
        out.truncate(kept);
    }

    /// Impressions, a few of them clicked in vain; none after the click that leads to the app.
    fn see(&self, day: i64, random: &mut Random, out: &mut Vec<Event>) {
        let scenario = &self.world.scenario;
        if !(self.person.exposed.0..self.person.exposed.1).contains(&day) {
            return;
        }
        let until = self.person.click.unwrap_or(i64::MAX);
        let mean = scenario.exposures / scenario.exposure_days.ceil() * self.world.week_factor(day);
        for _ in 0..random.poisson(mean) {
            let at = day * DAY + self.clock(random);
            let touch = self.world.passing(self.person.touch, self.person.is_ios, random);
            let clicked = at + (2 + random.below(28)).cast_signed() * SECOND;
            if at < until {
                self.push(Kind::Impression, at, touch, random, out);
            }
            if random.is(scenario.click_rate) && clicked < until {
                self.push(Kind::Click, clicked, touch, random, out);
            }
        }
    }

    /// The `age`-th day with the app, counted in periods of 24 hours from the install.
    fn use_app(&self, install: i64, age: i64, random: &mut Random, out: &mut Vec<Event>) {
        if age < 0 || !random.is(self.retention(age)) {
            return;
        }
        let from = install + age * DAY;
        let sessions = 1 + random.poisson(self.world.scenario.sessions);
        for number in 0..sessions {
            let start = match (age, number) {
                (0, 0) => install,
                // The first moment after `from` that shows this time of day.
                _ => from + (self.clock(random) - from).rem_euclid(DAY),
            };
            self.session(start, age == 0 && number == 0, random, out);
        }
        if self.person.is_payer {
            for _ in 0..random.poisson(self.world.scenario.purchases) {
                self.buy(from, random, out);
            }
        }
    }

    /// Chance of a visit: certain at first, then a falling power law.
    fn retention(&self, age: i64) -> f64 {
        let scenario = &self.world.scenario;
        if age == 0 {
            return 1.0;
        }
        let base = scenario.retention_day_1 * self.person.quality;
        (base * (age as f64).powf(-scenario.retention_exponent)).min(1.0)
    }

    fn session(&self, start: i64, is_first: bool, random: &mut Random, out: &mut Vec<Event>) {
        let from = out.len();
        let session = random.word();
        let mut at = start;
        if is_first {
            self.push(Kind::Install, at, Touch::default(), random, out);
            at += (200 + random.below(1_500)).cast_signed() * 1_000;
        }
        self.push(Kind::SessionStart, at, Touch::default(), random, out);
        for _ in 0..=random.poisson(self.world.scenario.screens) {
            at += millis(random.lognormal(12.0, 1.0).min(600.0));
            self.push(Kind::ScreenView, at, Touch::default(), random, out);
        }
        if let Some(sign_up) = self.person.sign_up.filter(|_| is_first) {
            self.push(Kind::SignUp, sign_up, Touch::default(), random, out);
        }
        out[from..].iter_mut().for_each(|event| event.session = session);
    }

    fn buy(&self, from: i64, random: &mut Random, out: &mut Vec<Event>) {
        let scenario = &self.world.scenario;
        let at = from + (self.clock(random) - from).rem_euclid(DAY);
        let amount = random.lognormal(scenario.purchase_median, scenario.purchase_sigma);
        self.push(Kind::Purchase, at, Touch::default(), random, out);
        if let Some(event) = out.last_mut() {
            // Cents, never nothing; nobody spends ten million at once.
            event.cents = u32::try_from(whole(amount * 100.0).clamp(1, 1_000_000_000)).unwrap_or(1);
        }
    }

    fn clock(&self, random: &mut Random) -> i64 {
        self.world.clock(usize::from(self.person.country), random)
    }

    fn push(&self, kind: Kind, at: i64, touch: Touch, random: &mut Random, out: &mut Vec<Event>) {
        let tag = random.word();
        let (session, person, cents) = (0, self.index, 0);
        out.push(Event {
            arrives: at,
            at,
            tag,
            session,
            person,
            cents,
            touch,
            kind,
            is_copy: false,
        });
    }
}
