//! Who was seen when in, how many people out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmogrowp_core::users::{Interval, Users, users as count};

use crate::door::Door;
use crate::identity::Persons;
use crate::journeys::Refused;
use crate::table::Batches;

/// Row by row first day since 1970, name and people; and people in all.
type Counted = (Vec<(i64, String, u64)>, u64);

/// People of rows with `identity`, `month`, `days` and `name`, by `interval` (`day`, `week`,
/// `month` or `total`) and name, on days since 1970 from `first` until before `end`.
#[pyfunction]
pub(crate) fn users(
    py: Python<'_>,
    seen: &Batches,
    persons: &Persons,
    interval: &str,
    first: i64,
    end: i64,
) -> PyResult<Counted> {
    let interval = match interval {
        "day" => Interval::Day,
        "week" => Interval::Week,
        "month" => Interval::Month,
        "total" => Interval::Total,
        _ => return Err(PyValueError::new_err(format!("unknown interval `{interval}`"))),
    };
    let (seen, mut named) = (seen.batches().to_vec(), persons.take()?);
    py.enter(move || {
        let counted = count(&seen, &mut named, interval, &(first..end));
        let counted = counted.map_err(Refused)?;
        let Users { rows, all } = counted;
        Ok::<_, Refused>((
            rows.into_iter().map(|((day, name), count)| (day, name, count)).collect(),
            all,
        ))
    })
}
