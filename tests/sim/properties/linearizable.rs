//! Linearizability: what clients were told is what one copy of the keys could have told them, each operation
//! done at one moment between its call and its answer (Herlihy and Wing, 1990). Judged when all is over, of the
//! whole history.

use super::super::linearizability::{Model, Operation, RedisStrings, Verdict, check_within};
use super::{Held, Violation};

/// Configurations that the checker may look at for each key.
const STATES_MAX: usize = 1 << 18;

type Done = Operation<<RedisStrings as Model>::Input, <RedisStrings as Model>::Output>;

/// Judges a history.
pub(crate) fn judge(history: &[Done]) -> Held {
    match check_within::<RedisStrings>(history, STATES_MAX) {
        Verdict::Linearizable => Ok(()),
        Verdict::Violation(violation) => {
            Err(Violation::new("linearizability", violation.to_string()))
        }
        Verdict::Unknown { key } => {
            Err(Violation::new("linearizability", format!("not found out for {key}")))
        }
    }
}
