//! Between which credits a channel's credit may lie: a bootstrap over people.
//!
//! Each resample gives people counts ([`Draws`]), and credit is what it would be had each come so
//! often: by multiplicities, never by copies. Rule models weigh a journey once for all resamples.
//! Models that look at all paths are made anew for each from the distinct paths and their counts.
//! People who never converted are drawn journey by journey there.

use super::compare::Grid;
use super::draws::{Draws, Of, mix};
use super::paths::{Found, Paths, Ranks};
use super::{Model, ModelError, RESAMPLES_MAX, Rule, Study};
use crate::column::{NULL, TableError, narrow};
use crate::journey::{Effort, Journey, Journeys, Person, Touch, Who};
use crate::threads::side_by_side;

/// How uncertainty is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// The share of resamples inside the interval.
    pub level: f64,
    /// How many there are.
    pub resamples: usize,
    /// The same seed gives the same intervals.
    pub seed: u64,
}

impl Bootstrap {
    /// # Errors
    /// A level that is no share, or too few or many resamples.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let Self { level, resamples, .. } = *self;
        if level > 0.0 && level < 1.0 && (2..=RESAMPLES_MAX).contains(&resamples) {
            Ok(())
        } else {
            Err(ModelError::Bootstrap(level, resamples))
        }
    }
}

/// By model and cell of the grid: the ends of an interval of conversions.
pub(super) fn intervals(
    grid: &Grid<'_>,
    models: &[(String, Model)],
    bootstrap: Bootstrap,
    effort: Effort<'_>,
) -> Result<Vec<Vec<(f64, f64)>>, ModelError> {
    let Bootstrap { resamples, seed, .. } = bootstrap;
    let resampled = Resampled { grid, draws: Draws { seed, resamples } };
    let (of_paths, rules): (Vec<usize>, Vec<usize>) =
        (0..models.len()).partition(|model| models[*model].1.needs_all_journeys());
    let by_touch: Vec<&Model> = rules.iter().map(|model| &models[*model].1).collect();
    let tally = resampled.by_touch(&by_touch, effort)?;
    let whole: Vec<&Model> = of_paths.iter().map(|model| &models[*model].1).collect();
    let by_path = resampled.by_path(&whole, &tally, effort)?;
    let mut found = vec![Vec::new(); models.len()];
    for (place, model) in rules.iter().enumerate() {
        let cells = tally.sums.chunks_exact(resamples).skip(place).step_by(rules.len());
        found[*model] = cells.map(|sums| ends(&mut sums.to_vec(), bootstrap.level)).collect();
    }
    for (place, model) in of_paths.iter().enumerate() {
        let cell = |cell: usize| {
            let sums = by_path.iter().map(|sample| sample[place * grid.cells() + cell]);
            ends(&mut sums.collect::<Vec<_>>(), bootstrap.level)
        };
        found[*model] = (0..grid.cells()).map(cell).collect();
    }
    Ok(found)
}

/// The quantiles that leave out as much below as above, linear between samples.
pub(super) fn ends(samples: &mut [f64], level: f64) -> (f64, f64) {
    samples.sort_unstable_by(f64::total_cmp);
    let last = samples.len() - 1;
    let at = |share: f64| {
        let place = share * last as f64;
        let index = (1..=last).take_while(|index| *index as f64 <= place).count();
        let next = samples[(index + 1).min(last)];
        samples[index] + (place - index as f64) * (next - samples[index])
    };
    let outside = (1.0 - level) / 2.0;
    (at(outside), at(1.0 - outside))
}

/// Journeys, their rows and columns, and who stands in which resample.
struct Resampled<'a> {
    grid: &'a Grid<'a>,
    draws: Draws,
}

/// Sums of rule models.
struct Tally {
    /// By cell, model and resample.
    sums: Vec<f64>,
    /// By currency and resample: conversions without touches.
    lost: Vec<f64>,
    counts: Vec<f64>,
    weights: Vec<f64>,
    scratch: Vec<Touch>,
}

impl Resampled<'_> {
    fn journeys(&self) -> &Journeys {
        self.grid.journeys
    }

    /// Whether each journey stands for many people, of whom nobody knows who they are.
    fn is_aggregated(&self) -> bool {
        let conversions = self.journeys().conversions();
        conversions.weights.is_some() || conversions.nulls.is_some()
    }

    /// What credit is rounded to, so that sums are exact in any order: far below what shows.
    fn grain(&self) -> f64 {
        let journeys = self.journeys();
        let total: f64 = (0..journeys.len()).map(|index| journeys.weight(index)).sum();
        // No sum of a resample comes near sixteen times the total.
        (16.0 * total.max(1.0)).log2().ceil().exp2() / 2_f64.powi(52)
    }

    fn by_touch(&self, models: &[&Model], effort: Effort<'_>) -> Result<Tally, ModelError> {
        let (journeys, each) = (self.journeys(), self.draws.resamples);
        let study = Study::new(journeys, models.iter().copied(), effort)?;
        let rules: Vec<Rule<'_>> = models
            .iter()
            .map(|model| Rule::new(model, journeys, &study, effort))
            .collect::<Result<_, _>>()?;
        let make = || Tally {
            sums: vec![0.0; self.grid.cells() * rules.len() * each],
            lost: vec![0.0; self.grid.places() * each],
            counts: vec![0.0; each],
            weights: Vec::new(),
            scratch: Vec::new(),
        };
        let grain = self.grain();
        let made = journeys.fold(Who::Converting, effort, make, |tally, person| {
            let mut scratch = std::mem::take(&mut tally.scratch);
            if !self.is_aggregated() {
                self.draws.person(key_of(&person), &mut tally.counts);
            }
            person.journeys(journeys.lens(), &mut scratch, |index, journey| {
                self.touched(index, &journey, &rules, grain, tally);
            });
            tally.scratch = scratch;
        })?;
        Ok(made.into_iter().reduce(|all, other| all.join(&other)).unwrap_or_else(make))
    }

    /// Share a conversion in all resamples by every rule.
    fn touched(
        &self,
        index: usize,
        journey: &Journey<'_>,
        rules: &[Rule<'_>],
        grain: f64,
        tally: &mut Tally,
    ) {
        let Tally { sums, lost, counts, weights, .. } = tally;
        let (grid, each) = (self.grid, self.draws.resamples);
        if self.is_aggregated() {
            let mean = grid.journeys.weight(index);
            for (resample, count) in counts.iter_mut().enumerate() {
                *count = self.draws.among(mean, Of::Conversions, index as u64, resample);
            }
        }
        let place = grid.place(index);
        let mut add = |cell: usize, rule: usize, share: f64| {
            let at = (cell * rules.len() + rule) * each;
            add_all(&mut sums[at..at + each], counts, share);
        };
        if journey.touches.is_empty() {
            let cell = grid.cell(grid.unattributed(), place);
            (0..rules.len()).for_each(|rule| add(cell, rule, 1.0));
            add_all(&mut lost[place * each..][..each], counts, 1.0);
            return;
        }
        weights.resize(journey.touches.len(), 0.0);
        for (number, rule) in rules.iter().enumerate() {
            rule.weigh(journey, weights);
            for (touch, weight) in journey.touches.iter().zip(&*weights) {
                if *weight != 0.0 {
                    let cell = grid.cell(grid.slot(touch.channel()), place);
                    add(cell, number, (weight / grain).round() * grain);
                }
            }
        }
    }

    /// By resample: the credit of each model and cell, model by model.
    fn by_path(
        &self,
        models: &[&Model],
        tally: &Tally,
        effort: Effort<'_>,
    ) -> Result<Vec<Vec<f64>>, ModelError> {
        if models.is_empty() {
            return Ok(Vec::new());
        }
        let ranks = Ranks::new(self.journeys().channels());
        let traffic = Traffic::gather(self, &ranks, effort)?;
        let threads = effort.threads.min(self.draws.resamples);
        let traffic = &traffic;
        let work = |first: usize| {
            move || -> Result<Vec<Vec<f64>>, ModelError> {
                let resamples = (first..self.draws.resamples).step_by(threads);
                resamples.map(|one| self.sample(one, models, traffic, tally, effort)).collect()
            }
        };
        let made = side_by_side((0..threads).map(work));
        let parts = made.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        let all = 0..self.draws.resamples;
        Ok(all.filter_map(|resample| parts[resample % threads].next()).collect())
    }

    /// The credit of one resample.
    fn sample(
        &self,
        resample: usize,
        models: &[&Model],
        traffic: &Traffic,
        tally: &Tally,
        effort: Effort<'_>,
    ) -> Result<Vec<f64>, ModelError> {
        effort.go_on()?;
        let (grid, each) = (self.grid, self.draws.resamples);
        let counted = traffic.counted(self, resample);
        let ranks = Ranks::new(grid.journeys.channels());
        let slots: Vec<usize> =
            grid.journeys.channels().in_order().iter().map(|(slot, _)| *slot).collect();
        let study = Study::of(ranks, counted.paths(&traffic.paths));
        let attributed = counted.attributed();
        let mut credit = vec![0.0; models.len() * grid.cells()];
        // One thread per resample is enough.
        let alone = Effort { threads: 1, ..effort };
        for (model, credit) in models.iter().zip(credit.chunks_exact_mut(grid.cells())) {
            for place in 0..grid.places() {
                credit[grid.cell(grid.unattributed(), place)] = tally.lost[place * each + resample];
            }
            if let Some(shares) = study.shares(model, alone)? {
                for (slot, share) in slots.iter().zip(shares.shares) {
                    for (place, attributed) in attributed.iter().enumerate() {
                        credit[grid.cell(*slot, place)] = share * attributed;
                    }
                }
            } else {
                let rule = Rule::new(model, grid.journeys, &study, alone)?;
                counted.weigh(&traffic.paths, &rule, &slots, grid, credit);
            }
        }
        Ok(credit)
    }
}

/// Whose journeys these are: the number of the first conversion.
fn key_of(person: &Person<'_>) -> u32 {
    person.spans.first().map_or(0, |span| span.index)
}

pub(super) fn add_all(sums: &mut [f64], counts: &[f64], share: f64) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += share * count;
    }
}

impl Tally {
    fn join(mut self, other: &Self) -> Self {
        add_all(&mut self.sums, &other.sums, 1.0);
        add_all(&mut self.lost, &other.lost, 1.0);
        self
    }
}

/// One journey of somebody who converted.
#[derive(Clone, Copy)]
struct Trip {
    path: u32,
    /// Whose.
    key: u32,
    /// The conversion; [`NULL`] where it had none.
    index: u32,
}

/// All journeys with touches, by distinct path.
struct Traffic {
    paths: Paths,
    trips: Vec<Trip>,
    /// By path: journeys of people who never converted, and a key of its own.
    strangers: Vec<(f64, u64)>,
}

impl Traffic {
    fn gather(
        resampled: &Resampled<'_>,
        ranks: &Ranks,
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let journeys = resampled.journeys();
        let make = || (Found::default(), Vec::new(), Vec::new(), Vec::new());
        let made = journeys.fold(Who::All, effort, make, |state, person| {
            let (found, trips, path, scratch) = state;
            let key = key_of(&person);
            person.journeys(journeys.lens(), scratch, |index, journey| {
                if !journey.touches.is_empty() {
                    path.clear();
                    path.extend(journey.touches.iter().map(|touch| ranks.rank(touch.channel())));
                    trips.push(Trip { path: found.add(path, 0.0, 0.0), key, index: narrow(index) });
                }
            });
            let is_stranger = person.spans.is_empty();
            person.unconverted(journeys.lens(), |touches| {
                path.clear();
                path.extend(touches.map(|touch| ranks.rank(touch.channel())));
                let number = found.add(path, 0.0, f64::from(u8::from(is_stranger)));
                if !is_stranger {
                    trips.push(Trip { path: number, key, index: NULL });
                }
            });
        })?;
        let mut all = Found::default();
        let mut trips = Vec::new();
        for (found, own, ..) in made {
            let numbers: Vec<u32> =
                found.iter().map(|(path, nulls)| all.add(path, 0.0, nulls)).collect();
            trips
                .extend(own.iter().map(|trip| Trip { path: numbers[trip.path as usize], ..*trip }));
        }
        let (paths, places) = Paths::sorted(&all, ranks.len);
        for trip in &mut trips {
            trip.path = places[trip.path as usize];
        }
        let keyed = |(path, _, nulls): (&[u32], f64, f64)| {
            (nulls, path.iter().fold(0, |key, rank| mix(key ^ u64::from(*rank))))
        };
        let strangers = paths.iter().map(keyed).collect();
        Ok(Self { paths, trips, strangers })
    }

    /// How often each path stands in a resample.
    fn counted(&self, resampled: &Resampled<'_>, resample: usize) -> Counted {
        let (grid, draws) = (resampled.grid, resampled.draws);
        let places = grid.places();
        let mut conversions = vec![0.0; self.paths.len() * places];
        let draw = |(mean, key): &(f64, u64)| draws.among(*mean, Of::Nulls, *key, resample);
        let mut nulls: Vec<f64> = self.strangers.iter().map(draw).collect();
        for trip in &self.trips {
            let path = trip.path as usize;
            if trip.index == NULL {
                nulls[path] += draws.once(trip.key, resample);
                continue;
            }
            let index = trip.index as usize;
            conversions[path * places + grid.place(index)] += if resampled.is_aggregated() {
                let key = index as u64;
                nulls[path] += draws.among(grid.journeys.nulls(index), Of::Nulls, key, resample);
                draws.among(grid.journeys.weight(index), Of::Conversions, key, resample)
            } else {
                draws.once(trip.key, resample)
            };
        }
        Counted { places, conversions, nulls }
    }
}

/// Counts of the paths of one resample.
struct Counted {
    places: usize,
    /// By path and currency.
    conversions: Vec<f64>,
    nulls: Vec<f64>,
}

impl Counted {
    /// Those that are there at all.
    fn paths(&self, all: &Paths) -> Paths {
        let by_path = self.conversions.chunks_exact(self.places);
        all.resampled(by_path.map(|counts| counts.iter().sum()).zip(self.nulls.iter().copied()))
    }

    fn attributed(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.places];
        for counts in self.conversions.chunks_exact(self.places) {
            add_all(&mut sums, counts, 1.0);
        }
        sums
    }

    /// Share the conversions of each path among its touches.
    fn weigh(
        &self,
        paths: &Paths,
        rule: &Rule<'_>,
        slots: &[usize],
        grid: &Grid<'_>,
        credit: &mut [f64],
    ) {
        let (mut touches, mut weights) = (Vec::new(), Vec::new());
        let null = grid.journeys.channels().null();
        let number = |slot: usize| (slot != null).then(|| narrow(slot));
        for (index, counts) in self.conversions.chunks_exact(self.places).enumerate() {
            if counts.iter().all(|count| *count == 0.0) {
                continue;
            }
            let path = paths.path(index);
            touches.clear();
            touches
                .extend(path.iter().map(|rank| Touch::of_channel(number(slots[*rank as usize]))));
            weights.resize(path.len(), 0.0);
            rule.weigh(&Journey { touches: &touches, time: 0 }, &mut weights);
            for (rank, weight) in path.iter().zip(&weights) {
                for (place, count) in counts.iter().enumerate() {
                    credit[grid.cell(slots[*rank as usize], place)] += weight * count;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
