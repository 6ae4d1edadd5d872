//! Journeys in, counts out that say how far credit can be trusted.

use crate::column::TableError;
use crate::journey::{Effort, Journeys, Lens, Person, Span, Touch, Who};

/// Why a conversion has no touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Its person was never seen with one.
    Never,
    /// All its person's touches came later.
    After,
    /// Those before lie outside their lookback.
    TooOld,
    /// An earlier conversion consumed them.
    Consumed,
}

/// Counts of conversions; all of them whole where journeys are not aggregated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// All conversions.
    pub conversions: f64,
    /// Without a touch: never seen with one, only later ones, too old ones, consumed ones.
    pub lost: [f64; 4],
    /// With touches, all of which lie in the older half of their lookback.
    pub stale: f64,
}

/// What `journeys` say of themselves.
///
/// # Errors
/// The effort was stopped.
pub fn quality(journeys: &Journeys, effort: Effort<'_>) -> Result<Quality, TableError> {
    let lens = journeys.lens();
    let make = || (Quality::default(), Vec::new());
    let made = journeys.fold(Who::Converting, effort, make, |(found, scratch), person| {
        person.journeys(lens, scratch, |index, journey| {
            let weight = journeys.weight(index);
            found.conversions += weight;
            if journey.touches.is_empty() {
                return;
            }
            let is_stale = |touch: &Touch| lens.is_in_older_half(touch, journey.time);
            if journeys.is_timed() && journey.touches.iter().all(is_stale) {
                found.stale += weight;
            }
        });
        for span in person.spans {
            if let Some(why) = why_lost(&person, span, lens) {
                found.lost[why as usize] += journeys.weight(span.index as usize);
            }
        }
    })?;
    // Weights of aggregated paths may be any numbers, but one thread reads those.
    Ok(made.iter().fold(Quality::default(), |all, (part, _)| all.and(part)))
}

fn why_lost(person: &Person<'_>, span: &Span, lens: &Lens) -> Option<Lost> {
    let is_near = |touch: &Touch| lens.reaches(touch, span.time);
    let (start, stop) = (span.start as usize, span.stop as usize);
    if person.touches[start..stop].iter().any(is_near) {
        return None;
    }
    Some(if person.touches[..start].iter().any(is_near) {
        Lost::Consumed
    } else if stop > 0 {
        Lost::TooOld
    } else if !person.touches.is_empty() {
        Lost::After
    } else {
        Lost::Never
    })
}

impl Quality {
    fn and(mut self, other: &Self) -> Self {
        self.conversions += other.conversions;
        self.lost.iter_mut().zip(other.lost).for_each(|(sum, more)| *sum += more);
        self.stale += other.stale;
        self
    }
}
