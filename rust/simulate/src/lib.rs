//! A seed in, a month of mobile traffic out: people see ads, click, install, come back and buy.
//!
//! Everything is drawn from the seed, so the same [`Scenario`] gives the same bytes. A person's
//! life is a pure function of its number and the day, which is what lets [`Simulation`] stream
//! a data set of any size day by day. `docs/simulator.md` holds the assumptions.

mod life;
mod person;
mod random;
mod render;
mod scenario;
mod stream;
#[cfg(test)]
mod tests;
mod world;

pub use scenario::{Scenario, ScenarioError, Setting};
pub use stream::{Simulation, Step};
