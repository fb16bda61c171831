//! What the process knows of itself.

/// Resident memory, bytes; 0 where the system does not tell.
#[must_use]
pub(super) fn resident_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages * page.and_then(|page| u64::try_from(page).ok()).unwrap_or(4096)
}
