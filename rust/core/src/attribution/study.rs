//! Journeys and models in, what the models need to know of all journeys out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::chain::Chain;
use super::markov::{self, Effects, Moves, Removal};
use super::paths::{Paths, Ranks};
use super::shapley::{Coalitions, Shares};
use super::{Model, ModelError, Whole};
use crate::column::TableError;
use crate::journey::{Effort, Journeys};

/// What models need to know of all journeys; empty where none does.
pub(crate) struct Study {
    pub(super) ranks: Ranks,
    pub(super) paths: Paths,
    moves: Option<Moves>,
    /// By order.
    chains: BTreeMap<usize, Chain>,
    coalitions: Option<Coalitions>,
}

impl Study {
    pub(crate) fn new<'a>(
        journeys: &Journeys,
        models: impl IntoIterator<Item = &'a Model>,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let ranks = Ranks::new(journeys.channels());
        let mut study = Self::of(ranks, Paths::default());
        let mut has_paths = false;
        for model in models {
            // Fractions would show in which order they were summed, save among sorted paths.
            let is_counted =
                journeys.is_counted_in_wholes() && study.count(journeys, model, effort)?;
            has_paths |= !is_counted && model.needs_all_journeys();
        }
        if has_paths {
            study.paths = Paths::gather(journeys, &study.ranks, effort)?;
        }
        Ok(study)
    }

    /// Of paths that were told apart.
    pub(super) fn of(ranks: Ranks, paths: Paths) -> Self {
        Self { ranks, paths, moves: None, chains: BTreeMap::new(), coalitions: None }
    }

    /// Count what a model needs without telling paths apart, if that will do.
    fn count(
        &mut self,
        journeys: &Journeys,
        model: &Model,
        effort: Effort<'_>,
    ) -> Result<bool, TableError> {
        match (model.chain(), model.whole()) {
            (Some((1, Removal::RedirectToNull)), _) if self.ranks.len <= markov::DENSE_MAX => {
                if self.moves.is_none() {
                    self.moves = Some(Moves::gather(journeys, &self.ranks, effort)?);
                }
            }
            (Some((order, _)), _) => {
                if let Entry::Vacant(free) = self.chains.entry(order) {
                    free.insert(Chain::gather(journeys, &self.ranks, order, effort)?);
                }
            }
            (None, Whole::Rates(_)) => {
                if self.coalitions.is_none() {
                    self.coalitions = Some(Coalitions::gather(journeys, &self.ranks, effort)?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The removal effects of a chain.
    pub(super) fn effects(&self, model: &Model, effort: Effort<'_>) -> Result<Effects, ModelError> {
        let Model::Markov { order, removal, .. } = *model else {
            return Err(ModelError::NotMarkov);
        };
        if let (1, Removal::RedirectToNull, Some(moves)) = (order, removal, &self.moves) {
            return Ok(Effects::of_moves(moves, effort)?);
        }
        if let (true, Some(chain)) = (removal != Removal::DropPaths, self.chains.get(&order)) {
            return Ok(Effects::of_chain(chain, self.ranks.len, removal, effort)?);
        }
        Ok(Effects::new(&self.paths, order, removal, effort)?)
    }

    /// By rank: the share of all attributed conversions that each channel earns, of a model that
    /// shares them at once.
    pub(super) fn shares(
        &self,
        model: &Model,
        effort: Effort<'_>,
    ) -> Result<Option<Shares>, ModelError> {
        Ok(match (model.whole(), &self.coalitions) {
            (Whole::Effects, _) => {
                Some(Shares { shares: self.effects(model, effort)?.shares(), errors: None })
            }
            (Whole::Rates(sampling), Some(coalitions)) => {
                Some(coalitions.shares(sampling, effort)?)
            }
            (Whole::Rates(sampling), None) => {
                Some(Coalitions::of_paths(&self.paths).shares(sampling, effort)?)
            }
            (Whole::No, _) => None,
        })
    }
}
