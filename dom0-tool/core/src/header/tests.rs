use super::*;
use crate::entropy::Entropy;
use crate::ids::{ArchiveId, OriginId};
use crate::keys::{Argon2Params, Secret};
use crate::mutation::{Random, each_mutation, write_seeds};

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.next().to_le_bytes()[0];
        }
    }
}

fn entropy() -> Seeded {
    Seeded(Random(1))
}

fn secret(byte: u8) -> Secret {
    Secret::new(zeroize::Zeroizing::new([byte; 32]))
}

fn new_header(encrypted: bool) -> NewHeader {
    NewHeader {
        archive: ArchiveId([1; 16]),
        origin: OriginId([2; 16]),
        hash: HashType::Blake3,
        format: ChunkFormat::new(17).unwrap(),
        encrypted,
    }
}

fn key_file(secret: &Secret) -> NewSlot<'_> {
    NewSlot {
        label: "key file",
        created: 5,
        secret: NewSecret::KeyFile(secret),
    }
}

fn created() -> Unlocked {
    let secret = secret(7);
    Unlocked::create(&new_header(true), &[key_file(&secret)], &mut entropy()).unwrap()
}

fn unlock(bytes: &[u8], byte: u8) -> Result<Unlocked, UnlockError> {
    Header::parse(bytes)?.unlock(&Credential::KeyFile(&secret(byte)))
}

#[test]
fn every_kind_of_key_opens_its_slot_and_no_other() {
    let (file, code) = (secret(7), secret(8));
    let slots = [
        NewSlot {
            label: "passphrase",
            created: 1,
            secret: NewSecret::Passphrase(b"correct horse", Argon2Params::floor()),
        },
        key_file(&file),
        NewSlot {
            label: "",
            created: 3,
            secret: NewSecret::RecoveryCode(&code),
        },
    ];
    let made = Unlocked::create(&new_header(true), &slots, &mut entropy()).unwrap();
    let header = Header::parse(made.bytes()).unwrap();
    assert_eq!(header.passphrase_memory(), 64 << 20);
    let opens = |credential: &Credential<'_>| {
        let unlocked = header.clone().unlock(credential)?;
        assert_eq!(unlocked.keyring().pin(), made.keyring().pin());
        Ok(())
    };
    assert_eq!(opens(&Credential::Passphrase(b"correct horse")), Ok(()));
    assert_eq!(opens(&Credential::KeyFile(&file)), Ok(()));
    assert_eq!(opens(&Credential::Recovery(&code)), Ok(()));
    assert_eq!(opens(&Credential::Master(&made.master())), Ok(()));
    let wrong = |what| Err(UnlockError::WrongCredential(what));
    assert_eq!(
        opens(&Credential::Passphrase(b"correct horsE")),
        wrong("passphrase")
    );
    assert_eq!(opens(&Credential::KeyFile(&code)), wrong("key file"));
    assert_eq!(opens(&Credential::Recovery(&file)), wrong("recovery code"));
    assert_eq!(opens(&Credential::Master(&file)), wrong("remembered key"));
    assert!(matches!(
        opens(&Credential::Published),
        Err(UnlockError::NoSlot(_))
    ));
}

#[test]
fn a_credential_of_a_kind_without_slot_is_told_so() {
    let bytes = created().bytes().to_vec();
    let result = Header::parse(&bytes)
        .unwrap()
        .unlock(&Credential::Passphrase(b"x"));
    assert_eq!(result.unwrap_err(), UnlockError::NoSlot("passphrase"));
}

#[test]
fn an_unencrypted_archive_has_the_published_key_and_no_slots() {
    let made = Unlocked::create(&new_header(false), &[], &mut entropy()).unwrap();
    let header = Header::parse(made.bytes()).unwrap();
    assert!(header.slots().is_empty() && !header.description().encrypted);
    let opened = header.clone().unlock(&Credential::Published).unwrap();
    assert_eq!(opened.keyring().pin(), made.keyring().pin());
    let secret = secret(7);
    let refused = header.unlock(&Credential::KeyFile(&secret));
    assert_eq!(refused.unwrap_err(), UnlockError::NotEncrypted);
    let slot = key_file(&secret);
    let change = made.with_slot(&slot, &mut entropy());
    assert_eq!(change.unwrap_err(), ChangeError::NotEncrypted);
    let rotated = made.rotate(&[slot], &mut entropy());
    assert_eq!(rotated.unwrap_err(), ChangeError::NotEncrypted);
}

#[test]
fn keys_come_and_go_by_generations() {
    let (new, newer) = (secret(8), secret(9));
    let first = created();
    let second = first.with_slot(&key_file(&new), &mut entropy()).unwrap();
    assert_eq!(second.description().generation, Generation(2));
    assert!(unlock(second.bytes(), 7).is_ok() && unlock(second.bytes(), 8).is_ok());
    let third = second.without_slot(0, &mut entropy()).unwrap();
    assert!(unlock(third.bytes(), 7).is_err() && unlock(third.bytes(), 8).is_ok());
    let fourth = third
        .with_changed_slot(0, &key_file(&newer), &mut entropy())
        .unwrap();
    assert!(unlock(fourth.bytes(), 8).is_err() && unlock(fourth.bytes(), 9).is_ok());
    assert_eq!(fourth.description().generation, Generation(4));
    assert_eq!(fourth.keyring().pin(), first.keyring().pin());
    let last = fourth.without_slot(0, &mut entropy());
    assert_eq!(last.unwrap_err(), ChangeError::NoSlotLeft);
    let missing = fourth.without_slot(1, &mut entropy());
    assert_eq!(missing.unwrap_err(), ChangeError::NoSuchSlot(1));
}

#[test]
fn there_is_room_for_sixteen_keys() {
    let secret = secret(7);
    let mut header = created();
    for _ in 1..MAX_SLOTS {
        header = header
            .with_slot(&key_file(&secret), &mut entropy())
            .unwrap();
    }
    let more = header.with_slot(&key_file(&secret), &mut entropy());
    assert_eq!(more.unwrap_err(), ChangeError::TooManySlots);
}

#[test]
fn a_label_that_could_hide_something_is_refused() {
    let secret = secret(7);
    for label in ["a\nb", "\u{1b}[2J", &"x".repeat(65)] {
        let slot = NewSlot {
            label,
            ..key_file(&secret)
        };
        let refused = created().with_slot(&slot, &mut entropy());
        assert_eq!(refused.unwrap_err(), ChangeError::BadLabel);
    }
}

#[test]
fn a_new_master_keeps_the_old_ones_readable() {
    let (new, newer) = (secret(8), secret(9));
    let first = created();
    let second = first.rotate(&[key_file(&new)], &mut entropy()).unwrap();
    let third = second
        .rotate(&[key_file(&newer)], &mut Seeded(Random(2)))
        .unwrap();
    let opened = unlock(third.bytes(), 9).unwrap();
    assert_eq!(opened.description().key_generation, KeyGeneration(2));
    let masters = |header: &Unlocked| {
        let all = header.keyring().masters();
        all.map(|master| *master.bytes()).collect::<Vec<_>>()
    };
    assert_eq!(masters(&opened)[..1], masters(&first));
    assert_eq!(masters(&opened)[..2], masters(&second));
    assert!(unlock(third.bytes(), 7).is_err() && unlock(third.bytes(), 8).is_err());
}

#[test]
fn one_altered_bit_anywhere_keeps_a_header_shut() {
    let first = created();
    let rotated = first
        .rotate(&[key_file(&secret(7))], &mut entropy())
        .unwrap();
    for header in [first, rotated] {
        let bytes = header.bytes();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(unlock(&altered, 7).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Header::parse(&bytes[..length]).is_err());
        }
        assert!(Header::parse(&[bytes, &[0]].concat()).is_err());
    }
}

#[test]
fn features_of_newer_versions_are_minded() {
    let bytes = created().bytes().to_vec();
    let with_flag = |offset: usize| {
        let mut bytes = bytes.clone();
        bytes[offset] = 1;
        Header::parse(&bytes)
    };
    assert!(with_flag(14).unwrap().description().may_write());
    assert!(!with_flag(22).unwrap().description().may_write());
    assert!(matches!(with_flag(30), Err(FormatError::TooNew { .. })));
    let mut version = bytes.clone();
    version[8] = 2;
    assert!(matches!(
        Header::parse(&version),
        Err(FormatError::TooNew { .. })
    ));
}

#[test]
fn the_cost_of_a_passphrase_is_checked_before_any_work() {
    // The slot's cost stands behind kind, label length, label, time and salt.
    let bytes = created().bytes().to_vec();
    let kind = 14 + 24 + 32 + 8 + 4 + 4;
    let cost = kind + 2 + "key file".len() + 8 + 32;
    let parse = |m: u32, t: u32, p: u32| {
        let mut bytes = bytes.clone();
        bytes[kind] = 1;
        for (number, place) in [m, t, p].iter().zip(bytes[cost..].chunks_mut(4)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        Header::parse(&bytes)
    };
    assert_eq!(parse(1 << 20, 16, 4).unwrap().passphrase_memory(), 1 << 30);
    for (m, t, p) in [
        (0, 0, 0),
        (65_535, 1, 1),
        ((1 << 20) + 1, 1, 1),
        (u32::MAX, 1, 1),
        (65_536, 0, 1),
        (65_536, 17, 1),
        (65_536, 1, 0),
        (65_536, 1, 5),
    ] {
        assert!(parse(m, t, p).is_err(), "{m} {t} {p}");
    }
}

mod in_force {
    use super::*;

    fn headers() -> (Unlocked, Unlocked) {
        let first = created();
        let second = first
            .with_changed_slot(0, &key_file(&secret(8)), &mut entropy())
            .unwrap();
        (first, second)
    }

    fn choose(objects: &[(u64, &[u8])], pinned: Option<u64>) -> Result<Candidates, HeaderError> {
        let objects = objects
            .iter()
            .map(|(generation, bytes)| (Generation(*generation), *bytes));
        Candidates::choose(objects, pinned.map(Generation))
    }

    fn open(candidates: Candidates, byte: u8) -> Result<u64, HeaderError> {
        let unlocked = candidates.unlock(&Credential::KeyFile(&secret(byte)))?;
        Ok(unlocked.description().generation.0)
    }

    #[test]
    fn the_newest_header_with_one_good_copy_is_in_force() {
        let (first, second) = headers();
        let torn = &second.bytes()[..20];
        let objects = [
            (1, first.bytes()),
            (1, first.bytes()),
            (2, torn),
            (2, second.bytes()),
        ];
        assert_eq!(open(choose(&objects, None).unwrap(), 8), Ok(2));
        // Cut short before a whole copy was written: the older one is still in force.
        let objects = [(2, torn), (1, first.bytes())];
        assert_eq!(open(choose(&objects, None).unwrap(), 7), Ok(1));
        assert_eq!(choose(&[], None).unwrap_err(), HeaderError::Missing);
        let unusable = choose(&[(2, torn)], None).unwrap_err();
        assert!(matches!(
            unusable,
            HeaderError::NoneUsable(FormatError::OutOfRange(_))
        ));
        let misnamed = choose(&[(2, first.bytes())], None).unwrap_err();
        assert!(matches!(
            misnamed,
            HeaderError::NoneUsable(FormatError::Mismatch(_))
        ));
    }

    #[test]
    fn an_old_header_played_back_is_refused() {
        let (first, second) = headers();
        let refused = choose(&[(1, first.bytes())], Some(2)).unwrap_err();
        let older = HeaderError::Older {
            found: Generation(1),
            pinned: Generation(2),
        };
        assert_eq!(refused, older);
        // With both at hand, the key that was removed opens neither the pinned one ...
        let both = [(1, first.bytes()), (2, second.bytes())];
        let removed = open(choose(&both, Some(2)).unwrap(), 7).unwrap_err();
        assert!(matches!(removed, HeaderError::OnlyOlder(_)), "{removed:?}");
        let wrong = open(choose(&both, Some(2)).unwrap(), 9).unwrap_err();
        assert!(matches!(wrong, HeaderError::Unlock(_)), "{wrong:?}");
        // ... nor, on a machine that remembers nothing, one that the head does not name.
        let old = choose(&both, None).unwrap();
        let old = old.unlock(&Credential::KeyFile(&secret(7))).unwrap();
        let named = (second.description().generation, second.hash());
        let refused = old.check_named(named.0, named.1);
        assert_eq!(refused, Err(HeaderError::NotTheHeads(Generation(1))));
        assert_eq!(second.check_named(named.0, named.1), Ok(()));
        assert_eq!(second.check_named(Generation(1), first.hash()), Ok(()));
        assert!(second.check_named(Generation(2), first.hash()).is_err());
    }

    #[test]
    fn a_forged_header_does_not_hide_the_true_one() {
        let (first, _) = headers();
        let mut other = new_header(true);
        other.origin = OriginId([9; 16]);
        let foreign = Unlocked::create(&other, &[key_file(&secret(3))], &mut entropy()).unwrap();
        let mut forged = foreign.bytes().to_vec();
        forged[14 + 24 + 32] = 9;
        let objects = [(9, forged.as_slice()), (1, first.bytes())];
        assert_eq!(open(choose(&objects, None).unwrap(), 7), Ok(1));
    }

    #[test]
    fn a_flood_of_headers_costs_no_more_than_eight() {
        let base = created();
        let flood: Vec<(u64, Vec<u8>)> = (1..100_u8)
            .map(|generation| {
                let mut bytes = base.bytes().to_vec();
                bytes[14 + 24 + 32] = generation;
                (u64::from(generation), bytes)
            })
            .collect();
        let objects: Vec<_> = flood.iter().map(|(g, b)| (*g, b.as_slice())).collect();
        assert_eq!(choose(&objects, None).unwrap().count(), 8);
    }
}

#[test]
fn mutated_headers_are_refused_or_stay_shut() {
    let first = created();
    let rotated = first
        .rotate(&[key_file(&secret(7))], &mut entropy())
        .unwrap();
    let plain = Unlocked::create(&new_header(false), &[], &mut entropy()).unwrap();
    let samples = [first, rotated, plain].map(|header| header.bytes().to_vec());
    let samples = samples.to_vec();
    write_seeds("header", None, &samples);
    each_mutation(&samples, |bytes| {
        // What is read must be the only way to write it, and, unless it is a sample, must not unlock.
        if let Ok(header) = Header::parse(bytes) {
            let again = encode(
                header.description(),
                header.slots(),
                header.keyring.as_ref(),
            );
            let (front, _) = header.authenticated().unwrap();
            assert_eq!(
                (&again[..8 + 6], &again[38..]),
                (&front[..8 + 6], &front[38..])
            );
            let known = samples.iter().any(|sample| sample == bytes);
            let unlocked = header.unlock(&Credential::KeyFile(&secret(7))).is_ok();
            assert!(known || !unlocked);
        }
    });
}
