//! Memory: of many rows under a budget, and of rows that are gone.

use super::tests::Disk;
use super::*;

/// Many keys over a budget that holds few of them, through all layers and back from disk.
#[test]
fn a_hundred_thousand_keys_need_little_memory() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    let disk = Disk::Fjall(tempfile::tempdir().expect("a directory"), host);
    let options = TableOptions { cached: true, ..TableOptions::default() };
    let mut table = disk.open(options);
    let budget = 2 << 20;
    let count = |table: &mut KeyValueTable, key: u32| {
        let context = Context::none(i64::from(key));
        let new = &mut [0; 4];
        let updated = table.update(format!("key-{key}").as_bytes(), &context, |old| {
            let before = old.map_or(0, |old| u32::from_be_bytes(old.value.try_into().expect("four bytes")));
            *new = (before + 1 + key % 3).to_be_bytes();
            Update::Put(Row::new(new, 0))
        });
        updated.expect("the disk is sound");
    };
    for round in 0..2 {
        for key in 0..100_000_u32 {
            count(&mut table, key.wrapping_mul(7_919) % 100_000);
            if key % 5000 == 4999 {
                table.flush(|_| Ok::<_, ()>(())).expect("never fails");
                let epoch = table.seal_epoch().expect("flushed");
                let checkpoint = Checkpoint { offset: i64::from(round * 100_000 + key), wall_clock_ms: 0 };
                table.commit_epoch(epoch, Some(checkpoint)).expect("sealed");
                while table.write_behind(200_000).expect("the disk is sound") {}
                table.evict(budget).expect("the disk is sound");
                assert!(table.resident_bytes() <= budget);
            }
        }
    }
    drop(table);
    let mut table = disk.open(options);
    assert_eq!(table.stored_checkpoint().map(|checkpoint| checkpoint.offset), Some(199_999));
    let mut expected: Vec<String> = (0..100_000).map(|key| format!("key-{key}")).collect();
    expected.sort_unstable();
    let mut rows = table.all().expect("the disk is sound");
    for key in expected {
        let (found, row) = rows.next().expect("the disk is sound").expect("all keys");
        let number: u32 = key["key-".len()..].parse().expect("a number");
        assert_eq!((found, row.value), (key.as_bytes(), &(2 * (1 + number % 3)).to_be_bytes()[..]));
    }
    assert!(rows.next().expect("the disk is sound").is_none());
    assert!(table.resident_bytes() <= budget);
}

#[test]
fn deleted_rows_leave_no_memory_behind() {
    let mut table = KeyValueTable::in_memory(TableOptions { cached: false, ..TableOptions::default() });
    let mut after_first_round = 0;
    for round in 0..50_u32 {
        for write in [true, false] {
            for key in 0..500_u32 {
                let key = (round * 500 + key).to_be_bytes();
                let row = write.then_some(Row::new(&[7; 200], 0));
                table.put(&key, row, &Context::none(0)).expect("in memory");
            }
            let epoch = table.seal_epoch().expect("nothing pending");
            table.commit_epoch(epoch, None).expect("sealed");
        }
        if round == 0 {
            after_first_round = table.resident_bytes();
        }
    }
    assert_eq!(table.resident_bytes(), after_first_round);
}
