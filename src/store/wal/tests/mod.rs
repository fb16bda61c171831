//! The log as a whole, against a model that is too simple to be wrong.

mod basics;
mod crashes;
mod damage;
mod model;
mod real;
mod recycling;
mod storage;
