//! How long the other side has been silent, on a machine that may have slept meanwhile.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::launch::Patience;

/// After the machine has slept, the other side has this long to say something: three times what a helper takes at most. A connection that
/// did not survive the sleep would otherwise look like one on which somebody thinks for a long time.
const AFTER_SLEEP: Duration = Duration::from_secs(30);
/// A jump between the clocks that is taken for a sleep.
const SLEEP: Duration = Duration::from_secs(5);

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Time awake, since some fixed point.
    pub awake: Duration,
    /// Time asleep, since then.
    pub asleep: Duration,
}

impl Clocks {
    /// Reads them.
    pub(super) fn now() -> Self {
        let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        // Boottime second: it is then never the smaller one.
        let awake = read(ClockId::Monotonic);
        let both = read(ClockId::Boottime);
        Self {
            awake,
            asleep: both.saturating_sub(awake),
        }
    }
}

/// Who waits for the other side, and since when in vain.
#[derive(Debug)]
pub(super) struct Vigil {
    waiting: usize,
    /// When something last came from the other side, or began to be waited for.
    heard: Duration,
    /// When an answer last came, or began to be waited for.
    progressed: Duration,
    /// How long the machine had slept when that was last looked at.
    asleep: Duration,
    /// When it woke, and after what sleep, if nothing came since.
    woke: Option<(Duration, Duration)>,
}

impl Vigil {
    pub(super) fn new(now: Clocks) -> Self {
        Self {
            waiting: 0,
            heard: now.awake,
            progressed: now.awake,
            asleep: now.asleep,
            woke: None,
        }
    }

    /// From now on silence counts.
    pub(super) fn begin(&mut self, now: Clocks) {
        self.waiting += 1;
        if self.waiting == 1 {
            self.heard = now.awake;
            self.progressed = now.awake;
        }
    }

    /// One waits less.
    pub(super) fn end(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Something came, or was taken.
    pub(super) fn hear(&mut self, now: Clocks) {
        self.heard = now.awake;
        self.asleep = now.asleep;
        self.woke = None;
    }

    /// An answer came.
    pub(super) fn progress(&mut self, now: Clocks) {
        self.progressed = now.awake;
    }

    /// Time in which we ourselves sent nothing on purpose is nobody's silence. That a sleep was not answered yet stays known.
    pub(super) fn pause(&mut self, now: Clocks) {
        self.heard = self.heard.max(now.awake);
        self.progressed = self.progressed.max(now.awake);
    }

    /// Why it has taken too long, if it has.
    pub(super) fn check(&mut self, now: Clocks, patience: Patience) -> Option<String> {
        let slept = now.asleep.saturating_sub(self.asleep);
        if slept >= SLEEP {
            self.woke = Some((now.awake, slept));
            self.asleep = now.asleep;
        }
        if self.waiting == 0 {
            return None;
        }
        if let Some((woke, slept)) = self.woke {
            let silent = now.awake.saturating_sub(self.heard.max(woke));
            if silent > patience.silence.min(AFTER_SLEEP) {
                return Some(format!(
                    "this machine slept for {} s, and nothing came in the {} s since",
                    slept.as_secs(),
                    silent.as_secs()
                ));
            }
        }
        let silent = now.awake.saturating_sub(self.heard);
        let idle = now.awake.saturating_sub(self.progressed);
        if silent > patience.silence {
            Some(format!("nothing came for {} s", silent.as_secs()))
        } else if idle > patience.idling {
            Some(format!(
                "it claims to be busy, but nothing came of it for {} s",
                idle.as_secs()
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose clocks go as the test wants.
    struct Machine {
        now: Clocks,
        vigil: Vigil,
    }

    impl Machine {
        fn new() -> Self {
            let now = Clocks {
                awake: Duration::from_secs(1000),
                asleep: Duration::from_secs(77),
            };
            Self {
                now,
                vigil: Vigil::new(now),
            }
        }

        fn works(&mut self, seconds: u64) {
            self.now.awake += Duration::from_secs(seconds);
        }

        fn sleeps(&mut self, seconds: u64) {
            self.now.asleep += Duration::from_secs(seconds);
        }

        fn check(&mut self) -> Option<String> {
            self.vigil.check(self.now, Patience::default())
        }
    }

    #[test]
    fn silence_counts_only_while_somebody_waits() {
        let mut machine = Machine::new();
        machine.works(10_000);
        assert_eq!(machine.check(), None);
        machine.vigil.begin(machine.now);
        machine.works(120);
        assert_eq!(machine.check(), None);
        machine.works(1);
        assert_eq!(machine.check().unwrap(), "nothing came for 121 s");
        machine.vigil.hear(machine.now);
        assert_eq!(machine.check(), None);
        for _ in 0..16 {
            machine.works(100);
            machine.vigil.hear(machine.now);
            assert_eq!(machine.check(), None);
        }
        machine.works(100);
        machine.vigil.hear(machine.now);
        assert!(machine.check().unwrap().starts_with("it claims to be busy"));
        machine.vigil.end();
        assert_eq!(machine.check(), None);
    }

    #[test]
    fn a_connection_that_did_not_survive_a_sleep_is_broken_soon_after() {
        let mut machine = Machine::new();
        machine.vigil.begin(machine.now);
        machine.works(100);
        machine.sleeps(8 * 3600);
        // The sleep itself is no silence, and the time before it does not count against whoever is there again.
        machine.works(1);
        assert_eq!(machine.check(), None);
        machine.works(30);
        assert_eq!(machine.check().unwrap(), "nothing came for 131 s");
        // With something heard just before it, too.
        let mut machine = Machine::new();
        machine.vigil.begin(machine.now);
        machine.sleeps(8 * 3600);
        assert_eq!(machine.check(), None);
        machine.works(30);
        assert_eq!(machine.check(), None);
        machine.works(1);
        let said = machine.check().unwrap();
        assert_eq!(
            said,
            "this machine slept for 28800 s, and nothing came in the 31 s since"
        );
    }

    #[test]
    fn a_connection_that_survived_a_sleep_is_used_on() {
        let mut machine = Machine::new();
        machine.vigil.begin(machine.now);
        machine.sleeps(8 * 3600);
        assert_eq!(machine.check(), None);
        machine.works(20);
        machine.vigil.hear(machine.now);
        machine.works(100);
        assert_eq!(machine.check(), None);
        // Nobody waited while it slept; whoever begins to wait learns of it just as soon.
        let mut machine = Machine::new();
        machine.sleeps(600);
        assert_eq!(machine.check(), None);
        machine.works(500);
        machine.vigil.begin(machine.now);
        assert_eq!(machine.check(), None);
        machine.works(31);
        assert!(
            machine
                .check()
                .unwrap()
                .starts_with("this machine slept for 600 s")
        );
    }

    #[test]
    fn what_we_hold_back_is_not_the_others_silence() {
        let mut machine = Machine::new();
        machine.vigil.begin(machine.now);
        for _ in 0..100 {
            machine.works(60);
            machine.vigil.pause(machine.now);
            assert_eq!(machine.check(), None);
        }
    }

    #[test]
    fn the_clocks_of_this_machine_go_forward() {
        let before = Clocks::now();
        let after = Clocks::now();
        assert!(after.awake >= before.awake && after.awake > Duration::ZERO);
        assert!(after.asleep + Duration::from_secs(1) >= before.asleep);
    }
}
