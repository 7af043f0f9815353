//! Known distributions, and what must hold of any.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> TopicPartition {
    let (topic, number) = text.rsplit_once('-').unwrap();
    TopicPartition::new(topic, number.parse().unwrap())
}

fn counts(text: &str) -> BTreeMap<Arc<str>, i32> {
    let topic = |text: &str| {
        let (topic, count) = text.split_once('=').unwrap();
        (Arc::from(topic), count.parse().unwrap())
    };
    text.split_whitespace().map(topic).collect()
}

/// `topics: partitions @ generation`, the generation 1 if it is not said.
fn member(text: &str) -> Claimant {
    let (topics, rest) = text.split_once(':').unwrap();
    let (has, generation) = rest.split_once('@').unwrap_or((rest, "1"));
    Claimant {
        topics: topics.split_whitespace().map(Arc::from).collect(),
        has: has.split_whitespace().map(name).collect(),
        generation: generation.trim().parse().unwrap(),
    }
}

#[test]
fn known_groups() {
    let check = |topics: &str, members: &[&str], expected: &[&str]| {
        let members: Vec<_> = members.iter().map(|text| member(text)).collect();
        let shares: Vec<_> = distribute(&counts(topics), &members)
            .into_iter()
            .map(|share| share.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(shares, expected, "{topics} {members:?}");
    };
    check("t=3", &[], &[]);
    check("t=3", &["t:"], &["t-0 t-1 t-2"]);
    check("t=3", &["t:", "t:"], &["t-0 t-2", "t-1"]);
    check("t=1", &["t:", "t:"], &["t-0", ""]);
    check("", &["t:", "t:"], &["", ""]);
    // The example of Kafka's documentation: three members, four topics of two partitions; then the second goes.
    let four = "t0=2 t1=2 t2=2 t3=2";
    let all = "t0 t1 t2 t3";
    check(
        four,
        &[&format!("{all}:"), &format!("{all}:"), &format!("{all}:")],
        &["t0-0 t1-1 t3-0", "t0-1 t2-0 t3-1", "t1-0 t2-1"],
    );
    check(
        four,
        &[&format!("{all}: t0-0 t1-1 t3-0"), &format!("{all}: t1-0 t2-1")],
        &["t0-0 t1-1 t3-0 t0-1", "t1-0 t2-1 t2-0 t3-1"],
    );
    // Its second example: different topics; then the first member goes.
    let three = "t0=1 t1=2 t2=3";
    check(three, &["t0:", "t0 t1:", "t0 t1 t2:"], &["t0-0", "t1-0 t1-1", "t2-0 t2-1 t2-2"]);
    check(three, &["t0 t1: t1-0 t1-1", "t0 t1 t2: t2-0 t2-1 t2-2"], &["t0-0 t1-0 t1-1", "t2-0 t2-1 t2-2"]);
    // A newcomer gets its share, and nothing else moves.
    check("t=4", &["t: t-0 t-1 t-2 t-3", "t:"], &["t-0 t-1", "t-2 t-3"]);
    check("t=5", &["t: t-0 t-1 t-2", "t: t-3 t-4", "t:"], &["t-0 t-1", "t-3 t-4", "t-2"]);
    // Who claims from a later generation is right; of two from the same neither.
    check("t=2", &["t: t-0 @ 1", "t: t-0 @ 2"], &["t-1", "t-0"]);
    check("t=2", &["t: t-0 t-1 @ 3", "t: t-0 t-1 @ 3"], &["t-0", "t-1"]);
    // What is not there or not wanted any more is nobody's.
    check("t=2", &["t: u-0 t-7 t-1", "t:"], &["t-1", "t-0"]);
    check("t=1 u=1", &["t: u-0", "u: t-0"], &["t-0", "u-0"]);
    check("t=3 u=3", &["t:", "t u: t-0 t-1 t-2 u-0 u-1 u-2"], &["t-0 t-1 t-2", "u-0 u-1 u-2"]);
}

fn group(alike: bool) -> impl Strategy<Value = (BTreeMap<Arc<str>, i32>, Vec<Claimant>)> {
    let topics = proptest::collection::vec(0..8_i32, 1..5);
    let members = proptest::collection::vec((any::<u8>(), any::<u64>(), 0..3_i32), 1..7);
    (topics, members).prop_map(move |(sizes, members)| {
        let topic = |number: usize| -> Arc<str> { Arc::from(format!("t{number}")) };
        let counts: BTreeMap<_, _> =
            sizes.iter().enumerate().map(|(number, size)| (topic(number), *size)).collect();
        let member = |(wants, has, generation): (u8, u64, i32)| {
            let wanted = (0..sizes.len()).filter(|number| alike || wants >> number & 1 == 1);
            let claimed = (0..64).filter(|bit| has >> bit & 1 == 1);
            let claimed = claimed.map(|bit: usize| TopicPartition::new(topic(bit / 10), (bit % 10) as i32));
            Claimant { topics: wanted.map(topic).collect(), has: claimed.collect(), generation }
        };
        (counts, members.into_iter().map(member).collect())
    })
}

/// Everything that somebody wants is somebody's who wants it, once; and nobody could take from who has two more.
fn check_complete_and_balanced(
    counts: &BTreeMap<Arc<str>, i32>,
    members: &[Claimant],
    shares: &[Vec<TopicPartition>],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(shares.len(), members.len());
    let wanted: BTreeSet<_> = members.iter().flat_map(|member| member.topics.iter()).collect();
    let expected: Vec<_> = names(counts, wanted).into_iter().collect();
    let mut given: Vec<_> = shares.iter().flatten().cloned().collect();
    given.sort();
    prop_assert_eq!(given, expected);
    for (share, member) in shares.iter().zip(members) {
        prop_assert!(share.iter().all(|name| member.topics.contains(&name.topic)));
        for (other, _) in shares.iter().zip(members).filter(|(other, _)| other.len() > share.len() + 1) {
            prop_assert!(other.iter().all(|name| !member.topics.contains(&name.topic)), "{:?}", shares);
        }
    }
    Ok(())
}

fn claims(members: &[Claimant], shares: Vec<Vec<TopicPartition>>) -> Vec<Claimant> {
    let claim = |(member, has): (&Claimant, _)| Claimant { has, generation: 9, ..member.clone() };
    members.iter().zip(shares).map(claim).collect()
}

fn kept(members: &[Claimant], shares: &[Vec<TopicPartition>]) -> usize {
    let stays = |(member, share): (&Claimant, &Vec<TopicPartition>)| {
        share.iter().filter(|name| member.has.contains(name)).count()
    };
    members.iter().zip(shares).map(stays).sum()
}

proptest! {
    #[test]
    fn any_group_is_complete_and_balanced_and_then_stays(
        (counts, members) in prop_oneof![group(true), group(false)],
    ) {
        let shares = distribute(&counts, &members);
        check_complete_and_balanced(&counts, &members, &shares)?;
        let sorted = |mut shares: Vec<Vec<TopicPartition>>| {
            shares.iter_mut().for_each(|share| share.sort());
            shares
        };
        let again = distribute(&counts, &claims(&members, shares.clone()));
        prop_assert_eq!(sorted(again), sorted(shares));
    }

    #[test]
    fn where_all_want_the_same_no_more_moves_than_must((counts, members) in group(true)) {
        let total: usize = counts.values().map(|count| *count as usize).sum();
        let before = claims(&members, distribute(&counts, &members));
        // One goes: the others keep all they had.
        if before.len() > 1 {
            let rest = &before[1..];
            let shares = distribute(&counts, rest);
            check_complete_and_balanced(&counts, rest, &shares)?;
            prop_assert_eq!(kept(rest, &shares), total - before[0].has.len());
        }
        // One comes: only its share moves.
        let mut more = before.clone();
        more.push(Claimant { topics: before[0].topics.clone(), ..Claimant::default() });
        let shares = distribute(&counts, &more);
        check_complete_and_balanced(&counts, &more, &shares)?;
        prop_assert_eq!(kept(&more, &shares), total - shares.last().map_or(0, Vec::len));
    }
}
