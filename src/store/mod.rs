//! What survives the process: the write-ahead log, which carries every promise, and the state store,
//! which can be rebuilt from the log and a snapshot.

mod background;
pub mod disk;
pub mod home;
pub mod state;
pub mod wal;
