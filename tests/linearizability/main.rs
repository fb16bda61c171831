//! The linearizability checker, checked.
//!
//! Other tests believe it, so this one does not: on small histories it has to agree with an enumeration of all
//! orders, on large ones it has to accept what a real sequential store answered, and to refuse every history
//! that was damaged in a way that is certain to show.

#[path = "../support/linearizability/mod.rs"]
mod linearizability;

mod chance;
mod enumeration;
mod stores;
mod traffic;

mod agreement;
mod bounds;
mod damage;
mod stories;
