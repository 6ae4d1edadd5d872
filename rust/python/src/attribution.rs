//! Journeys and models in, credit out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmogrowp_core::attribution::{self, Bootstrap, Folds, Model, ModelError, Places, Sampling};
use unmogrowp_core::journey::EventSettings;

use crate::door::{Door, effort};
use crate::journeys::{Journeys, Refused, settings};
use crate::table::Batches;

/// A model that cannot be used as asked, on its way to Python.
struct Unfit(ModelError);

impl From<Unfit> for PyErr {
    fn from(Unfit(error): Unfit) -> Self {
        match error {
            ModelError::Table(error) => Refused(error).into(),
            error => PyValueError::new_err(error.to_string()),
        }
    }
}

/// A rule with its parameters, as the kernels take it.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Rule(Model);

#[pymethods]
impl Rule {
    /// The model called `name` with its default parameters.
    #[staticmethod]
    fn named(name: &str) -> PyResult<Self> {
        Ok(Self(Model::parse(name).map_err(Unfit)?))
    }

    /// The first or the last touch that is not among `direct`.
    #[staticmethod]
    fn non_direct(direct: Vec<String>, is_first: bool) -> Self {
        Self(if is_first {
            Model::FirstNonDirect { direct }
        } else {
            Model::LastNonDirect { direct }
        })
    }

    /// Shares for the ends.
    #[staticmethod]
    fn position_based(first: f64, last: f64) -> PyResult<Self> {
        Ok(Self(Model::position_based(first, last).map_err(Unfit)?))
    }

    /// By what removing a channel costs.
    #[staticmethod]
    fn markov(order: usize, removal: &str, allocation: &str) -> PyResult<Self> {
        Ok(Self(Model::markov(order, removal, allocation).map_err(Unfit)?))
    }

    /// By what a channel adds to others.
    #[staticmethod]
    fn shapley(game: &str, samples: usize, seed: u64) -> PyResult<Self> {
        let sampling = Sampling::new(samples, seed).map_err(Unfit)?;
        Ok(Self(Model::shapley(game, sampling).map_err(Unfit)?))
    }

    /// By what a path is without the touch.
    #[staticmethod]
    fn counterfactual() -> Self {
        Self(Model::Counterfactual)
    }

    /// Whether it looks at more than one journey at a time.
    #[getter]
    fn needs_all_journeys(&self) -> bool {
        self.0.needs_all_journeys()
    }

    /// Halves with age.
    #[staticmethod]
    fn time_decay(half_life_us: i64, is_stepped: bool) -> PyResult<Self> {
        Ok(Self(Model::time_decay(half_life_us, is_stepped).map_err(Unfit)?))
    }
}

/// One row per order of a chain: how well it foretells journeys it has not seen.
#[pyfunction]
pub(crate) fn markov_orders(
    py: Python<'_>,
    journeys: &Journeys,
    orders: Vec<usize>,
    folds: usize,
    seed: u64,
) -> PyResult<Batches> {
    let (journeys, folds) = (journeys.inner.clone(), Folds { count: folds, seed });
    py.enter_long(move |stop| {
        attribution::orders(&journeys, &orders, folds, effort(stop)).map_err(Unfit)
    })
    .map(Batches::from)
}

/// One row per touch of each conversion.
#[pyfunction]
pub(crate) fn attribute(py: Python<'_>, journeys: &Journeys, rule: &Rule) -> PyResult<Batches> {
    let (journeys, model) = (journeys.inner.clone(), rule.0.clone());
    let made =
        move |stop: &_| attribution::attribute(&journeys, &model, effort(stop)).map_err(Unfit);
    py.enter_long(made).map(|(schema, batches)| Batches::new(schema, batches))
}

/// One row per channel, columns per model; `bootstrap` is level, resamples and seed.
#[pyfunction]
#[pyo3(signature = (journeys, models, *, bootstrap=None))]
pub(crate) fn compare(
    py: Python<'_>,
    journeys: &Journeys,
    models: Vec<(String, PyRef<'_, Rule>)>,
    bootstrap: Option<(f64, usize, u64)>,
) -> PyResult<Batches> {
    let own = |(name, rule): (String, PyRef<'_, Rule>)| (name, rule.0.clone());
    let models: Vec<_> = models.into_iter().map(own).collect();
    let journeys = journeys.inner.clone();
    let bootstrap = bootstrap.map(|(level, resamples, seed)| Bootstrap { level, resamples, seed });
    py.enter_long(move |stop| {
        attribution::compare(&journeys, &models, bootstrap, effort(stop)).map_err(Unfit)
    })
    .map(Batches::from)
}

/// Conversions; those without a touch whose person never had one, had later ones, too old ones or
/// consumed ones; those whose touches all lie in the older half of their lookback.
#[pyfunction]
pub(crate) fn quality(py: Python<'_>, journeys: &Journeys) -> PyResult<(f64, [f64; 4], f64)> {
    let journeys = journeys.inner.clone();
    let found =
        py.enter_long(move |stop| attribution::quality(&journeys, effort(stop)).map_err(Refused))?;
    Ok((found.conversions, found.lost, found.stale))
}

/// `key, currency, low, high` of stored shares: `person, key, currency, share`, person by person.
#[pyfunction]
pub(crate) fn spread(
    py: Python<'_>,
    shares: &Batches,
    bootstrap: (f64, usize, u64),
) -> PyResult<Batches> {
    let batches = shares.batches().to_vec();
    let (level, resamples, seed) = bootstrap;
    let bootstrap = Bootstrap { level, resamples, seed };
    py.enter_long(move |stop| attribution::spread(&batches, bootstrap, effort(stop)).map_err(Unfit))
        .map(Batches::from)
}

/// One row per channel with its removal effect, and the probability that a path converts.
#[pyfunction]
pub(crate) fn removal_effects(
    py: Python<'_>,
    journeys: &Journeys,
    rule: &Rule,
) -> PyResult<(Batches, f64)> {
    let (journeys, model) = (journeys.inner.clone(), rule.0.clone());
    py.enter_long(move |stop| {
        attribution::removal_effects(&journeys, &model, effort(stop)).map_err(Unfit)
    })
    .map(|(batch, p_conversion)| (Batches::from(batch), p_conversion))
}

/// Credit of every conversion under every rule model, for a warehouse: touchpoints of whole persons
/// in, one row per conversion with a list per touch column and per model out; and one row per
/// journey that did not convert. `known` says how many `places` each `person` had of those before.
#[pyfunction]
#[pyo3(signature = (
    touchpoints, known=None, *, conversions, click_lookback_us, view_lookback_us,
    policy="partition"
))]
#[allow(clippy::too_many_arguments, reason = "one per setting of an app")]
pub(crate) fn credits(
    py: Python<'_>,
    touchpoints: &Batches,
    known: Option<&Batches>,
    conversions: Vec<String>,
    click_lookback_us: i64,
    view_lookback_us: i64,
    policy: &str,
) -> PyResult<(Batches, Batches)> {
    let settings = settings(click_lookback_us, view_lookback_us, policy)?;
    let (schema, batches) = (touchpoints.schema(), touchpoints.batches().to_vec());
    let known = known.map_or_else(Vec::new, |known| known.batches().to_vec());
    py.enter_long(move |stop| {
        let conversions = conversions.as_slice();
        let settings = EventSettings { conversions, settings, allows_reserved: true };
        let known = Places::read(&known).map_err(|error| Unfit(error.into()))?;
        attribution::credits(&schema, &batches, &known, settings, effort(stop)).map_err(Unfit)
    })
    .map(|(credits, opens)| (Batches::from(credits), Batches::from(opens)))
}
