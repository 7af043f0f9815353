//! Times and durations as Kafka's tools take them: `2026-01-31T12:00:00.000`, with or without an offset, and `P1DT2H`.

use anyhow::{Context, Result, bail};

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn now_ms() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "a tool that runs once asks the clock once")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March ends with the odd day.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `YYYY-MM-DDTHH:mm:SS[.sss][Z|+hh[:mm]]`; without an offset in UTC.
pub(crate) fn parse_datetime_ms(text: &str) -> Result<i64> {
    let problem = || format!("'{text}' is not of the form 2026-01-31T12:00:00.000");
    let number = |part: &str| part.parse::<i64>().with_context(problem);
    let (date, time) = text.split_once('T').with_context(problem)?;
    let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else { bail!(problem()) };
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':').map(number);
    let mut next = || parts.next().unwrap_or(Ok(0));
    let (hour, minute, second) = (next()?, next()?, next()?);
    let millis = number(&format!("{millis:0<3}")[..3])?;
    let is_possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..61).contains(&second);
    if !is_possible {
        bail!(problem());
    }
    let offset_minutes = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => 0,
        Some((sign, rest)) => {
            let (hours, minutes) = match rest.split_once(':') {
                Some((hours, minutes)) => (number(hours)?, number(minutes)?),
                None if rest.len() == 4 => (number(&rest[..2])?, number(&rest[2..])?),
                None => (number(rest)?, 0),
            };
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
    };
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
    Ok(minutes * 60_000 + second * 1000 + millis)
}

/// A time by calendar and clock, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) millis: i64,
}

impl Civil {
    /// That of so many milliseconds since 1970.
    pub(crate) fn of(time_ms: i64) -> Civil {
        let (days, of_day) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS));
        // Forward from a day before, until the calendar has come to it: exact, and short enough for a line of output.
        let mut year = 1970 + days.div_euclid(366);
        while days_from_civil(year + 1, 1, 1) <= days {
            year += 1;
        }
        let month = (1..=12).rev().find(|month| days_from_civil(year, *month, 1) <= days).unwrap_or(1);
        Civil {
            year,
            month,
            day: days - days_from_civil(year, month, 1) + 1,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1000 % 60,
            millis: of_day % 1000,
        }
    }
}

/// `PnDTnHnMnS`, as ISO 8601 has it without months and years.
pub(crate) fn parse_duration_ms(text: &str) -> Result<i64> {
    let problem = || format!("'{text}' is not of the form P1DT2H3M4S");
    let rest = text.strip_prefix('P').with_context(problem)?;
    let (days, clock) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total_ms = 0.0;
    let mut is_any = false;
    for (part, units) in [
        (days, [('W', 7 * DAY_MS), ('D', DAY_MS), ('D', DAY_MS)]),
        (clock, [('H', 3_600_000), ('M', 60_000), ('S', 1000)]),
    ] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            let (_, unit_ms) = units.iter().find(|(unit, _)| *unit == c).with_context(problem)?;
            total_ms += number.parse::<f64>().with_context(problem)? * *unit_ms as f64;
            number.clear();
            is_any = true;
        }
        if !number.is_empty() {
            bail!(problem());
        }
    }
    if !is_any {
        bail!(problem());
    }
    Ok(total_ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let check =
            |text: &str, expected: Option<i64>| assert_eq!(parse_datetime_ms(text).ok(), expected, "{text}");
        check("1970-01-01T00:00:00.000", Some(0));
        check("2000-02-29T12:30:15.5", Some(951_827_415_500));
        check("2026-01-31T12:00:00Z", Some(1_769_860_800_000));
        check("2026-01-31T12:00:00.000+02:00", Some(1_769_853_600_000));
        check("2026-01-31T12:00:00-0130", Some(1_769_866_200_000));
        check("1969-12-31T23:59:59.999", Some(-1));
        for bad in ["", "2026-01-31", "2026-13-01T00:00:00", "2026-01-01T25:00:00", "x-1-1T0:0:0"] {
            check(bad, None);
        }
    }

    #[test]
    fn durations_are_days_hours_minutes_and_seconds() {
        let check =
            |text: &str, expected: Option<i64>| assert_eq!(parse_duration_ms(text).ok(), expected, "{text}");
        check("P1D", Some(DAY_MS));
        check("PT1.5S", Some(1500));
        check("P1DT2H3M4S", Some(DAY_MS + 7_384_000));
        check("P1W", Some(7 * DAY_MS));
        for bad in ["", "P", "1D", "PT", "PT5", "P5H"] {
            check(bad, None);
        }
    }
}
