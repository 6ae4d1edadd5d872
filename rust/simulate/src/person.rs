//! What is settled about a person from the beginning.

use crate::random::{Random, mix, whole};
use crate::world::{DAY, NETWORKS, ORGANIC_QUALITY, SECOND, Touch, World};

/// Times are microseconds after the start of the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Its ids and its days follow from it.
    pub(crate) key: u64,
    /// First day ads are shown, and one past the last; before the scenario where negative.
    pub(crate) exposed: (i64, i64),
    /// The click that leads to the install.
    pub(crate) click: Option<i64>,
    pub(crate) install: Option<i64>,
    pub(crate) sign_up: Option<i64>,
    /// Network of that click, or of most ads seen.
    pub(crate) touch: Touch,
    pub(crate) quality: f64,
    pub(crate) skew: i64,
    pub(crate) country: u8,
    /// Positions in the tables of versions and models.
    pub(crate) os_version: u8,
    pub(crate) model: u8,
    pub(crate) app_version: u8,
    pub(crate) is_ios: bool,
    pub(crate) has_advertising_id: bool,
    pub(crate) is_payer: bool,
}

impl Person {
    /// Person number `index` of the scenario.
    pub(crate) fn new(world: &World, index: u32) -> Self {
        let scenario = &world.scenario;
        // Added, not mixed alike: person 2 of seed 3 would be person 3 of seed 2.
        let key = mix(mix(scenario.seed).wrapping_add(u64::from(index)).wrapping_add(1));
        let mut random = Random::of(key, 0);
        let is_ios = random.is(scenario.ios);
        let small = |value: usize| u8::try_from(value).unwrap_or_default();
        let country = world.country(&mut random);
        let mut person = Self {
            key,
            exposed: (0, 0),
            click: None,
            install: None,
            sign_up: None,
            touch: world.closing(is_ios, &mut random),
            quality: ORGANIC_QUALITY,
            skew: 0,
            country: small(country),
            os_version: small(world.recent.pick(&mut random)),
            model: small(world.recent.pick(&mut random) % 4),
            app_version: small(world.recent.pick(&mut random) % 3),
            is_ios,
            has_advertising_id: random.is(if is_ios { scenario.idfa } else { scenario.gaid }),
            is_payer: false,
        };
        person.decide(world, &mut random);
        person
    }

    /// Prospect, organic or paid.
    fn decide(&mut self, world: &World, random: &mut Random) {
        let scenario = &world.scenario;
        let shown_days = whole(scenario.exposure_days.ceil());
        if random.is(scenario.prospects) {
            // From before the start, so that the first days are no thinner than the others.
            let span = i64::from(scenario.days) + shown_days - 1;
            let from = random.below(span.cast_unsigned()).cast_signed() - shown_days + 1;
            self.exposed = (from, from + shown_days);
            return;
        }
        let moment = world.moment(usize::from(self.country), random);
        if random.is(scenario.organic) {
            self.install = Some(moment);
        } else {
            let day = moment / DAY;
            self.exposed = (day - shown_days, day + 1);
            self.click = Some(moment);
            self.install = Some(moment + click_to_install(world, random));
            self.quality = NETWORKS[usize::from(self.touch.network)].quality;
        }
        self.is_payer = random.is(scenario.payers * self.quality);
        let is_member = random.is(scenario.sign_ups);
        let delay = (30 + random.below(270)).cast_signed() * SECOND;
        self.sign_up = self.install.filter(|_| is_member).map(|install| install + delay);
        if random.is(scenario.clock_skew) {
            let error = random.lognormal(scenario.clock_skew_median_s, 1.5);
            self.skew = millis(error) * if random.is(0.5) { 1 } else { -1 };
        }
    }

    /// Whether anything can happen to this person on `day`.
    pub(crate) fn is_around(&self, day: i64) -> bool {
        let is_exposed = (self.exposed.0..self.exposed.1).contains(&day);
        is_exposed || self.install.is_some_and(|install| install / DAY <= day)
    }
}

/// A quick body and a slow tail, both lognormal.
fn click_to_install(world: &World, random: &mut Random) -> i64 {
    let scenario = &world.scenario;
    millis(if random.is(scenario.ctit_body_weight) {
        random.lognormal(scenario.ctit_body_median_s, scenario.ctit_body_sigma)
    } else {
        random.lognormal(scenario.ctit_tail_median_s, scenario.ctit_tail_sigma)
    })
}

/// Seconds as microseconds in whole milliseconds, the finest an SDK writes; a century at most.
pub(crate) fn millis(seconds: f64) -> i64 {
    whole(seconds.min(3.2e9) * 1_000.0) * 1_000
}
