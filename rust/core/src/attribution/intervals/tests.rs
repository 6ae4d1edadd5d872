//! Intervals are what copies of people would give, and tell the truth about simple tables.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};

use super::*;
use crate::attribution::compare::Grid;
use crate::attribution::{Sampling, compare};
use crate::journey::{Names, Settings, read};

fn effort(threads: usize) -> Effort<'static> {
    static STOP: AtomicBool = AtomicBool::new(false);
    Effort { threads, stop: &STOP, salt: 3 }
}

/// One row: who, when, through what, and whether it is a conversion.
type Row = (i64, i64, Option<&'static str>, bool);

const CHANNELS: [&str; 4] = ["ads", "mail", "search", "video"];

/// People who convert or not, once or twice, or without a touch.
fn people() -> Vec<Vec<Row>> {
    let chance = |salt: i64, among: u64| mix(salt.unsigned_abs()) % among;
    (0..60)
        .map(|who| {
            let mut rows: Vec<Row> = Vec::new();
            for step in 0..i64::try_from(chance(who, 4)).unwrap() {
                let channel = CHANNELS[usize::try_from(chance(who * 31 + step, 4)).unwrap()];
                rows.push((who, step * 10 + who, Some(channel), false));
            }
            if chance(who + 1_000, 3) > 0 || rows.is_empty() {
                rows.push((who, 100 + who, None, true));
            }
            if who % 7 == 0 {
                rows.push((who, 150, Some("mail"), false));
                rows.push((who, 160, None, true));
            }
            if who % 11 == 0 {
                rows.push((who, 170, Some("ads"), false));
            }
            rows
        })
        .collect()
}

fn journeys(rows: &[Row]) -> Journeys {
    let text: StringArray = rows.iter().map(|row| row.2).collect();
    let flags = BooleanArray::from(rows.iter().map(|row| row.3).collect::<Vec<_>>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("user", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()) as ArrayRef, false),
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1))),
            false,
        ),
        ("channel", Arc::new(text), true),
        ("is_conversion", Arc::new(flags), false),
    ])
    .unwrap();
    let names = Names {
        user: "user".to_owned(),
        time: "time".to_owned(),
        channel: "channel".to_owned(),
        is_conversion: "is_conversion".to_owned(),
        value: None,
        conversion_name: None,
        currency: None,
        touch_type: None,
        key_touch: None,
        conversion_id: None,
    };
    read(&batch.schema(), std::slice::from_ref(&batch), &names, Settings::default(), effort(2))
        .unwrap()
}

fn models() -> Vec<(String, Model)> {
    let named = |name: &str| (name.to_owned(), Model::parse(name).unwrap());
    let mut models = vec![named("linear"), named("last_touch"), named("w_shape")];
    models.push(("shapley".into(), Model::shapley("subset", Sampling::default()).unwrap()));
    models.push(("rates".into(), Model::shapley("conversion_rate", Sampling::default()).unwrap()));
    for (order, allocation) in [(1, "global"), (2, "global"), (1, "per_journey")] {
        let model = Model::markov(order, "redirect_to_null", allocation).unwrap();
        models.push((format!("markov_{order}_{allocation}"), model));
    }
    models.push(("dropped".into(), Model::markov(1, "drop_paths", "global").unwrap()));
    models.push(("counterfactual".into(), Model::Counterfactual));
    models
}

fn column<'a>(table: &'a RecordBatch, name: &str) -> &'a Float64Array {
    table.column_by_name(name).unwrap().as_primitive::<Float64Type>()
}

#[test]
fn a_resample_credits_what_copies_of_people_would() {
    let people = people();
    // Everybody who never converted has to be somebody, so that counts can be told apart here.
    let converting: Vec<_> =
        people.iter().filter(|rows| rows.iter().any(|row| row.3)).cloned().collect();
    let rows: Vec<Row> = converting.concat();
    let all = journeys(&rows);
    let grid = Grid::new(&all);
    let resampled = Resampled { grid: &grid, draws: Draws { seed: 5, resamples: 6 } };
    let models = models();
    let own: Vec<&Model> = models.iter().map(|(_, model)| model).collect();
    let (of_paths, rules): (Vec<&Model>, Vec<&Model>) =
        own.iter().partition(|model| model.needs_all_journeys());
    let tally = resampled.by_touch(&rules, effort(2)).unwrap();
    let by_path = resampled.by_path(&of_paths, &tally, effort(2)).unwrap();
    let mut key: u32 = 0;
    let keys: Vec<u32> = converting
        .iter()
        .map(|rows| {
            let first = key;
            key += narrow(rows.iter().filter(|row| row.3).count());
            first
        })
        .collect();
    for (resample, by_path) in by_path.iter().enumerate() {
        let mut copies: Vec<Row> = Vec::new();
        for (rows, key) in converting.iter().zip(&keys) {
            let count = resampled.draws.once(*key, resample);
            for copy in (0..100_i64).take_while(|copy| (*copy as f64) < count) {
                copies.extend(rows.iter().map(|row| (row.0 * 100 + copy, row.1, row.2, row.3)));
            }
        }
        let table = compare(&journeys(&copies), &models, None, effort(1)).unwrap();
        let names = table.column(0).as_string::<i32>();
        for (model, (name, _)) in models.iter().enumerate() {
            let expected = column(&table, &format!("{name}_conversions"));
            let within = |list: &[&Model]| list.iter().position(|other| **other == models[model].1);
            let found = |slot: usize| {
                let cell = grid.cell(slot, 0);
                if let Some(place) = within(&rules) {
                    return tally.sums[(cell * rules.len() + place) * 6 + resample];
                }
                by_path[within(&of_paths).unwrap() * grid.cells() + cell]
            };
            let mut sum = 0.0;
            for row in 0..table.num_rows() {
                let name_of = Some(names.value(row));
                let mut used = all.channels().in_order().into_iter();
                let slot = used.find(|(_, own)| *own == name_of);
                let slot = slot.map_or(grid.unattributed(), |(slot, _)| slot);
                let (found, expected) = (found(slot), expected.value(row));
                assert!((found - expected).abs() < 1e-9, "{name} {row}: {found} {expected}");
                sum += found;
            }
            assert!(sum > 0.0, "{name}");
        }
    }
}

#[test]
fn neither_threads_nor_chunks_show_and_another_seed_does() {
    let rows: Vec<Row> = people().concat();
    let made = |seed, threads| {
        let bootstrap = Some(Bootstrap { level: 0.9, resamples: 50, seed });
        compare(&journeys(&rows), &models(), bootstrap, effort(threads)).unwrap()
    };
    let one = made(1, 1);
    assert_eq!(one, made(1, 3));
    assert_ne!(one, made(2, 1));
    for (name, _) in models() {
        let at = |end: &str| column(&one, &format!("{name}_conversions{end}")).clone();
        let (low, high) = (at("_low"), at("_high"));
        assert!(low.iter().zip(&high).all(|(low, high)| low <= high), "{name}");
        assert!(low.iter().zip(&high).any(|(low, high)| low < high), "{name}");
    }
}

#[test]
fn an_interval_is_as_wide_as_counts_of_people_make_it() {
    // Ten thousand who each saw one advertisement and bought: their count has a deviation of 100.
    let rows: Vec<Row> =
        (0..10_000).flat_map(|who| [(who, 1, Some("ads"), false), (who, 2, None, true)]).collect();
    let bootstrap = Some(Bootstrap { level: 0.95, resamples: 2_000, seed: 1 });
    let linear = vec![("linear".to_owned(), Model::Linear)];
    let table = compare(&journeys(&rows), &linear, bootstrap, effort(2)).unwrap();
    let (low, high) = (
        column(&table, "linear_conversions_low").value(0),
        column(&table, "linear_conversions_high").value(0),
    );
    assert!((low - 9_804.0).abs() < 15.0, "{low}");
    assert!((high - 10_196.0).abs() < 15.0, "{high}");
}

#[test]
fn aggregated_paths_are_drawn_by_their_counts() {
    let list = |paths: &[&[&'static str]]| -> ArrayRef {
        let mut builder =
            arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
        for path in paths {
            builder.append_value(path.iter().map(|name| Some(*name)));
        }
        let made: ListArray = builder.finish();
        Arc::new(made)
    };
    let counts = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("path", list(&[&["a", "b"], &["b"], &["a"]])),
        ("conversions", counts(&[900.0, 100.0, 0.0])),
        ("nulls", counts(&[0.0, 300.0, 10_000.0])),
    ])
    .unwrap();
    let paths = crate::journey::read_paths(
        &batch.schema(),
        std::slice::from_ref(&batch),
        " > ",
        effort(1).stop,
    )
    .unwrap();
    let bootstrap = Some(Bootstrap { level: 0.95, resamples: 1_000, seed: 4 });
    let models: Vec<_> = models().into_iter().filter(|(name, _)| name != "w_shape").collect();
    let table = compare(&paths, &models, bootstrap, effort(2)).unwrap();
    let linear = |end: &str| column(&table, &format!("linear_conversions{end}")).value(0);
    assert!((linear("") - 450.0).abs() < 1e-9);
    // Half of a count around 900, whose deviation is 30.
    assert!((linear("_low") - 420.6).abs() < 4.0, "{}", linear("_low"));
    assert!((linear("_high") - 479.4).abs() < 4.0, "{}", linear("_high"));
    for (name, _) in &models {
        let at = |end: &str, row| column(&table, &format!("{name}_conversions{end}")).value(row);
        for row in 0..2 {
            let (low, point, high) = (at("_low", row), at("", row), at("_high", row));
            assert!(low <= point && point <= high, "{name} {row}: {low} {point} {high}");
        }
    }
}

#[test]
fn ends_lie_between_samples_as_quantiles_do() {
    let close = |(low, high): (f64, f64), expected: (f64, f64)| {
        assert!((low - expected.0).abs() < 1e-12 && (high - expected.1).abs() < 1e-12);
    };
    close(ends(&mut [30.0, 0.0, 20.0, 10.0], 0.5), (7.5, 22.5));
    close(ends(&mut [30.0, 0.0, 70.0, 10.0, 50.0], 0.9), (2.0, 66.0));
    close(ends(&mut [4.0], 0.9), (4.0, 4.0));
}
