//! The distributions the docs promise, measured on what comes out.

use std::collections::{HashMap, HashSet};

use crate::scenario::{Scenario, ScenarioError, Setting};
use crate::stream::Simulation;

fn text(scenario: &Scenario) -> String {
    let chunks: Vec<Vec<u8>> = Simulation::new(scenario.clone()).unwrap().collect();
    String::from_utf8(chunks.concat()).unwrap()
}

fn small(events: u64) -> Scenario {
    Scenario { events, ..Scenario::default() }
}

/// The text of a field. The lines are our own: no escape, no blank.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\":");
    let rest = &line[line.find(&key)? + key.len()..];
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    Some(&rest[..rest.find(['"', ',', '}'])?])
}

fn count(lines: &[&str], test: impl Fn(&str) -> bool) -> f64 {
    lines.iter().filter(|line| test(line)).count() as f64
}

fn is_kind(line: &str, name: &str) -> bool {
    field(line, "event_name") == Some(name)
}

/// Milliseconds since the start of 2026, for times of January to February.
fn millis(line: &str) -> i64 {
    let at = field(line, "timestamp").unwrap();
    let number = |from: usize, to: usize| at[from..to].parse::<i64>().unwrap();
    let day = number(8, 10) - 1 + if number(5, 7) == 2 { 31 } else { 0 };
    ((day * 24 + number(11, 13)) * 60 + number(14, 16)) * 60_000
        + number(17, 19) * 1_000
        + number(20, 23)
}

fn near(value: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((value - expected).abs() <= tolerance, "{what}: {value} is not {expected}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = text(&small(5_000));
    assert_eq!(first, text(&small(5_000)));
    assert_ne!(first, text(&Scenario { seed: 8, ..small(5_000) }));
    let narrow = Scenario { lines_max: 7, ..small(5_000) };
    assert_eq!(first, text(&narrow), "chunks do not matter");
}

#[test]
fn scenarios_of_other_seeds_share_no_event() {
    let mut ids = HashSet::new();
    for seed in 0..6 {
        let text = text(&Scenario { seed, ..small(500) });
        let own = text.lines().filter_map(|line| field(line, "event_id").map(str::to_owned));
        ids.extend(own);
    }
    assert_eq!(ids.len(), 6 * 500);
}

#[test]
fn the_number_of_events_is_exact_and_their_ids_differ() {
    for events in [0, 1, 17, 4_321] {
        let text = text(&small(events));
        let ids: HashSet<_> = text.lines().filter_map(|line| field(line, "event_id")).collect();
        assert_eq!((text.lines().count() as u64, ids.len() as u64), (events, events));
    }
}

#[test]
fn chunks_hold_no_more_lines_than_asked_for() {
    let scenario = Scenario { lines_max: 100, ..small(3_000) };
    for chunk in Simulation::new(scenario).unwrap() {
        let lines = std::str::from_utf8(&chunk).unwrap().lines().count();
        assert!((1..=100).contains(&lines));
    }
}

#[test]
fn events_come_in_the_order_of_their_time() {
    let text = text(&small(20_000));
    let times: Vec<_> = text.lines().map(millis).collect();
    assert!(times.is_sorted());
    assert!(times[0] >= 0 && *times.last().unwrap() < 30 * 86_400_000);
}

#[test]
fn shares_are_those_of_the_scenario() {
    let text = text(&small(300_000));
    let lines: Vec<_> = text.lines().collect();
    let share = |of: &dyn Fn(&str) -> bool, which: &dyn Fn(&str) -> bool| {
        count(&lines, |line| of(line) && which(line)) / count(&lines, of)
    };
    let on = |os: &'static str| move |line: &str| field(line, "os") == Some(os);
    let has = |name: &'static str| move |line: &str| field(line, name).is_some();
    near(share(&on("iOS"), &has("idfa")), 0.60, 0.02, "idfa");
    near(share(&on("Android"), &has("gaid")), 0.95, 0.01, "gaid");
    let organic = |line: &str| field(line, "truth") == Some("organic");
    near(share(&|line| is_kind(line, "install"), &organic), 0.30, 0.015, "organic");
    near(share(&|line| is_kind(line, "install"), &on("iOS")), 0.45, 0.015, "iOS");
}

/// The last click of a person hands its id to the app.
fn clicks_to_installs(lines: &[&str]) -> Vec<f64> {
    let mut clicked = HashMap::new();
    let mut seconds = Vec::new();
    for line in lines {
        let id = field(line, "anonymous_id");
        if is_kind(line, "click") {
            clicked.insert(id, millis(line));
        } else if is_kind(line, "install") && field(line, "truth") != Some("organic") {
            seconds.push((millis(line) - clicked[&id]) as f64 / 1_000.0);
        }
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

#[test]
fn the_time_from_click_to_install_is_the_mixture() {
    let text = text(&small(300_000));
    let seconds = clicks_to_installs(&text.lines().collect::<Vec<_>>());
    assert!(seconds.len() > 5_000);
    // What 0.75 LN(80 s, 0.9) + 0.25 LN(7200 s, 1.4) leaves below each time.
    let below = [(30.0, 0.1034), (80.0, 0.3752), (240.0, 0.6686)];
    for (limit, expected) in below.into_iter().chain([(1_800.0, 0.7901), (36_000.0, 0.9687)]) {
        let share = seconds.partition_point(|s| *s <= limit) as f64 / seconds.len() as f64;
        near(share, expected, 0.015, &format!("below {limit} s"));
    }
}

#[test]
fn retention_falls_as_a_power_law() {
    let scenario = Scenario { prospects: 0.0, organic: 1.0, days: 45, ..small(600_000) };
    let text = text(&scenario);
    let mut installs = HashMap::new();
    let mut visits: HashMap<i64, HashSet<&str>> = HashMap::new();
    for line in text.lines() {
        let Some(id) = field(line, "anonymous_id") else { continue };
        if is_kind(line, "install") {
            installs.insert(id, millis(line));
        } else if is_kind(line, "session_start") {
            visits.entry((millis(line) - installs[id]) / 86_400_000).or_default().insert(id);
        }
    }
    let retention = |day: i64| {
        let old_enough = |at: &i64| at + (day + 1) * 86_400_000 <= 45 * 86_400_000;
        let cohort: HashSet<_> =
            installs.iter().filter(|(_, at)| old_enough(at)).map(|(id, _)| *id).collect();
        visits[&day].intersection(&cohort).count() as f64 / cohort.len() as f64
    };
    near(retention(0), 1.0, 1e-12, "day 0");
    for day in [1, 4, 9, 16] {
        let expected = 0.35 * 1.2 * (day as f64).powf(-0.5);
        near(retention(day), expected, 0.012, &format!("day {day}"));
    }
}

#[test]
fn purchases_are_zero_inflated_and_lognormal() {
    let text = text(&Scenario { payers: 0.5, ..small(300_000) });
    let logs: Vec<f64> = text
        .lines()
        .filter_map(|line| field(line, "revenue"))
        .map(|amount| amount.parse::<f64>().unwrap().ln())
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / logs.len() as f64;
    near(mean, 6.0_f64.ln(), 0.05, "log median");
    near(variance.sqrt(), 1.4, 0.04, "log spread");
}

#[test]
fn evenings_and_weekends_are_busier() {
    let text = text(&Scenario { weekend: 1.5, prospects: 0.99, ..small(200_000) });
    let impressions: Vec<_> = text.lines().filter(|line| is_kind(line, "impression")).collect();
    // 2026-01-01 was a Thursday: days 2 and 3 are a weekend. Days 0 to 27 are whole weeks.
    let on = |days: [i64; 2]| {
        count(&impressions, |line| {
            let day = millis(line) / 86_400_000;
            day < 28 && days.contains(&(day % 7))
        })
    };
    near(on([2, 3]) / on([5, 6]), 1.5, 0.1, "weekend");
    // Germany is an hour ahead of UTC: eight in the evening against four in the morning.
    let at = |hour: i64| {
        count(&impressions, |line| {
            field(line, "country") == Some("DE") && millis(line) / 3_600_000 % 24 == hour - 1
        })
    };
    assert!(at(20) > 4.0 * at(4), "{} against {}", at(20), at(4));
}

#[test]
fn duplicates_are_the_same_bytes_and_come_on_top() {
    let plain = text(&small(20_000));
    let doubled = text(&Scenario { duplicates: 0.1, ..small(20_000) });
    let distinct: HashSet<_> = doubled.lines().collect();
    assert_eq!(distinct, plain.lines().collect::<HashSet<_>>());
    near(doubled.lines().count() as f64 / 20_000.0, 1.1, 0.01, "lines");
}

#[test]
fn late_events_are_the_same_events_out_of_order() {
    let plain = text(&small(20_000));
    let late = text(&Scenario { late: 0.2, ..small(20_000) });
    assert_eq!(late.lines().collect::<HashSet<_>>(), plain.lines().collect::<HashSet<_>>());
    let times: Vec<_> = late.lines().map(millis).collect();
    assert!(!times.is_sorted());
}

#[test]
fn wrong_clocks_move_in_app_events_and_sent_at_alike() {
    let told = Scenario { is_sent_at_told: true, ..small(20_000) };
    let plain = text(&told);
    let skewed = text(&Scenario { clock_skew: 0.25, ..told });
    let moved = plain.lines().zip(skewed.lines()).filter(|(a, b)| a != b).count() as f64;
    let in_app = count(&plain.lines().collect::<Vec<_>>(), |l| field(l, "session_id").is_some());
    near(moved / in_app, 0.25, 0.05, "share of in-app events");
    for line in skewed.lines().filter(|line| field(line, "session_id").is_some()) {
        assert_eq!(field(line, "sent_at"), field(line, "timestamp"), "nothing is late here");
    }
}

#[test]
fn a_scenario_that_cannot_be_is_refused_by_name() {
    let refused = |scenario: Scenario| Simulation::new(scenario).err().unwrap().to_string();
    assert!(refused(Scenario { organic: 1.5, ..small(1) }).starts_with("organic must be a share"));
    assert!(refused(Scenario { organic: f64::NAN, ..small(1) }).contains("`NaN`"));
    assert!(refused(Scenario { days: 0, ..small(1) }).starts_with("days must be"));
    assert!(refused(Scenario { prospects: 1.0, ..small(1) }).starts_with("prospects must be"));
    assert!(refused(Scenario { start_day: 47_470, ..small(1) }).starts_with("start must be"));
    let mut scenario = small(1);
    assert_eq!(
        scenario.set("organics", Setting::Real(0.1)),
        Err(ScenarioError::Unknown("organics".to_owned()))
    );
    scenario.set("organic", Setting::Whole(1)).unwrap();
    assert!(scenario.organic > 0.99);
    assert!(scenario.set("organic", Setting::Text("all".to_owned())).is_err());
    assert!(scenario.set("events", Setting::Whole(-1)).is_err());
}

#[test]
fn every_setting_can_be_set_by_its_name() {
    let mut scenario = Scenario::default();
    for (name, default, doc) in Scenario::REALS {
        scenario.set(name, Setting::Real(*default)).unwrap();
        assert!(doc.ends_with('.'));
    }
    assert_eq!(scenario, Scenario::default());
}

#[test]
fn an_app_id_is_written_as_json() {
    let scenario = Scenario { app_id: Some("a\"\\\n".to_owned()), ..small(3) };
    assert!(text(&scenario).lines().all(|line| line.contains(r#""app_id":"a\"\\\u000a""#)));
}
