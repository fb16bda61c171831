//! How many tests run at a time. A test that measures time takes the whole machine, others take half of it.

use std::sync::{Condvar, Mutex};

const PLACES: usize = 2;

static FREE: Mutex<usize> = Mutex::new(PLACES);
static CHANGED: Condvar = Condvar::new();

/// Some places, given back when dropped.
pub(crate) struct Permit(usize);

/// Waits for one of two places.
pub(crate) fn half() -> Permit {
    take(1)
}

/// Waits until nothing else runs.
pub(crate) fn whole() -> Permit {
    take(PLACES)
}

fn take(places: usize) -> Permit {
    let free = FREE.lock().expect("nothing panics under this lock");
    let mut free =
        CHANGED.wait_while(free, |free| *free < places).expect("nothing panics under this lock");
    *free -= places;
    Permit(places)
}

impl Drop for Permit {
    fn drop(&mut self) {
        *FREE.lock().expect("nothing panics under this lock") += self.0;
        CHANGED.notify_all();
    }
}
