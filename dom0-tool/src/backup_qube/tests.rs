use super::choose::{Offer, choose};
use super::*;

fn device(backend: &str, port: &str, identity: &str) -> BlockDevice {
    BlockDevice {
        backend: backend.to_owned(),
        port: port.to_owned(),
        identity: identity.to_owned(),
        description: format!("Stick {identity}"),
    }
}

fn offer(port: &str, identity: &str, user: Option<&str>) -> Offer {
    Offer {
        device: device("sys-usb", port, identity),
        user: user.map(str::to_owned),
    }
}

fn sentence(result: Result<Choice, Trouble>) -> String {
    match result {
        Err(Trouble::Told { sentence, .. }) => sentence,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_disk_is_attached_unasked_only_if_there_is_no_other() {
    let decide = |offers: &[Offer]| choose("vault", offers, false, Wanted::default());
    let disk = device("sys-usb", "sda1", "a");
    let whole = offer("sda", "w", None);
    let part = || offer("sda1", "a", None);
    assert_eq!(decide(&[whole, part()]), Ok(Choice::Attach(disk.clone())));
    // What others have, loop devices and optical drives do not count.
    let others = [
        part(),
        offer("sdb1", "b", Some("work")),
        offer("loop0", "l", None),
        offer("sr0", "r", None),
    ];
    assert_eq!(decide(&others), Ok(Choice::Attach(disk)));
    let told = sentence(decide(&[part(), offer("sda2", "c", None)]));
    assert!(
        told.contains("sys-usb:sda1 (Stick a)") && told.contains("sys-usb:sda2"),
        "{told}"
    );
    assert!(sentence(decide(&[])).contains("does not have the disk"));
}

#[test]
fn a_disk_that_is_known_is_found_at_any_port_and_no_other_is_taken_for_it() {
    let wanted = Wanted {
        told: None,
        identity: Some("a"),
    };
    let decide = |offers: &[Offer]| choose("vault", offers, false, wanted);
    let offers = [offer("sda1", "b", None), offer("sdc1", "a", None)];
    let found = decide(&offers);
    assert_eq!(found, Ok(Choice::Attach(device("sys-usb", "sdc1", "a"))));
    let there = [offer("sdc1", "a", Some("vault"))];
    assert_eq!(decide(&there), Ok(Choice::There));
    let told = sentence(decide(&[offer("sdc1", "a", Some("work"))]));
    assert!(told.contains("attached to qube work"), "{told}");
    let told = sentence(decide(&[offer("sda1", "b", None)]));
    assert!(
        told.contains("not plugged in; there are sys-usb:sda1"),
        "{told}"
    );
    let twins = [offer("sda1", "a", None), offer("sdb1", "a", None)];
    assert!(sentence(decide(&twins)).contains("not known which"));
    // A device that nothing tells from others was not remembered.
    let nothing = Wanted {
        told: None,
        identity: Some(""),
    };
    let found = choose("vault", &[offer("sda1", "", None)], false, nothing);
    assert_eq!(found, Ok(Choice::Attach(device("sys-usb", "sda1", ""))));
}

#[test]
fn what_the_user_says_counts() {
    let port: Port = "sys-usb:sdb1".parse().unwrap();
    let wanted = Wanted {
        told: Some(&port),
        identity: Some("a"),
    };
    let offers = [offer("sda1", "a", None), offer("sdb1", "b", None)];
    let found = choose("vault", &offers, true, wanted);
    assert_eq!(found, Ok(Choice::Attach(device("sys-usb", "sdb1", "b"))));
    let told = sentence(choose("vault", &offers[..1], false, wanted));
    assert!(
        told.contains("offers a block device sys-usb:sdb1"),
        "{told}"
    );
    for bad in [
        "sys-usb",
        "sys-usb:",
        ":sda1",
        "a b:sda1",
        "sys-usb:sd/a",
        "s:sda+1",
    ] {
        assert!(bad.parse::<Port>().is_err(), "{bad}");
    }
}

#[test]
fn a_qube_that_has_disks_is_asked_first() {
    let decide = |offers: &[Offer]| choose("vault", offers, true, Wanted::default());
    let one = decide(&[offer("sda1", "a", None)]);
    let then = device("sys-usb", "sda1", "a");
    assert_eq!(one, Ok(Choice::LookFirst(Ok(then))));
    let Ok(Choice::LookFirst(Err(_))) = decide(&[]) else {
        panic!("the qube's own disks were not thought of");
    };
}

#[test]
fn a_record_is_read_as_it_was_written_and_any_other_text_is_none() {
    let record = Record {
        since: "1790000001.25".to_owned(),
        started: true,
        attached: vec!["sys-usb:sda1".parse().unwrap()],
    };
    assert_eq!(Record::parse(&record.to_string()), record);
    assert_eq!(record.clone().of_start("1790000001.25"), record);
    // The qube was started anew, or qubesd does not say.
    assert!(record.clone().of_start("1790000002.5").is_idle());
    assert!(
        Record {
            since: String::new(),
            ..record
        }
        .of_start("")
        .is_idle()
    );
    for other in [
        "started\nx",
        "attached a b",
        "since",
        "\u{0}",
        "attached sys-usb",
    ] {
        assert_eq!(Record::parse(other), Record::default(), "{other:?}");
    }
}
