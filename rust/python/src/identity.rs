//! Ids seen together in, persons out.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmogrowp_core::column::TableError;
use unmogrowp_core::identity;

use crate::door::{Door, effort};
use crate::journeys::Refused;
use crate::table::Batches;

/// Who is who by a table of `identity` and `person`, 16 bytes each, and `version`. For one report:
/// it takes in whom that is about.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Persons(Mutex<Option<identity::Named>>);

impl Persons {
    pub(crate) fn take(&self) -> PyResult<identity::Named> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        named.ok_or_else(|| PyValueError::new_err("used before\nhint: read the table again"))
    }
}

#[pymethods]
impl Persons {
    /// Read the table; `more` identities are expected beside those in it.
    #[new]
    fn new(py: Python<'_>, table: &Batches, more: usize) -> PyResult<Self> {
        let batches = table.batches().to_vec();
        let named = py.enter(move || identity::Named::new(&batches, more).map_err(Refused))?;
        Ok(Self(Mutex::new(Some(named))))
    }
}

/// Whether a table of `identity` and `person` has identities that are nobody's.
#[pyfunction]
pub(crate) fn has_nobody(py: Python<'_>, table: &Batches) -> PyResult<bool> {
    let batches = table.batches().to_vec();
    py.enter(move || identity::Named::has_nobody(&batches).map_err(Refused))
}

/// All identities seen so far and who they are.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Graph(Mutex<identity::Graph>);

impl Graph {
    fn lock(&self) -> MutexGuard<'_, identity::Graph> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Graph {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(identity::Graph::new(RandomState::new().hash_one(0))))
    }

    /// From here on these ids of an app, pairs of kind and id, link nobody.
    fn cut(&self, app_id: &str, cuts: Vec<(String, String)>) -> PyResult<()> {
        self.lock().cut(Some(app_id), &numbered(cuts)?);
        Ok(())
    }

    /// Take in events: `app_id`, the six ids and, where known already, `identity`. Returns
    /// `app_id`, `identity`, `person` of every identity whose person changed, new ones included;
    /// a null person says that each of its events stands alone.
    fn add(&self, py: Python<'_>, events: &Batches) -> PyResult<Batches> {
        py.enter(|| {
            let mut graph = self.lock();
            let added = graph.add(events.batches())?;
            graph.table(&added.changed).map_err(Refused)
        })
        .map(Batches::from)
    }

    /// `app_id`, `identity`, `person` of every identity of an app, or of all apps.
    #[pyo3(signature = (app_id=None))]
    fn persons(&self, py: Python<'_>, app_id: Option<&str>) -> PyResult<Batches> {
        py.enter(|| {
            let graph = self.lock();
            graph.table(&graph.identities(app_id)).map_err(Refused)
        })
        .map(Batches::from)
    }

    /// How many identities there are.
    fn __len__(&self) -> usize {
        self.lock().identities(None).len()
    }
}

/// One row per id, with the event that joined it to others; `cuts` are pairs of kind and id.
#[pyfunction]
#[pyo3(signature = (events, cuts=Vec::new()))]
pub(crate) fn identities(
    py: Python<'_>,
    events: &Batches,
    cuts: Vec<(String, String)>,
) -> PyResult<Batches> {
    let cuts = numbered(cuts)?;
    let batches = events.batches().to_vec();
    py.enter_long(move |stop| identity::links(&batches, &cuts, effort(stop).salt).map_err(Refused))
        .map(Batches::from)
}

/// Cuts with the number of each kind.
pub(crate) fn numbered(cuts: Vec<(String, String)>) -> PyResult<Vec<(usize, String)>> {
    let kinds = identity::kinds();
    let number = |(kind, id): (String, String)| match kinds.iter().position(|own| *own == kind) {
        Some(number) => Ok((number, id)),
        None => Err(PyValueError::new_err(format!(
            "no kind of id `{kind}` to cut\nhint: one of {}",
            kinds.join(", ")
        ))),
    };
    cuts.into_iter().map(number).collect()
}

/// The key of each event's set of ids, as one column `identity`; null where it has no id.
#[pyfunction]
pub(crate) fn identity_keys(py: Python<'_>, events: &Batches) -> PyResult<Batches> {
    let field = Field::new("identity", DataType::FixedSizeBinary(16), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let keys = |batch: &RecordBatch| {
        let keys = identity::keys(batch)?;
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(keys)]);
        Ok(batch.map_err(TableError::from)?)
    };
    let batches = py.enter(|| events.batches().iter().map(keys).collect::<Result<_, Refused>>())?;
    Ok(Batches::new(schema.clone(), batches))
}

impl From<TableError> for Refused {
    fn from(error: TableError) -> Self {
        Self(error)
    }
}
