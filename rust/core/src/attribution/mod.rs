//! Journeys in, credit out: how each conversion is shared among its touches.

mod aggregated;
mod chain;
mod columns;
mod compare;
mod counterfactual;
mod credits;
mod dense;
mod draws;
mod intervals;
mod markov;
mod opens;
mod orders;
mod paths;
mod permutations;
mod quality;
mod removal;
mod rules;
mod shapley;
mod spread;
mod study;
pub(crate) mod sum;
mod touches;
mod transitions;

use thiserror::Error;

pub use aggregated::aggregated;
pub use compare::compare;
pub use credits::credits;
pub use intervals::Bootstrap;
pub use markov::Removal;
pub use opens::Places;
pub use orders::{Folds, orders};
pub use paths::paths;
pub use permutations::Sampling;
pub use quality::{Quality, quality};
pub use removal::removal_effects;
pub use spread::spread;
pub use touches::attribute;
pub use transitions::transitions;

pub(crate) use study::Study;

use crate::column::TableError;
use crate::journey::{Effort, Journey, Journeys, Labels, Touch};

/// A model that cannot be used as asked.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A half-life of nothing.
    #[error("half_life must be longer than 0, got `{0}` microseconds\nhint: write `7d`")]
    HalfLife(i64),
    /// Shares that are no shares.
    #[error(
        "first and last must be shares of at least 0 and together at most 1, got `{0}` and `{1}`\n\
         hint: the middle gets what they leave"
    )]
    Shares(f64, f64),
    /// A name no model has.
    #[error("no model `{0}`\nhint: the models are {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// Time decay over journeys without times.
    #[error("`time_decay` needs times, and aggregated paths have none\nhint: use `ug.journeys`")]
    NoTimes,
    /// A chain of no or too many touches.
    #[error("order must be from 1 to {ORDER_MAX}, got `{0}`\nhint: 1 looks at the last touch")]
    Order(usize),
    /// A convention nobody has.
    #[error("no {what} `{name}`\nhint: there are {known}")]
    Unnamed {
        /// Of what.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: &'static str,
    },
    /// Too few folds to tell an error, or too many.
    #[error("folds must be from 2 to 20, got `{0}`\nhint: 5 is usual")]
    Folds(usize),
    /// Journeys that cannot be dealt.
    #[error(
        "cross-validation deals journeys one by one, and some counts are no whole numbers\n\
         hint: pass counts of journeys as they were observed"
    )]
    Fractions,
    /// Too few orders of channels to tell an error, or too many.
    #[error("samples must be from 2 to 1,000,000, got `{0}`\nhint: 1,024 take about a second")]
    Samples(usize),
    /// A model that says what channels earn, not touches.
    #[error(
        "`{0}` shares all conversions among channels and says nothing of single touches\n\
         hint: use `ug.compare`, or {1}"
    )]
    NoTouches(&'static str, &'static str),
    /// Removal effects of a model that removes nothing.
    #[error("removal effects are Markov's, got another model\nhint: pass ug.Markov()")]
    NotMarkov,
    /// A level that is no share, or too few or many resamples.
    #[error(
        "intervals must be a share between 0 and 1, resamples from 2 to {max}, got `{0}`, `{1}`\n\
         hint: e.g. intervals=0.95, resamples=200",
        max = RESAMPLES_MAX
    )]
    Bootstrap(f64, usize),
    /// Two columns would have the same name.
    #[error("two models are named `{0}`\nhint: give one of them another `name=`")]
    SameName(String),
    /// The table at hand cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// How credit is shared.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// All to the first touch.
    FirstTouch,
    /// All to the last touch.
    LastTouch,
    /// All to the first touch whose channel is not among `direct`.
    FirstNonDirect {
        /// Channels that count as no channel.
        direct: Vec<String>,
    },
    /// All to the last touch whose channel is not among `direct`.
    LastNonDirect {
        /// Channels that count as no channel.
        direct: Vec<String>,
    },
    /// The same to each touch.
    Linear,
    /// Shares for the ends, the rest evenly to the middle.
    PositionBased {
        /// Share of the first touch.
        first: f64,
        /// Share of the last touch.
        last: f64,
    },
    /// 20/20/60.
    JShape,
    /// 60/20/20.
    InverseJ,
    /// 30/30/30/10 with a marked key touch.
    WShape,
    /// Halves with age before the conversion.
    TimeDecay {
        /// The age at which a touch weighs half.
        half_life_us: i64,
        /// Whether the age counts in whole half-lives.
        is_stepped: bool,
    },
    /// By how much of the probability to convert goes with a channel.
    Markov {
        /// How many touches make a state.
        order: usize,
        /// What happens to paths without the channel.
        removal: Removal,
        /// Whether all conversions are shared by all effects, or each by those of its path.
        is_global: bool,
    },
    /// By what a channel adds to coalitions of others.
    Shapley {
        /// What a coalition is worth.
        game: Game,
    },
    /// By how much less a path converts without the touch.
    Counterfactual,
}

/// What a coalition of channels is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Game {
    /// The conversions of journeys inside it: each channel of a path then earns the same, however
    /// the occurrences of one are filed.
    Subset,
    /// The conversion rate of journeys inside it; of many channels sampled.
    ConversionRate(Sampling),
}

/// More resamples change the third digit of an interval.
const RESAMPLES_MAX: usize = 10_000;

/// The longest memory of a chain.
const ORDER_MAX: usize = 8;

/// Public names, in the order of the server's columns.
pub const NAMES: [&str; 10] = [
    "first_touch",
    "last_touch",
    "first_non_direct",
    "last_non_direct",
    "linear",
    "position_based",
    "j_shape",
    "inverse_j",
    "w_shape",
    "time_decay",
];

/// Seven days.
const HALF_LIFE_US: i64 = 7 * 86_400_000_000;

impl Model {
    /// The model called `name`, with its default parameters.
    ///
    /// # Errors
    /// No such model can be made.
    pub fn parse(name: &str) -> Result<Self, ModelError> {
        let direct = || vec!["direct".to_owned()];
        Ok(match name {
            "first_touch" => Self::FirstTouch,
            "last_touch" => Self::LastTouch,
            "first_non_direct" => Self::FirstNonDirect { direct: direct() },
            "last_non_direct" => Self::LastNonDirect { direct: direct() },
            "linear" => Self::Linear,
            "position_based" => Self::PositionBased { first: 0.4, last: 0.4 },
            "j_shape" => Self::JShape,
            "inverse_j" => Self::InverseJ,
            "w_shape" => Self::WShape,
            "time_decay" => Self::TimeDecay { half_life_us: HALF_LIFE_US, is_stepped: false },
            _ => return Err(ModelError::Unknown(name.to_owned())),
        })
    }

    /// Shares for the ends, checked.
    ///
    /// # Errors
    /// No such model can be made.
    pub fn position_based(first: f64, last: f64) -> Result<Self, ModelError> {
        // A hair above 1 is how 0.7 + 0.3 may add up.
        let fits = first >= 0.0 && last >= 0.0 && first + last <= 1.0 + 1e-12;
        if fits {
            Ok(Self::PositionBased { first, last })
        } else {
            Err(ModelError::Shares(first, last))
        }
    }

    /// A chain, checked.
    ///
    /// # Errors
    /// No such model can be made.
    pub fn markov(order: usize, removal: &str, allocation: &str) -> Result<Self, ModelError> {
        if !(1..=ORDER_MAX).contains(&order) {
            return Err(ModelError::Order(order));
        }
        let removal = match removal {
            "redirect_to_null" => Removal::RedirectToNull,
            "drop_paths" => Removal::DropPaths,
            "redistribute" => Removal::Redistribute,
            name => {
                let known = "redirect_to_null, redistribute, drop_paths";
                return Err(unnamed("removal", name, known));
            }
        };
        let is_global = match allocation {
            "global" => true,
            "per_journey" => false,
            name => return Err(unnamed("allocation", name, "global, per_journey")),
        };
        Ok(Self::Markov { order, removal, is_global })
    }

    /// A game, checked.
    ///
    /// # Errors
    /// No such model can be made.
    pub fn shapley(game: &str, sampling: Sampling) -> Result<Self, ModelError> {
        let game = match game {
            "subset" => Game::Subset,
            "conversion_rate" => Game::ConversionRate(sampling),
            name => return Err(unnamed("game", name, "subset, conversion_rate")),
        };
        Ok(Self::Shapley { game })
    }

    /// Of a chain of which only moves must be known: its order, and how channels are removed.
    fn chain(&self) -> Option<(usize, Removal)> {
        match self {
            Self::Markov { removal: Removal::DropPaths, .. } => None,
            Self::Markov { order, removal, .. } => Some((*order, *removal)),
            _ => None,
        }
    }

    /// Whether it looks at more than one journey at a time.
    pub fn needs_all_journeys(&self) -> bool {
        matches!(self.whole(), Whole::Rates(_))
            || matches!(self, Self::Counterfactual | Self::Markov { .. })
    }

    /// What it says when asked for touches.
    fn whole(&self) -> Whole {
        match self {
            Self::Markov { is_global: true, .. } => Whole::Effects,
            Self::Shapley { game: Game::ConversionRate(sampling) } => Whole::Rates(*sampling),
            _ => Whole::No,
        }
    }

    /// A half-life, checked.
    ///
    /// # Errors
    /// No such model can be made.
    pub fn time_decay(half_life_us: i64, is_stepped: bool) -> Result<Self, ModelError> {
        if half_life_us > 0 {
            Ok(Self::TimeDecay { half_life_us, is_stepped })
        } else {
            Err(ModelError::HalfLife(half_life_us))
        }
    }
}

fn unnamed(what: &'static str, name: &str, known: &'static str) -> ModelError {
    ModelError::Unnamed { what, name: name.to_owned(), known }
}

/// Whether a model shares all conversions at once, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    No,
    Effects,
    Rates(Sampling),
}

/// A model made ready for the journeys at hand.
pub(crate) struct Rule<'a> {
    model: &'a Model,
    study: &'a Study,
    is_direct: Vec<bool>,
    /// By rank, of a chain that shares each conversion among its path.
    effects: Vec<f64>,
}

impl<'a> Rule<'a> {
    pub(crate) fn new(
        model: &'a Model,
        journeys: &Journeys,
        study: &'a Study,
        effort: Effort<'_>,
    ) -> Result<Self, ModelError> {
        if matches!(model, Model::TimeDecay { .. }) && !journeys.is_timed() {
            return Err(ModelError::NoTimes);
        }
        let is_direct = match model {
            Model::FirstNonDirect { direct } | Model::LastNonDirect { direct } => {
                directs(journeys.channels(), direct)
            }
            _ => Vec::new(),
        };
        let effects = match model {
            Model::Markov { is_global: false, .. } => study.effects(model, effort)?.earned(),
            _ => Vec::new(),
        };
        Ok(Self { model, study, is_direct, effects })
    }

    /// Refuse a model that says nothing of touches.
    pub(crate) fn refuse_whole(model: &Model) -> Result<(), ModelError> {
        match model.whole() {
            Whole::No => Ok(()),
            Whole::Effects => {
                Err(ModelError::NoTouches("markov", "Markov(allocation=\"per_journey\")"))
            }
            Whole::Rates(_) => Err(ModelError::NoTouches("shapley", "Shapley(game=\"subset\")")),
        }
    }

    /// Of a rule that gives everything to one touch: which. There are touches.
    #[inline]
    pub(crate) fn only(&self, touches: &[Touch]) -> Option<usize> {
        match self.model {
            Model::FirstTouch => Some(0),
            Model::LastTouch => Some(touches.len() - 1),
            Model::FirstNonDirect { .. } => Some(rules::non_direct(touches, &self.is_direct, true)),
            Model::LastNonDirect { .. } => Some(rules::non_direct(touches, &self.is_direct, false)),
            _ => None,
        }
    }

    /// Fill `weights`, one per touch, with shares that sum to 1. The journey has touches.
    pub(crate) fn weigh(&self, journey: &Journey<'_>, weights: &mut [f64]) {
        debug_assert!(!weights.is_empty() && weights.len() == journey.touches.len());
        let touches = journey.touches;
        if let Some(index) = self.only(touches) {
            return rules::only(index, weights);
        }
        match *self.model {
            // Each of these has a touch that gets all.
            Model::FirstTouch
            | Model::LastTouch
            | Model::FirstNonDirect { .. }
            | Model::LastNonDirect { .. } => {}
            Model::Linear => rules::linear(weights),
            Model::PositionBased { first, last } => rules::position_based(first, last, weights),
            Model::JShape => rules::position_based(0.2, 0.6, weights),
            Model::InverseJ => rules::position_based(0.6, 0.2, weights),
            Model::WShape => rules::w_shape(touches, weights),
            Model::TimeDecay { half_life_us, is_stepped } => {
                rules::time_decay(journey, half_life_us, is_stepped, weights);
            }
            Model::Shapley { .. } => rules::by_channel(touches, |_| 1.0, weights),
            Model::Markov { .. } => {
                let effect = |channel| self.effects[self.study.ranks.rank(channel) as usize];
                rules::by_channel(touches, effect, weights);
            }
            Model::Counterfactual => counterfactual::weigh(touches, self.study, weights),
        }
    }
}

fn directs(channels: &Labels, direct: &[String]) -> Vec<bool> {
    channels.names.iter().map(|name| direct.contains(name)).collect()
}

#[cfg(test)]
mod case_tests;
