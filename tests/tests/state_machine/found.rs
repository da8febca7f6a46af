//! What random sequences have found once, each at its shortest.

use nacre_core::ids::Epoch;
use nacre_core::object_name::ObjectName;

use super::ops::{Op, Trouble, What};
use super::world::{Counts, World};

fn command(by: usize, what: What, trouble: Trouble, salt: u64) -> Op {
    Op::Command {
        by,
        what,
        trouble,
        salt,
    }
}

/// Gives a command while the other machine gives one before the first one's call of each number. The archive has a few sessions then.
fn at_every_call(what: What, others: &[What]) -> Counts {
    let mut world = World::new(0).unwrap();
    for salt in 0..4 {
        let sent = world.step(command(0, What::Send, Trouble::Nothing, salt));
        sent.unwrap();
    }
    for before in 0..40 {
        for (salt, other) in (before..).zip(others) {
            let trouble = Trouble::Meanwhile(before, *other);
            let done = world.step(command(usize::from(before % 2 == 0), what, trouble, salt));
            done.unwrap_or_else(|why| panic!("{other:?} before call {before} of {what:?}: {why}"));
        }
    }
    world.counts
}

/// Heads that are two commits old are removed: the name that this command wanted was free again after two commits of the other one, its head went
/// where nobody looks any more, and it said that it was done.
#[test]
fn a_head_whose_name_is_free_again_is_no_commit() {
    let counts = at_every_call(What::Add, &[What::Tidy, What::Send]);
    assert!(counts["a head came too late"] > 0, "{counts:?}");
}

/// Headers, heads and packs were listed and were gone when they were read: "the archive that was at this target is gone", or a store that is older
/// than it was, or damage.
#[test]
fn an_archive_that_changes_while_it_is_opened_is_opened_all_the_same() {
    at_every_call(
        What::Check,
        &[What::RotateMaster, What::Tidy, What::ReplaceKey],
    );
}

/// What another writer gives away while it is read looked like damage.
#[test]
fn what_another_writer_gives_away_meanwhile_is_no_damage() {
    at_every_call(What::Prune, &[What::Tidy, What::Send]);
    at_every_call(What::Send, &[What::Tidy, What::Deduplicate]);
}

/// A head that another one had gone on from before its own writer looked was taken for one that came too late: the header that it names was removed, and
/// with it the last one.
#[test]
fn a_change_of_keys_that_others_go_on_from_at_once_stays() {
    at_every_call(What::ReplaceKey, &[What::Send, What::Prune]);
    at_every_call(What::RotateMaster, &[What::Add, What::Tidy]);
}

/// Who removes the same key at the same moment makes the same header to the last byte. The slower one took the header that was in force by then for its
/// own, which had come too late, and removed it: no key opened the archive any more.
#[test]
fn two_machines_that_remove_the_same_key_at_once_lock_nobody_out() {
    for before in 0..20 {
        for salt in 0..6 {
            let mut world = World::new(0).unwrap();
            let done = world.step(Op::Command {
                by: 0,
                what: What::RemoveKey,
                trouble: Trouble::Meanwhile(before, What::RemoveKey),
                salt,
            });
            done.unwrap_or_else(|why| panic!("before call {before}, salt {salt}: {why}"));
        }
    }
}

/// A power cut had brought a removed head back, that before the one which a machine had seen last. Another writer removed what was listed behind it
/// before it was read: the machine took its own head for one that the store had lost, and put it again.
#[test]
fn heads_that_go_while_they_are_read_are_no_reason_to_put_an_old_one_again() {
    let places = (0..20).flat_map(|before| (4..8).map(move |salt| (before, salt)));
    for (before, salt) in places {
        let mut world = World::new(0).unwrap();
        let mut step = |by, what, salt| {
            let done = world.step(command(by, what, Trouble::Nothing, salt));
            done.unwrap();
            world.machines[by].anchor().unwrap().epoch
        };
        step(1, What::Send, 1);
        let seen = step(0, What::Add, 2);
        let old = ObjectName::Head(Epoch(seen.0 - 1));
        let back = world.store.live().objects().remove(&old).unwrap();
        for salt in 0..3 {
            let sent = world.step(command(1, What::Add, Trouble::Nothing, salt));
            sent.unwrap();
        }
        world.store.live().tamper(old, back);
        let trouble = Trouble::Meanwhile(before, What::Send);
        let done = world.step(command(0, What::Check, trouble, salt));
        done.unwrap_or_else(|why| panic!("before call {before}, salt {salt}: {why}"));
        let objects = world.store.live().objects();
        assert!(!objects.contains_key(&ObjectName::Head(seen)));
    }
}

/// The header in force was listed and gone when it was read, as another machine changed the master. What was left was the header of a change that had been cut
/// short; its master was remembered, and the archive called older ever after.
#[test]
fn a_header_that_goes_while_it_is_read_leaves_no_master_that_never_was_in_force() {
    for before in 0..24 {
        let mut world = World::new(2621).unwrap();
        let ops = [
            (What::Send, Trouble::Nothing, 18_241_556_247_104_448_823),
            (
                What::ReplaceKey,
                Trouble::Fails(4),
                16_720_749_749_054_417_821,
            ),
            (
                What::RotateMaster,
                Trouble::StoreDies(4),
                17_820_265_158_595_885_580,
            ),
            (What::Send, Trouble::Nothing, 5_187_379_010_288_122_994),
            (
                What::Prune,
                Trouble::Meanwhile(33, What::Rename),
                10_559_562_749_471_856_025,
            ),
            (
                What::AddKey,
                Trouble::Meanwhile(before, What::RotateMaster),
                7_189_922_189_788_852_801,
            ),
        ];
        for (what, trouble, salt) in ops {
            let done = world.step(command(0, what, trouble, salt));
            done.unwrap_or_else(|why| panic!("{what:?} before call {before}: {why}"));
        }
    }
}
