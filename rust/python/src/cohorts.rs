//! Canonical events in, cohorts out.

use pyo3::prelude::*;
use unmogrowp_core::cohort::{self, CohortSettings, Spend, Who};

use crate::door::{Door, effort};
use crate::identity::numbered;
use crate::journeys::{Refused, settings};
use crate::table::Batches;

/// One row per cohort and currency; `persons` says who each `identity` of the events is, else ids
/// do, save `cuts`, pairs of kind and id.
#[pyfunction]
#[pyo3(signature = (
    events, by, days, install, click_lookback_us, view_lookback_us, started, spend=None,
    persons=None, cuts=Vec::new()
))]
#[allow(clippy::too_many_arguments, reason = "one per keyword of `unmogrowp.cohorts`")]
pub(crate) fn cohorts(
    py: Python<'_>,
    events: &Batches,
    by: String,
    days: Vec<u32>,
    install: String,
    click_lookback_us: i64,
    view_lookback_us: i64,
    started: (i64, i64),
    spend: Option<&Batches>,
    persons: Option<&Batches>,
    cuts: Vec<(String, String)>,
) -> PyResult<Batches> {
    let settings = settings(click_lookback_us, view_lookback_us, "partition")?;
    let (schema, batches) = (events.schema(), events.batches().to_vec());
    let spend = spend.map(|spend| (spend.schema(), spend.batches().to_vec()));
    let cuts = numbered(cuts)?;
    let persons = persons.map(|persons| persons.batches().to_vec());
    py.enter_long(move |stop| {
        let who = persons.as_deref().map_or(Who::Linked { cuts: &cuts }, Who::Named);
        let spend = spend.as_ref().map(|(schema, batches)| Spend { schema, batches });
        let settings =
            CohortSettings { by: &by, days: &days, install: &install, settings, started };
        cohort::cohorts(&schema, &batches, who, spend, settings, effort(stop)).map_err(Refused)
    })
    .map(Batches::from)
}
