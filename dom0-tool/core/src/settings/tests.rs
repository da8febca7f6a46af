use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,20}",
        "[a-z \\\\\n\u{e9}\u{1f4a9}]{0,12}",
    ]
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9_.-]{0,15}"
}

fn device() -> impl Strategy<Value = Device> {
    let option = btree_map(word(), text(), 0..3);
    (word(), word(), text(), text(), word(), option).prop_map(
        |(class, backend, port, id, mode, options)| Device {
            class,
            backend,
            port,
            id,
            mode,
            options,
        },
    )
}

fn volume() -> impl Strategy<Value = Volume> {
    (word(), any::<u64>(), any::<i64>(), text()).prop_map(|(pool, size, revisions, stored_as)| {
        Volume {
            pool,
            size,
            revisions,
            stored_as,
        }
    })
}

fn qube() -> impl Strategy<Value = Qube> {
    let maps = (
        btree_map(word(), text(), 0..5),
        btree_map(word(), text(), 0..5),
        btree_map(word(), volume(), 0..4),
    );
    let rest = (
        word(),
        proptest::option::of(word()),
        btree_set(word(), 0..4),
        text(),
        text(),
        vec(device(), 0..3),
    );
    (maps, rest).prop_map(
        |((properties, features, volumes), (class, uuid, tags, firewall, notes, devices))| Qube {
            class,
            uuid,
            properties,
            features,
            tags,
            firewall,
            notes,
            volumes,
            // Whatever word it is: here the tags stand for it.
            unread: devices
                .iter()
                .map(|device: &Device| device.class.clone())
                .collect(),
            devices,
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let system = (
        word(),
        btree_map(word(), text(), 0..3),
        btree_map(word(), text(), 0..3),
    );
    (system, btree_map(word(), qube(), 0..5)).prop_map(|((release, properties, labels), qubes)| {
        Settings {
            system: System {
                release,
                properties,
                labels,
            },
            qubes,
        }
    })
}

proptest! {
    #[test]
    fn settings_are_read_back_whatever_texts_they_hold(settings in settings()) {
        let mut bytes = settings.encode();
        prop_assert_eq!(Settings::parse(&bytes), Ok(settings.clone()));
        prop_assert_eq!(bytes.len() % BLOCK, 0);
        // A volume's last chunk is filled up with zeros.
        bytes.extend([0; 100]);
        prop_assert_eq!(Settings::parse(&bytes), Ok(settings));
    }

    #[test]
    fn any_bytes_give_settings_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Settings::parse(&bytes);
    }

    #[test]
    fn any_change_of_a_byte_gives_settings_or_an_error(settings in settings(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = settings.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Settings::parse(&bytes) {
            prop_assert_eq!(Settings::parse(&read.encode()), Ok(read));
        }
    }
}

#[test]
fn a_person_can_read_it() {
    let mut settings = Settings::default();
    settings.system.release = "R4.3".to_owned();
    let mut qube = Qube {
        class: "AppVM".to_owned(),
        ..Qube::default()
    };
    qube.properties.insert("netvm".to_owned(), String::new());
    qube.features
        .insert("menu-items".to_owned(), "a b".to_owned());
    qube.firewall = "action=accept dsthost=example.org\naction=drop\n".to_owned();
    settings.qubes.insert("work".to_owned(), qube);
    let text = String::from_utf8(settings.encode()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "nacre-settings 1",
            "release R4.3",
            "qube work AppVM",
            "property netvm \\e",
            "feature menu-items a\\sb",
            "firewall action=accept\\sdsthost=example.org\\naction=drop\\n",
            "end",
        ]
    );
}

#[test]
fn a_change_of_one_qube_leaves_the_blocks_of_others_alone() {
    let mut settings = Settings::default();
    for name in ["a", "b", "c"] {
        settings.qubes.insert(name.to_owned(), Qube::default());
    }
    let before = settings.encode();
    let changed = settings.qubes.get_mut("b").unwrap();
    changed.notes = "x".repeat(500);
    let after = settings.encode();
    assert_eq!(before.len(), after.len());
    let blocks = before.chunks(BLOCK).zip(after.chunks(BLOCK));
    assert_eq!(blocks.filter(|(old, new)| old != new).count(), 1);
}

#[test]
fn what_is_not_in_its_one_form_is_refused() {
    let head = "nacre-settings 1\nrelease x\n";
    for (bad, why) in [
        ("nacre-settings 2\nend\n".to_owned(), "version"),
        ("something\nend\n".to_owned(), "magic"),
        (head.to_owned(), "no end"),
        (format!("{head}end\nend\n"), "twice ended"),
        (format!("{head}qube b A\nqube a A\nend\n"), "order"),
        (format!("{head}qube a A\nqube a A\nend\n"), "twice"),
        (format!("{head}qube a A\ntag x\ntag x\nend\n"), "tag twice"),
        (
            format!("{head}qube a A\nvolume v p 01 1 \\e\nend\n"),
            "number",
        ),
        (
            format!("{head}qube a A\noption k v\nend\n"),
            "option of nothing",
        ),
        (format!("{head}qube a\nend\n"), "no class"),
        (format!("{head}property a  b\nend\n"), "two blanks"),
        (format!("{head}property a \\q\nend\n"), "escape"),
        (format!("{head}release y\nend\n"), "second release"),
    ] {
        assert!(Settings::parse(bad.as_bytes()).is_err(), "{why}");
    }
}
