//! A reference beside the recognition of copies (P5): a service that publishes to every link, links that bring it
//! late, lose some of it, join and leave. Faults planted in the rule show that the reference can fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use proptest::{sample, strategy};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{Key, Window};
use crate::io::{LinkId, TopicId};

const WINDOW_MS: u64 = 60_000;
const LINKS: u32 = 3;
const BODIES: u8 = 3;
const STEPS: std::ops::Range<usize> = 1..120;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// The service publishes a body to every link that has joined.
    Publish(u8),
    /// A link's oldest event is read.
    Read(u32),
    /// A link's oldest event is lost.
    Lose(u32),
    Join(u32),
    Leave(u32),
    Wait(u64),
}

/// One occurrence of a body, as it was first read.
#[derive(Clone, Debug)]
struct Occurrence {
    first_read: u64,
    read_by: BTreeSet<u32>,
}

/// What the user should have got, told as plainly as possible.
#[derive(Clone, Debug, Default)]
struct Reference {
    now: u64,
    /// Links that have joined, since when, and what is on its way to them: a body and when it was published.
    links: BTreeMap<u32, (u64, VecDeque<(u8, u64)>)>,
    joined: u32,
    occurrences: BTreeMap<u8, Vec<Occurrence>>,
    published: BTreeMap<u8, usize>,
    /// How often each link, of its present life, read each body.
    read: BTreeMap<(u32, u8), usize>,
    /// Bodies of which some link may have missed an event that another brought, and the other way round.
    lossy: BTreeSet<u8>,
    /// The last step's reading: the link's number, since when it is there, the body, and whether it is a copy.
    reading: Option<(u32, u64, u8, bool)>,
}

impl Reference {
    fn read(&mut self, link: u32) -> Option<(u32, u64, u8, bool)> {
        let (joined_at, queue) = self.links.get_mut(&link)?;
        let (joined_at, (body, _)) = (*joined_at, queue.pop_front()?);
        *self.read.entry((link, body)).or_default() += 1;
        let occurrences = self.occurrences.entry(body).or_default();
        let mut open = occurrences.iter_mut().filter(|occurrence| {
            occurrence.first_read + WINDOW_MS >= self.now
                && occurrence.first_read >= joined_at
                && !occurrence.read_by.contains(&link)
        });
        if let Some(occurrence) = open.next() {
            occurrence.read_by.insert(link);
            return Some((link, joined_at, body, true));
        }
        occurrences.push(Occurrence { first_read: self.now, read_by: BTreeSet::from([link]) });
        Some((link, joined_at, body, false))
    }

    /// A link that comes again has another name.
    fn slot(&self, link: u32) -> Option<u32> {
        self.links.keys().find(|name| *name % LINKS == link).copied()
    }

    fn oldest_on_its_way(&self) -> Option<u64> {
        self.links.values().filter_map(|(_, queue)| queue.front()).map(|(_, at)| *at).min()
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let links = BTreeMap::from([(0, (0, VecDeque::new()))]);
        Just(Self { links, ..Self::default() }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let (there, away): (Vec<u32>, Vec<u32>) = (0..LINKS).partition(|link| state.slot(*link).is_some());
        let has_some = |link: &u32| state.slot(*link).is_some_and(|link| !state.links[&link].1.is_empty());
        let waiting: Vec<u32> = there.iter().copied().filter(has_some).collect();
        let patience = state.oldest_on_its_way().map_or(WINDOW_MS / 2, |at| at + WINDOW_MS - state.now);
        let mut steps = Vec::new();
        if !away.is_empty() {
            steps.push((2, sample::select(away).prop_map(Step::Join).boxed()));
        }
        if patience > 0 {
            steps.push((3, (1..=patience.min(WINDOW_MS / 2)).prop_map(Step::Wait).boxed()));
        }
        if !there.is_empty() {
            steps.push((6, (0..BODIES).prop_map(Step::Publish).boxed()));
            steps.push((1, sample::select(there).prop_map(Step::Leave).boxed()));
        }
        if !waiting.is_empty() {
            steps.push((12, sample::select(waiting.clone()).prop_map(Step::Read).boxed()));
            steps.push((1, sample::select(waiting).prop_map(Step::Lose).boxed()));
        }
        strategy::Union::new_weighted(steps).boxed()
    }

    /// Nothing is on its way for longer than the window: beyond it no promise holds.
    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Publish(_) => !state.links.is_empty(),
            Step::Read(link) | Step::Lose(link) => {
                let link = state.slot(*link).and_then(|link| state.links.get(&link));
                link.is_some_and(|(_, queue)| !queue.is_empty())
            }
            Step::Join(link) => state.slot(*link).is_none(),
            Step::Leave(link) => state.slot(*link).is_some(),
            Step::Wait(ms) => state.oldest_on_its_way().is_none_or(|at| state.now + ms <= at + WINDOW_MS),
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.reading = None;
        match step {
            Step::Publish(body) => {
                *state.published.entry(*body).or_default() += 1;
                for (_, queue) in state.links.values_mut() {
                    queue.push_back((*body, state.now));
                }
            }
            Step::Read(link) => {
                let link = state.slot(*link).expect("a link that is there");
                state.reading = state.read(link);
            }
            Step::Lose(link) => {
                let link = state.slot(*link).expect("a link that is there");
                let lost = state.links.get_mut(&link).and_then(|(_, queue)| queue.pop_front());
                state.lossy.extend(lost.map(|(body, _)| body));
            }
            Step::Join(link) => {
                state.joined += 1;
                state.links.insert(state.joined * LINKS + link, (state.now, VecDeque::new()));
            }
            Step::Leave(link) => {
                let link = state.slot(*link).expect("a link that is there");
                state.links.remove(&link);
                // It misses what comes, as a link that joined late missed what was.
                state.lossy.extend(state.published.keys().copied());
            }
            Step::Wait(ms) => state.now += ms,
        }
        state
    }
}

/// What is tested: whether this event is a copy.
trait Rule: Default {
    fn is_copy(&mut self, body: u8, link: LinkId, joined_at: u64, now: u64) -> bool;
}

struct Crate(Window);

impl Default for Crate {
    fn default() -> Self {
        Self(Window::new(WINDOW_MS))
    }
}

impl Rule for Crate {
    fn is_copy(&mut self, body: u8, link: LinkId, joined_at: u64, now: u64) -> bool {
        self.0.forget(now);
        self.0.is_copy(Key::of(TopicId(7), &format!("{{\"n\":{body}}}")), link, joined_at, now)
    }
}

/// The rule, and what it let through.
struct Subject<R> {
    rule: R,
    delivered: BTreeMap<u8, usize>,
}

struct Model<R>(PhantomData<R>);

impl<R: Rule> StateMachineTest for Model<R> {
    type SystemUnderTest = Subject<R>;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Subject<R> {
        Subject { rule: R::default(), delivered: BTreeMap::new() }
    }

    fn apply(mut subject: Subject<R>, reference: &Reference, _: Step) -> Subject<R> {
        if let Some((link, joined_at, body, expected)) = reference.reading {
            let is_copy = subject.rule.is_copy(body, LinkId(link), joined_at, reference.now);
            *subject.delivered.entry(body).or_default() += usize::from(!is_copy);
            assert_eq!(is_copy, expected, "body {body} on link {link}");
        }
        subject
    }

    fn check_invariants(subject: &Subject<R>, reference: &Reference) {
        for (body, published) in &reference.published {
            let delivered = subject.delivered.get(body).copied().unwrap_or(0);
            assert!(delivered <= *published, "P5.1: body {body}: {delivered} of {published}");
            let of_body = reference.read.iter().filter(|((_, of), _)| of == body);
            let best = of_body.map(|(_, times)| *times).max().unwrap_or(0);
            assert!(delivered >= best, "P5.2: body {body}: {delivered}, though one link brought {best}");
            let all_read =
                reference.links.values().all(|(_, queue)| queue.iter().all(|(other, _)| other != body));
            if all_read && !reference.lossy.contains(body) {
                assert_eq!(delivered, *published, "P5: body {body}: nothing was lost");
            }
        }
    }
}

fn run<R: Rule>(cases: u32) -> Result<(), TestError<(Reference, Vec<Step>)>> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let result = runner.run(&Reference::sequential_strategy(STEPS), |(reference, steps, seen)| {
        Model::<R>::test_sequential(config.clone(), reference, steps, seen);
        Ok(())
    });
    result.map_err(|error| match error {
        TestError::Abort(reason) => TestError::Abort(reason),
        TestError::Fail(reason, (reference, steps, _)) => TestError::Fail(reason, (reference, steps)),
    })
}

// P5.1, P5.2
#[test]
fn copies_are_recognised_as_the_reference_says_and_nothing_else_is() {
    run::<Crate>(2_000).unwrap();
}

macro_rules! fault {
    ($name:ident, |$rule:ident, $body:ident, $link:ident, $joined_at:ident, $now:ident| $verdict:expr) => {
        #[derive(Default)]
        struct $name(Crate);

        impl Rule for $name {
            fn is_copy(&mut self, $body: u8, $link: LinkId, $joined_at: u64, $now: u64) -> bool {
                let $rule = &mut self.0;
                $verdict
            }
        }
    };
}

fault!(LetsCopiesThrough, |rule, body, link, joined_at, now| {
    rule.is_copy(body, link, joined_at, now);
    false
});
fault!(MatchesBeforeItJoined, |rule, body, link, _joined_at, now| rule.is_copy(body, link, 0, now));
fault!(ForgetsTooEarly, |rule, body, link, joined_at, now| {
    rule.0.forget(now + WINDOW_MS / 2);
    rule.is_copy(body, link, joined_at, now)
});
fault!(NeverForgets, |rule, body, link, joined_at, now| {
    rule.is_copy(body, link, joined_at, now.min(WINDOW_MS))
});
fault!(ConfusesLinks, |rule, body, link, joined_at, now| {
    rule.is_copy(body, LinkId(link.0 % 2), joined_at, now)
});

/// A set of what was seen, as most clients have it: real repeats are swallowed.
#[derive(Default)]
struct RemembersBodies(BTreeSet<u8>);

impl Rule for RemembersBodies {
    fn is_copy(&mut self, body: u8, _: LinkId, _: u64, _: u64) -> bool {
        !self.0.insert(body)
    }
}

#[test]
fn a_rule_that_is_wrong_is_found_out() {
    is_found_out::<LetsCopiesThrough>();
    is_found_out::<MatchesBeforeItJoined>();
    is_found_out::<ForgetsTooEarly>();
    is_found_out::<NeverForgets>();
    is_found_out::<ConfusesLinks>();
    is_found_out::<RemembersBodies>();
}

fn is_found_out<R: Rule>() {
    let result = run::<R>(500);
    assert!(matches!(result, Err(TestError::Fail(..))), "{}: {result:?}", std::any::type_name::<R>());
}
