//! Which attack is tried on which request of which command.

use nacre_tests::lab_image::Random;

use crate::attacks::{ATTACKS, Attack};
use crate::scene::{Scene, Strike};
use crate::verbs::Verb;

/// One of them.
pub struct Case {
    pub verb: &'static Verb,
    pub attack: &'static Attack,
    /// Which of the requests that can be struck, from 1; and how many there are without an attack.
    pub nth: usize,
    pub of: usize,
}

impl Case {
    /// What the helper is told.
    pub fn strike(&self) -> Strike<'_> {
        Strike {
            attack: self.attack.name,
            kinds: self.attack.kinds,
            nth: self.nth,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, attack) = (self.verb.name, self.attack.name);
        write!(f, "{verb}/{attack} at {} of {}", self.nth, self.of)
    }
}

/// All that can be tried, as often as it is wanted.
pub fn all_cases(
    scene: &Scene,
    verbs: &'static [Verb],
    rounds: u64,
    random: &mut Random,
) -> Vec<Case> {
    let wanted = std::env::var("NACRE_HOSTILE").unwrap_or_default();
    let (verb_part, attack_part) = wanted.split_once('/').unwrap_or((&wanted, ""));
    let mut cases = Vec::new();
    for verb in verbs.iter().filter(|verb| verb.name.contains(verb_part)) {
        let requests = requests(scene, verb);
        for attack in ATTACKS {
            let of = requests.iter().filter(|kind| counts(attack, kind)).count();
            if of == 0 || !attack.name.contains(attack_part) {
                continue;
            }
            let places = [1, of.div_ceil(2), of];
            let first = random.index(4);
            if rounds == 1 && wanted.is_empty() && random.below(3) == 0 {
                continue;
            }
            for round in 0..usize::try_from(rounds).unwrap() {
                let nth = places
                    .get((first + round) % 4)
                    .copied()
                    .filter(|_| round < 4)
                    .unwrap_or_else(|| 1 + random.index(of));
                cases.push(Case {
                    verb,
                    attack,
                    nth,
                    of,
                });
            }
        }
    }
    println!("{} cases", cases.len());
    cases
}

/// As the helper counts.
fn counts(attack: &Attack, kind: &str) -> bool {
    let begins = !matches!(kind, "PutData" | "PutAbort");
    attack.kinds == "*" && begins || attack.kinds.split(',').any(|one| one == kind)
}

/// What the command asks of a helper that does nothing but its duty.
fn requests(scene: &Scene, verb: &Verb) -> Vec<String> {
    scene.reset();
    (verb.prepare)(scene);
    scene.arm(&Strike {
        attack: "none",
        kinds: "*",
        nth: 0,
    });
    let arguments = (verb.arguments)(scene);
    let ended = scene.run(&arguments, false);
    assert_eq!(ended.ended.code, 0, "{}: {:?}", verb.name, ended.ended);
    scene.disarm();
    (verb.done)(scene, Some(&ended.ended)).unwrap_or_else(|why| panic!("{}: {why}", verb.name));
    scene.requests()
}
