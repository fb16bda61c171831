//! The Redis protocol: bytes of a connection to requests, replies to bytes; and, for our own tools and
//! tests, the client's side. No sockets here: who owns one drives these.

mod encode;
mod error;
mod inline;
mod reply;
mod request;
#[cfg(test)]
mod request_tests;

pub use encode::{RespVersion, encode, encode_error, encode_push, encode_request};
pub use error::ProtocolError;
pub use reply::{DEPTH_MAX, Incoming, ReplyDecodeError, ReplyDecoder};
pub use request::{
    AHEAD_BYTES, BIG_BYTES, Decoder, Limits, READ_BYTES, REQUEST_BYTES_MAX, Request,
};
