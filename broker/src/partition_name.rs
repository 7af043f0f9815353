//! A partition by its topic and number, and how its directory is called: Kafka's names.

use std::fmt;
use std::sync::Arc;

/// What a directory of a deleted partition ends in.
const DELETED_DIRECTORY_SUFFIX: &str = "-delete";
/// What a directory ends in that belongs to no topic.
const STRAY_DIRECTORY_SUFFIX: &str = "-stray";
/// The longest name a file system takes.
const MAX_NAME_BYTES: usize = 255;

/// A topic and the number of one of its partitions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl PartitionName {
    /// A partition by its parts.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        PartitionName { topic: topic.into(), partition }
    }

    /// The partition whose directory is called `name`.
    pub(crate) fn parse_directory(name: &str) -> Option<Self> {
        let (topic, digits) = name.rsplit_once('-')?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let partition = digits.parse().ok().filter(|_| is_number)?;
        (!topic.is_empty()).then(|| PartitionName::new(topic, partition))
    }

    /// What its directory is called once it is deleted; `unique` tells it from others.
    pub(crate) fn deleted_directory(&self, unique: u128) -> String {
        self.directory_with(unique, DELETED_DIRECTORY_SUFFIX)
    }

    /// The partition whose directory was deleted and is called `name`; none if that is not for sure.
    pub(crate) fn parse_deleted_directory(name: &str) -> Option<Self> {
        let is_cut = name.len() == MAX_NAME_BYTES;
        let (directory, _) = name.rsplit_once('.').filter(|_| !is_cut && is_deleted_directory(name))?;
        PartitionName::parse_directory(directory)
    }

    /// What its directory is called when it is not known whose it is.
    pub(crate) fn stray_directory(&self, unique: u128) -> String {
        self.directory_with(unique, STRAY_DIRECTORY_SUFFIX)
    }

    fn directory_with(&self, unique: u128, suffix: &str) -> String {
        let suffix = format!(".{unique:032x}{suffix}");
        let mut name = self.to_string();
        // Topic names are ASCII, so any place will do.
        name.truncate(MAX_NAME_BYTES - suffix.len());
        name + &suffix
    }
}

/// Whether a directory is one that [`PartitionName::deleted_directory`] names.
pub(crate) fn is_deleted_directory(name: &str) -> bool {
    name.ends_with(DELETED_DIRECTORY_SUFFIX)
        && name
            .rsplit_once('.')
            .is_some_and(|(_, unique)| unique.len() == 32 + DELETED_DIRECTORY_SUFFIX.len())
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_by_their_directories() {
        let cases = [
            ("a-0", Some(("a", 0))),
            ("my-topic-12", Some(("my-topic", 12))),
            ("__cluster_metadata-0", Some(("__cluster_metadata", 0))),
            ("a", None),
            ("-1", None),
            ("a-", None),
            ("a-+1", None),
            ("a-99999999999", None),
        ];
        for (name, expected) in cases {
            let parsed = PartitionName::parse_directory(name);
            assert_eq!(
                parsed,
                expected.map(|(topic, partition)| PartitionName::new(topic, partition)),
                "{name}"
            );
        }
        let deleted = PartitionName::new("t".repeat(249), 7).deleted_directory(5);
        assert_eq!(deleted.len(), MAX_NAME_BYTES);
        assert!(is_deleted_directory(&deleted));
        assert_eq!(PartitionName::parse_directory(&deleted), None);
        assert_eq!(PartitionName::parse_deleted_directory(&deleted), None, "its end may be missing");
        let name = PartitionName::new("a.b-c", 17);
        assert_eq!(PartitionName::parse_deleted_directory(&name.deleted_directory(u128::MAX)), Some(name));
        assert!(!is_deleted_directory("my-delete"));
        let stray = PartitionName::new("t", 7).stray_directory(5);
        assert!(!is_deleted_directory(&stray));
        assert_eq!(PartitionName::parse_deleted_directory(&stray), None);
        assert_eq!(PartitionName::parse_directory(&stray), None);
    }
}
