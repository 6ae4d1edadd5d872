//! What all people share: networks, countries, devices and the rhythm of days and weeks.

use crate::random::{Random, Weights};
use crate::scenario::Scenario;

/// Microseconds of a second and a day.
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// An ad network.
pub(crate) struct Network {
    pub(crate) name: &'static str,
    pub(crate) medium: &'static str,
    /// How often its click is the last before an install, and how often people see it at all:
    /// the difference is what attribution models disagree about.
    closes: f64,
    shows: f64,
    /// Factor on retention and on the share of payers.
    pub(crate) quality: f64,
}

const fn network(
    name: &'static str,
    medium: &'static str,
    closes: f64,
    shows: f64,
    quality: f64,
) -> Network {
    Network { name, medium, closes, shows, quality }
}

pub(crate) const NETWORKS: [Network; 8] = [
    network("google_ads", "cpc", 0.26, 0.12, 1.15),
    network("meta", "cpc", 0.22, 0.22, 1.05),
    network("tiktok", "cpm", 0.10, 0.24, 0.85),
    network("apple_search_ads", "cpc", 0.16, 0.04, 1.30),
    network("unity", "cpi", 0.09, 0.12, 0.75),
    network("applovin", "cpi", 0.09, 0.12, 0.80),
    network("ironsource", "cpi", 0.05, 0.06, 0.70),
    network("snapchat", "cpm", 0.03, 0.08, 0.90),
];

/// Apple's own network does not reach Android; its people see the first one.
const APPLE: usize = 3;

/// Quality of those who came by themselves.
pub(crate) const ORGANIC_QUALITY: f64 = 1.20;

pub(crate) const CAMPAIGNS: u32 = 12;
pub(crate) const ADSETS: u64 = 4;
pub(crate) const CREATIVES: u64 = 6;
pub(crate) const SITES: u32 = 400;

pub(crate) struct Country {
    pub(crate) code: &'static str,
    pub(crate) language: &'static str,
    weight: f64,
    offset_hours: i64,
}

const fn country(
    code: &'static str,
    language: &'static str,
    weight: f64,
    offset_hours: i64,
) -> Country {
    Country { code, language, weight, offset_hours }
}

pub(crate) const COUNTRIES: [Country; 12] = [
    country("US", "en-US", 30.0, -6),
    country("DE", "de-DE", 10.0, 1),
    country("GB", "en-GB", 9.0, 0),
    country("BR", "pt-BR", 9.0, -3),
    country("IN", "en-IN", 9.0, 5),
    country("JP", "ja-JP", 8.0, 9),
    country("FR", "fr-FR", 7.0, 1),
    country("MX", "es-MX", 5.0, -6),
    country("KR", "ko-KR", 4.0, 9),
    country("ES", "es-ES", 3.0, 1),
    country("CA", "en-CA", 3.0, -5),
    country("TR", "tr-TR", 3.0, 3),
];

/// Versions of the systems, newest first: weights fall with age.
pub(crate) const IOS: [&str; 5] = ["26.1", "26.0", "18.6", "18.5", "17.7"];
pub(crate) const ANDROID: [&str; 5] = ["16", "15", "14", "13", "12"];
pub(crate) const IOS_MODELS: [&str; 4] = ["iPhone17,1", "iPhone16,2", "iPhone15,3", "iPhone14,5"];
pub(crate) const ANDROID_MODELS: [&str; 4] = ["SM-S928B", "Pixel 9", "CPH2609", "SM-A556B"];
pub(crate) const APP_VERSIONS: [&str; 3] = ["3.2.1", "3.2.0", "3.1.4"];

/// Activity by local hour, from midnight: asleep at four, at its height after supper.
const HOURS: [f64; 24] = [
    0.55, 0.35, 0.25, 0.20, 0.20, 0.30, 0.50, 0.75, 0.90, 0.95, 1.00, 1.05, 1.20, 1.15, 1.05, 1.05,
    1.10, 1.25, 1.40, 1.60, 1.75, 1.70, 1.35, 0.90,
];

/// Where a touch came from, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) network: u8,
    pub(crate) campaign: u8,
    pub(crate) adset: u8,
    pub(crate) creative: u8,
    pub(crate) site: u16,
}

/// The tables of a scenario, built once.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    closes: Weights,
    shows: Weights,
    campaigns: Weights,
    sites: Weights,
    countries: Weights,
    hours: Weights,
    days: Weights,
    pub(crate) recent: Weights,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let weekend = scenario.weekend;
        let week = |day: u32| week_factor(scenario.start_day + i64::from(day), weekend);
        Self {
            closes: Weights::new(NETWORKS.iter().map(|n| n.closes)),
            shows: Weights::new(NETWORKS.iter().map(|n| n.shows)),
            campaigns: Weights::zipf(CAMPAIGNS, 1.1),
            sites: Weights::zipf(SITES, 1.0),
            countries: Weights::new(COUNTRIES.iter().map(|c| c.weight)),
            hours: Weights::new(HOURS),
            days: Weights::new((0..scenario.days).map(week)),
            recent: Weights::zipf(5, 1.0),
            scenario,
        }
    }

    /// Microseconds after the start at which the scenario ends.
    pub(crate) fn end(&self) -> i64 {
        i64::from(self.scenario.days) * DAY
    }

    pub(crate) fn week_factor(&self, day: i64) -> f64 {
        week_factor(self.scenario.start_day + day, self.scenario.weekend)
    }

    pub(crate) fn country(&self, random: &mut Random) -> usize {
        self.countries.pick(random)
    }

    /// A moment of the scenario, by the rhythm of week and day.
    pub(crate) fn moment(&self, country: usize, random: &mut Random) -> i64 {
        let day = i64::try_from(self.days.pick(random)).unwrap_or_default();
        day * DAY + self.clock(country, random)
    }

    /// Microseconds after UTC midnight, by the country's rhythm of the day.
    pub(crate) fn clock(&self, country: usize, random: &mut Random) -> i64 {
        let hour = i64::try_from(self.hours.pick(random)).unwrap_or_default();
        let offset = COUNTRIES[country].offset_hours;
        let within = random.below(3_600_000).cast_signed() * 1_000;
        (hour - offset).rem_euclid(24) * 3_600 * SECOND + within
    }

    /// The network of a last click.
    pub(crate) fn closing(&self, is_ios: bool, random: &mut Random) -> Touch {
        let network = self.closes.pick(random);
        self.touch(network, is_ios, random)
    }

    /// A touch on the way: often of the network that will close.
    pub(crate) fn passing(&self, last: Touch, is_ios: bool, random: &mut Random) -> Touch {
        let network = if random.is(self.scenario.loyalty) {
            usize::from(last.network)
        } else {
            self.shows.pick(random)
        };
        self.touch(network, is_ios, random)
    }

    fn touch(&self, network: usize, is_ios: bool, random: &mut Random) -> Touch {
        let network = if network == APPLE && !is_ios { 0 } else { network };
        let small = |value: u64| u8::try_from(value).unwrap_or_default();
        Touch {
            network: small(network as u64),
            campaign: small(self.campaigns.pick(random) as u64),
            adset: small(random.below(ADSETS)),
            creative: small(random.below(CREATIVES)),
            site: u16::try_from(self.sites.pick(random)).unwrap_or_default(),
        }
    }
}

/// 1970-01-01 was a Thursday.
fn week_factor(day: i64, weekend: f64) -> f64 {
    if matches!((day + 3).rem_euclid(7), 5 | 6) { weekend } else { 1.0 }
}
