//! How many cases agree, and which do not.

/// The count of one tier.
#[derive(Debug)]
pub(crate) struct Tally {
    tier: &'static str,
    pub(crate) cases: usize,
    pub(crate) differences: Vec<String>,
}

impl Tally {
    pub(crate) fn new(tier: &'static str) -> Self {
        Self { tier, cases: 0, differences: Vec::new() }
    }

    /// One case; `difference` says in what it differs, if it does.
    pub(crate) fn count(&mut self, place: &str, difference: Option<String>) {
        self.cases += 1;
        if let Some(difference) = difference {
            self.differences.push(format!("{place}: {difference}"));
        }
    }

    /// Prints the differences and the count.
    ///
    /// # Panics
    /// When fewer than `percent` of the cases agree.
    pub(crate) fn report(&self, percent: usize) {
        for difference in &self.differences {
            println!("\ndiffers: {}: {difference}", self.tier);
        }
        let agree = self.cases - self.differences.len();
        // The line before may be another test's, without an end.
        println!("\npeer: {}: {agree} of {} cases agree", self.tier, self.cases);
        assert!(agree * 100 >= self.cases * percent, "{}: less than {percent} % agree", self.tier);
    }
}
