//! The spool as a sink's feeder sees it: durable events, batch by batch.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use unmogrowp_intake::shipping::BatchError;
use unmogrowp_spool::{Chunk, Local, Position, Reader, Want};

use crate::door::Door;
use crate::intake::{SpoolError, Spooled, pair};
use crate::table::Batches;

/// Why a batch cannot be had, on its way to Python.
enum Unread {
    Spool(unmogrowp_spool::SpoolError),
    Batch(BatchError),
}

impl From<Unread> for PyErr {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Spool(error) => Spooled(error).into(),
            Unread::Batch(error) => SpoolError::new_err(error.to_string()),
        }
    }
}

/// Reads a spool that some process owns, up to what is durable.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct SpoolReader {
    reader: Reader,
}

/// The events and rejects between two positions.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Batch {
    batch: unmogrowp_intake::shipping::Batch,
}

impl Batch {
    fn of(chunk: &Chunk) -> Result<Self, Unread> {
        let batch = unmogrowp_intake::shipping::Batch::decode(chunk).map_err(Unread::Batch)?;
        Ok(Self { batch })
    }
}

fn at((segment, offset): (u64, u64)) -> Position {
    Position { segment, offset }
}

#[pymethods]
impl SpoolReader {
    /// The spool in `dir`, which need not exist yet.
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "what Python gives is owned")]
    fn new(dir: PathBuf) -> Self {
        Self { reader: Reader::new(Arc::new(Local), dir.as_path()) }
    }

    /// The batch that follows `after` (a batch's `last`), or the oldest; None if there is none.
    /// The first frame is taken whatever its size.
    #[pyo3(signature = (after=None, *, rows_max=100_000, bytes_max=64_000_000))]
    fn next(
        &self,
        py: Python<'_>,
        after: Option<(u64, u64)>,
        rows_max: u64,
        bytes_max: u64,
    ) -> PyResult<Option<Batch>> {
        let want = Want { rows_max, bytes_max };
        py.enter(|| match self.reader.next(after.map(at), want) {
            Ok(chunk) => chunk.as_ref().map(Batch::of).transpose(),
            Err(error) => Err(Unread::Spool(error)),
        })
    }

    /// Exactly the batch between two positions that a batch had.
    fn range(&self, py: Python<'_>, first: (u64, u64), last: (u64, u64)) -> PyResult<Batch> {
        py.enter(|| {
            let chunk = self.reader.range(at(first), at(last)).map_err(Unread::Spool)?;
            Batch::of(&chunk)
        })
    }

    /// Say, durably, that the sink holds everything before `position`.
    fn confirm(&self, py: Python<'_>, position: (u64, u64)) -> PyResult<()> {
        py.enter(|| self.reader.confirm(at(position)).map_err(Spooled))
    }

    /// How far one may read; None where nobody ever owned the spool.
    fn durable(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        let position = py.enter(|| self.reader.durable().map_err(Spooled))?;
        Ok(position.map(pair))
    }

    /// The last confirmed position.
    fn shipped(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        let position = py.enter(|| self.reader.shipped().map_err(Spooled))?;
        Ok(position.map(pair))
    }
}

#[pymethods]
impl Batch {
    /// Where it starts.
    #[getter]
    fn first(&self) -> (u64, u64) {
        pair(self.batch.first)
    }

    /// Where the next one starts.
    #[getter]
    fn last(&self) -> (u64, u64) {
        pair(self.batch.last)
    }

    /// Number of events.
    #[getter]
    fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// Number of refused records.
    #[getter]
    fn rejects(&self) -> usize {
        self.batch.rejects.len()
    }

    /// Bytes between `first` and `last` that were damaged and are lost.
    #[getter]
    fn damaged_bytes(&self) -> u64 {
        self.batch.damaged_bytes
    }

    /// Months (`yyyymm`, UTC) of its events, ascending.
    #[getter]
    fn months(&self, py: Python<'_>) -> PyResult<Vec<i32>> {
        py.enter(|| self.batch.months().map_err(Unread::Batch))
    }

    /// The refused records, with the columns of the warehouse's `rejects`.
    fn refused(&self, py: Python<'_>) -> PyResult<Batches> {
        py.enter(|| self.batch.refused().map_err(Unread::Batch)).map(Batches::from)
    }

    /// The events as Arrow.
    fn events(&self) -> Batches {
        Batches::from(self.batch.events.clone())
    }
}
