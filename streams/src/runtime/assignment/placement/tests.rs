//! Placements as cases, and the properties over random groups.

use super::*;

fn task(text: &str) -> TaskId {
    let (subtopology, partition) = text.split_once('_').expect("s_p");
    let (subtopology, partition) = (subtopology.parse().expect("number"), partition.parse().expect("number"));
    TaskId { subtopology, partition }
}

/// Tasks as "0_0 0_1=500": `=` the records of its state.
fn tasks(text: &str) -> Tasks {
    let one = |text: &str| match text.split_once('=') {
        Some((name, total)) => (task(name), Some(total.parse().expect("number"))),
        None => (task(text), None),
    };
    text.split_whitespace().map(one).collect()
}

/// A process as "name*workers+tag:value 0_0 ~0_1=5 ?0_2=7 -0_3": runs 0_0 (and has its state), stands 0_1 at lag 5, has
/// 0_2 on disk at lag 7, refuses 0_3.
fn process(text: &str) -> (String, Process) {
    let mut words = text.split_whitespace();
    let mut head = words.next().expect("a name").split('+');
    let (name, workers) =
        head.next().map(|word| word.split_once('*').unwrap_or((word, "1"))).expect("a name");
    let mut process = Process { workers: workers.parse().expect("number"), ..Process::default() };
    process
        .tags
        .extend(head.map(|tag| tag.split_once(':').expect("tag:value")).map(|(k, v)| (k.into(), v.into())));
    for word in words {
        let (name, lag) = word.split_once('=').unwrap_or((word, "0"));
        let id = task(name.trim_start_matches(['~', '?', '-']));
        match &word[..1] {
            "-" => {
                process.refused.insert(id);
                continue;
            }
            "~" => drop(process.standing.insert(id)),
            "?" => {}
            _ => drop(process.running.insert(id)),
        }
        process.lags.insert(id, lag.parse().expect("number"));
    }
    (name.to_string(), process)
}

fn policy(standby_replicas: usize, max_warmup_replicas: usize) -> Policy {
    let rack_aware_tags = vec!["rack".to_string(), "zone".to_string()];
    Policy { standby_replicas, acceptable_recovery_lag: 10, max_warmup_replicas, rack_aware_tags }
}

fn shown(placement: &Placement) -> String {
    let one = |(name, share): (&String, &Share)| {
        let active = share.active.iter().map(ToString::to_string);
        let standby = share.standby.iter().map(|task| format!("~{task}"));
        let warmup = share.warmup.iter().map(|task| format!("^{task}"));
        format!("{name}:{}", active.chain(standby).chain(warmup).collect::<Vec<_>>().join(","))
    };
    placement.shares.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn check(all: &str, policy: &Policy, processes: &[&str], expected: &str) {
    let processes = processes.iter().map(|text| process(text)).collect();
    assert_eq!(shown(&place(&tasks(all), &processes, policy)), expected, "{all} {processes:?}");
}

#[test]
fn without_state() {
    let check = |all, processes: &[&str], expected| check(all, &policy(1, 2), processes, expected);
    check("0_0 0_1", &[], "");
    check("0_0 0_1", &["a"], "a:0_0,0_1");
    check("0_0 0_1 0_2", &["a", "b"], "a:0_0,0_2 b:0_1");
    // Keeps what it runs, gives up what is over its share; of two over a third one gives.
    check("0_0 0_1 0_2 0_3", &["a 0_0 0_1 0_2 0_3", "b"], "a:0_0,0_1 b:0_2,0_3");
    check("0_0 0_1 0_2 0_3", &["a 0_0 0_1", "b 0_2 0_3", "c"], "a:0_0,0_1 b:0_2 c:0_3");
    // Shares follow workers.
    check("0_0 0_1 0_2 0_3", &["a*3", "b"], "a:0_0,0_1,0_2 b:0_3");
    // Claims to tasks that are no more.
    check("0_0", &["a 0_9", "b 7_7"], "a:0_0 b:");
    // What one refuses another runs; what all refuse runs all the same.
    check("0_0 0_1", &["a 0_0 0_1 -0_0", "b"], "a:0_1 b:0_0");
    check("0_0", &["a -0_0", "b -0_0"], "a:0_0 b:");
}

#[test]
fn state_draws_tasks() {
    let check = |all, processes: &[&str], expected| check(all, &policy(0, 2), processes, expected);
    // State on disk counts, a running copy more.
    check("0_0=99 0_1=99", &["a ?0_0 ?0_1", "b 0_1"], "a:0_0 b:0_1");
    // Who comes back gets what it had, from whoever has too much.
    check("0_0=99 0_1=99 0_2=99 0_3=99", &["a 0_0 0_1 0_2 0_3", "b ?0_1=3 ?0_0"], "a:0_2,0_3 b:0_0,0_1");
    // Nobody has caught up: the nearest runs it.
    check("0_0=99", &["a ?0_0=50", "b ?0_0=40", "c"], "a: b:0_0 c:");
    // Little state is no reason to wait.
    check("0_0=9 0_1=9", &["a 0_0 0_1", "b"], "a:0_0 b:0_1");
}

#[test]
fn a_task_moves_when_its_target_is_warm() {
    let all = "0_0=99 0_1=99 0_2=99 0_3=99 0_4=99 0_5=99";
    let check = |processes: &[&str], expected| check(all, &policy(0, 2), processes, expected);
    // Three are to move, two at a time warm up.
    check(&["a 0_0 0_1 0_2 0_3 0_4 0_5", "b"], "a:0_0,0_1,0_2,0_3,0_4,0_5 b:^0_3,^0_4");
    check(&["a 0_0 0_1 0_2 0_3 0_4 0_5", "b ~0_3=60 ~0_4=9"], "a:0_0,0_1,0_2,0_3,0_5 b:0_4,^0_3,^0_5");
    // One that comes back with old state warms up what it has.
    check(&["a 0_0 0_1 0_2 0_3 0_4 0_5", "b ?0_1=50"], "a:0_0,0_1,0_2,0_3,0_4,0_5 b:^0_1,^0_4");
    // One that restores gives way to one that has the state, and keeps on.
    check(&["a 0_0=70 0_1 0_2", "b ~0_0=3 0_3 0_4 0_5"], "a:0_1,0_2,^0_0 b:0_0,0_3,0_4,0_5");
}

#[test]
fn standbys_lie_apart() {
    let check = |replicas, processes: &[&str], expected| {
        check("0_0=99 0_1=99", &policy(replicas, 2), processes, expected);
    };
    check(1, &["a"], "a:0_0,0_1");
    check(1, &["a", "b"], "a:0_0,~0_1 b:0_1,~0_0");
    check(2, &["a 0_0", "b 0_1", "c"], "a:0_0,~0_1 b:0_1,~0_0 c:~0_0,~0_1");
    // What stands already stays; after the owner's end it runs there.
    check(1, &["a 0_0", "b 0_1", "c ~0_0 ~0_1"], "a:0_0 b:0_1 c:~0_0,~0_1");
    check(1, &["b 0_1", "c ~0_0 ~0_1"], "b:0_1,~0_0 c:0_0,~0_1");
    // Other racks first, then other zones.
    check(1, &["a+rack:r 0_0", "b+rack:r", "c+rack:s 0_1", "d+rack:s"], "a:0_0 b:~0_1 c:0_1 d:~0_0");
    // Where all racks are alike there are standbys all the same.
    check(1, &["a+rack:r 0_0", "b+rack:r 0_1"], "a:0_0,~0_1 b:0_1,~0_0");
    // The place of the standby that runs the task for now.
    check(1, &["a 0_0 0_1", "b"], "a:0_0,0_1 b:~0_0,~0_1");
}

/// A small generator: the same seed, the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn group(&mut self) -> (Tasks, BTreeMap<String, Process>, Policy) {
        let all: Tasks = (0..self.below(24))
            .map(|_| {
                let id = TaskId { subtopology: self.below(3) as u32, partition: self.below(9) as i32 };
                // A sub-topology has state or not.
                (id, (id.subtopology > 0).then(|| 5 + self.below(100)))
            })
            .collect();
        let mut processes = BTreeMap::new();
        for n in 0..1 + self.below(6) {
            processes.insert(format!("p{n}"), self.process(&all));
        }
        let mut policy = policy(self.below(3) as usize, 1 + self.below(3) as usize);
        if self.below(2) == 0 {
            policy.rack_aware_tags.clear();
        }
        (all, processes, policy)
    }

    fn process(&mut self, all: &Tasks) -> Process {
        let mut process = Process { workers: 1 + self.below(4) as usize, ..Process::default() };
        for tag in ["rack", "zone"] {
            process.tags.insert(tag.to_string(), self.below(3).to_string());
        }
        for (task, state) in all {
            match self.below(6) {
                0 => drop(process.running.insert(*task)),
                1 if state.is_some() => drop(process.standing.insert(*task)),
                2 => {}
                _ => continue,
            }
            if let Some(total) = state {
                process.lags.insert(*task, self.below(*total + 1));
            }
        }
        process
    }
}

/// What the group is like when everybody has done as told, and followed the changelogs to their ends.
fn follow(all: &Tasks, processes: &mut BTreeMap<String, Process>, placement: &Placement) {
    for (name, process) in processes {
        let share = &placement.shares[name];
        process.running = share.active.clone();
        process.standing = share.standby.union(&share.warmup).copied().collect();
        for task in process.running.union(&process.standing).filter(|task| all[*task].is_some()) {
            process.lags.insert(*task, 0);
        }
    }
}

/// Rounds until nothing changes any more; the last placement.
fn settle(all: &Tasks, processes: &mut BTreeMap<String, Process>, policy: &Policy, seed: u64) -> Placement {
    let mut last = None;
    for _ in 0..100 {
        let placement = place(all, processes, policy);
        invariants(all, processes, policy, &placement, seed);
        follow(all, processes, &placement);
        if last.as_ref() == Some(&placement) {
            assert!(!placement.is_unsettled, "seed {seed}: at rest, and something is to move");
            return placement;
        }
        last = Some(placement);
    }
    panic!("seed {seed}: no rest");
}

/// What holds for every placement.
fn invariants(
    all: &Tasks,
    processes: &BTreeMap<String, Process>,
    policy: &Policy,
    placement: &Placement,
    seed: u64,
) {
    let shares = &placement.shares;
    for (task, state) in all {
        let runs: Vec<_> = shares.iter().filter(|(_, share)| share.active.contains(task)).collect();
        assert_eq!(runs.len(), 1, "seed {seed}: {task} runs once");
        let copies: usize = shares
            .values()
            .map(|s| [&s.active, &s.standby, &s.warmup].iter().filter(|set| set.contains(task)).count())
            .inspect(|copies| assert!(*copies <= 1, "seed {seed}: two copies of {task} in one process"))
            .sum();
        match state {
            None => assert_eq!(copies, 1, "seed {seed}: no copy of {task} without state"),
            Some(total) => {
                let wanted = 1 + policy.standby_replicas.min(processes.len() - 1);
                assert!(copies >= wanted, "seed {seed}: {task} has {copies} copies of {wanted}");
                // It never runs where its state is not, while it is elsewhere.
                let lag = |name: &String| processes[name].lags.get(task).copied().unwrap_or(*total);
                let warm = |name: &String| lag(name) <= policy.acceptable_recovery_lag;
                assert!(warm(runs[0].0) || !processes.keys().any(warm), "seed {seed}: {task} runs cold");
            }
        }
    }
    let warmups: usize = shares.values().map(|share| share.warmup.len()).sum();
    assert!(warmups <= policy.max_warmup_replicas, "seed {seed}: {warmups} warm up");
}

fn level(counts: &BTreeMap<&String, (usize, usize)>, seed: u64) {
    for (a, (load_a, workers_a)) in counts {
        for (b, (load_b, workers_b)) in counts {
            assert!(
                load_a * workers_b <= (load_b + 1) * workers_a,
                "seed {seed}: {a} and {b} are uneven: {counts:?}"
            );
        }
    }
}

#[test]
fn complete_balanced_and_sticky() {
    for seed in 0..600u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (all, mut processes, policy) = dice.group();
        let rest = settle(&all, &mut processes, &policy, seed);
        let counts = |stateful: bool, rest: &Placement, processes: &BTreeMap<String, Process>| {
            let load =
                |share: &Share| share.active.iter().filter(|task| all[*task].is_some() || !stateful).count();
            let one =
                |(name, share): (&String, &Share)| (name.clone(), (load(share), processes[name].workers));
            rest.shares.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        level(&counts(true, &rest, &processes).iter().map(|(name, load)| (name, *load)).collect(), seed);
        if all.values().all(Option::is_none) {
            level(&counts(false, &rest, &processes).iter().map(|(name, load)| (name, *load)).collect(), seed);
        }

        // Whoever joins takes only; what moves comes to it.
        let mut joined = processes.clone();
        joined
            .insert("new".to_string(), Process { workers: 1 + dice.below(3) as usize, ..Process::default() });
        let after = settle(&all, &mut joined, &policy, seed);
        for (name, share) in &rest.shares {
            let kept = &after.shares[name].active;
            let stateful = |task: &&TaskId| all[*task].is_some();
            let gained: Vec<_> = kept.difference(&share.active).filter(stateful).collect();
            assert!(gained.is_empty(), "seed {seed}: {name} gained {gained:?} when another joined");
        }

        // When one leaves, no more moves than what it had.
        if processes.len() > 1 {
            let gone =
                processes.keys().nth(dice.below(processes.len() as u64) as usize).cloned().expect("one");
            let mut left = processes.clone();
            left.remove(&gone);
            let after = settle(&all, &mut left, &policy, seed);
            let stateful = |task: &&TaskId| all[*task].is_some();
            let survivors = rest.shares.iter().filter(|(name, _)| **name != gone);
            let lost = |(name, share): (&String, &Share)| {
                share.active.difference(&after.shares[name].active).filter(stateful).count()
            };
            let (lost, had) =
                (survivors.map(lost).sum::<usize>(), rest.shares[&gone].active.iter().filter(stateful));
            assert!(lost <= had.count(), "seed {seed}: {lost} tasks moved beside those of {gone}");

            // It comes back with its state on disk, and gets tasks that it has state of.
            let mut back = processes[&gone].clone();
            let had = std::mem::take(&mut back.running).iter().filter(stateful).count();
            back.standing.clear();
            let state: BTreeSet<TaskId> = back.lags.keys().copied().collect();
            left.insert(gone.clone(), back);
            let again = settle(&all, &mut left, &policy, seed);
            let has: BTreeSet<_> = again.shares[&gone].active.iter().filter(stateful).copied().collect();
            let returned = has.intersection(&state).count();
            // One may come from where most is instead.
            assert!(
                returned + 1 >= had.min(has.len()),
                "seed {seed}: {gone} has state of {state:?}, got {has:?}"
            );
        }
    }
}
