//! A `host:port` text taken apart.
//!
//! Stands apart because addresses come from configuration and from peers, and because Redis writes the
//! two halves separately. The host may be a name, an IPv4 address or an IPv6 address in brackets.

/// Host and port of an address, borrowed from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The host without brackets; never empty.
    pub host: &'a str,
    /// The port; never 0.
    pub port: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than any host name and port.
    #[error("longer than {} bytes", Address::BYTES_MAX)]
    TooLong,
    /// No host, or one with characters that would break a line of `CLUSTER NODES`.
    #[error("not a host name or address")]
    Host,
    /// No port, or one that is no number from 1 to 65535.
    #[error("no port number")]
    Port,
}

impl<'a> Address<'a> {
    /// The longest address, bytes: a host name of 253, brackets, colon and port.
    pub const BYTES_MAX: usize = 261;

    /// Takes `host:port` apart.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        if text.len() > Self::BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        // `parse` would take "+7000" as well.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Port);
        }
        let port: u16 = port.parse().map_err(|_| AddressError::Port)?;
        if port == 0 {
            return Err(AddressError::Port);
        }
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let well_formed = match bracketed {
            Some(inner) => inner.bytes().all(|byte| plain(byte) || matches!(byte, b':' | b'%')),
            None => host.bytes().all(plain),
        };
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || !well_formed {
            return Err(AddressError::Host);
        }
        Ok(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_are_addresses() {
        let parsed = |text| Address::parse(text).map(|address| (address.host, address.port));
        assert_eq!(parsed("127.0.0.1:7379"), Ok(("127.0.0.1", 7379)));
        assert_eq!(parsed("node-1.example_net:1"), Ok(("node-1.example_net", 1)));
        assert_eq!(parsed("[::1]:65535"), Ok(("::1", 65_535)));
        assert_eq!(parsed("[fe80::1%eth0]:9"), Ok(("fe80::1%eth0", 9)));
    }

    #[test]
    fn what_would_break_a_reply_is_refused() {
        for (text, error) in [
            ("127.0.0.1", AddressError::Port),
            ("a:", AddressError::Port),
            ("a:0", AddressError::Port),
            ("a:65536", AddressError::Port),
            ("a:+7", AddressError::Port),
            (":7000", AddressError::Host),
            ("[]:7000", AddressError::Host),
            ("::1:7000", AddressError::Host),
            ("a b:7000", AddressError::Host),
            ("a\n:7000", AddressError::Host),
            ("a@b:7000", AddressError::Host),
            ("a,b:7000", AddressError::Host),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
        let long = format!("{}:1", "a".repeat(260));
        assert_eq!(Address::parse(&long), Err(AddressError::TooLong));
    }
}
