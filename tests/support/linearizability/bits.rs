//! Sets of small numbers in a slice of words.

const WORD: usize = u64::BITS as usize;

/// How many words a set of numbers below `count` takes.
pub(crate) fn words(count: usize) -> usize {
    count.div_ceil(WORD)
}

pub(crate) fn has(set: &[u64], number: usize) -> bool {
    set[number / WORD] >> (number % WORD) & 1 == 1
}

pub(crate) fn insert(set: &mut [u64], number: usize) {
    set[number / WORD] |= 1 << (number % WORD);
}

pub(crate) fn remove(set: &mut [u64], number: usize) {
    set[number / WORD] &= !(1 << (number % WORD));
}

/// Is every number of `part` in `whole`?
pub(crate) fn includes(whole: &[u64], part: &[u64]) -> bool {
    whole.iter().zip(part).all(|(whole, part)| part & !whole == 0)
}

pub(crate) fn count(set: &[u64]) -> usize {
    set.iter().map(|word| word.count_ones() as usize).sum()
}

/// The first number from `from` on that is in the set.
pub(crate) fn next_in(set: &[u64], from: usize) -> Option<usize> {
    next(set, from, |word| word)
}

/// The first number from `from` on that is not in the set; there may be some beyond what the set was made for.
pub(crate) fn next_out(set: &[u64], from: usize) -> Option<usize> {
    next(set, from, |word| !word)
}

fn next(set: &[u64], from: usize, view: impl Fn(u64) -> u64) -> Option<usize> {
    let mut at = from / WORD;
    let mut word = view(*set.get(at)?) & (u64::MAX << (from % WORD));
    while word == 0 {
        at += 1;
        word = view(*set.get(at)?);
    }
    Some(at * WORD + word.trailing_zeros() as usize)
}
