//! What is known of one configuration key: its name, the kind of its value, its default, and whether it does anything
//! here. The tables [`BROKER_KEYS`](super::BROKER_KEYS) and [`TOPIC_KEYS`](super::TOPIC_KEYS) are made of these.
//!
//! Names, kinds and defaults are Kafka 4.3's, so that a `server.properties` written for Kafka is understood, and
//! DescribeConfigs shows the list that tools expect. A key without a description is known but has no effect in this
//! broker; setting one is answered by a warning. A key that would change what the broker *promises* (an authorizer,
//! say) and that we cannot honour is refused instead: [`Valid::OnlyDefault`].

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// A text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A floating point number.
    Double,
    /// Texts between commas.
    List,
    /// The name of a Java class; none can be loaded here.
    Class,
    /// A text that is never shown.
    Password,
}

/// Which values of its kind a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// All.
    Any,
    /// Numbers from this one on.
    AtLeast(i64),
    /// Numbers within these, both included.
    Between(i64, i64),
    /// Numbers within the first two, both included, or the third.
    BetweenOr(i64, i64, i64),
    /// `*`, or a list of `partition:broker`.
    Replicas,
    /// Fractions within these, both included.
    Fraction(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of some of these.
    ListOf(&'static [&'static str]),
    /// Nothing but the default: what another value would promise is not there.
    OnlyDefault,
}

/// When a key of a broker may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only in the file, before the start.
    ReadOnly,
    /// While the broker runs, by IncrementalAlterConfigs.
    Dynamic,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: ConfigKind,
    /// The value if nobody sets one; `None` is null.
    pub default: Option<&'static str>,
    /// Which values it takes.
    pub valid: Valid,
    /// When it may change.
    pub update: Update,
    /// What it does here; `None`: nothing, it is only known.
    pub doc: Option<&'static str>,
    /// Of a topic key: the keys of the broker that give its default, the strongest first, each with the factor to the
    /// topic key's unit.
    pub synonyms: &'static [(&'static str, i64)],
}

impl ConfigKey {
    /// A key that takes any value of its kind, is read-only and has no effect.
    pub(super) const fn new(
        name: &'static str,
        kind: ConfigKind,
        default: Option<&'static str>,
    ) -> ConfigKey {
        let valid = Valid::Any;
        ConfigKey { name, kind, default, valid, update: Update::ReadOnly, doc: None, synonyms: &[] }
    }

    pub(super) const fn valid(mut self, valid: Valid) -> ConfigKey {
        self.valid = valid;
        self
    }

    pub(super) const fn dynamic(mut self) -> ConfigKey {
        self.update = Update::Dynamic;
        self
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> ConfigKey {
        self.doc = Some(doc);
        self
    }

    pub(super) const fn synonyms(mut self, synonyms: &'static [(&'static str, i64)]) -> ConfigKey {
        self.synonyms = synonyms;
        self
    }

    /// Whether its value must never be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == ConfigKind::Password
    }

    /// Checks a value and gives it in its usual form (trimmed; `TRUE` as `true`; a list without blanks).
    ///
    /// # Errors
    /// What is wrong with it, without the name of the key.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let trimmed = value.trim();
        let canonical = match self.kind {
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("true") => "true".to_string(),
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("false") => "false".to_string(),
            ConfigKind::Boolean => return Err(format!("'{trimmed}' is neither true nor false")),
            ConfigKind::Int => number::<i32>(trimmed, "a 32-bit integer")?,
            ConfigKind::Short => number::<i16>(trimmed, "a 16-bit integer")?,
            ConfigKind::Long => number::<i64>(trimmed, "a 64-bit integer")?,
            ConfigKind::Double => {
                trimmed.parse::<f64>().map_err(|_| format!("'{trimmed}' is not a number"))?;
                trimmed.to_string()
            }
            ConfigKind::List => split_list(trimmed).collect::<Vec<_>>().join(","),
            ConfigKind::String | ConfigKind::Class => trimmed.to_string(),
            ConfigKind::Password => value.to_string(),
        };
        self.check_range(&canonical)?;
        Ok(canonical)
    }

    fn check_range(&self, value: &str) -> Result<(), String> {
        match self.valid {
            Valid::Any => Ok(()),
            Valid::AtLeast(least) => {
                let fits = value.parse::<i64>().is_ok_and(|number| number >= least);
                if fits { Ok(()) } else { Err(format!("{value} must be at least {least}")) }
            }
            Valid::Between(least, most) => {
                let fits = value.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number));
                if fits { Ok(()) } else { Err(format!("{value} must be between {least} and {most}")) }
            }
            Valid::BetweenOr(least, most, other) => {
                let fits = value.parse::<i64>().is_ok_and(|it| (least..=most).contains(&it) || it == other);
                if fits {
                    Ok(())
                } else {
                    Err(format!("{value} must be between {least} and {most}, or {other}"))
                }
            }
            Valid::Replicas => {
                let is_replica = |item: &str| {
                    let numbers = item.split_once(':');
                    numbers.is_some_and(|(one, other)| {
                        one.parse::<u32>().is_ok() && other.parse::<u32>().is_ok()
                    })
                };
                let fits = value == "*" || split_list(value).all(is_replica);
                if fits { Ok(()) } else { Err(format!("'{value}' must be *, or a list of partition:broker")) }
            }
            Valid::Fraction(least, most) => {
                let fits = value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number));
                if fits { Ok(()) } else { Err(format!("{value} must be between {least} and {most}")) }
            }
            Valid::OneOf(values) => {
                let fits = values.contains(&value);
                if fits { Ok(()) } else { Err(format!("'{value}' must be one of {}", values.join(", "))) }
            }
            Valid::ListOf(values) => match split_list(value).find(|item| !values.contains(item)) {
                None => Ok(()),
                Some(stranger) => Err(format!("'{stranger}' must be one of {}", values.join(", "))),
            },
            Valid::OnlyDefault if value == self.default.unwrap_or_default() => Ok(()),
            Valid::OnlyDefault => Err(format!(
                "'{value}' is not supported by this broker; only '{}' is",
                self.default.unwrap_or_default()
            )),
        }
    }
}

fn number<N: std::str::FromStr + ToString>(text: &str, what: &str) -> Result<String, String> {
    text.parse::<N>().map(|number| number.to_string()).map_err(|_| format!("'{text}' is not {what}"))
}

/// The items of a list, trimmed; an empty text has none.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: ConfigKey, value: &str, expect: Result<&str, &str>) {
        assert_eq!(
            key.check(value),
            expect.map(str::to_string).map_err(str::to_string),
            "{} = {value:?}",
            key.name
        );
    }

    #[test]
    fn values_are_checked_by_kind_and_range() {
        let key = |kind| ConfigKey::new("a.key", kind, Some("d"));
        check(key(ConfigKind::Boolean), " TRUE ", Ok("true"));
        check(key(ConfigKind::Boolean), "yes", Err("'yes' is neither true nor false"));
        check(key(ConfigKind::Int), "007", Ok("7"));
        check(key(ConfigKind::Int), "2147483648", Err("'2147483648' is not a 32-bit integer"));
        check(key(ConfigKind::Short), "40000", Err("'40000' is not a 16-bit integer"));
        check(key(ConfigKind::Long), "-1", Ok("-1"));
        check(key(ConfigKind::Double), "half", Err("'half' is not a number"));
        check(key(ConfigKind::List), " a, b ,,c", Ok("a,b,c"));
        check(key(ConfigKind::Password), " x ", Ok(" x "));
        check(key(ConfigKind::Int).valid(Valid::AtLeast(1)), "0", Err("0 must be at least 1"));
        check(key(ConfigKind::Int).valid(Valid::Between(0, 1)), "2", Err("2 must be between 0 and 1"));
        let level = key(ConfigKind::Int).valid(Valid::BetweenOr(1, 9, -1));
        check(level, "-1", Ok("-1"));
        check(level, "0", Err("0 must be between 1 and 9, or -1"));
        let replicas = key(ConfigKind::List).valid(Valid::Replicas);
        check(replicas, "0:1, 1:2", Ok("0:1,1:2"));
        check(replicas, "*", Ok("*"));
        check(replicas, "none", Err("'none' must be *, or a list of partition:broker"));
        check(key(ConfigKind::Double).valid(Valid::Fraction(0.0, 1.0)), "0.5", Ok("0.5"));
        check(key(ConfigKind::String).valid(Valid::OneOf(&["a", "b"])), "c", Err("'c' must be one of a, b"));
        check(key(ConfigKind::List).valid(Valid::ListOf(&["a", "b"])), "b,c", Err("'c' must be one of a, b"));
        check(
            key(ConfigKind::String).valid(Valid::OnlyDefault),
            "x",
            Err("'x' is not supported by this broker; only 'd' is"),
        );
    }
}
