//! The size of a test: as promised with `ERAFT_FULL=1`, else small enough for a run of all tests in minutes.

/// `full` or `small`.
pub(crate) fn pick<T>(full: T, small: T) -> T {
    if std::env::var_os("ERAFT_FULL").is_some_and(|v| v == "1") { full } else { small }
}
