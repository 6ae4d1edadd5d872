//! Tables in, journeys out.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use unmogrowp_core::attribution::{aggregated, paths, transitions};
use unmogrowp_core::column::TableError;
use unmogrowp_core::duration;
use unmogrowp_core::identity::Graph;
use unmogrowp_core::journey::{self, EventSettings, Names, Policy, Settings};

use crate::door::{Door, effort};
use crate::identity::numbered;
use crate::table::Batches;

pyo3::import_exception!(unmogrowp.errors, SchemaError);

/// A table that is not what it was said to be, on its way to Python.
pub(crate) struct Refused(pub(crate) TableError);

impl From<Refused> for PyErr {
    fn from(Refused(error): Refused) -> Self {
        match error {
            TableError::Cancelled => PyKeyboardInterrupt::new_err(error.to_string()),
            error => SchemaError::new_err(error.to_string()),
        }
    }
}

/// Touches in order, one journey per conversion.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Journeys {
    pub(crate) inner: Arc<journey::Journeys>,
}

impl From<journey::Journeys> for Journeys {
    fn from(inner: journey::Journeys) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

#[pymethods]
impl Journeys {
    /// Conversions in all and those without touches.
    fn totals(&self, py: Python<'_>) -> PyResult<(f64, f64)> {
        let journeys = self.inner.clone();
        py.enter_long(move |stop| journeys.totals(effort(stop)).map_err(Refused))
    }

    /// One row per distinct path: those that converted most first, or those taken most.
    #[pyo3(signature = (*, by_all=false))]
    fn paths(&self, py: Python<'_>, by_all: bool) -> PyResult<Batches> {
        let journeys = self.inner.clone();
        py.enter_long(move |stop| paths(&journeys, by_all, effort(stop)).map_err(Refused))
            .map(Batches::from)
    }

    /// One row per path and currency, with all there is to share.
    fn aggregated(&self, py: Python<'_>) -> PyResult<Batches> {
        let journeys = self.inner.clone();
        py.enter_long(move |stop| aggregated(&journeys, effort(stop)).map_err(Refused))
            .map(Batches::from)
    }

    /// One row per pair of channels that followed each other.
    fn transitions(&self, py: Python<'_>) -> PyResult<Batches> {
        let journeys = self.inner.clone();
        py.enter_long(move |stop| transitions(&journeys, effort(stop)).map_err(Refused))
            .map(Batches::from)
    }

    /// Time of the first and the last row, in microseconds.
    #[getter]
    fn span_us(&self) -> Option<(i64, i64)> {
        self.inner.span_us()
    }

    /// How many touches there are, in journeys or not.
    #[getter]
    fn touch_count(&self) -> usize {
        self.inner.touch_count()
    }

    /// How many journeys there are: conversions, or aggregated paths.
    fn __len__(&self) -> usize {
        self.inner.len()
    }
}

pub(crate) fn settings(
    click_lookback_us: i64,
    view_lookback_us: i64,
    policy: &str,
) -> PyResult<Settings> {
    let policy = Policy::parse(policy).ok_or_else(|| {
        PyValueError::new_err(format!(
            "no policy `{policy}`\nhint: the policies are `partition` and `overlap`"
        ))
    })?;
    for (name, us) in [("click", click_lookback_us), ("view", view_lookback_us)] {
        if us < 0 {
            return Err(PyValueError::new_err(format!(
                "{name}_lookback must not be negative, got `{us}` microseconds\nhint: write `7d`"
            )));
        }
    }
    Ok(Settings { click_lookback_us, view_lookback_us, policy, prefers_clicks: false })
}

/// Which column plays which part; the required ones fall back to their own name.
fn names(mut columns: HashMap<String, String>) -> Names {
    let mut optional = |role: &str| columns.remove(role);
    let mut required = |role: &str| optional(role).unwrap_or_else(|| role.to_owned());
    Names {
        user: required("user"),
        time: required("time"),
        channel: required("channel"),
        is_conversion: required("is_conversion"),
        value: optional("value"),
        conversion_name: optional("conversion_name"),
        currency: optional("currency"),
        touch_type: optional("touch_type"),
        key_touch: optional("key_touch"),
        conversion_id: optional("conversion_id"),
    }
}

/// Click and view lookback in microseconds, policy, and whether clicks go before impressions.
type Chosen = (i64, i64, String, bool);

fn chosen((click_us, view_us, policy, prefers_clicks): Chosen) -> PyResult<Settings> {
    Ok(Settings { prefers_clicks, ..settings(click_us, view_us, &policy)? })
}

/// Journeys of any table; `columns` says which column plays which part.
#[pyfunction]
pub(crate) fn journeys(
    py: Python<'_>,
    table: &Batches,
    columns: HashMap<String, String>,
    settings: Chosen,
) -> PyResult<Journeys> {
    let settings = chosen(settings)?;
    let (schema, batches, names) = (table.schema(), table.batches().to_vec(), names(columns));
    py.enter_long(move |stop| {
        journey::read(&schema, &batches, &names, settings, effort(stop)).map_err(Refused)
    })
    .map(Journeys::from)
}

/// Journeys of canonical events: people by the ids seen together, touches by `event_type`; `cuts`
/// are pairs of kind and id that link nobody.
#[pyfunction]
#[pyo3(signature = (events, conversions, settings, cuts=Vec::new()))]
pub(crate) fn journeys_of_events(
    py: Python<'_>,
    events: &Batches,
    conversions: Vec<String>,
    settings: Chosen,
    cuts: Vec<(String, String)>,
) -> PyResult<Journeys> {
    let settings = chosen(settings)?;
    let cuts = numbered(cuts)?;
    let (schema, batches) = (events.schema(), events.batches().to_vec());
    py.enter_long(move |stop| {
        let conversions = conversions.as_slice();
        let settings = EventSettings { conversions, settings, allows_reserved: false };
        let mut graph = Graph::new(effort(stop).salt);
        graph.cut(None, &cuts);
        let rows = graph.add(&batches)?.rows;
        let persons = graph.person_keys(&rows);
        let journeys = journey::read_events(&schema, &batches, &persons, settings, stop)?;
        Ok::<_, Refused>(Journeys::from(journeys))
    })
}

/// Journeys of aggregated paths.
#[pyfunction]
pub(crate) fn journeys_from_paths(
    py: Python<'_>,
    table: &Batches,
    separator: String,
) -> PyResult<Journeys> {
    let (schema, batches) = (table.schema(), table.batches().to_vec());
    py.enter_long(move |stop| {
        journey::read_paths(&schema, &batches, &separator, stop)
            .map(Journeys::from)
            .map_err(Refused)
    })
}

/// Microseconds of a duration text; `name` is the parameter an error speaks of.
#[pyfunction]
pub(crate) fn duration_us(name: &str, text: &str) -> PyResult<i64> {
    duration::parse(name, text).map_err(|error| PyValueError::new_err(error.to_string()))
}
