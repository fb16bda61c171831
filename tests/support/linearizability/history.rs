//! What clients called and what they were told, in the words of whoever recorded it.
//!
//! Times are of any unit, as long as all clients read the same clock. Two operations are ordered only if one
//! returned strictly before the other was called: at equal times they may have overlapped.

/// One call of a client and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation<I, O> {
    /// Who called; for the reader of an explanation, the verdict does not depend on it.
    pub(crate) client: u64,
    pub(crate) input: I,
    pub(crate) called_at: u64,
    /// When it returned, and what. `None`: nobody knows, it may take effect at any time after its call, or never.
    pub(crate) returned: Option<(u64, O)>,
}

/// The name of a call within its [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call(usize);

/// A history while it happens.
#[derive(Clone, Debug)]
pub(crate) struct History<I, O> {
    /// `None` where the operation is known not to have happened.
    calls: Vec<Option<Operation<I, O>>>,
}

impl<I, O> Default for History<I, O> {
    fn default() -> Self {
        Self { calls: Vec::new() }
    }
}

impl<I, O> History<I, O> {
    /// A client calls. Until more is said, the outcome is unknown.
    pub(crate) fn call(&mut self, client: u64, input: I, at: u64) -> Call {
        self.calls.push(Some(Operation { client, input, called_at: at, returned: None }));
        Call(self.calls.len() - 1)
    }

    /// The call took effect and was answered.
    pub(crate) fn returned(&mut self, call: Call, output: O, at: u64) {
        let operation =
            self.calls[call.0].as_mut().expect("a call that did not happen has no answer");
        assert!(operation.returned.is_none(), "a call returns once");
        assert!(operation.called_at <= at, "a call returns after it was made");
        operation.returned = Some((at, output));
    }

    /// The call certainly had no effect and never will.
    pub(crate) fn not_done(&mut self, call: Call) {
        self.calls[call.0] = None;
    }

    /// The input of a call that may have happened.
    pub(crate) fn input(&self, call: Call) -> Option<&I> {
        self.calls[call.0].as_ref().map(|operation| &operation.input)
    }

    /// What may have happened, in the order of the calls.
    pub(crate) fn operations(self) -> Vec<Operation<I, O>> {
        self.calls.into_iter().flatten().collect()
    }
}
