//! The network: everything that speaks to the outside, and nothing that decides.
//!
//! | folder | speaks | with |
//! |---|---|---|
//! | `quic` | frames over QUIC, mutual TLS | other nodes, `eraftctl`, native clients |
//! | `wire` | the frames themselves, the hello, the reasons to close | |
//! | `message` | the payloads of the frames | |
//! | `tls` | certificates and roles | |
//! | `resp` | the Redis protocol over TCP | Redis clients |
//! | `http` | metrics and health | Prometheus, probes |
//!
//! Only here the words `quinn` and `rustls` appear. What arrives is handed on through a trait or closure;
//! every queue has a bound, and a fault of one connection ends that connection alone.

pub mod http;
pub mod message;
pub mod quic;
pub mod resp;
pub mod tls;
pub mod wire;
