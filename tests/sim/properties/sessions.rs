//! Exactly once: what was appended once is never found twice, however often it was sent.

use super::{Held, Violation};

/// Every text is made of tokens that end so; each is asked for once.
const END: char = ';';

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Sessions;

impl Sessions {
    /// A client reads a text.
    pub(super) fn read(&mut self, text: &str) -> Held {
        let mut tokens: Vec<&str> = text.split_terminator(END).collect();
        tokens.sort_unstable();
        match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(twice) => {
                let story = format!("{} is there twice: {text}", twice[0]);
                Err(Violation::new("exactly once", story))
            }
        }
    }
}
