//! Classes, the alarm, and the timer in hand.

use super::*;

fn timers() -> Timers {
    Timers::new(1_000_000, Tick::default())
}

#[test]
fn what_is_due_has_a_name_that_tells_it_from_all_others() {
    let most = (1 << INDEX_BITS) - 2;
    let all = [0, 1, most].map(|index| [Due::Source(index), Due::Timer(index), Due::Scope(index)]);
    for due in all.into_iter().flatten() {
        assert_eq!(Due::of_name(due.name()), due);
        assert!(due.name() != NonZeroU32::MAX, "its node is used again");
    }
}

#[test]
fn classes_fire_in_one_order_of_deadlines() {
    let mut timers = timers();
    let leeways: Vec<_> = Leeway::all().collect();
    for n in 0..50u32 {
        let deadline = 2_000_000 + u64::from(n * 37 % 50) * 10_000;
        timers.insert(deadline, leeways[n as usize % leeways.len()], Due::Timer(n));
    }
    assert!(timers.advance(10_000_000, 1_000));
    let fired: Vec<u64> = std::iter::from_fn(|| timers.pop()).map(|(at, _)| at).collect();
    assert_eq!(fired.len(), 50);
    assert!(fired.is_sorted());
    assert_eq!(timers.len(), 0);
}

#[test]
fn the_alarm_is_the_earliest_deadline_plus_leeway() {
    let mut timers = timers();
    assert_eq!(timers.alarm(), None);
    timers.insert(5_000_000, Leeway::MILLISECOND, Due::Timer(0));
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 6_000_000, exact: false }));
    let exact = timers.insert(5_500_000, Leeway::NONE, Due::Timer(1));
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 5_500_000, exact: true }));
    assert_eq!(timers.next_deadline(), Some(5_000_000));
    timers.cancel(exact);
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 6_000_000, exact: false }));
    assert!(!timers.reset(exact, 1));
}

#[test]
fn whatever_is_armed_or_taken_back_the_alarm_is_not_later_than_any_deadline_with_its_leeway() {
    let mut timers = timers();
    let leeways: Vec<_> = Leeway::all().collect();
    let mut armed: Vec<(TimerKey, u64, Leeway)> = Vec::new();
    let (mut random, mut now_ns) = (88_172_645_463_325_252_u64, 1_000_000);
    for step in 0..20_000u32 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        match random % 8 {
            0..=4 => {
                let far = [1, 1_000, 1_000_000, 1_000_000_000][(random >> 8) as usize % 4];
                let deadline_ns = now_ns + (random >> 16) % far;
                let leeway = leeways[(random >> 12) as usize % leeways.len()];
                let due = if random & 32 == 0 { Due::Timer(step) } else { Due::Source(step) };
                armed.push((timers.insert(deadline_ns, leeway, due), deadline_ns, leeway));
            }
            5 if !armed.is_empty() => {
                let (key, ..) = armed.swap_remove((random >> 8) as usize % armed.len());
                timers.cancel(key);
            }
            6 => {
                now_ns += (random >> 8) % 3_000_000;
                assert!(timers.advance(now_ns, usize::MAX));
                while let Some((deadline_ns, _)) = timers.pop() {
                    let at = armed.iter().position(|armed| armed.1 == deadline_ns);
                    assert!(deadline_ns <= now_ns, "early");
                    armed.swap_remove(at.expect("it was armed, and has not fired yet"));
                }
                assert!(armed.iter().all(|armed| armed.1 > now_ns), "late");
            }
            _ => {}
        }
        let first_ns = armed.iter().map(|armed| armed.1).min().unwrap_or(NEVER);
        let by_ns = armed.iter().map(|(_, at, leeway)| at + leeway.as_nanos()).min();
        assert!(timers.outlook().deadline_ns <= first_ns);
        assert_eq!(timers.alarm().is_some(), by_ns.is_some(), "{random}");
        assert!(timers.alarm().is_none_or(|alarm| Some(alarm.at_ns) <= by_ns), "at step {step}");
        assert_eq!(timers.len(), armed.len());
    }
}

#[test]
fn the_one_in_hand_fires_in_the_order_of_all_and_can_be_moved_and_taken_back() {
    let mut timers = timers();
    let hand = timers.insert(4_000_000, Leeway::NONE, Due::Timer(0));
    assert!(matches!(hand.place, Place::Hand(_)));
    let of_source = timers.insert(3_000_000, Leeway::NONE, Due::Source(1));
    let second = timers.insert(2_500_000, Leeway::NONE, Due::Timer(2));
    assert!(matches!((of_source.place, second.place), (Place::Wheel(_), Place::Wheel(_))));
    assert_eq!((timers.len(), timers.next_deadline()), (3, Some(2_500_000)));
    assert!(!timers.advance(4_000_000, 1), "one is left, and the one in hand comes after it");
    let mut fired: Vec<_> = std::iter::from_fn(|| timers.pop()).collect();
    assert_eq!(fired, [(2_500_000, Due::Timer(2))]);
    assert!(timers.advance(4_000_000, 1));
    fired.extend(std::iter::from_fn(|| timers.pop()));
    let expected = [(2_500_000, Due::Timer(2)), (3_000_000, Due::Source(1)), (4_000_000, Due::Timer(0))];
    assert_eq!(fired, expected);
    assert!(!timers.reset(hand, 1) && !timers.has_due());

    let hand = timers.insert(5_000_000, Leeway::MILLISECOND, Due::Timer(3));
    assert!(timers.reset(hand, 9_000_000));
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 10_000_000, exact: false }));
    assert!(timers.advance(9_000_000, 1));
    assert!(timers.reset(hand, 9_500_000), "due, it can be moved until it is popped");
    assert_eq!(timers.pop(), None);
    assert!(timers.advance(9_500_000, 1));
    timers.cancel(hand);
    assert_eq!((timers.pop(), timers.len(), timers.next_deadline()), (None, 0, None));
}

#[test]
fn what_may_be_late_is_filed_by_ticks_of_half_of_that_but_no_finer_than_all() {
    let leeways: Vec<_> = Leeway::all().collect();
    let filed_by = |tick: Tick| -> Vec<u64> {
        leeways.iter().map(|leeway| tick_of(*leeway, tick).as_nanos()).collect()
    };
    assert_eq!(filed_by(Tick::MICRO), [1 << 10, 1 << 15, 1 << 18, 1 << 22, 1 << 25]);
    assert_eq!(filed_by(Tick::MILLI), [1 << 20, 1 << 20, 1 << 20, 1 << 22, 1 << 25]);
}

#[test]
fn that_of_a_source_is_known_again_by_its_node_and_its_class() {
    let mut timers = timers();
    let nodes = [7, 8, 9].map(|index| timers.insert_source(5_000_000, Leeway::MILLISECOND, index));
    timers.cancel_source(nodes[0], Leeway::NONE, 7);
    timers.cancel_source(nodes[0], Leeway::MILLISECOND, 8);
    assert_eq!(timers.len(), 3, "no other's is taken for it");
    timers.cancel_source(nodes[0], Leeway::MILLISECOND, 7);
    timers.cancel_source(nodes[2], Leeway::MILLISECOND, 9);
    assert_eq!(timers.len(), 1);
    assert!(timers.advance(5_000_000, 10));
    assert_eq!((timers.pop(), timers.pop()), (Some((5_000_000, Due::Source(8))), None));
}

#[test]
fn what_is_in_the_wheels_is_still_known_when_the_one_in_hand_has_fired() {
    let mut timers = timers();
    timers.insert_source(9_000_000, Leeway::NONE, 1);
    timers.insert(1_500_000, Leeway::NONE, Due::Timer(0));
    assert_eq!(timers.next_deadline(), Some(1_500_000));
    assert!(timers.advance(1_500_000, 10));
    assert_eq!(timers.pop(), Some((1_500_000, Due::Timer(0))));
    assert!(timers.next_deadline().is_some_and(|at| at <= 9_000_000));
    assert!(timers.alarm().is_some_and(|alarm| alarm.at_ns <= 9_000_000));
}

#[test]
fn of_those_that_are_due_at_the_same_time_the_one_that_may_be_less_late_comes_first() {
    let mut timers = timers();
    for (index, leeway) in (0..).zip([Leeway::MILLISECOND, Leeway::NONE]) {
        timers.insert_source(5_000_000, leeway, index);
    }
    assert!(timers.advance(6_000_000, 10));
    let fired = [timers.pop(), timers.pop()];
    assert_eq!(fired, [1, 0].map(|index| Some((5_000_000, Due::Source(index)))));
}
