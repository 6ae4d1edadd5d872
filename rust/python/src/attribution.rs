//! Journeys and models in, credit out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmogrowp_core::attribution::{self, Model, ModelError};
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

    /// Halves with age.
    #[staticmethod]
    fn time_decay(half_life_us: i64, is_stepped: bool) -> PyResult<Self> {
        Ok(Self(Model::time_decay(half_life_us, is_stepped).map_err(Unfit)?))
    }
}

/// One row per touch of each conversion.
#[pyfunction]
pub(crate) fn attribute(py: Python<'_>, journeys: &Journeys, rule: &Rule) -> PyResult<Batches> {
    let (journeys, model) = (journeys.inner.clone(), rule.0.clone());
    let made =
        move |stop: &_| attribution::attribute(&journeys, &model, effort(stop)).map_err(Unfit);
    py.enter_long(made).map(|(schema, batches)| Batches::new(schema, batches))
}

/// One row per channel, columns per model.
#[pyfunction]
pub(crate) fn compare(
    py: Python<'_>,
    journeys: &Journeys,
    models: Vec<(String, PyRef<'_, Rule>)>,
) -> PyResult<Batches> {
    let own = |(name, rule): (String, PyRef<'_, Rule>)| (name, rule.0.clone());
    let models: Vec<_> = models.into_iter().map(own).collect();
    let journeys = journeys.inner.clone();
    py.enter_long(move |stop| attribution::compare(&journeys, &models, effort(stop)).map_err(Unfit))
        .map(Batches::from)
}

/// Credit of every conversion under every rule model, for a warehouse: touchpoints of whole persons
/// in, one row per conversion with a list per touch column and per model out.
#[pyfunction]
#[pyo3(signature = (
    touchpoints, *, conversions, click_lookback_us, view_lookback_us, policy="partition"
))]
pub(crate) fn credits(
    py: Python<'_>,
    touchpoints: &Batches,
    conversions: Vec<String>,
    click_lookback_us: i64,
    view_lookback_us: i64,
    policy: &str,
) -> PyResult<Batches> {
    let settings = settings(click_lookback_us, view_lookback_us, policy)?;
    let (schema, batches) = (touchpoints.schema(), touchpoints.batches().to_vec());
    py.enter_long(move |stop| {
        let conversions = conversions.as_slice();
        let settings = EventSettings { conversions, settings, allows_reserved: true };
        attribution::credits(&schema, &batches, settings, effort(stop)).map_err(Unfit)
    })
    .map(Batches::from)
}
