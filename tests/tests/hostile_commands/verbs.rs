//! The commands, and how one sees that each has done what it says.

use std::fs;

use nacre_tests::desk::Ended;

use crate::scene::Scene;

/// A command.
pub struct Verb {
    pub name: &'static str,
    /// Whether it changes the archive.
    pub changes: bool,
    /// Puts in place what it needs.
    pub prepare: fn(&Scene),
    pub arguments: fn(&Scene) -> Vec<String>,
    /// Whether it has done its work: what it left behind and, where it has just succeeded, what it said.
    pub done: fn(&Scene, Option<&Ended>) -> Result<(), String>,
}

/// All that reach the store.
pub const VERBS: &[Verb] = &[
    reading(
        "list",
        |_| words("list"),
        |_, said| says(said, &["a", "b", "twin"]),
    ),
    reading(
        "list a",
        |_| words("list a --tag"),
        |_, said| says(said, &["one", "two", "three"]),
    ),
    changing("send", send, sent),
    changing("send --dedup", send_deduplicated, shared),
    reading("receive", receive, received),
    reading(
        "verify",
        |_| words("verify --all --session=^three"),
        |_, _| Ok(()),
    ),
    reading("diff", diff, |_, _| Ok(())),
    changing(
        "prune",
        |_| words("prune --all --keep-last=1 --force"),
        pruned,
    ),
    reading("arch-check", |_| words("arch-check"), sound),
    reading("arch-check --data", |_| words("arch-check --data"), sound),
    Verb {
        prepare: lose_a_header,
        ..changing(
            "arch-check --repair",
            |_| words("arch-check --repair"),
            |scene, _| {
                let there = headers(scene).len();
                expect(there == 2, &format!("{there} copies of the header"))
            },
        )
    },
    Verb {
        prepare: lose_a_header,
        ..changing(
            "arch-check --repair --data",
            |_| words("arch-check --repair --data"),
            |scene, _| {
                let there = headers(scene).len();
                expect(there == 2, &format!("{there} copies of the header"))
            },
        )
    },
    Verb {
        prepare: leave_something,
        ..changing(
            "arch-check --clean",
            |_| words("arch-check --clean"),
            |scene, _| {
                expect(
                    !scene.desk.path(LEFT_OVER).exists(),
                    "the leftover is there",
                )
            },
        )
    },
    changing(
        "delete",
        |_| words("delete b --force"),
        |scene, _| {
            lists(
                scene,
                &["list", "--json"],
                &[("\"b\"", false), ("\"a\"", true)],
            )
        },
    ),
    changing(
        "rename",
        |_| words("rename b c"),
        |scene, _| {
            lists(
                scene,
                &["list", "--json"],
                &[("\"b\"", false), ("\"c\"", true)],
            )
        },
    ),
    changing(
        "add",
        |_| words("add fresh"),
        |scene, _| lists(scene, &["list", "--json"], &[("\"fresh\"", true)]),
    ),
    changing(
        "session tag",
        |_| words("session tag seen ^two"),
        |scene, _| lists(scene, &["list", "a", "--tag"], &[("seen", true)]),
    ),
    changing(
        "arch-deduplicate",
        |_| words("arch-deduplicate"),
        |_, _| Ok(()),
    ),
    reading(
        "key list",
        |_| words("key list"),
        |_, said| says(said, &["second"]),
    ),
    changing("key add", add_key, |scene, _| {
        lists(scene, &["key", "list"], &[("third", true)])
    }),
    changing(
        "key remove",
        |_| words("key remove second --force"),
        |scene, _| lists(scene, &["key", "list"], &[("second", false)]),
    ),
    changing("key rotate-master", rotate, rotated),
];

pub const fn reading(
    name: &'static str,
    arguments: fn(&Scene) -> Vec<String>,
    done: fn(&Scene, Option<&Ended>) -> Result<(), String>,
) -> Verb {
    Verb {
        name,
        changes: false,
        prepare: |_| (),
        arguments,
        done,
    }
}

pub const fn changing(
    name: &'static str,
    arguments: fn(&Scene) -> Vec<String>,
    done: fn(&Scene, Option<&Ended>) -> Result<(), String>,
) -> Verb {
    Verb {
        changes: true,
        ..reading(name, arguments, done)
    }
}

pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

pub fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

fn says(said: Option<&Ended>, wanted: &[&str]) -> Result<(), String> {
    let Some(said) = said else { return Ok(()) };
    let missing: Vec<_> = wanted
        .iter()
        .filter(|word| !said.out.contains(**word))
        .collect();
    expect(
        missing.is_empty(),
        &format!("no {missing:?} in {:?}", said.out),
    )
}

/// Which words a listing has, and which it has not.
fn lists(scene: &Scene, command: &[&str], wanted: &[(&str, bool)]) -> Result<(), String> {
    let ended = scene.quiet(command);
    expect(ended.code == 0, &format!("{command:?}: {ended:?}"))?;
    for (word, there) in wanted {
        expect(
            ended.out.contains(word) == *there,
            &format!("{word} there: not {there} in {:?}", ended.out),
        )?;
    }
    Ok(())
}

fn send(scene: &Scene) -> Vec<String> {
    vec![
        "send".to_owned(),
        scene.desk.import("a", "next.img"),
        "--tag=four".to_owned(),
    ]
}

fn sent(scene: &Scene, _: Option<&Ended>) -> Result<(), String> {
    comes_back(
        scene,
        "a",
        "^four",
        &fs::read(scene.desk.path("next.img")).unwrap(),
    )
}

fn send_deduplicated(scene: &Scene) -> Vec<String> {
    let fresh = scene.desk.import("fresh", "a.img");
    let mut arguments = words("send --dedup --dedup-domain=both --tag=four");
    arguments.push(fresh);
    arguments
}

fn shared(scene: &Scene, _: Option<&Ended>) -> Result<(), String> {
    comes_back(scene, "fresh", "^four", &scene.versions[2])
}

fn comes_back(scene: &Scene, volume: &str, session: &str, content: &[u8]) -> Result<(), String> {
    match scene.receive(volume, session) {
        Ok(back) => expect(back == content, "OTHER BYTES came back"),
        Err(ended) => Err(format!("{volume} of {session}: {ended:?}")),
    }
}

fn receive(scene: &Scene) -> Vec<String> {
    let to = format!("--save-to={}", scene.desk.path("out.img").display());
    vec![
        "receive".to_owned(),
        "a".to_owned(),
        to,
        "--session=^two".to_owned(),
    ]
}

fn received(scene: &Scene, _: Option<&Ended>) -> Result<(), String> {
    let back = fs::read(scene.desk.path("out.img"));
    expect(
        back.is_ok_and(|back| back == scene.versions[1]),
        "not what was sent",
    )
}

fn diff(scene: &Scene) -> Vec<String> {
    let same = scene.desk.import("a", "a.img");
    vec!["diff".to_owned(), same, "--session=^three".to_owned()]
}

fn pruned(scene: &Scene, _: Option<&Ended>) -> Result<(), String> {
    let wanted = [("one", false), ("two", false), ("three", true)];
    lists(scene, &["list", "a", "--tag"], &wanted)
}

fn sound(_: &Scene, said: Option<&Ended>) -> Result<(), String> {
    let wrong = said.is_some_and(|said| said.err.contains("error"));
    expect(!wrong, "it says that something is wrong")
}

fn headers(scene: &Scene) -> Vec<std::path::PathBuf> {
    let folder = fs::read_dir(scene.desk.path("store/archive/header")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn lose_a_header(scene: &Scene) {
    fs::remove_file(headers(scene).last().unwrap()).unwrap();
}

/// A pack that no head names.
const LEFT_OVER: &str = "store/archive/pack/ab/abababababababababababababababab";

fn leave_something(scene: &Scene) {
    let file = scene.desk.path(LEFT_OVER);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, [7; 5000]).unwrap();
}

fn add_key(scene: &Scene) -> Vec<String> {
    let mut arguments = words("key add --label=third");
    arguments.push(format!(
        "--new-key-file={}",
        scene.desk.path("third").display()
    ));
    arguments
}

fn rotate(scene: &Scene) -> Vec<String> {
    let mut arguments = words("key rotate-master --force");
    for file in ["key", "second"] {
        arguments.push(format!(
            "--keep-key-file={}",
            scene.desk.path(file).display()
        ));
    }
    arguments
}

fn rotated(scene: &Scene, said: Option<&Ended>) -> Result<(), String> {
    lists(scene, &["key", "list"], &[("second", true)])?;
    let Some(said) = said else { return Ok(()) };
    expect(
        said.err.contains("master") || said.out.contains("master"),
        "it says nothing",
    )
}
