//! Scripts of calls and answers, each with what it leads to.

use super::*;

const FIRST: ProducerIdentity = ProducerIdentity { id: 7, epoch: 3 };

fn code(name: &str) -> ErrorCode {
    let known = [
        ErrorCode::NONE,
        ErrorCode::CONCURRENT_TRANSACTIONS,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::PRODUCER_FENCED,
        ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::INVALID_PRODUCER_ID_MAPPING,
        ErrorCode::INVALID_TXN_STATE,
        ErrorCode::TRANSACTION_ABORTABLE,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::OPERATION_NOT_ATTEMPTED,
        ErrorCode::ILLEGAL_GENERATION,
    ];
    known.into_iter().find(|code| code.name() == name).expect("a code that the tests know")
}

fn shown(next: &Next) -> String {
    match next {
        Next::Done => "done".to_string(),
        Next::Retry(_) => "again".to_string(),
        Next::RetrySoon(_) => "soon".to_string(),
        Next::Elsewhere(_) => "elsewhere".to_string(),
        Next::Stop(error) => format!("{:?}", error.kind()),
    }
}

fn told(result: Result<()>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".to_string())
}

fn leader(partitions: &str) -> i32 {
    i32::from(partitions.starts_with(['5', '6', '7', '8', '9']))
}

/// What one word of a script does, and what comes of it.
fn step(transaction: &mut Transaction, protocol: Protocol, word: &str) -> String {
    let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
    let partition = |name: &str| TopicPartition::new("t", name.parse().unwrap());
    match verb {
        "claim" => told(transaction.claim()),
        "id" => shown(&transaction.identified(code(rest), FIRST, protocol)),
        "begin" => told(transaction.begin()),
        // Of the leader 0 the partitions below 5, of the leader 1 the others.
        "write" => transaction.admits(&partition(rest), leader(rest)).to_string(),
        "sent" => {
            let names: Vec<TopicPartition> = rest.split(' ').map(&partition).collect();
            transaction.sent(leader(rest), names.iter());
            "ok".to_string()
        }
        "group" => transaction.start_group().to_string(),
        "group-answered" => {
            transaction.group_answered();
            "ok".to_string()
        }
        "written" | "unwritten" => {
            transaction.answered(leader(rest), &partition(rest), verb == "written");
            "ok".to_string()
        }
        "announce" => format!("{:?}", transaction.start_adding().unwrap_or_default()),
        "announced" => {
            let codes =
                rest.split(' ').zip(0..).map(|(name, number)| (partition(&number.to_string()), code(name)));
            let next = transaction.partitions_answered(&codes.collect());
            match &next {
                Next::Done => transaction.adding_ended(None),
                Next::Stop(error) => transaction.adding_ended(Some(error)),
                _ => {}
            }
            shown(&next)
        }
        "failed" => {
            let error = match rest {
                "fenced" => ClientError::fenced("f"),
                _ => ClientError::invalid("i"),
            };
            transaction.batch_failed(&error);
            told(transaction.failure().map_or(Ok(()), Err))
        }
        "offsets" => match transaction.start_offsets() {
            Err(error) => told(Err(error)),
            Ok(_) if rest.is_empty() => "ok".to_string(),
            Ok(_) => {
                let next = transaction.offsets_answered("o", Question::Offsets, code(rest));
                match next {
                    Next::Done => told(transaction.offsets_ended(Ok(()))),
                    Next::Stop(error) => told(transaction.offsets_ended(Err(error))),
                    _ => told(transaction.offsets_ended(Err(ClientError::retriable("r")))),
                }
            }
        },
        "commit" => told(transaction.start_end(true)),
        "abort" => told(transaction.start_end(false)),
        "gave-up" => {
            transaction.gave_up(true);
            "ok".to_string()
        }
        "ask" => match transaction.next_end_request() {
            Err(error) => told(Err(error)),
            Ok(None) => "nothing".to_string(),
            Ok(Some(EndRequest::End { identity, commit })) => {
                format!("{} {}", if commit { "commit" } else { "abort" }, identity.epoch)
            }
            Ok(Some(EndRequest::Renew(identity))) => format!("renew {}", identity.epoch),
        },
        "ended" => {
            let next = (protocol == Protocol::Implicit)
                .then(|| ProducerIdentity { epoch: transaction.identity().unwrap().epoch + 1, ..FIRST });
            shown(&transaction.end_answered(code(rest), next))
        }
        "silence" => format!("{:?}", transaction.end_unanswered(ClientError::retriable("r")).kind()),
        other => panic!("{other} is no word"),
    }
}

/// `script` is `word = outcome; ...`.
fn check(protocol: Protocol, script: &str) {
    let mut transaction = Transaction::new();
    for line in script.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (word, expected) = line.split_once(" = ").unwrap();
        assert_eq!(step(&mut transaction, protocol, word), expected, "{line} in {script}");
    }
}

#[test]
fn announced_transactions_come_to_an_end() {
    let check = |script: &str| check(Protocol::Announced, &format!("claim = ok; id NONE = done; {script}"));
    check("begin = ok; commit = ok; ask = nothing; begin = ok");
    check("begin = ok; abort = ok; ask = nothing; begin = ok");
    // Each partition once, before it is written to.
    check(
        "begin = ok; write 0 = false; write 1 = false; announce = [t-0, t-1]; write 0 = false; announce = []; \
         announced CONCURRENT_TRANSACTIONS CONCURRENT_TRANSACTIONS = soon; announced NONE NONE = done; \
         write 0 = true; write 1 = true; announce = []; commit = ok; ask = commit 3; ended NONE = done; \
         ask = nothing; begin = ok; write 0 = false; announce = [t-0]",
    );
    check("begin = ok; offsets NONE = ok; commit = ok; ask = commit 3; ended NONE = done; begin = ok");
    // Elsewhere, later, and asked again.
    check(
        "begin = ok; offsets NONE = ok; commit = ok; ask = commit 3; ended NOT_COORDINATOR = elsewhere; \
         ask = commit 3; ended COORDINATOR_LOAD_IN_PROGRESS = again; ask = commit 3; ended NONE = done",
    );
    // What was given up may still arrive: a new epoch.
    check(
        "begin = ok; write 0 = false; announce = [t-0]; announced NONE = done; write 0 = true; abort = ok; \
         gave-up = ok; ask = abort 3; ended NONE = done; begin = Invalid; ask = renew 3; abort = ok; \
         ask = renew 3; id NONE = done; ask = nothing; begin = ok",
    );
    // An announcement that never arrived began nothing.
    check(
        "begin = ok; write 0 = false; announce = [t-0]; failed refused = Abort; abort = ok; ask = abort 3; \
         ended INVALID_TXN_STATE = done; ask = renew 3; id NONE = done; begin = ok",
    );
    check(
        "begin = ok; write 0 = false; write 1 = false; announce = [t-0, t-1]; \
         announced OPERATION_NOT_ATTEMPTED TOPIC_AUTHORIZATION_FAILED = Abort; write 0 = false; announce = []; \
         commit = Abort; abort = ok",
    );
}

#[test]
fn implicit_transactions_come_to_an_end() {
    let check = |script: &str| check(Protocol::Implicit, &format!("claim = ok; id NONE = done; {script}"));
    check("begin = ok; commit = ok; ask = nothing; begin = ok");
    check(
        "begin = ok; write 0 = true; write 0 = true; announce = []; commit = ok; write 1 = true; \
         ask = commit 3; write 1 = false; ended NONE = done; begin = ok; write 0 = true; commit = ok; \
         ask = commit 4; ended NONE = done; begin = ok",
    );
    // One request with new partitions at a time to each leader.
    check(
        "begin = ok; write 0 = true; write 1 = true; sent 0 1 = ok; write 0 = false; write 2 = false; write 5 = true; \
         written 0 = ok; write 0 = true; write 2 = false; unwritten 1 = ok; write 0 = true; write 1 = true; \
         write 2 = true; sent 0 2 = ok; write 0 = true; write 1 = false; written 0 = ok; write 1 = false; \
         written 2 = ok; write 1 = true; commit = ok; ask = commit 3; ended NONE = done; begin = ok; write 0 = true; \
         sent 0 = ok; write 0 = false; write 6 = true",
    );
    // Nor any while the group's coordinator asks.
    check(
        "begin = ok; sent 0 = ok; group = false; write 5 = true; written 0 = ok; group = true; write 0 = true; \
         write 1 = false; write 5 = false; group-answered = ok; write 1 = true; write 5 = true",
    );
    // The end itself gives a new epoch.
    check(
        "begin = ok; write 0 = true; failed refused = Abort; abort = ok; gave-up = ok; ask = abort 3; \
         ended NONE = done; ask = nothing; begin = ok; offsets NONE = ok; commit = ok; ask = commit 4",
    );
}

#[test]
fn failures_leave_what_they_must() {
    let check = |script: &str| check(Protocol::Implicit, &format!("claim = ok; id NONE = done; {script}"));
    check(
        "failed refused = ok; begin = ok; failed refused = Abort; offsets NONE = Abort; commit = Abort; abort = ok",
    );
    check("begin = ok; offsets ILLEGAL_GENERATION = Abort; commit = Abort; abort = ok; ask = abort 3");
    // Given up in the midst of it: nobody knows what the group has.
    check("begin = ok; offsets COORDINATOR_LOAD_IN_PROGRESS = Abort; commit = Abort; abort = ok");
    check("begin = ok; offsets = ok; commit = Abort; abort = ok");
    // A batch fails while the commit waits for it.
    check(
        "begin = ok; write 0 = true; commit = ok; failed refused = Abort; ask = Abort; commit = ok; ask = Abort; abort = ok; ask = abort 3",
    );
    check(
        "begin = ok; write 0 = true; commit = ok; ask = commit 3; ended TRANSACTION_ABORTABLE = Abort; abort = ok; ask = abort 3; ended NONE = done; begin = ok",
    );
    // Nobody answers: the commit may have happened.
    check(
        "begin = ok; write 0 = true; commit = ok; silence = Retriable; ask = commit 3; silence = OutcomeUnknown; abort = Invalid; begin = Invalid; offsets = Invalid; commit = ok; ask = commit 3; ended NONE = done; begin = ok",
    );
    check("begin = ok; write 0 = true; commit = ok; ask = commit 3; claim = ok; id NONE = done; begin = ok");
    check(
        "begin = ok; write 0 = true; abort = ok; ask = abort 3; silence = Retriable; commit = Invalid; abort = ok; ask = abort 3",
    );
}

#[test]
fn a_refusal_proves_nothing_once_an_answer_was_lost() {
    let check = |script: &str| {
        for protocol in [Protocol::Announced, Protocol::Implicit] {
            let begun =
                "claim = ok; id NONE = done; begin = ok; offsets NONE = ok; commit = ok; ask = commit 3";
            check(protocol, &format!("{begun}; {script}"));
        }
    };
    // Each request was answered: it is not committed.
    check(
        "ended NOT_COORDINATOR = elsewhere; ask = commit 3; ended INVALID_TXN_STATE = Fenced; claim = Fenced",
    );
    check("ended TRANSACTION_ABORTABLE = Abort; abort = ok");
    // The one before may have been carried out.
    let lost = "silence = OutcomeUnknown; ask = commit 3";
    check(&format!("{lost}; ended INVALID_TXN_STATE = OutcomeUnknown; commit = Fenced; claim = Fenced"));
    check(&format!("{lost}; ended PRODUCER_FENCED = OutcomeUnknown; commit = Fenced; claim = Fenced"));
    check(&format!("{lost}; ended INVALID_PRODUCER_ID_MAPPING = OutcomeUnknown; claim = Fenced"));
    check(&format!("{lost}; ended TRANSACTION_ABORTABLE = OutcomeUnknown; abort = Invalid; claim = ok"));
}

#[test]
fn an_end_that_may_come_late_must_not_end_the_next() {
    let check = |protocol, script: &str| {
        let begun = "claim = ok; id NONE = done; begin = ok; offsets NONE = ok";
        check(protocol, &format!("{begun}; {script}"));
    };
    let lost = "commit = ok; ask = commit 3; ask = commit 3; ended NONE = done";
    check(Protocol::Implicit, &format!("{lost}; ask = nothing; begin = ok"));
    check(
        Protocol::Announced,
        &format!(
            "{lost}; begin = Invalid; ask = renew 3; silence = OutcomeUnknown; abort = Invalid; commit = ok; \
             ask = renew 3; id NONE = done; begin = ok"
        ),
    );
    // It is committed, whoever has the id now.
    check(
        Protocol::Announced,
        &format!("{lost}; ask = renew 3; id PRODUCER_FENCED = OutcomeUnknown; commit = Fenced"),
    );
    check(
        Protocol::Announced,
        "abort = ok; ask = abort 3; ask = abort 3; ended NONE = done; ask = renew 3; id NONE = done; begin = ok",
    );
}

#[test]
fn a_fenced_producer_never_comes_back() {
    let check = |script: &str| {
        for protocol in [Protocol::Announced, Protocol::Implicit] {
            check(protocol, &format!("claim = ok; id NONE = done; {script}"));
        }
    };
    let end =
        "begin = Fenced; commit = Fenced; abort = Fenced; ask = Fenced; offsets = Fenced; claim = Fenced";
    check(&format!(
        "begin = ok; offsets NONE = ok; commit = ok; ask = commit 3; ended PRODUCER_FENCED = Fenced; {end}"
    ));
    check(&format!(
        "begin = ok; offsets NONE = ok; commit = ok; ask = commit 3; ended INVALID_PRODUCER_EPOCH = Fenced; {end}"
    ));
    check(&format!("begin = ok; failed fenced = Fenced; {end}"));
    check(&format!("begin = ok; offsets PRODUCER_FENCED = Fenced; {end}"));
}

#[test]
fn the_order_of_calls_matters() {
    let check = |script: &str| check(Protocol::Implicit, script);
    check(
        "begin = Invalid; commit = Invalid; abort = Invalid; offsets = Invalid; write 0 = false; ask = nothing",
    );
    check(
        "claim = ok; id CONCURRENT_TRANSACTIONS = soon; id COORDINATOR_LOAD_IN_PROGRESS = again; begin = Invalid; id NONE = done; commit = Invalid; begin = ok; begin = Invalid",
    );
    check(
        "claim = ok; id INVALID_TXN_STATE = Invalid; begin = Invalid; claim = ok; id NONE = done; begin = ok",
    );
}
