//! Taking the end of a queue only if it is wanted: all that the core's queues have in common.

use std::collections::VecDeque;

/// Takes the front, if there is one and it is `wanted`.
pub(super) fn pop_front_if<T>(
    queue: &mut VecDeque<T>,
    wanted: impl FnOnce(&T) -> bool,
) -> Option<T> {
    if queue.front().is_some_and(wanted) { queue.pop_front() } else { None }
}

/// Takes the back, if there is one and it is `wanted`.
pub(super) fn pop_back_if<T>(
    queue: &mut VecDeque<T>,
    wanted: impl FnOnce(&T) -> bool,
) -> Option<T> {
    if queue.back().is_some_and(wanted) { queue.pop_back() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_taken() {
        let mut queue = VecDeque::from([1, 2, 3]);
        assert_eq!(pop_front_if(&mut queue, |n| *n == 3), None);
        assert_eq!(pop_back_if(&mut queue, |n| *n == 3), Some(3));
        assert_eq!(pop_front_if(&mut queue, |n| *n == 1), Some(1));
        assert_eq!(queue, [2]);
    }
}
