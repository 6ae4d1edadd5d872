//! Canonical events in, cohorts out.

use std::sync::Arc;

use pyo3::prelude::*;
use unmogrowp_core::cohort::{self, CohortSettings, Spend, Stored};

use crate::door::{Door, effort};
use crate::identity::{Persons, numbered};
use crate::journeys::{Refused, settings};
use crate::table::Batches;

/// One row per cohort and currency; `cuts` are pairs of kind and id that link nobody.
#[pyfunction]
#[pyo3(signature = (
    events, by, days, install, lookbacks_us, started, spend=None, cuts=Vec::new()
))]
#[allow(clippy::too_many_arguments, reason = "one per keyword of `unmogrowp.cohorts`")]
pub(crate) fn cohorts(
    py: Python<'_>,
    events: &Batches,
    by: String,
    days: Vec<u32>,
    install: String,
    lookbacks_us: (i64, i64),
    started: (i64, i64),
    spend: Option<&Batches>,
    cuts: Vec<(String, String)>,
) -> PyResult<Batches> {
    let settings = settings(lookbacks_us.0, lookbacks_us.1, "partition")?;
    let (schema, batches) = (events.schema(), events.batches().to_vec());
    let spend = spend.map(|spend| (spend.schema(), spend.batches().to_vec()));
    let cuts = numbered(cuts)?;
    py.enter_long(move |stop| {
        let spend = spend.as_ref().map(|(schema, batches)| Spend { schema, batches });
        let settings =
            CohortSettings { by: &by, days: &days, install: &install, settings, started };
        cohort::cohorts(&schema, &batches, &cuts, spend, settings, effort(stop)).map_err(Refused)
    })
    .map(Batches::from)
}

/// Who started, of what a warehouse keeps.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Crowd(Arc<cohort::Crowd>);

#[pymethods]
impl Crowd {
    /// `active`: by identity and day `first_at`, `last_at` and, where it `has_installed`,
    /// `install_at`.
    #[new]
    fn new(py: Python<'_>, active: &Batches, persons: &Persons) -> PyResult<Self> {
        let (active, named) = (active.batches().to_vec(), persons.take()?);
        let crowd = py.enter(move || cohort::Crowd::new(&active, named).map_err(Refused))?;
        Ok(Self(Arc::new(crowd)))
    }

    /// One row per cohort and currency, and whether the order of touches at the same time decided
    /// anything: it should be that of their event ids then, and asked anew.
    #[allow(clippy::too_many_arguments, reason = "the tables and the question")]
    fn report(
        &self,
        py: Python<'_>,
        touches: &Batches,
        earned: &Batches,
        alone: &Batches,
        by: String,
        days: Vec<u32>,
        lookbacks_us: (i64, i64),
        started: (i64, i64),
    ) -> PyResult<(Batches, bool)> {
        let settings = settings(lookbacks_us.0, lookbacks_us.1, "partition")?;
        let tables = [touches, earned, alone].map(|table| table.batches().to_vec());
        let crowd = self.0.clone();
        let (made, is_tied) = py.enter_long(move |stop| {
            let [touches, earned, alone] = &tables;
            let stored = Stored { touches, earned, alone };
            let settings = CohortSettings { by: &by, days: &days, install: "", settings, started };
            crowd.report(stored, settings, effort(stop)).map_err(Refused)
        })?;
        Ok((Batches::from(made), is_tied))
    }
}
