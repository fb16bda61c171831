//! Why a connection is closed or refused: a code for programs and a sentence for people. Both travel in
//! QUIC's close frame, so that the log of the side that was refused says why.

use std::fmt;

/// The longest reason sent, bytes: it must fit a packet.
const TEXT_BYTES_MAX: usize = 600;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $word:literal;)*) => {
        /// A reason to close; its number is what travels. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $($(#[$doc])* $name = $value,)*
        }

        impl CloseCode {
            /// Every code, by number.
            pub const ALL: [CloseCode; [$($value),*].len()] = [$(CloseCode::$name),*];

            /// A short name, for metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// The sender is stopping, or has no further use for the connection.
    Closing = 0, "closing";
    /// What was sent is no valid frame or hello.
    Malformed = 1, "malformed";
    /// The two programs have no protocol version in common.
    Version = 2, "version";
    /// The other side belongs to another cluster.
    WrongCluster = 3, "wrong_cluster";
    /// The certificate does not name the role that the hello claims.
    WrongRole = 4, "wrong_role";
    /// The hello was meant for another node.
    WrongNode = 5, "wrong_node";
    /// The receiver does not know this node.
    UnknownNode = 6, "unknown_node";
    /// The node came back with another disk than the one it is known by.
    Incarnation = 7, "incarnation";
    /// This node, or this life of its disk, was removed for ever.
    Barred = 8, "barred";
    /// The receiver serves as many connections as it may.
    Busy = 9, "busy";
    /// A frame was larger than is allowed.
    FrameTooLong = 10, "frame_too_long";
    /// A newer connection between the same two nodes took over.
    Replaced = 11, "replaced";
    /// Frames or streams that do not belong here.
    Protocol = 12, "protocol";
    /// The other side is no longer a peer of this node.
    Removed = 13, "removed";
    /// The sender failed inside.
    Internal = 14, "internal";
}

impl CloseCode {
    /// The number that travels.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The code of a number, `None` for one of a later version.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    /// Its position in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self.number() as usize
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection is refused or ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct Refusal {
    /// For programs.
    pub code: CloseCode,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: CloseCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The text as it is sent: cut at a character so that it fits a packet.
    #[must_use]
    pub fn wire_text(&self) -> &[u8] {
        let mut end = self.text.len().min(TEXT_BYTES_MAX);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        &self.text.as_bytes()[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for (index, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code.index(), index);
            assert_eq!(CloseCode::from_number(u64::from(code.number())), Some(code));
        }
        assert_eq!(CloseCode::from_number(99), None);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let refusal = Refusal::new(CloseCode::Busy, "é".repeat(500) + "x");
        assert_eq!(refusal.wire_text().len(), TEXT_BYTES_MAX);
        let refusal = Refusal::new(CloseCode::Busy, "x".to_owned() + &"é".repeat(500));
        assert_eq!(refusal.wire_text().len(), TEXT_BYTES_MAX - 1);
    }
}
