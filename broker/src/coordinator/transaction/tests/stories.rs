//! The stories. `add` and `end` speak the older protocol, `add2` and `end2` the newer one, where epochs rise with every
//! transaction.

use super::check;

#[test]
fn a_transaction_in_the_older_protocol() {
    check(
        "init a                       => 100/0
         add a 100 0 t-0,t-1          => ok
         add a 100 0 t-1              => ok
         state a                      => Ongoing 100/0 2
         verify a 100 0 t-0,t-2       => NONE TRANSACTION_ABORTABLE
         end a 100 0 commit           => 100/0
         state a                      => PrepareCommit 100/0 2
         end a 100 0 commit           => CONCURRENT_TRANSACTIONS
         end a 100 0 abort            => CONCURRENT_TRANSACTIONS
         add a 100 0 t-0              => CONCURRENT_TRANSACTIONS
         verify a 100 0 t-0           => CONCURRENT_TRANSACTIONS
         init a                       => CONCURRENT_TRANSACTIONS
         markers                      => a 100/0 commit v0 t-0,t-1
         state a                      => CompleteCommit 100/0 0
         end a 100 0 commit           => 100/0
         end a 100 0 abort            => INVALID_TXN_STATE
         verify a 100 0 t-0           => TRANSACTION_ABORTABLE
         add a 100 0 t-0              => ok
         end a 100 0 abort            => 100/0
         markers                      => a 100/0 abort v0 t-0
         end a 100 0 abort            => 100/0
         end a 100 0 commit           => INVALID_TXN_STATE",
    );
}

#[test]
fn a_transaction_in_the_newer_protocol() {
    check(
        "init a                       => 100/0
         end2 a 100 0 commit          => INVALID_TXN_STATE
         add2 a 100 0 t-0             => ok
         end2 a 100 0 commit          => 100/1
         state a                      => PrepareCommit 100/1 1
         end2 a 100 0 commit          => CONCURRENT_TRANSACTIONS
         add2 a 100 1 t-0             => CONCURRENT_TRANSACTIONS
         markers                      => a 100/1 commit v2 t-0
         end2 a 100 0 commit          => 100/1
         end2 a 100 0 abort           => INVALID_TXN_STATE
         end2 a 100 1 commit          => INVALID_TXN_STATE
         add2 a 100 0 t-0             => PRODUCER_FENCED
         add2 a 100 1 t-0             => ok
         end2 a 100 1 abort           => 100/2
         markers                      => a 100/2 abort v2 t-0
         end2 a 100 1 abort           => 100/2
         end2 a 100 2 abort           => 100/3
         markers                      => a 100/3 abort v2
         state a                      => CompleteAbort 100/3 0",
    );
}

#[test]
fn an_abort_before_anything_was_added_raises_the_epoch() {
    check(
        "init a                       => 100/0
         end2 a 100 0 abort           => 100/1
         markers                      => a 100/1 abort v2
         end a 100 1 abort            => 100/1
         init b                       => 101/0
         end b 101 0 abort            => INVALID_TXN_STATE",
    );
}

#[test]
fn strangers_are_refused() {
    check(
        "add a 1 0 t-0                => INVALID_PRODUCER_ID_MAPPING
         verify a 1 0 t-0             => INVALID_PRODUCER_ID_MAPPING
         end a 1 0 commit             => INVALID_PRODUCER_ID_MAPPING
         end2 a 1 0 commit            => INVALID_PRODUCER_ID_MAPPING
         state a                      => TRANSACTIONAL_ID_NOT_FOUND
         init a                       => 100/0
         init -                       => INVALID_REQUEST
         init b timeout=0             => INVALID_TRANSACTION_TIMEOUT
         init b timeout=900001        => INVALID_TRANSACTION_TIMEOUT
         add a 99 0 t-0               => INVALID_PRODUCER_ID_MAPPING
         add a 100 1 t-0              => PRODUCER_FENCED
         verify a 99 0 t-0            => INVALID_PRODUCER_ID_MAPPING
         verify a 100 1 t-0           => PRODUCER_FENCED
         end a 99 0 abort             => INVALID_PRODUCER_ID_MAPPING
         end a 100 1 abort            => PRODUCER_FENCED
         end2 a 99 0 abort            => INVALID_PRODUCER_ID_MAPPING
         end2 a 100 1 abort           => PRODUCER_FENCED",
    );
}

#[test]
fn a_second_producer_fences_the_first() {
    check(
        "init a                       => 100/0
         init a                       => 100/1
         add a 100 0 t-0              => PRODUCER_FENCED
         add a 100 1 t-0              => ok
         init a                       => CONCURRENT_TRANSACTIONS
         state a                      => PrepareAbort 100/2 1
         init a                       => CONCURRENT_TRANSACTIONS
         end a 100 1 commit           => PRODUCER_FENCED
         markers                      => a 100/2 abort v2 t-0
         init a                       => 100/3
         end a 100 1 commit           => PRODUCER_FENCED
         end2 a 100 1 abort           => PRODUCER_FENCED",
    );
}

#[test]
fn a_producer_may_go_on_with_what_it_has() {
    check(
        "init a                       => 100/0
         init a 100 0                 => 100/1
         init a 100 0                 => 100/1
         init a 100 1                 => 100/2
         init a 100 0                 => PRODUCER_FENCED
         init a 99 2                  => PRODUCER_FENCED
         init a                       => 100/3
         init a 100 2                 => PRODUCER_FENCED
         init b 77 5                  => 101/0
         init c                       => 102/0
         end2 c 102 0 abort           => 102/1
         markers                      => c 102/1 abort v2
         init c 102 0                 => 102/1
         init c 102 1                 => 102/2",
    );
}

#[test]
fn epochs_that_are_used_up_lead_to_another_producer_id() {
    check(
        "init a                       => 100/0
         epoch a 32765
         init a                       => 100/32766
         init a                       => 101/0
         epoch a 32766
         init a 101 32766             => 102/0
         init a 101 32766             => 102/0
         epoch a 32766
         add2 a 102 32766 t-0         => ok
         end2 a 102 32766 commit      => 103/0
         state a                      => PrepareCommit 102/32767 1
         add2 a 103 0 t-0             => CONCURRENT_TRANSACTIONS
         end2 a 102 32766 commit      => CONCURRENT_TRANSACTIONS
         crash                        => a 102/32767 commit v2 t-0
         markers                      => a 102/32767 commit v2 t-0
         state a                      => CompleteCommit 103/0 0
         end2 a 102 32766 commit      => 103/0
         end2 a 102 32766 abort       => INVALID_TXN_STATE
         add2 a 103 0 t-0             => ok
         epoch a 32766
         init a                       => CONCURRENT_TRANSACTIONS
         markers                      => a 103/32767 abort v2 t-0
         init a                       => 104/0",
    );
}

#[test]
fn what_was_decided_is_done_after_a_crash_and_what_was_not_goes_on() {
    check(
        "init a                       => 100/0
         init b                       => 101/0
         init c                       => 102/0
         add a 100 0 t-0              => ok
         add2 b 101 0 t-0,u-3         => ok
         add2 c 102 0 t-0             => ok
         end a 100 0 abort            => 100/0
         end2 b 101 0 commit          => 101/1
         lose                         => a 100/0 abort v0 t-0; b 101/1 commit v2 t-0,u-3
         crash                        => a 100/0 abort v0 t-0; b 101/1 commit v2 t-0,u-3
         end2 b 101 0 commit          => CONCURRENT_TRANSACTIONS
         crash                        => a 100/0 abort v0 t-0; b 101/1 commit v2 t-0,u-3
         markers                      => a 100/0 abort v0 t-0; b 101/1 commit v2 t-0,u-3
         crash                        =>
         state a                      => CompleteAbort 100/0 0
         state b                      => CompleteCommit 101/1 0
         end2 b 101 0 commit          => 101/1
         end2 c 102 0 commit          => 102/1",
    );
}

#[test]
fn a_transaction_whose_time_is_up_is_aborted_and_its_producer_fenced() {
    check(
        "init a timeout=15000         => 100/0
         init b timeout=15000         => 101/0
         add a 100 0 t-0              => ok
         wait 10000                   => 0 records
         add2 b 101 0 t-0             => ok
         wait 9000                    => 0 records
         wait 1000                    => 1 records
         state a                      => PrepareAbort 100/1 1
         state b                      => Ongoing 101/0 1
         markers                      => a 100/1 abort v2 t-0
         end a 100 0 commit           => PRODUCER_FENCED
         end2 b 101 0 commit          => 101/1
         markers                      => b 101/1 commit v2 t-0
         wait 30000                   => 0 records",
    );
    // In the newer protocol an abort is what the producer wants then, and it goes on.
    check(
        "init a timeout=1             => 100/0
         add2 a 100 0 t-0             => ok
         wait 10000                   => 1 records
         markers                      => a 100/1 abort v2 t-0
         end2 a 100 0 commit          => INVALID_TXN_STATE
         end2 a 100 0 abort           => 100/1
         add2 a 100 1 t-0             => ok",
    );
}

#[test]
fn a_wall_clock_that_jumps_ends_no_transaction_early_and_keeps_none_open() {
    check(
        "init a timeout=60000         => 100/0
         add2 a 100 0 t-0             => ok
         clock 3600000                => ok
         wait 50000                   => 0 records
         wait 20001                   => 1 records
         markers                      => a 100/1 abort v2 t-0
         add2 a 100 1 t-0             => ok
         clock -3600000               => ok
         crash                        =>
         wait 50000                   => 0 records
         wait 30001                   => 1 records",
    );
}

#[test]
fn idle_transactional_ids_are_forgotten_but_not_in_a_transaction() {
    check(
        "init a                       => 100/0
         init b timeout=900000        => 101/0
         init c                       => 102/0
         add2 c 102 0 t-0             => ok
         end2 c 102 0 commit          => 102/1
         wait 604800000               => 2 records
         state a                      => TRANSACTIONAL_ID_NOT_FOUND
         state b                      => TRANSACTIONAL_ID_NOT_FOUND
         state c                      => PrepareCommit 102/1 1
         add2 a 100 0 t-0             => INVALID_PRODUCER_ID_MAPPING
         end2 a 100 0 abort           => INVALID_PRODUCER_ID_MAPPING
         init a 100 0                 => 103/0
         crash                        => c 102/1 commit v2 t-0
         state b                      => TRANSACTIONAL_ID_NOT_FOUND",
    );
}

#[test]
fn a_transaction_of_more_partitions_than_a_record_holds_gets_no_more_and_ends_as_ever() {
    let topic = "t".repeat(200);
    check(&format!(
        "most 500
         init a                       => 100/0
         add a 100 0 {topic}-0        => ok
         add a 100 0 {topic}a-0       => UNKNOWN_SERVER_ERROR
         add a 100 0 {topic}-1        => ok
         state a                      => Ongoing 100/0 2
         end2 a 100 0 commit          => 100/1
         markers                      => a 100/1 commit v2 {topic}-0,{topic}-1
         state a                      => CompleteCommit 100/1 0",
    ));
}
