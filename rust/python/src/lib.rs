//! `unmogrowp._core`: the list of what Python sees. No logic lives in this crate.

use pyo3::prelude::*;

mod attribution;
mod cohorts;
mod door;
mod events;
mod identity;
mod info;
mod inlets;
mod intake;
mod journeys;
mod listener;
mod memory;
mod pieces;
mod schema;
mod seal;
mod shipping;
mod simulate;
mod table;
mod text;
mod users;
mod warehouse;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "the name Python expects")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::attribution::{
        Rule, attribute, compare, credits, markov_orders, quality, removal_effects, spread,
    };
    #[pymodule_export]
    use crate::cohorts::{Crowd, cohorts};
    #[pymodule_export]
    use crate::events::{json_lines, parse};
    #[pymodule_export]
    use crate::identity::{Graph, Persons, has_nobody, identities, identity_keys};
    #[pymodule_export]
    use crate::info::info;
    #[pymodule_export]
    use crate::inlets::{posthog_key, segment_key};
    #[pymodule_export]
    use crate::intake::Intake;
    #[pymodule_export]
    use crate::journeys::{
        Journeys, duration_us, journeys, journeys_from_paths, journeys_of_events,
    };
    #[pymodule_export]
    use crate::listener::{Certificate, Listener};
    #[pymodule_export]
    use crate::pieces::Pieces;
    #[pymodule_export]
    use crate::schema::schema;
    #[pymodule_export]
    use crate::seal::{is_sealed, seal};
    #[pymodule_export]
    use crate::shipping::{Batch, SpoolReader};
    #[pymodule_export]
    use crate::simulate::{Simulation, simulation_settings};
    #[pymodule_export]
    use crate::table::Batches;
    #[pymodule_export]
    use crate::text::as_text;
    #[pymodule_export]
    use crate::users::users;
    #[pymodule_export]
    use crate::warehouse::{encode, events_ddl, months, native_events};
}
