//! What the checker has to know of the thing whose history it checks: one key of it, executed sequentially.

use std::fmt::Debug;
use std::hash::Hash;

use super::history::Operation;

/// A sequential specification of one key, made for one history.
///
/// A model is built from the operations of its key, so that it can learn what was ever told to a client. States
/// that no answer of this history tells apart should be one state: "some text nobody read" instead of each
/// order in which it may have come about. That is what keeps the search small.
pub(crate) trait Model: Sized {
    /// Operations on different keys do not touch each other.
    type Key: Clone + Ord + Debug;
    type Input: Clone + Eq + Debug;
    type Output: Clone + Debug;
    type State: Clone + Eq + Hash;

    fn key(input: &Self::Input) -> Self::Key;

    /// A model for these operations, which are all those of one key.
    fn for_key(operations: &[&Operation<Self::Input, Self::Output>]) -> Self;

    fn start(&self) -> Self::State;

    /// The state after `input` if it may be answered with `output` in `state`, otherwise `None`.
    ///
    /// Without an output the outcome is unknown and every answer fits. `None` then says that nothing is gained:
    /// the state would stay the same.
    ///
    /// A model may also answer `None` if in the state after it every further operation would be refused but
    /// those whose effect is [`Effect::Silent`] or [`Effect::Replaces`]: no order needs to go through there.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// What is certain about the operation in all states; `None` as the output means that it is unknown.
    fn effect(&self, input: &Self::Input, output: Option<&Self::Output>) -> Effect;

    /// Do both inputs do the same in every state, as far as the answers of this history can tell?
    /// Asked of operations whose outcome is unknown.
    fn alike(&self, one: &Self::Input, other: &Self::Input) -> bool {
        one == other
    }

    /// The state in words, for an explanation.
    fn describe(&self, state: &Self::State) -> String;
}

/// What is certain about an operation and its answer, whatever the state.
///
/// `Silent` and `Replaces` speak of what the thing would do, not of what [`Model::step`] leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Where the answer fits, the state stays the same.
    Reads,
    /// The answer fits in every state.
    Silent,
    /// The answer fits in every state, and the state after it does not depend on the one before.
    Replaces,
    /// Nothing is certain.
    Tells,
}
