//! What stands on a QUIC stream: frames, the hello that opens a connection, and the reasons to close one.
//!
//! The payload of a data frame is opaque here; `net::message` says what it means.

mod close;
mod frame;
mod hello;

pub use close::{CloseCode, Refusal};
pub use frame::{FORMAT, FrameError, FrameReader, HEADER_BYTES, Kind, header};
pub use hello::{
    HELLO_BYTES_MAX, Hello, HelloError, Lane, PROTOCOL_NEWEST, PROTOCOL_OLDEST, Purpose,
};
