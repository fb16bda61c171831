//! How many cases of a tier agree.

/// The result of a tier.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    pub(crate) agree: usize,
    pub(crate) cases: usize,
    /// One line for each case that does not agree.
    pub(crate) disagreements: Vec<String>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, agree: 0, cases: 0, disagreements: Vec::new() }
    }

    /// Counts a case; an error says why it does not agree.
    pub(crate) fn count(&mut self, case: &str, result: Result<(), String>) {
        self.cases += 1;
        match result {
            Ok(()) => self.agree += 1,
            Err(why) => self.disagreements.push(format!("{case}: {why}")),
        }
    }

    /// Prints the result, and fails unless there are cases and all of them agree.
    pub(crate) fn report(&self) {
        // On a line of its own, even where the test's name waits for its result.
        println!("\npeer: {}: {} of {} cases agree", self.name, self.agree, self.cases);
        assert!(self.cases > 0, "{}: no cases found", self.name);
        assert!(self.agree == self.cases, "{}:\n{}", self.name, self.disagreements.join("\n"));
    }
}
