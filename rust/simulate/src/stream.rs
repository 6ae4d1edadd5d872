//! People in, chunks of lines out, in the order in which events arrive.

use std::mem;

use crate::life::{Event, Life};
use crate::person::{Person, millis};
use crate::random::Random;
use crate::render;
use crate::scenario::{Scenario, ScenarioError};
use crate::world::{DAY, World};

/// People looked at in one step, so that a caller can stop in between.
const PEOPLE_PER_STEP: usize = 8_192;

/// What a step brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Some lines, each with its line break.
    Chunk(Vec<u8>),
    /// Nothing yet.
    Working,
    /// The end.
    Done,
}

/// Streams a scenario: first it counts how many people make the events asked for, then it walks
/// through the days. Allocates one [`Person`] a head, one day's events and one chunk.
pub struct Simulation {
    world: World,
    people: Vec<Person>,
    /// Events the people so far make; planning ends when it reaches the target.
    planned: u64,
    /// Events the last person may still make: it is cut so that the sum is exact.
    last_left: u64,
    /// Events by the day they arrive on; the last entry is everything later.
    days: Vec<Vec<Event>>,
    phase: Phase,
    scratch: Vec<Event>,
}

#[derive(Clone, Copy)]
enum Phase {
    Planning,
    /// Generating the events that begin on `day`, from person `next` on.
    Filling {
        day: usize,
        next: usize,
    },
    /// Writing those that arrive on `day`, from position `next` on.
    Writing {
        day: usize,
        next: usize,
    },
    Done,
}

impl Simulation {
    /// A simulation of `scenario`, before its first step.
    ///
    /// # Errors
    /// The scenario cannot be; the error names the setting.
    pub fn new(scenario: Scenario) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let days = usize::try_from(scenario.days).unwrap_or_default();
        let phase = if scenario.events == 0 { Phase::Done } else { Phase::Planning };
        Ok(Self {
            world: World::new(scenario),
            people: Vec::new(),
            planned: 0,
            last_left: 0,
            days: vec![Vec::new(); days + 1],
            phase,
            scratch: Vec::new(),
        })
    }

    /// Go on for a bounded time.
    pub fn step(&mut self) -> Step {
        match self.phase {
            Phase::Planning => self.plan(),
            Phase::Filling { day, next } => self.fill(day, next),
            Phase::Writing { day, next } => return self.write(day, next),
            Phase::Done => return Step::Done,
        }
        Step::Working
    }

    fn plan(&mut self) {
        let target = self.world.scenario.events;
        for _ in 0..PEOPLE_PER_STEP {
            let Ok(index) = u32::try_from(self.people.len()) else {
                break;
            };
            let person = Person::new(&self.world, index);
            self.scratch.clear();
            let life = Life { world: &self.world, person: &person, index };
            for day in 0..i64::from(self.world.scenario.days) {
                life.day(day, &mut self.scratch);
            }
            self.people.push(person);
            let made = self.scratch.len() as u64;
            if self.planned + made >= target {
                self.last_left = target - self.planned;
                self.phase = Phase::Filling { day: 0, next: 0 };
                return;
            }
            self.planned += made;
        }
    }

    fn fill(&mut self, day: usize, next: usize) {
        let stop = self.people.len().min(next + PEOPLE_PER_STEP);
        self.scratch.clear();
        let mut events = mem::take(&mut self.scratch);
        for at in next..stop {
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            let life = Life { world: &self.world, person: &self.people[at], index };
            let from = events.len();
            life.day(i64::try_from(day).unwrap_or_default(), &mut events);
            if at + 1 == self.people.len() {
                let made = events.len() - from;
                let kept = made.min(usize::try_from(self.last_left).unwrap_or(usize::MAX));
                self.last_left -= kept as u64;
                events.truncate(from + kept);
            }
        }
        for event in &events {
            self.deliver(*event);
        }
        self.scratch = events;
        self.phase = Phase::Filling { day, next: stop };
        if stop == self.people.len() {
            self.days[day].sort_unstable_by_key(|e| (e.arrives, e.person, e.tag, e.is_copy));
            self.phase = Phase::Writing { day, next: 0 };
        }
    }

    /// Put an event, and its copy if it is sent twice, on the day it arrives.
    fn deliver(&mut self, mut event: Event) {
        let scenario = &self.world.scenario;
        // Its own stream of chance: with or without these options the events stay the same.
        let mut random = Random::of(event.tag, u64::MAX);
        let is_late = random.is(scenario.late) && !event.kind.is_touch();
        if is_late {
            event.arrives += millis(random.lognormal(scenario.late_median_s, 1.5));
        }
        let copy = random.is(scenario.duplicates).then(|| {
            let arrives = event.arrives + millis(random.lognormal(30.0, 1.0));
            Event { arrives, is_copy: true, ..event }
        });
        for event in [Some(event), copy].into_iter().flatten() {
            let day = usize::try_from(event.arrives / DAY).unwrap_or_default();
            let day = day.min(self.days.len() - 1);
            self.days[day].push(event);
        }
    }

    fn write(&mut self, day: usize, next: usize) -> Step {
        let events = &self.days[day];
        let stop = events.len().min(next + self.world.scenario.lines_max);
        let mut out = Vec::with_capacity((stop - next) * 520);
        for event in &events[next..stop] {
            let person = &self.people[event.person as usize];
            render::line(&self.world.scenario, person, event, &mut out);
        }
        self.phase = Phase::Writing { day, next: stop };
        if stop == events.len() {
            self.days[day] = Vec::new();
            self.phase = self.after(day);
        }
        if out.is_empty() { Step::Working } else { Step::Chunk(out) }
    }

    /// The next day is filled; what arrives after the last one is only sorted and written.
    fn after(&mut self, day: usize) -> Phase {
        let last = self.days.len() - 1;
        if day + 1 < last {
            return Phase::Filling { day: day + 1, next: 0 };
        }
        if day == last {
            return Phase::Done;
        }
        self.days[last].sort_unstable_by_key(|e| (e.arrives, e.person, e.tag, e.is_copy));
        Phase::Writing { day: last, next: 0 }
    }
}

impl Iterator for Simulation {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.step() {
                Step::Chunk(lines) => return Some(lines),
                Step::Working => {}
                Step::Done => return None,
            }
        }
    }
}
