//! Patterns of times as Java's `SimpleDateFormat` has them, as far as they are made of numbers; in UTC.

use anyhow::{Result, bail};

use crate::datetime::Civil;

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DateFormat(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// A field by its letter, at least so wide.
    Field(char, usize),
    Text(String),
}

impl DateFormat {
    /// Reads a pattern such as `yyyy-MM-dd HH:mm:ss:SSS`; what stands between quotes is text.
    pub(crate) fn parse(pattern: &str) -> Result<DateFormat> {
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while let Some(letter) = rest.chars().next() {
            if letter == '\'' {
                // Two of them are one that is meant, within quotes and outside.
                let mut text = String::new();
                rest = &rest[1..];
                let is_only_a_quote = rest.starts_with('\'');
                loop {
                    let Some((part, after)) = rest.split_once('\'') else {
                        bail!("'{pattern}': a quote is not closed");
                    };
                    text.push_str(part);
                    rest = after;
                    match rest.strip_prefix('\'') {
                        Some(after) if !is_only_a_quote => {
                            text.push('\'');
                            rest = after;
                        }
                        _ => break,
                    }
                }
                pieces.push(Piece::Text(if is_only_a_quote { "'".to_string() } else { text }));
                continue;
            }
            let after = rest.trim_start_matches(letter);
            let width = (rest.len() - after.len()) / letter.len_utf8();
            match letter {
                'y' | 'd' | 'H' | 'm' | 's' | 'S' => pieces.push(Piece::Field(letter, width)),
                // Three of them and more are its name.
                'M' if width <= 2 => pieces.push(Piece::Field(letter, width)),
                letter if letter.is_ascii_alphabetic() => bail!(
                    "'{pattern}': {} is not known here; y, M, MM, d, H, m, s and S are",
                    letter.to_string().repeat(width)
                ),
                letter => pieces.push(Piece::Text(letter.to_string().repeat(width))),
            }
            rest = after;
        }
        Ok(DateFormat(pieces))
    }

    /// A time, in milliseconds since 1970.
    pub(crate) fn format(&self, time_ms: i64) -> String {
        let at = Civil::of(time_ms);
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                // Of a year in two letters the century is left out.
                Piece::Field('y', 2) => text.push_str(&format!("{:02}", at.year.rem_euclid(100))),
                Piece::Field(letter, width) => {
                    let number = match letter {
                        'y' => at.year,
                        'M' => at.month,
                        'd' => at.day,
                        'H' => at.hour,
                        'm' => at.minute,
                        's' => at.second,
                        _ => at.millis,
                    };
                    text.push_str(&format!("{number:0width$}", width = *width));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::parse_datetime_ms;

    #[test]
    fn patterns_are_javas() {
        let check = |pattern: &str, expected: &str| {
            let time_ms = parse_datetime_ms("2026-03-01T09:05:07.045").unwrap();
            assert_eq!(DateFormat::parse(pattern).unwrap().format(time_ms), expected, "{pattern}");
        };
        check("yyyy-MM-dd HH:mm:ss:SSS", "2026-03-01 09:05:07:045");
        check("d.M.yy", "1.3.26");
        check("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "2026-03-01T09:05:07.045Z");
        check("H 'o''clock'", "9 o'clock");
        for bad in ["EEE", "MMM", "'x", "hh:mm a"] {
            assert!(DateFormat::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_printed_time_is_the_one_that_was_read() {
        let format = DateFormat::parse("yyyy-MM-dd'T'HH:mm:ss.SSS").unwrap();
        for text in [
            "1970-01-01T00:00:00.000",
            "2000-02-29T23:59:59.999",
            "2026-12-31T12:01:02.003",
            "2024-03-01T00:00:00.000",
        ] {
            assert_eq!(format.format(parse_datetime_ms(text).unwrap()), text);
        }
    }
}
