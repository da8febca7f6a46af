use proptest::prelude::*;

use super::*;

const NOW: &str = "20260630-120000";

fn name(text: &str) -> SessionName {
    text.parse().unwrap()
}

fn candidates(names: &[&str]) -> Vec<Candidate> {
    let numbered = names.iter().zip(1..);
    let candidate = |(text, number): (&&str, u64)| Candidate {
        session: SessionSeq(number),
        name: name(text),
        tags: Vec::new(),
        protected: false,
        unfinished: false,
    };
    numbered.map(candidate).collect()
}

/// Names of what stays.
fn staying(candidates: &[Candidate], policy: &Policy) -> Vec<String> {
    let plan = plan(candidates, policy, name(NOW));
    let stays = |number: SessionSeq| {
        let verdict = plan.verdicts.iter().find(|(session, _)| *session == number);
        matches!(verdict, Some((_, Verdict::Keep(_))))
    };
    candidates
        .iter()
        .filter(|candidate| stays(candidate.session))
        .map(|candidate| candidate.name.to_string())
        .collect()
}

fn keep(keep: KeepRules) -> Policy {
    Policy {
        keep,
        ..Policy::default()
    }
}

fn thin(text: &str) -> Policy {
    Policy {
        thinning: Some(text.parse().unwrap()),
        ..Policy::default()
    }
}

#[test]
fn without_a_policy_everything_stays() {
    let all = candidates(&["20200101-000000", "20260101-000000"]);
    assert_eq!(staying(&all, &Policy::default()).len(), 2);
}

#[test]
fn the_newest_session_of_each_day_week_month_and_year_stays() {
    let all = candidates(&[
        "20240507-080000",
        "20251230-080000",
        "20260528-080000",
        "20260607-235959", // a Sunday
        "20260608-000000", // the Monday after it
        "20260629-080000",
        "20260629-200000",
        "20260630-080000",
        "20260630-083000",
    ]);
    let stays = |rules| staying(&all, &keep(rules));
    let rules = KeepRules::default();
    let daily = KeepRules { daily: 2, ..rules };
    assert_eq!(stays(daily), ["20260629-200000", "20260630-083000"]);
    let last = KeepRules { last: 2, ..rules };
    assert_eq!(stays(last), ["20260630-080000", "20260630-083000"]);
    let hourly = KeepRules { hourly: 2, ..rules };
    assert_eq!(stays(hourly), ["20260629-200000", "20260630-083000"]);
    let weekly = KeepRules { weekly: 3, ..rules };
    assert_eq!(
        stays(weekly),
        ["20260607-235959", "20260608-000000", "20260630-083000"]
    );
    let monthly = KeepRules {
        monthly: 2,
        ..rules
    };
    assert_eq!(stays(monthly), ["20260528-080000", "20260630-083000"]);
    let yearly = KeepRules { yearly: 9, ..rules };
    assert_eq!(
        stays(yearly),
        ["20240507-080000", "20251230-080000", "20260630-083000"]
    );
    let within = KeepRules {
        within: Some(28 * 3600),
        ..rules
    };
    assert_eq!(
        stays(within),
        [
            "20260629-080000",
            "20260629-200000",
            "20260630-080000",
            "20260630-083000"
        ]
    );
    let both = KeepRules {
        yearly: 2,
        daily: 1,
        ..rules
    };
    assert_eq!(stays(both), ["20251230-080000", "20260630-083000"]);
}

#[test]
fn apdays_keeps_the_newest_of_each_window_and_drops_what_is_too_old() {
    let all = candidates(&[
        "20240101-000000", // more than 365 days old
        "20260301-010000",
        "20260301-020000",
        "20260301-030000",
        "20260302-010000",
        "20260630-100000",
        "20260630-110000",
        "20260630-113000",
    ]);
    let without_oldest_of_day = [
        "20240101-000000",
        "20260301-020000",
        "20260301-030000",
        "20260302-010000",
        "20260630-100000",
        "20260630-110000",
        "20260630-113000",
    ];
    assert_eq!(staying(&all, &thin("0:62:1:2")), without_oldest_of_day);
    assert_eq!(
        staying(&all, &thin("365:62:1:2")),
        without_oldest_of_day[1..]
    );
    let plan = plan(&all, &thin("365:62:1:1"), name(NOW));
    let order: Vec<u64> = plan.to_forget().iter().map(|session| session.0).collect();
    assert_eq!(
        order,
        [1, 2, 3],
        "what is too old goes first, then the oldest"
    );
    assert_eq!("0:62:1:2".parse(), Ok(Thinning::default()));
    for text in ["", "1:2:3", "1:2:3:4:5", "1:2:x:4", "-1:2:3:4"] {
        assert_eq!(text.parse::<Thinning>(), Err(ThinningError::NotFourNumbers));
    }
    assert_eq!(
        "0:1:0:1".parse::<Thinning>(),
        Err(ThinningError::EmptyWindow)
    );
}

#[test]
fn keep_rules_shield_from_thinning() {
    let all = candidates(&["20250101-000000", "20250102-000000", "20260630-110000"]);
    let mut policy = thin("30:20:1:1");
    assert_eq!(staying(&all, &policy), ["20260630-110000"]);
    policy.keep.yearly = 2;
    assert_eq!(
        staying(&all, &policy),
        ["20250102-000000", "20260630-110000"]
    );
}

#[test]
fn what_is_marked_named_or_unfinished_stays() {
    let mut all = candidates(&[
        "20200101-000000",
        "20200102-000000",
        "20200103-000000",
        "20200104-000000",
        "20260630-110000",
        "20260630-115900",
    ]);
    all[0].protected = true;
    all[1].tags = vec!["other".into(), "milestone".into()];
    all[5].unfinished = true;
    let mut policy = thin("1:0:1:0");
    policy.keep_tags.insert("milestone".into());
    policy.keep_sessions.insert(name("20200103-000000"));
    let verdicts: Vec<Verdict> = plan(&all, &policy, name(NOW))
        .verdicts
        .into_iter()
        .map(|(_, verdict)| verdict)
        .collect();
    assert_eq!(
        verdicts,
        [
            Verdict::Keep(Kept::Protected),
            Verdict::Keep(Kept::Tag("milestone".into())),
            Verdict::Keep(Kept::Named),
            Verdict::Forget(Forgotten::TooOld),
            // Not the unfinished one: it might never be finished.
            Verdict::Keep(Kept::Last),
            Verdict::Keep(Kept::Unfinished),
        ]
    );
}

fn any_history() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..30_u32, 1..13_u32, 1..29_u32, 0..24_u32, 0..10_u32);
    prop::collection::btree_set(one, 0..60).prop_map(|dates| {
        let made = dates.into_iter().zip(1..);
        made.map(|((year, month, day, hour, luck), number)| Candidate {
            session: SessionSeq(number),
            name: name(&format!(
                "20{year:02}{month:02}{day:02}-{hour:02}{luck:02}00"
            )),
            tags: Vec::new(),
            protected: luck == 0,
            unfinished: luck == 1,
        })
        .collect()
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let rules = [0..4_u32, 0..4, 0..8, 0..5, 0..13, 0..5];
    let thinning = prop::option::of((0..2000_u32, 0..500_u32, 1..40_u32, 0..4_u32));
    (rules, prop::option::of(0..10_000_000_u64), thinning).prop_map(|(counts, within, thinning)| {
        let [last, hourly, daily, weekly, monthly, yearly] = counts;
        Policy {
            keep: KeepRules {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                within,
            },
            thinning: thinning.map(|(a, b, c, d)| Thinning::new(a, b, c, d).unwrap()),
            ..Policy::default()
        }
    })
}

proptest! {
    #[test]
    fn the_last_finished_and_all_protected_sessions_always_stay(all in any_history(), policy in any_policy()) {
        let stays = staying(&all, &policy);
        let last = all.iter().filter(|candidate| !candidate.unfinished).max_by_key(|candidate| candidate.name);
        for candidate in &all {
            if candidate.protected || candidate.unfinished || Some(candidate) == last {
                prop_assert!(stays.contains(&candidate.name.to_string()));
            }
        }
    }

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(all in any_history(), policy in any_policy()) {
        let gone = plan(&all, &policy, name(NOW)).to_forget();
        let mut left = all.clone();
        left.retain(|candidate| !gone.contains(&candidate.session));
        // The periods that a rule counts are those of the sessions there are: they are the same ones after pruning.
        prop_assert_eq!(plan(&left, &policy, name(NOW)).to_forget(), []);
    }

    #[test]
    fn more_rules_never_forget_more(all in any_history(), policy in any_policy(), daily in 1..20_u32) {
        prop_assume!(!policy.keep.is_empty() || policy.thinning.is_some());
        let mut more = policy.clone();
        more.keep.daily = more.keep.daily.saturating_add(daily);
        let (few, many) = (staying(&all, &policy), staying(&all, &more));
        prop_assert!(few.iter().all(|name| many.contains(name)));
    }

    #[test]
    fn every_period_that_counts_has_its_newest_session(all in any_history(), months in 1..20_u32) {
        let stays = staying(&all, &keep(KeepRules { monthly: months, ..KeepRules::default() }));
        let mut newest: Vec<SessionName> = Vec::new();
        for candidate in all.iter().rev().filter(|candidate| !candidate.unfinished) {
            let month = |name: SessionName| (name.date().0, name.date().1);
            if newest.last().is_none_or(|known| month(*known) != month(candidate.name)) {
                newest.push(candidate.name);
            }
        }
        newest.sort_by_key(|name| std::cmp::Reverse(*name));
        for name in newest.iter().take(months as usize) {
            prop_assert!(stays.contains(&name.to_string()));
        }
    }
}
