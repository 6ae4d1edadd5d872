//! The cases of `tests/cases/attribution`, which Python reads as well.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::attribution::{Model, Sampling, attribute, compare};
use crate::duration;
use crate::journey::{
    Effort, Journeys, Names, Policy, Settings, Touch, UNATTRIBUTED, Who, read, read_paths,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use serde_json::Value;

fn effort() -> Effort<'static> {
    static STOP: AtomicBool = AtomicBool::new(false);
    Effort { threads: 2, stop: &STOP, salt: 7 }
}

/// One of the files of `tests/cases/attribution`.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/cases/attribution/",
            $name,
            ".json"
        ))
    };
}

const FILES: [&str; 5] =
    [file!("rules"), file!("windows"), file!("policies"), file!("values"), file!("open")];

fn cases() -> Vec<Value> {
    let cases = |file: &&str| -> Vec<Value> { serde_json::from_str(file).unwrap() };
    FILES.iter().flat_map(cases).collect()
}

fn us(value: &Value) -> i64 {
    duration::parse("at", value.as_str().unwrap()).unwrap()
}

fn table(rows: &[Value]) -> RecordBatch {
    let text = |name: &str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row[name].as_str()).collect::<StringArray>())
    };
    let flags = |flag: &dyn Fn(&Value) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from(rows.iter().map(flag).collect::<Vec<_>>()))
    };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| us(&row["at"])));
    let values: Float64Array = rows.iter().map(|row| row["value"].as_f64()).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("user_id", text("user"), false),
        ("timestamp", Arc::new(times) as ArrayRef, false),
        ("channel", text("channel"), true),
        ("is_conversion", flags(&|row| row.get("conversion").is_some()), false),
        ("value", Arc::new(values), true),
        ("conversion_name", text("conversion"), true),
        ("touch_type", text("type"), true),
        ("key_touch", flags(&|row| row["key"] == true), true),
    ])
    .unwrap()
}

fn names() -> Names {
    let optional = |name: &str| Some(name.to_owned());
    Names {
        user: "user_id".to_owned(),
        time: "timestamp".to_owned(),
        channel: "channel".to_owned(),
        is_conversion: "is_conversion".to_owned(),
        value: optional("value"),
        conversion_name: optional("conversion_name"),
        currency: None,
        touch_type: optional("touch_type"),
        key_touch: optional("key_touch"),
        conversion_id: None,
    }
}

fn journeys(case: &Value, batches: &[RecordBatch]) -> Journeys {
    let mut settings = Settings::default();
    let given = &case["settings"];
    if !given["click_lookback"].is_null() {
        settings.click_lookback_us = us(&given["click_lookback"]);
    }
    if !given["view_lookback"].is_null() {
        settings.view_lookback_us = us(&given["view_lookback"]);
    }
    if let Some(policy) = given["policy"].as_str() {
        settings.policy = Policy::parse(policy).unwrap();
    }
    settings.prefers_clicks = given["click_over_view"] == true;
    read(&table(&[]).schema(), batches, &names(), settings, effort()).unwrap()
}

fn model(given: &Value) -> Model {
    let name = given["model"].as_str().unwrap();
    let share = |part: &str| given[part].as_f64();
    match Model::parse(name).unwrap() {
        Model::PositionBased { first, last } => {
            Model::position_based(share("first").unwrap_or(first), share("last").unwrap_or(last))
                .unwrap()
        }
        Model::TimeDecay { half_life_us, .. } => {
            let half_life = given.get("half_life").map_or(half_life_us, us);
            Model::time_decay(half_life, given["step"] == true).unwrap()
        }
        Model::FirstNonDirect { direct } => {
            Model::FirstNonDirect { direct: directs(given, direct) }
        }
        Model::LastNonDirect { direct } => Model::LastNonDirect { direct: directs(given, direct) },
        other => other,
    }
}

fn directs(given: &Value, default: Vec<String>) -> Vec<String> {
    let text = |name: &Value| name.as_str().unwrap().to_owned();
    given["direct"].as_array().map_or(default, |names| names.iter().map(text).collect())
}

/// `conversion_id`, `touch_index`, `channel`, `credit`, `value` of each row.
type Row = (i64, Option<u32>, Option<String>, f64, f64);

fn expected(case: &Value, credit: &Value) -> Vec<Row> {
    let rows = case["rows"].as_array().unwrap();
    let conversions = rows.iter().enumerate().filter(|(_, row)| row.get("conversion").is_some());
    let mut expected = Vec::new();
    let each = case["journeys"].as_array().unwrap().iter().zip(credit.as_array().unwrap());
    for ((row, conversion), (channels, shares)) in conversions.zip(each) {
        let (row, value) =
            (i64::try_from(row).unwrap(), conversion["value"].as_f64().unwrap_or(0.0));
        let channels = channels.as_array().unwrap();
        if channels.is_empty() {
            expected.push((row, None, Some(UNATTRIBUTED.to_owned()), 1.0, value));
        }
        for (index, (channel, share)) in (0..).zip(channels.iter().zip(shares.as_array().unwrap()))
        {
            let (channel, share) = (channel.as_str().map(str::to_owned), share.as_f64().unwrap());
            expected.push((row, Some(index), channel, share, share * value));
        }
    }
    expected
}

fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let positions = batch.column(1).as_primitive::<UInt32Type>();
        let channels = batch.column(2).as_string::<i32>();
        let credit = batch.column(3).as_primitive::<Float64Type>();
        let values = batch.column(4).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let position = positions.is_valid(row).then(|| positions.value(row));
            let channel = channels.is_valid(row).then(|| channels.value(row).to_owned());
            rows.push((ids.value(row), position, channel, credit.value(row), values.value(row)));
        }
    }
    rows
}

fn assert_same(found: &[Row], expected: &[Row], name: &str) {
    let shape = |rows: &[Row]| -> Vec<_> {
        rows.iter().map(|(id, index, channel, ..)| (*id, *index, channel.clone())).collect()
    };
    assert_eq!(shape(found), shape(expected), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.3 - expected.3).abs() < 1e-12, "{name}: {found:?} is not {expected:?}");
        assert!((found.4 - expected.4).abs() < 1e-9, "{name}: {found:?} is not {expected:?}");
    }
}

#[test]
fn every_case_gives_what_it_says() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let batch = table(case["rows"].as_array().unwrap());
        let journeys = journeys(&case, &[batch]);
        for credit in case["credit"].as_array().unwrap() {
            let model = model(credit);
            let (_, found) = attribute(&journeys, &model, effort()).unwrap();
            assert_same(
                &rows(&found),
                &expected(&case, &credit["credit"]),
                &format!("{name}: {model:?}"),
            );
        }
    }
}

#[test]
fn journeys_that_did_not_convert_are_those_that_a_case_says() {
    let mut looked_at = 0;
    for case in cases().iter().filter(|case| !case["open"].is_null()) {
        let journeys = journeys(case, &[table(case["rows"].as_array().unwrap())]);
        let made = journeys.fold(Who::All, effort(), Vec::new, |all, person| {
            person.unconverted(journeys.lens(), |touches| {
                let number = |touch: &Touch| touch.channel().unwrap() as usize;
                let names = touches.map(|touch| journeys.channels().names[number(touch)].clone());
                all.push(names.collect::<Vec<_>>());
            });
        });
        let mut found: Vec<_> = made.unwrap().into_iter().flatten().collect();
        found.sort_unstable();
        let mut expected: Vec<Vec<String>> = serde_json::from_value(case["open"].clone()).unwrap();
        expected.sort_unstable();
        assert_eq!(found, expected, "{}", case["name"]);
        looked_at += 1;
    }
    assert_eq!(looked_at, 8);
}

#[test]
fn chunks_and_slices_of_a_table_give_the_same_bytes() {
    for case in cases() {
        let batch = table(case["rows"].as_array().unwrap());
        let whole = journeys(&case, std::slice::from_ref(&batch));
        let chunks: Vec<_> = (0..batch.num_rows()).map(|row| batch.slice(row, 1)).collect();
        let parts = journeys(&case, &chunks);
        let models: Vec<_> = crate::attribution::NAMES
            .iter()
            .map(|name| ((*name).to_owned(), Model::parse(name).unwrap()))
            .collect();
        let compared = |journeys: &Journeys| compare(journeys, &models, None, effort()).unwrap();
        assert_eq!(compared(&whole), compared(&parts), "{}", case["name"]);
    }
}

#[test]
fn a_call_that_is_told_to_stop_says_so() {
    let batch = table(cases()[0]["rows"].as_array().unwrap());
    let stopped = AtomicBool::new(true);
    let error = read(
        &batch.schema(),
        std::slice::from_ref(&batch),
        &names(),
        Settings::default(),
        Effort::alone(&stopped),
    );
    assert!(error.unwrap_err().to_string().starts_with("cancelled"));
}

const MODELS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/paths/models.json"));

/// The models of whole paths, as `tests/test_models.py` reads them.
#[test]
fn paths_of_the_cases_earn_what_they_should() {
    let cases: Vec<Value> = serde_json::from_str(MODELS).unwrap();
    for case in cases {
        let paths = case["paths"].as_array().unwrap();
        let text = |path: &Value| {
            let steps = path["path"].as_array().unwrap().iter().map(|step| step.as_str().unwrap());
            steps.collect::<Vec<_>>().join(" > ")
        };
        let count = |name: &str| -> ArrayRef {
            Arc::new(paths.iter().map(|path| path[name].as_f64()).collect::<Float64Array>())
        };
        let names: StringArray = paths.iter().map(text).map(Some).collect();
        let batch = RecordBatch::try_from_iter([
            ("path", Arc::new(names) as ArrayRef),
            ("conversions", count("conversions")),
            ("nulls", count("nulls")),
        ])
        .unwrap();
        let journeys = read_paths(&batch.schema(), &[batch], " > ", effort().stop).unwrap();
        for (name, expected) in case["credit"].as_object().unwrap() {
            let model = match name.as_str() {
                "markov" => Model::markov(1, "redirect_to_null", "global"),
                "markov_2" => Model::markov(2, "redirect_to_null", "global"),
                "shapley_conversion_rate" => Model::shapley("conversion_rate", Sampling::default()),
                "counterfactual" => Ok(Model::Counterfactual),
                _ => Model::shapley("subset", Sampling::default()),
            };
            let models = [(name.clone(), model.unwrap())];
            let table = compare(&journeys, &models, None, effort()).unwrap();
            let channels = table.column(0).as_string::<i32>();
            let credit = table.column(1).as_primitive::<Float64Type>();
            for row in 0..table.num_rows() - 1 {
                let wanted = expected[channels.value(row)].as_f64().unwrap();
                assert!((credit.value(row) - wanted).abs() < 1e-12, "{name} of {}", case["name"]);
            }
        }
    }
}
