//! Which topics are made and which are refused, in Kafka's words.

use super::*;

const DEFAULTS: Defaults =
    Defaults { node_id: 1, num_partitions: 3, replication_factor: 3, directory_id: Uuid([9; 16]) };

fn image_with(names: &[&'static str]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (number, name) in names.iter().enumerate() {
        let layout = Layout::Counts { num_partitions: 2, replication_factor: 1 };
        let wish = NewTopic { name, id: Uuid([number as u8 + 1; 16]), layout, configs: Configs::new() };
        let granted = grant(&image, &DEFAULTS, &wish).unwrap();
        granted.records.iter().for_each(|record| image.replay(record).unwrap());
    }
    image
}

fn check(name: &str, layout: Layout, expect: Result<i32, (ErrorCode, &str)>) {
    let image = image_with(&["there", "a.b"]);
    let wish = NewTopic { name, id: Uuid([100; 16]), layout, configs: Configs::new() };
    let found = grant(&image, &DEFAULTS, &wish).map(|granted| granted.num_partitions);
    let expect = expect.map_err(|(error_code, message)| Refusal::new(error_code, message.to_string()));
    assert_eq!(found, expect, "{name}");
}

fn counts(num_partitions: i32, replication_factor: i16) -> Layout {
    Layout::Counts { num_partitions, replication_factor }
}

#[test]
fn names_are_kafkas() {
    let invalid = ErrorCode::INVALID_TOPIC_EXCEPTION;
    check("x", counts(1, 1), Ok(1));
    check("a-b.c_D9", counts(1, 1), Ok(1));
    check(&"x".repeat(249), counts(1, 1), Ok(1));
    check("", counts(1, 1), Err((invalid, "Topic name is invalid: the empty string is not allowed")));
    check("..", counts(1, 1), Err((invalid, "Topic name is invalid: '.' or '..' is not allowed")));
    check("a_b", counts(1, 1), Err((invalid, "Topic 'a_b' collides with existing topic: a.b")));
    check("__cluster_metadata", counts(1, 1), Err((invalid, "__cluster_metadata is the metadata log")));
    check("there", counts(1, 1), Err((ErrorCode::TOPIC_ALREADY_EXISTS, "Topic 'there' already exists.")));
    for name in ["../etc", "a/b", "a\0b", "ä", "a b", &"x".repeat(250)] {
        assert_eq!(check_name(name).unwrap_err().error_code, invalid, "{name:?}");
    }
}

#[test]
fn counts_are_defaults_or_at_least_one_and_one_broker_holds_one_replica() {
    check("x", counts(-1, -1), Ok(3));
    check("x", counts(5, 1), Ok(5));
    let message = "Number of partitions was set to an invalid non-positive value.";
    check("x", counts(0, 1), Err((ErrorCode::INVALID_PARTITIONS, message)));
    check("x", counts(-2, 1), Err((ErrorCode::INVALID_PARTITIONS, message)));
    let message = "Replication factor must be larger than 0, or -1 to use the default value.";
    check("x", counts(1, 0), Err((ErrorCode::INVALID_REPLICATION_FACTOR, message)));
    let message = "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be \
                   reached because only 1 broker(s) are registered.";
    check("x", counts(1, 2), Err((ErrorCode::INVALID_REPLICATION_FACTOR, message)));
    let message = "Excessively large number of partitions per request.";
    check("x", counts(10_001, 1), Err((ErrorCode::POLICY_VIOLATION, message)));
}

#[test]
fn a_manual_assignment_names_this_broker_for_each_partition_once() {
    let invalid = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    check("x", Layout::Manual(vec![(1, vec![1]), (0, vec![1])]), Ok(2));
    for (assignments, message) in [
        (
            vec![(0, vec![2])],
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (vec![(0, vec![1, 1])], "The manual partition assignment includes the broker more than once."),
        (vec![(0, vec![])], "The manual partition assignment includes an empty replica list."),
        (vec![(0, vec![1]), (2, vec![1])], "partitions should be a consecutive 0-based integer sequence"),
        (vec![(0, vec![1]), (0, vec![1])], "Found multiple manual partition assignments for partition 0"),
    ] {
        check("x", Layout::Manual(assignments), Err((invalid, message)));
    }
}

#[test]
fn partitions_are_added_behind_those_there_are() {
    let mut image = image_with(&["t"]);
    let records = grant_partitions(&image, &DEFAULTS, "t", 4, None).unwrap();
    records.iter().for_each(|record| image.replay(record).unwrap());
    assert_eq!(image.topic("t").unwrap().partitions.len(), 4);
    for (name, count, assignments, error_code) in [
        ("u", 4, None, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 4, None, ErrorCode::INVALID_PARTITIONS),
        ("t", 3, None, ErrorCode::INVALID_PARTITIONS),
        ("t", 6, Some(vec![vec![1]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        ("t", 5, Some(vec![vec![7]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
    ] {
        let refusal = grant_partitions(&image, &DEFAULTS, name, count, assignments.as_deref()).unwrap_err();
        assert_eq!(refusal.error_code, error_code, "{name} {count}");
    }
}
