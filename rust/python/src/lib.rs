//! `unmogrowp._core`: the list of what Python sees. No logic lives in this crate.

use pyo3::prelude::*;

mod attribution;
mod cohorts;
mod door;
mod events;
mod identity;
mod inlets;
mod intake;
mod journeys;
mod schema;
mod shipping;
mod simulate;
mod table;
mod text;

#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    table::register(m)?;
    events::register(m)?;
    journeys::register(m)?;
    attribution::register(m)?;
    cohorts::register(m)?;
    inlets::register(m)?;
    intake::register(m)?;
    m.add_function(wrap_pyfunction!(schema::schema, m)?)?;
    m.add_function(wrap_pyfunction!(text::as_text, m)?)?;
    shipping::register(m)?;
    simulate::register(m)
}
