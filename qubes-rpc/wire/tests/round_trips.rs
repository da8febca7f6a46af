//! What is encoded is decoded as the same, and everything that decodes is the one encoding of what it means.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use nacre_wire::limits::{HEADER_LEN, MAX_BODY, MAX_PATH};
use nacre_wire::{
    Class, ErrorCode, Facts, FrameHeader, HelloReply, HelloRequest, Kind, ListEntry, Locator, Name,
    Range, Reply, Request, encode_frame, negotiate,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Name> {
    let texts = prop_oneof![
        "header/[0-9a-f]{8}\\.[ab]",
        "head/[0-9a-f]{16}",
        "[0-9a-f]{32}".prop_map(|name| format!("pack/{}/{name}", &name[..2])),
    ];
    texts.prop_map(|text: String| Name::parse(text.as_bytes()).unwrap())
}

fn ranges() -> impl Strategy<Value = Vec<Range>> {
    let range = (0..u64::MAX - u64::from(u32::MAX), any::<u32>());
    vec(
        range.prop_map(|(offset, length)| Range { offset, length }),
        0..40,
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        name().prop_map(Request::PutBegin),
        (name(), ranges()).prop_map(|(name, ranges)| Request::PutCopy(name, ranges)),
        any::<u64>().prop_map(Request::PutFinish),
        Just(Request::PutAbort),
        (name(), ranges()).prop_map(|(name, ranges)| Request::Get(name, ranges)),
        name().prop_map(Request::Stat),
        prop_oneof![Just(Class::Header), Just(Class::Head), Just(Class::Pack)]
            .prop_map(Request::List),
        vec(name(), 0..40).prop_map(Request::Delete),
        (name(), ranges()).prop_map(|(name, ranges)| Request::Punch(name, ranges)),
        Just(Request::Barrier),
        Just(Request::FreeSpace),
        Just(Request::ProbePunch),
        Just(Request::Bye),
        (any::<u32>(), vec(any::<u8>(), 0..2000))
            .prop_map(|(mark, text)| Request::LeaveRestorer { mark, text }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let entry = (name(), any::<u64>()).prop_map(|(name, size)| ListEntry { name, size });
    let code = (1..=12_u8).prop_map(ErrorCode::from_byte);
    prop_oneof![
        any::<u32>().prop_map(Reply::Credit),
        any::<bool>().prop_map(Reply::PutDone),
        Just(Reply::Done),
        any::<Option<u64>>().prop_map(Reply::StatIs),
        vec(entry, 0..40).prop_map(Reply::ListPart),
        any::<u64>().prop_map(Reply::FreeSpaceIs),
        any::<bool>().prop_map(Reply::PunchIs),
        Just(Reply::Alive),
        (code, vec(any::<u8>(), 0..1024)).prop_map(|(code, text)| Reply::Error(code, text)),
    ]
}

fn locator() -> impl Strategy<Value = Locator> {
    let path = || vec(1..=255_u8, 0..=MAX_PATH);
    let authority = || vec(1..=255_u8, 0..=255);
    prop_oneof![
        path().prop_map(|path| Locator::Directory { path }),
        (authority(), path()).prop_map(|(uuid, path)| Locator::Usb { uuid, path }),
        (authority(), path()).prop_map(|(host, path)| Locator::Ssh { host, path }),
    ]
}

proptest! {
    #[test]
    fn requests_are_read_as_written(request in request(), id: u32) {
        let body = request.encode_body();
        let frame = encode_frame(request.kind(), id, &body).unwrap();
        let header = FrameHeader::decode(frame.first_chunk().unwrap()).unwrap();
        prop_assert_eq!((header.kind, header.id), (request.kind(), id));
        prop_assert_eq!(header.length as usize, body.len());
        prop_assert_eq!(Request::decode(header.kind, &frame[HEADER_LEN..]).unwrap(), Some(request));
    }

    #[test]
    fn replies_are_read_as_written(reply in reply()) {
        let body = reply.encode_body();
        prop_assert_eq!(Reply::decode(reply.kind(), &body).unwrap(), reply);
    }

    #[test]
    fn hellos_are_read_as_written_and_may_grow(
        locator in locator(), create: bool, low in 0..9_u16, more in 0..9_u16, later: Vec<u8>,
    ) {
        let hello = HelloRequest { lowest: low, highest: low + more, create, locator };
        let mut body = hello.encode().unwrap();
        prop_assert_eq!(&HelloRequest::decode(&body).unwrap(), &hello);
        body.extend_from_slice(&later);
        prop_assert_eq!(HelloRequest::decode(&body).unwrap(), hello);
    }

    #[test]
    fn answers_to_hello_are_read_as_written(flags: [bool; 6], window in (256 << 10)..u32::MAX) {
        let [punch_possible, append_only, single_writer, landlock, seccomp, unsynced] = flags;
        let facts = Facts { punch_possible, append_only, single_writer, landlock, seccomp, unsynced };
        let reply = HelloReply { version: 1, facts, put_window: window, max_puts: 1, max_requests: 9 };
        prop_assert_eq!(HelloReply::decode(&reply.encode()).unwrap(), reply);
    }

    #[test]
    fn the_newest_common_version_is_taken(a in 0..20_u16, b in 0..20_u16, c in 0..20_u16, d in 0..20_u16) {
        let (one, two) = ((a.min(b), a.max(b)), (c.min(d), c.max(d)));
        let common = (0..20).rev().find(|v| (one.0..=one.1).contains(v) && (two.0..=two.1).contains(v));
        prop_assert_eq!(negotiate(one, two), common);
    }

    #[test]
    fn only_names_of_the_scheme_are_names(text in "(header|head|pack)?/?[0-9a-fA-F./]{0,40}") {
        if let Some(name) = Name::parse(text.as_bytes()) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(!text.contains("..") && !text.starts_with('/'));
            prop_assert!([17, 21, 40].contains(&text.len()));
        }
    }
}

/// SplitMix64: the same inputs on every machine.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Well-formed bodies with a few bytes changed, inserted, removed, or cut off.
fn mutated(seeds: &[(u8, Vec<u8>)], random: &mut u64) -> (u8, Vec<u8>) {
    let below = |limit: usize, random: &mut u64| {
        usize::try_from(next(random) % limit.max(1) as u64).unwrap()
    };
    let (mut kind, mut body) = seeds[below(seeds.len(), random)].clone();
    if next(random).is_multiple_of(16) {
        kind = next(random).to_le_bytes()[0];
    }
    for _ in 0..below(4, random) {
        let at = below(body.len(), random);
        let byte = next(random).to_le_bytes()[0];
        match next(random) % 4 {
            0 if !body.is_empty() => body[at] = byte,
            1 => body.insert(at, byte),
            2 if !body.is_empty() => drop(body.remove(at)),
            _ => body.truncate(at),
        }
    }
    (kind, body)
}

fn rounds() -> u64 {
    let scale = std::env::var("NACRE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    100_000 * scale.unwrap_or(1)
}

#[test]
fn mutated_requests_decode_to_what_encodes_the_same_or_to_an_error() {
    let pack = Name::parse(b"pack/00/00112233445566778899aabbccddeeff").unwrap();
    let head = Name::parse(b"head/0000000000000001").unwrap();
    let range = Range {
        offset: 5,
        length: 6,
    };
    let seeds: Vec<_> = [
        Request::PutBegin(pack),
        Request::PutCopy(pack, vec![range; 3]),
        Request::PutFinish(77),
        Request::Get(pack, vec![range; 2]),
        Request::Stat(head),
        Request::List(Class::Head),
        Request::Delete(vec![head, pack]),
        Request::Punch(pack, vec![range]),
        Request::Bye,
        Request::LeaveRestorer {
            mark: 7,
            text: b"print()".to_vec(),
        },
    ]
    .map(|request| (request.kind().to_byte(), request.encode_body()))
    .to_vec();
    let (mut random, mut accepted) = (1, 0);
    for _ in 0..rounds() {
        let (kind, body) = mutated(&seeds, &mut random);
        if let Ok(Some(request)) = Request::decode(Kind::from_byte(kind), &body) {
            assert_eq!(
                (request.kind().to_byte(), request.encode_body()),
                (kind, body)
            );
            accepted += 1;
        }
    }
    assert!(
        accepted > 1000,
        "the search goes beyond the first check: {accepted}"
    );
}

#[test]
fn mutated_replies_decode_to_what_encodes_the_same_or_to_an_error() {
    let name = Name::parse(b"header/00000001.a").unwrap();
    let seeds: Vec<_> = [
        Reply::Credit(1 << 20),
        Reply::PutDone(true),
        Reply::Done,
        Reply::StatIs(Some(9)),
        Reply::StatIs(None),
        Reply::ListPart(vec![ListEntry { name, size: 5 }; 3]),
        Reply::FreeSpaceIs(1 << 40),
        Reply::PunchIs(false),
        Reply::Alive,
        Reply::Error(ErrorCode::NoSpace, b"full".to_vec()),
    ]
    .map(|reply| (reply.kind().to_byte(), reply.encode_body()))
    .to_vec();
    let (mut random, mut accepted) = (2, 0);
    for _ in 0..rounds() {
        let (kind, body) = mutated(&seeds, &mut random);
        if let Ok(reply) = Reply::decode(Kind::from_byte(kind), &body) {
            let again = reply.encode_body();
            // An error code of a later version is read as the general one.
            if !matches!(reply, Reply::Error(ErrorCode::Io, _)) {
                assert_eq!((reply.kind().to_byte(), again), (kind, body));
            }
            accepted += 1;
        }
    }
    assert!(
        accepted > 1000,
        "the search goes beyond the first check: {accepted}"
    );
}

#[test]
fn mutated_hellos_and_headers_are_read_or_refused() {
    let path = b"/home/user/backup".to_vec();
    let hello = HelloRequest {
        lowest: 1,
        highest: 1,
        create: true,
        locator: Locator::Directory { path },
    };
    let seeds = [(1, hello.encode().unwrap())];
    let (mut random, mut accepted) = (3, 0);
    for _ in 0..rounds() {
        let (_, body) = mutated(&seeds, &mut random);
        if let Ok(hello) = HelloRequest::decode(&body) {
            assert!(body.starts_with(&hello.encode().unwrap()));
            accepted += 1;
        }
        let _ = HelloReply::decode(&body);
        let header = [
            next(&mut random).to_le_bytes(),
            next(&mut random).to_le_bytes(),
        ]
        .concat();
        let header: [u8; HEADER_LEN] = *header.first_chunk().unwrap();
        if let Ok(header) = FrameHeader::decode(&header) {
            assert!(header.length <= header.kind.max_body());
        }
    }
    assert!(
        accepted > 1000,
        "the search goes beyond the first check: {accepted}"
    );
}

#[test]
fn every_kind_keeps_its_number() {
    for byte in 0..=255 {
        assert_eq!(Kind::from_byte(byte).to_byte(), byte);
    }
    // Numbers of the protocol: changing one breaks every helper out there.
    assert_eq!((Kind::Hello.to_byte(), Kind::Bye.to_byte()), (0x01, 0x0f));
    assert_eq!(Kind::LeaveRestorer.to_byte(), 0x10);
    assert_eq!(
        (Kind::HelloOk.to_byte(), Kind::Error.to_byte()),
        (0x81, 0x8f)
    );
}

#[test]
fn too_long_a_body_is_no_frame() {
    let body = vec![0; MAX_BODY as usize + 1];
    assert_eq!(encode_frame(Kind::Get, 1, &body), None);
    assert!(encode_frame(Kind::PutData, 1, &body).is_some());
    assert!(Request::decode(Kind::Delete, &body).is_err());
    assert!(Reply::decode(Kind::ListPart, &body).is_err());
}

#[test]
fn the_document_names_every_kind_and_every_error() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{folder}/../../doc/PROTOCOL.md")).unwrap();
    let known: Vec<_> = (1..=255_u8)
        .filter(|byte| !matches!(Kind::from_byte(*byte), Kind::Unknown(_)))
        .collect();
    assert_eq!(known.len(), 27);
    for byte in known {
        let kind = Kind::from_byte(byte);
        let row = format!("| 0x{byte:02x} | `{kind:?}` |");
        let prose = format!("`{kind:?}` (0x{byte:02x})");
        assert!(text.contains(&row) || text.contains(&prose), "{row}");
    }
    for byte in 1..=12 {
        let row = format!("| {byte} | {:?} |", ErrorCode::from_byte(byte));
        assert!(text.contains(&row), "{row}");
    }
}
