//! Days in, dates of the civil calendar out.

/// Year, month and day of a day since 1970: years begin in March, so that one ends with its leap
/// day and months follow one formula, and 400 of them are an era (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`).
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let from_march = days.saturating_add(719_468);
    let (era, day_of_era) = (from_march.div_euclid(ERA_DAYS), from_march.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_dates() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (47_481, (2099, 12, 31)),
            (-719_468, (0, 3, 1)),
            (-719_469, (0, 2, 29)),
        ] {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn each_day_is_the_one_after_the_day_before() {
        let mut last = date(-800_000);
        for day in -799_999..800_000 {
            let next = date(day);
            let follows = next.2 == last.2 + 1 && (next.0, next.1) == (last.0, last.1);
            let begins = next.2 == 1 && (28..=31).contains(&last.2) && last < next;
            assert!(follows || begins, "{last:?} {next:?}");
            last = next;
        }
    }
}
