//! A history read from a log: processes that call and are answered, one call at a time each.
//!
//! Times are the numbers of the lines.

use std::collections::BTreeMap;

use crate::linearizability::{Call, History, Operation};

/// What is read so far.
pub(crate) struct Session<I, O> {
    history: History<I, O>,
    waiting: BTreeMap<u64, (Call, I)>,
}

impl<I: Clone, O> Session<I, O> {
    pub(crate) fn new() -> Self {
        Self { history: History::default(), waiting: BTreeMap::new() }
    }

    pub(crate) fn call(&mut self, process: u64, input: I, at: u64) -> Result<(), String> {
        if self.waiting.contains_key(&process) {
            return Err(format!("process {process} calls while it waits for an answer"));
        }
        let call = self.history.call(process, input.clone(), at);
        self.waiting.insert(process, (call, input));
        Ok(())
    }

    /// The call that a process waits for, which it no longer does. Until more is said of it, its outcome is unknown.
    pub(crate) fn end(&mut self, process: u64) -> Result<(Call, I), String> {
        self.waiting.remove(&process).ok_or_else(|| format!("process {process} did not call"))
    }

    pub(crate) fn returned(&mut self, call: Call, output: O, at: u64) {
        self.history.returned(call, output, at);
    }

    pub(crate) fn not_done(&mut self, call: Call) {
        self.history.not_done(call);
    }

    pub(crate) fn operations(self) -> Vec<Operation<I, O>> {
        self.history.operations()
    }
}
