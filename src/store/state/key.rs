//! A row's key in a batch: its first bytes stand in the map itself.
//!
//! The keys of a group begin alike and lie all over the memory, so that each comparison would cost a miss
//! of the processor's cache. The first 24 bytes of a data row's key reach past group, bucket, epoch and
//! hash, and nearly always decide. Must hold: the order is that of the bytes.

const WORDS: usize = 3;
const WORD_BYTES: usize = size_of::<u64>();

/// See the module. The order of the fields matters: the head is compared first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    /// The first bytes, filled up with zeros. Where two heads differ, so do the bytes, in the same way:
    /// a zero of the filling against a byte that is there is the shorter key against the longer one.
    head: [u64; WORDS],
    bytes: Vec<u8>,
}

impl RowKey {
    /// The whole key.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn head_of(bytes: &[u8]) -> [u64; WORDS] {
    let mut padded = [0; WORDS * WORD_BYTES];
    let length = bytes.len().min(padded.len());
    padded[..length].copy_from_slice(&bytes[..length]);
    std::array::from_fn(|word| {
        let word = &padded[word * WORD_BYTES..][..WORD_BYTES];
        u64::from_be_bytes(word.try_into().expect("eight bytes"))
    })
}

impl From<&[u8]> for RowKey {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<Vec<u8>> for RowKey {
    fn from(bytes: Vec<u8>) -> Self {
        Self { head: head_of(&bytes), bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_bytes(
            start in proptest::collection::vec(0..2u8, 0..30),
            ends in proptest::array::uniform2(proptest::collection::vec(0..2u8, 0..30)),
        ) {
            let [one, other] = ends.map(|end| [start.clone(), end].concat());
            let (key, other_key) = (RowKey::from(&one[..]), RowKey::from(other.clone()));
            prop_assert_eq!(key.cmp(&other_key), one.cmp(&other));
            prop_assert_eq!(key == other_key, one == other);
        }
    }
}
