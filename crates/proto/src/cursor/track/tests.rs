//! What the cursor is after each step.

use super::super::MOST_SEEN;
use super::*;

/// The position, the one before, whether one is shared, and what was seen.
fn show(track: &Track) -> String {
    let Some(cursor) = track.cursor() else { return "-".to_owned() };
    let shared = if cursor.is_shared { " shared" } else { "" };
    let before = cursor.before.map(|before| format!("{before}<")).unwrap_or_default();
    format!("{before}{}{shared} {:?}", cursor.position, cursor.seen)
}

/// `A1`: an event at A of identity 1, without a position if that is `_`; in brackets one that is not delivered; `>A`: a
/// connection from there; `5`: acknowledged up to 5. Sequences count from 1.
fn run(track: &mut Track, steps: &str) -> String {
    let mut sequence = track.last.unwrap_or(0);
    for step in steps.split(' ') {
        if let Some(position) = step.strip_prefix('>') {
            track.connecting(position);
        } else if let Ok(up_to) = step.parse() {
            track.acked(up_to);
        } else {
            let event = step.trim_matches(['(', ')']);
            let (position, identity) = event.split_at(1);
            let position = Some(position).filter(|position| *position != "_");
            let identity: u64 = identity.parse().unwrap();
            if step.starts_with('(') {
                track.passed(position, identity, identity * 10);
            } else {
                sequence += 1;
                track.arrived(sequence, position, identity, identity * 10);
            }
        }
    }
    show(track)
}

#[test]
fn the_cursor_follows_what_is_acknowledged() {
    let table = [
        // Nothing before an acknowledgement.
        ("A1 B2", "-"),
        ("A1 B2 1", "A [1]"),
        ("A1 B2 2", "A<B [1, 2]"),
        ("A1 B2 C3 3", "B<C [2, 3]"),
        ("A1 B2 C3 2", "A<B [1, 2]"),
        ("A1 B2 C3 1 1 0 3 99", "B<C [2, 3]"),
        // Positions that are shared, also with what is not acknowledged.
        ("A1 A2 1", "A shared [1]"),
        ("A1 A2 2", "A shared [1, 2]"),
        ("A1 1 A2", "A shared [1]"),
        ("A1 B2 B3 2", "A<B shared [1, 2]"),
        ("A1 B2 B3 C4 D5 5", "C<D shared [4, 5]"),
        ("A1 B2 B3 1", "A shared [1]"),
        // An event that was sent twice may come twice again.
        ("A1 A1 2", "A shared [1, 1]"),
        // Events without a position.
        ("_1 _2 2", "-"),
        ("_1 A2 _3 1", "-"),
        ("_1 A2 _3 2", "A [2]"),
        ("_1 A2 _3 3", "A [2, 3]"),
        ("A1 _2 B3 _4 4", "A<B [1, 2, 3, 4]"),
        ("A1 1 _2 2 B3 3", "A<B [1, 2, 3]"),
        // Events that are not delivered.
        ("(A1)", "A [1]"),
        ("(A1) (B2)", "A<B [1, 2]"),
        ("A1 (B2)", "-"),
        ("A1 (B2) 1", "A<B [1, 2]"),
        ("A1 (B2) (C3) (D4) (E5) F6 1", "D<E [4, 5]"),
        ("A1 (B2) (C3) (D4) (E5) F6 2", "E<F [5, 6]"),
        ("A1 B2 (C3) (D4) (E5) F6 1", "A [1]"),
        ("A1 (A2) 1", "A shared [1, 2]"),
        ("A1 1 (B2)", "A<B [1, 2]"),
        ("A1 (_2) 1", "A [1, 2]"),
        ("A1 (B2) (_3) (C4) (_5) (D6) 1", "C<D [4, 5, 6]"),
        // Out of order: the older one of two stays the older.
        ("A1 B2 A3 3", "A<B shared [3, 1, 2]"),
        ("A1 B2 A3 C4 4", "B<C shared [2, 4]"),
        // The stream begins.
        (">S", "S []"),
        (">S A1", "S []"),
        (">S A1 1", "S<A [1]"),
        (">S A1 A2 1", "S<A shared [1]"),
        (">S S1 1", "S [1]"),
        (">S >T A1 1", "T<A [1]"),
        (">S _1 1 A2 2", "S<A [1, 2]"),
        // A later connection asks for what is known, or begins anew beside one in use: neither moves anything.
        ("A1 B2 2 >B >A C3 3", "B<C [2, 3]"),
        ("A1 >S B2 2", "A<B [1, 2]"),
        ("A1 B2 1 >S 2 C3 3", "B<C [2, 3]"),
    ];
    for (steps, expected) in table {
        assert_eq!(run(&mut Track::new(None), steps), expected, "{steps}");
    }
}

#[test]
fn a_later_process_goes_on_from_the_cursor() {
    let cursor = Cursor {
        position: "B".into(),
        before: Some("A".into()),
        is_shared: true,
        at: Some(5),
        seen: vec![1, 2],
    };
    let mut track = Track::new(Some(&cursor));
    assert_eq!(track.cursor(), Some(cursor.clone()));
    assert_eq!(run(&mut track, ">A B3 1"), "A<B shared [1, 2, 3]");
    assert_eq!(track.cursor().unwrap().at, Some(30));
    assert_eq!(run(&mut Track::new(Some(&cursor)), "C3 1"), "B<C shared [1, 2, 3]");
    assert_eq!(run(&mut Track::new(Some(&cursor)), "C3 D4 2"), "C<D shared [3, 4]");
    let bare = Cursor { position: "B".into(), ..Cursor::default() };
    assert_eq!(run(&mut Track::new(Some(&bare)), ">B B3 1"), "B [3]");
}

#[test]
fn each_step_says_whether_the_cursor_changed() {
    let mut track = Track::new(None);
    assert!(!track.arrived(1, Some("A"), 1, 10));
    assert!(!track.passed(Some("B"), 2, 11));
    assert!(!track.acked(0));
    assert!(track.acked(1));
    assert!(!track.acked(1));
    assert!(track.passed(Some("C"), 3, 12));
    assert!(!track.arrived(2, Some("D"), 4, 13));
    assert!(track.arrived(3, Some("D"), 5, 14), "D is shared, and so may be every position");
    assert!(!track.arrived(4, Some("D"), 6, 14));
    assert!(track.acked(2));
    assert_eq!(track.cursor().unwrap().at, Some(13));
}

#[test]
fn memory_is_bounded_by_the_events_outstanding() {
    let mut track = Track::new(None);
    track.arrived(1, Some("a"), 1, 0);
    for n in 0..100_000_u64 {
        track.passed(Some(&(n / 1_000).to_string()), 2 + n, 0);
    }
    assert!(track.stops.len() <= 3 && track.events.len() <= 3 * (MOST_PASSED + 1), "{}", track.events.len());
    track.acked(1);
    let cursor = track.cursor().unwrap();
    assert_eq!((&*cursor.position, cursor.before.as_deref()), ("99", Some("98")));
    for n in 0..3 * MOST_SEEN as u64 {
        track.passed(Some("last"), n, 0);
    }
    assert_eq!(track.cursor().unwrap().seen.len(), MOST_SEEN);
    assert_eq!(track.cursor().unwrap().seen.last(), Some(&(3 * MOST_SEEN as u64 - 1)));
    assert!(track.stops.is_empty() && track.events.is_empty());
}

#[test]
fn events_of_one_position_share_an_entry() {
    let mut track = Track::new(None);
    for n in 0..1_000 {
        track.arrived(n, Some(&(n / 100).to_string()), n, 0);
    }
    assert_eq!((track.stops.len(), track.events.len()), (10, 1_000));
    track.acked(150);
    assert_eq!((track.stops.len(), track.events.len()), (9, 849));
}
