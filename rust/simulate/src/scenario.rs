//! Every assumption of the simulator with its default, by name.

use std::fmt;

/// Last day that fits the event table: 2099-12-31.
const LAST_DAY: i64 = 47_481;
/// First day that fits it: 2000-01-01.
const FIRST_DAY: i64 = 10_957;

/// A value for [`Scenario::set`].
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Yes or no.
    Flag(bool),
    /// A count, a seed or a day.
    Whole(i64),
    /// A share, a median or an exponent.
    Real(f64),
    /// A name.
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// A scenario that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScenarioError {
    /// There is no such setting.
    Unknown(String),
    /// The setting exists, its value makes no sense.
    Wrong {
        /// Its name.
        name: &'static str,
        /// What was given.
        got: String,
        /// What would do.
        want: &'static str,
    },
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "no setting `{name}`\nhint: docs/simulator.md lists them")
            }
            Self::Wrong { name, got, want } => {
                write!(f, "{name} must be {want}, got `{got}`\nhint: docs/simulator.md says more")
            }
        }
    }
}

impl std::error::Error for ScenarioError {}

const SHARE: &str = "a share from 0 to 1";
const POSITIVE: &str = "a number above 0";
const MEAN: &str = "a mean from 0 to 100";

macro_rules! scenario {
    (
        plain { $($plain:ident: $kind:ty = $plain_default:expr, $plain_doc:literal;)* }
        real { $($real:ident = $default:literal, $want:ident, $doc:literal;)* }
    ) => {
        /// What is simulated.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Scenario {
            $(#[doc = $plain_doc] pub $plain: $kind,)*
            $(#[doc = $doc] pub $real: f64,)*
        }

        impl Default for Scenario {
            fn default() -> Self {
                Self { $($plain: $plain_default,)* $($real: $default,)* }
            }
        }

        impl Scenario {
            /// Every setting that is a number with a fraction: name, default and meaning.
            pub const REALS: &'static [(&'static str, f64, &'static str)] =
                &[$((stringify!($real), $default, $doc),)*];

            fn real(&mut self, name: &str) -> Option<&mut f64> {
                match name {
                    $(stringify!($real) => Some(&mut self.$real),)*
                    _ => None,
                }
            }

            fn check_reals(&self) -> Result<(), ScenarioError> {
                $(check(stringify!($real), self.$real, $want)?;)*
                Ok(())
            }
        }
    };
}

scenario! {
    plain {
    seed: u64 = 7, "Everything follows from it.";
    events: u64 = 1_000_000, "Lines without the copies of `duplicates`, exactly.";
    start_day: i64 = 20_454, "First day, counted from 1970-01-01.";
    days: u32 = 30, "Length in days.";
    app_id: Option<String> = None, "App of every event; none leaves it to the key.";
    lines_max: usize = 2_000, "Lines in one chunk.";
    is_truth_told: bool = true, "Whether an install says in `properties.truth` what caused it.";
    is_sent_at_told: bool = false, "Whether in-app events carry `sent_at`.";
    }
    real {
    organic = 0.30, SHARE, "Installs without any touch.";
    prospects = 0.50, SHARE, "People who see ads and never install.";
    ios = 0.45, SHARE, "Devices that run iOS; the others run Android.";
    idfa = 0.60, SHARE, "iOS devices with an advertising id.";
    gaid = 0.95, SHARE, "Android devices with an advertising id.";
    exposures = 3.0, MEAN, "Impressions a person sees in `exposure_days`, Poisson.";
    exposure_days = 7.0, POSITIVE, "Days a person is shown ads, before the click if there is one.";
    click_rate = 0.08, SHARE, "Impressions that are clicked without an install.";
    loyalty = 0.40, SHARE, "Impressions that come from the network of the last click.";
    ctit_body_weight = 0.75, SHARE, "Installs that follow their click at once.";
    ctit_body_median_s = 80.0, POSITIVE, "Their median time from click to install.";
    ctit_body_sigma = 0.9, POSITIVE, "Their spread on the log scale.";
    ctit_tail_median_s = 7_200.0, POSITIVE, "Median time to install of the others.";
    ctit_tail_sigma = 1.4, POSITIVE, "Their spread on the log scale.";
    weekend = 1.2, POSITIVE, "Activity on Saturday and Sunday; a working day is 1.";
    retention_day_1 = 0.35, SHARE, "People who come back on day 1, for a network of quality 1.";
    retention_exponent = 0.5, POSITIVE, "Retention of day n is `retention_day_1 × n^-exponent`.";
    sessions = 1.0, MEAN, "Sessions after the first on a day with one, Poisson.";
    screens = 2.0, MEAN, "Screens after the first in a session, Poisson.";
    sign_ups = 0.50, SHARE, "Installers who sign up in their first session.";
    payers = 0.08, SHARE, "Installers who ever buy, for a network of quality 1.";
    purchases = 0.35, MEAN, "Purchases of a payer on an active day, Poisson.";
    purchase_median = 6.0, POSITIVE, "Median amount in US dollars, lognormal.";
    purchase_sigma = 1.4, POSITIVE, "Its spread on the log scale.";
    late = 0.0, SHARE, "In-app events that arrive late.";
    late_median_s = 21_600.0, POSITIVE, "Median delay of a late event, lognormal with σ 1.5.";
    duplicates = 0.0, SHARE, "Events that are sent a second time, same bytes.";
    clock_skew = 0.0, SHARE, "Devices whose clock is wrong.";
    clock_skew_median_s = 900.0, POSITIVE, "Median error of such a clock, lognormal with σ 1.5.";
}
}

impl Scenario {
    /// Change one setting by its name.
    ///
    /// # Errors
    /// There is no such setting, or it takes another kind of value.
    pub fn set(&mut self, name: &str, value: Setting) -> Result<(), ScenarioError> {
        if let Some(slot) = self.real(name) {
            *slot = match value {
                Setting::Real(value) => value,
                Setting::Whole(value) => value as f64,
                other => return Err(wrong("a share or median", &other, "a number")),
            };
            return Ok(());
        }
        match (name, value) {
            ("seed", Setting::Whole(value)) => self.seed = value.cast_unsigned(),
            ("events", Setting::Whole(value)) => self.events = whole("events", value)?,
            ("start_day", Setting::Whole(value)) => self.start_day = value,
            ("days", Setting::Whole(value)) => self.days = whole("days", value)?,
            ("lines_max", Setting::Whole(value)) => self.lines_max = whole("lines_max", value)?,
            ("app_id", Setting::Text(value)) => self.app_id = Some(value),
            ("is_truth_told", Setting::Flag(value)) => self.is_truth_told = value,
            ("is_sent_at_told", Setting::Flag(value)) => self.is_sent_at_told = value,
            (name, _) => return Err(ScenarioError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// Whether this can be simulated.
    ///
    /// # Errors
    /// The first setting that cannot be, with what it must be.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.check_reals()?;
        let range = FIRST_DAY..=LAST_DAY;
        if !(1..=3_660).contains(&self.days) {
            return Err(wrong("days", &self.days, "between 1 and 3660"));
        }
        if !range.contains(&self.start_day)
            || !range.contains(&(self.start_day + i64::from(self.days) - 1))
        {
            return Err(wrong("start", &self.start_day, "within the years 2000 to 2099"));
        }
        if self.lines_max == 0 {
            return Err(wrong("lines_max", &self.lines_max, "at least 1"));
        }
        if self.prospects > 0.99 {
            // Else no number of people would ever make the events that were asked for.
            return Err(wrong("prospects", &self.prospects, "at most 0.99"));
        }
        let bytes = self.app_id.as_ref().map_or(1, String::len);
        if !(1..=256).contains(&bytes) {
            return Err(wrong("app_id", &bytes, "1 to 256 bytes long"));
        }
        Ok(())
    }
}

fn wrong(name: &'static str, got: &impl fmt::Display, want: &'static str) -> ScenarioError {
    ScenarioError::Wrong { name, got: got.to_string(), want }
}

fn whole<T: TryFrom<i64>>(name: &'static str, value: i64) -> Result<T, ScenarioError> {
    T::try_from(value).map_err(|_| wrong(name, &value, "a count"))
}

fn check(name: &'static str, value: f64, want: &'static str) -> Result<(), ScenarioError> {
    let is_right = match want {
        SHARE => (0.0..=1.0).contains(&value),
        MEAN => (0.0..=100.0).contains(&value),
        _ => value > 0.0 && value.is_finite(),
    };
    if is_right { Ok(()) } else { Err(wrong(name, &value, want)) }
}
