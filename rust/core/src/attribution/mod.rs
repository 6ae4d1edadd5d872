//! Journeys in, credit out: how each conversion is shared among its touches.

mod compare;
mod credits;
mod rules;
pub(crate) mod sum;
mod touches;

use thiserror::Error;

pub use compare::compare;
pub use credits::credits;
pub use touches::attribute;

use crate::column::TableError;
use crate::journey::{Journey, Journeys, Labels};

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
}

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

/// A model made ready for the journeys at hand.
pub(crate) struct Rule<'a> {
    model: &'a Model,
    is_direct: Vec<bool>,
}

impl<'a> Rule<'a> {
    pub(crate) fn new(model: &'a Model, journeys: &Journeys) -> Result<Self, ModelError> {
        if matches!(model, Model::TimeDecay { .. }) && !journeys.is_timed() {
            return Err(ModelError::NoTimes);
        }
        let is_direct = match model {
            Model::FirstNonDirect { direct } | Model::LastNonDirect { direct } => {
                directs(journeys.channels(), direct)
            }
            _ => Vec::new(),
        };
        Ok(Self { model, is_direct })
    }

    /// Fill `weights`, one per touch, with shares that sum to 1. The journey has touches.
    pub(crate) fn weigh(&self, journey: &Journey<'_>, weights: &mut [f64]) {
        debug_assert!(!weights.is_empty() && weights.len() == journey.touches.len());
        let touches = journey.touches;
        match *self.model {
            Model::FirstTouch => rules::only(0, weights),
            Model::LastTouch => rules::only(touches.len() - 1, weights),
            Model::FirstNonDirect { .. } => {
                rules::non_direct(touches, &self.is_direct, true, weights);
            }
            Model::LastNonDirect { .. } => {
                rules::non_direct(touches, &self.is_direct, false, weights);
            }
            Model::Linear => rules::linear(weights),
            Model::PositionBased { first, last } => rules::position_based(first, last, weights),
            Model::JShape => rules::position_based(0.2, 0.6, weights),
            Model::InverseJ => rules::position_based(0.6, 0.2, weights),
            Model::WShape => rules::w_shape(touches, weights),
            Model::TimeDecay { half_life_us, is_stepped } => {
                rules::time_decay(journey, half_life_us, is_stepped, weights);
            }
        }
    }
}

fn directs(channels: &Labels, direct: &[String]) -> Vec<bool> {
    channels.names.iter().map(|name| direct.contains(name)).collect()
}
