//! What is known of one configuration key: its name, the kind of its value, its default, and whether it does anything
//! here. The tables [`BROKER_KEYS`](super::BROKER_KEYS) and [`TOPIC_KEYS`](super::TOPIC_KEYS) are made of these.
//!
//! Names, kinds and defaults are Kafka 4.3's, so that a `server.properties` written for Kafka is understood, and
//! DescribeConfigs shows the list that tools expect. A key without a description is known but has no effect in this
//! broker; setting one is answered by a warning that [says why](super::without_effect). A key that would change what the broker *promises* (an authorizer,
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
    /// One of these texts, in small letters or large.
    OneOfAnyCase(&'static [&'static str]),
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

    pub(super) const fn at_least(self, least: i64) -> ConfigKey {
        self.valid(Valid::AtLeast(least))
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
    /// What is wrong with it in Kafka's words, without the value and the name of the key.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let trimmed = value.trim();
        let canonical = match self.kind {
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("true") => "true".to_string(),
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("false") => "false".to_string(),
            ConfigKind::Boolean => return Err("Expected value to be either true or false".to_string()),
            ConfigKind::Int => number::<i32>(trimmed, "INT")?,
            ConfigKind::Short => number::<i16>(trimmed, "SHORT")?,
            ConfigKind::Long => number::<i64>(trimmed, "LONG")?,
            ConfigKind::Double => {
                number::<f64>(trimmed, "DOUBLE")?;
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
        let number = || value.parse::<i64>().unwrap_or_default();
        let problem = match self.valid {
            Valid::Any => return Ok(()),
            Valid::AtLeast(least) if number() < least => format!("Value must be at least {least}"),
            Valid::Between(least, _) if number() < least => format!("Value must be at least {least}"),
            Valid::Between(_, most) if number() > most => format!("Value must be no more than {most}"),
            Valid::BetweenOr(least, most, other)
                if !(least..=most).contains(&number()) && number() != other =>
            {
                format!("Value must be between {least} and {most} or equal to {other}")
            }
            Valid::Replicas if value != "*" && !split_list(value).all(is_replica) => format!(
                "{} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                self.name
            ),
            Valid::Fraction(least, most) => match value.parse::<f64>() {
                Ok(number) if number > most => format!("Value must be no more than {most}"),
                Ok(number) if number >= least => return Ok(()),
                _ => format!("Value must be at least {least}"),
            },
            Valid::OneOf(values) if !values.contains(&value) => {
                format!("String must be one of: {}", values.join(", "))
            }
            Valid::OneOfAnyCase(values) if !values.iter().any(|known| known.eq_ignore_ascii_case(value)) => {
                format!("String must be one of (case insensitive): {}", values.join(", "))
            }
            Valid::ListOf(values) if split_list(value).any(|item| !values.contains(&item)) => {
                format!("String must be one of: {}", values.join(", "))
            }
            Valid::OnlyDefault if value != self.default.unwrap_or_default() => {
                format!("not supported by this broker; only '{}' is", self.default.unwrap_or_default())
            }
            _ => return Ok(()),
        };
        Err(problem)
    }
}

fn number<N: std::str::FromStr + ToString>(text: &str, kind: &str) -> Result<String, String> {
    text.parse::<N>().map(|number| number.to_string()).map_err(|_| format!("Not a number of type {kind}"))
}

/// Whether a text is of the form `partition:broker`.
fn is_replica(text: &str) -> bool {
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    text.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

/// The items of a list, trimmed; an empty text has none.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: ConfigKey, value: &str, expect: Result<String, String>) {
        assert_eq!(key.check(value), expect, "{} = {value:?}", key.name);
    }

    #[test]
    fn values_are_checked_by_kind_and_range() {
        let key = |kind| ConfigKey::new("a.key", kind, Some("d"));
        let at_least = |least| Err(format!("Value must be at least {least}"));
        let one_of = |values| Err(format!("String must be one of: {values}"));
        let not_a = |kind| Err(format!("Not a number of type {kind}"));
        let good = |value: &str| Ok(value.to_string());
        check(key(ConfigKind::Boolean), " TRUE ", good("true"));
        check(key(ConfigKind::Boolean), "yes", Err("Expected value to be either true or false".to_string()));
        check(key(ConfigKind::Int), "007", good("7"));
        check(key(ConfigKind::Int), "2147483648", not_a("INT"));
        check(key(ConfigKind::Short), "40000", not_a("SHORT"));
        check(key(ConfigKind::Long), "-1", good("-1"));
        check(key(ConfigKind::Long), "soon", not_a("LONG"));
        check(key(ConfigKind::Double), "half", not_a("DOUBLE"));
        check(key(ConfigKind::List), " a, b ,,c", good("a,b,c"));
        check(key(ConfigKind::Password), " x ", good(" x "));
        check(key(ConfigKind::Int).at_least(1), "0", at_least(1));
        let few = key(ConfigKind::Int).valid(Valid::Between(1, 3));
        check(few, "3", good("3"));
        check(few, "0", at_least(1));
        check(few, "4", Err("Value must be no more than 3".to_string()));
        let level = key(ConfigKind::Int).valid(Valid::BetweenOr(1, 9, -1));
        check(level, "-1", good("-1"));
        check(level, "0", Err("Value must be between 1 and 9 or equal to -1".to_string()));
        let replicas = key(ConfigKind::List).valid(Valid::Replicas);
        check(replicas, "0:1, 1:2", good("0:1,1:2"));
        check(replicas, "*", good("*"));
        let format = "a.key must be the literal '*' or a list of replicas in the following format: \
                      [partitionId]:[brokerId],[partitionId]:[brokerId],...";
        check(replicas, "none", Err(format.to_string()));
        let share = key(ConfigKind::Double).valid(Valid::Fraction(0.0, 1.0));
        check(share, "0.5", good("0.5"));
        check(share, "-0.1", at_least(0));
        check(share, "NaN", at_least(0));
        check(share, "2", Err("Value must be no more than 1".to_string()));
        check(key(ConfigKind::String).valid(Valid::OneOf(&["a", "b"])), "c", one_of("a, b"));
        check(key(ConfigKind::List).valid(Valid::ListOf(&["a", "b"])), "b,c", one_of("a, b"));
        let any_case = key(ConfigKind::String).valid(Valid::OneOfAnyCase(&["A", "B"]));
        check(any_case, "b", good("b"));
        check(any_case, "c", Err("String must be one of (case insensitive): A, B".to_string()));
        let only = key(ConfigKind::String).valid(Valid::OnlyDefault);
        check(only, "x", Err("not supported by this broker; only 'd' is".to_string()));
    }
}
