//! Where to begin in a partition when no offset says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where to begin when there is no committed offset, or when it is no longer in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AutoOffsetReset {
    /// At the first record that is there.
    Earliest,
    /// At the end: records that are there already are not read.
    Latest,
    /// Nowhere: `poll` gives an error.
    None,
    /// At the first record that is at most this old (KIP-1106); at the end, if there is none.
    ByDuration(Duration),
}

/// How a duration is announced.
const BY_DURATION: &str = "by_duration:";

impl FromStr for AutoOffsetReset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "earliest" => Ok(AutoOffsetReset::Earliest),
            "latest" => Ok(AutoOffsetReset::Latest),
            "none" => Ok(AutoOffsetReset::None),
            _ => lower
                .strip_prefix(BY_DURATION)
                .and_then(parse_duration)
                .map(AutoOffsetReset::ByDuration)
                .ok_or_else(|| {
                    "expected earliest, latest, none, or by_duration: and a duration like PT1H30M".to_string()
                }),
        }
    }
}

impl fmt::Display for AutoOffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AutoOffsetReset::Earliest => f.write_str("earliest"),
            AutoOffsetReset::Latest => f.write_str("latest"),
            AutoOffsetReset::None => f.write_str("none"),
            AutoOffsetReset::ByDuration(duration) => write!(f, "{BY_DURATION}pt{}s", duration.as_secs_f64()),
        }
    }
}

/// A duration of ISO 8601 with days, hours, minutes and seconds, as Java reads it, in lower case; none if it is not one
/// or is negative.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('p')?;
    let (days, time) = match text.split_once('t') {
        // Behind the T there must be something.
        Some((days, time)) => (days, Some(time).filter(|time| !time.is_empty()).map(Some)?),
        None => (text, None),
    };
    let mut total = Duration::ZERO;
    let mut any = false;
    let mut part = |rest: &mut &str, unit: char, seconds: u64| {
        let Some((number, after)) = rest.split_once(unit) else { return Some(()) };
        *rest = after;
        any = true;
        let part = number.parse::<u64>().ok()?.checked_mul(seconds)?;
        total = total.checked_add(Duration::from_secs(part))?;
        Some(())
    };
    let mut rest = days;
    part(&mut rest, 'd', 24 * 60 * 60)?;
    if !rest.is_empty() {
        return None;
    }
    let mut rest = time.unwrap_or_default();
    part(&mut rest, 'h', 60 * 60)?;
    part(&mut rest, 'm', 60)?;
    if let Some(seconds) = rest.strip_suffix('s') {
        any = true;
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || whole.is_empty() || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let nanos = format!("{fraction:0<9}").parse::<u32>().ok()?;
        total = total.checked_add(Duration::new(whole.parse().ok()?, nanos))?;
    } else if !rest.is_empty() {
        return None;
    }
    any.then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_kafka_writes_them() {
        let check = |text: &str, expected: Option<AutoOffsetReset>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
        };
        let ago = |milliseconds| Some(AutoOffsetReset::ByDuration(Duration::from_millis(milliseconds)));
        check("earliest", Some(AutoOffsetReset::Earliest));
        check("Latest", Some(AutoOffsetReset::Latest));
        check("none", Some(AutoOffsetReset::None));
        check("by_duration:PT0S", ago(0));
        check("by_duration:PT1H30M", ago(5_400_000));
        check("by_duration:P1D", ago(86_400_000));
        check("by_duration:P2DT3H4M5.006S", ago(2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5006));
        check("by_duration:pt.5s", None);
        for nonsense in [
            "",
            "begin",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:P1DT",
            "by_duration:1H",
            "by_duration:PT-1S",
            "by_duration:-PT1S",
            "by_duration:P1H",
            "by_duration:PT1S1H",
            "by_duration:PT1X",
            "by_duration:PT99999999999999999999S",
            "by_duration:P999999999999999999D",
            "by_duration:PT1.0000000001S",
        ] {
            check(nonsense, None);
        }
        for policy in [AutoOffsetReset::None, AutoOffsetReset::ByDuration(Duration::from_millis(1500))] {
            check(&policy.to_string(), Some(policy));
        }
    }
}
